"""Bugs in `actors/runtime`: turns, owners, supervision, commits, moves."""

from typing import Final

from property_tests.seeded.bug import Bug

RUNTIME_BUGS: Final = (
    Bug(
        name="lost-wake-up",
        file="actors/runtime/turns.py",
        old="""\
        finally:
            if mine and inbox.mail:
                inbox.submit(inbox)
        return BUSY
""",
        new="""\
        finally:
            pass
        return BUSY
""",
        harm="A write that came during another one's turn waits until its time is up.",
        checks=("property_tests/seeded/test_missed.py",),
    ),
    Bug(
        name="lost-wake-up-of-workers",
        file="actors/runtime/inbox.py",
        old="""\
            if mine and self.mail and not self.running:
                self.submit(self)
""",
        new="""\
            pass
""",
        harm="Of many writes at once the last ones wait for yet another to come.",
        checks=("property_tests/seeded/test_missed.py",),
    ),
    Bug(
        name="lock-released-early",
        file="actors/runtime/turns.py",
        old="""\
                    inbox.running = True
                    try:
                        return actor.take_turn(message)
                    finally:
                        inbox.running = False
            finally:
                # Nothing may""",
        new="""\
                    release()
                    mine = False
                    return actor.take_turn(message)
            finally:
                # Nothing may""",
        harm="Two threads change one workflow at once, and updates are lost.",
        checks=("tests/actors/runtime/test_turns.py",),
    ),
    Bug(
        name="late-message-applied",
        file="actors/runtime/turns.py",
        old="""\
        if envelope.deadline is not None and time.monotonic() > envelope.deadline:
            envelope.refuse(TurnTimeoutError("dropped, its deadline had passed"))
            return
""",
        new="",
        harm="A write happens after its deadline, when nobody reckons with it.",
        checks=("tests/actors/runtime/test_inbox.py",),
    ),
    Bug(
        name="withdrawn-message-applied",
        file="actors/runtime/turns.py",
        old="""\
        if not envelope.claim():
            return
        if envelope.deadline""",
        new="""\
        if envelope.deadline""",
        harm="A write that timed out with effect `none` happens all the same.",
        checks=("tests/actors/runtime/test_turns.py",),
    ),
    Bug(
        name="dead-table-written",
        file="actors/runtime/overwrite.py",
        old="            or table.state is not state\n",
        new="",
        harm="A write after a drop is answered, and nobody ever reads it.",
        checks=("tests/actors/runtime/test_overwrite.py",),
    ),
    Bug(
        name="overwrite-past-limit",
        file="actors/runtime/overwrite.py",
        old="            or (total > limits.total_bytes and size > old.size)\n",
        new="",
        harm="A workflow outgrows `max_bytes` by overwriting what it has.",
        checks=("tests/actors/runtime/test_overwrite.py",),
    ),
    Bug(
        name="stored-overwrite-past-limit",
        file="actors/runtime/durable.py",
        old="""\
        keys, total = state.totals()
        total += size - old.size
        if (
            limits.default_ttl is not None
            or size > limits.value_bytes
            or (total > limits.total_bytes and size > old.size)
""",
        new="""\
        keys, total = state.totals()
        total += size - old.size
        if (
            limits.default_ttl is not None
            or size > limits.value_bytes
""",
        harm="A workflow in a store outgrows `max_bytes` by overwriting what it has.",
        checks=("tests/actors/runtime/test_overwrite.py",),
    ),
    Bug(
        name="fence-lock-released-early",
        file="actors/runtime/owner.py",
        old="""\
                    fenced.fence.check()
                    reply = self.carry_out(event, reply, fenced)
                    fenced.fence.reason = fenced.ends_as
""",
        new="""\
                    fenced.fence.check()
                reply = self.carry_out(event, reply, fenced)
                fenced.fence.reason = fenced.ends_as
""",
        harm="A step writes once more after `cancel` has returned.",
        checks=("tests/actors/runtime/test_fences.py",),
    ),
    Bug(
        name="published-before-commit",
        file="actors/runtime/durable.py",
        old="""\
        stage(self.state, entry)
        return deferred

    def _log""",
        new="""\
        stage(self.state, entry)
        self.state.revision = event[0]
        return deferred

    def _log""",
        harm="A value is read that a crash a moment later un-says.",
        checks=("tests/actors/runtime/test_durable.py",),
    ),
    Bug(
        name="answer-ahead-of-commit",
        file="actors/runtime/durable.py",
        old="""\
                return self._in_row(lambda: answer(state, plain, self.now()))
            reply = super().serve(message)
            if state.staged and type(reply) is not Deferred:
                return self._in_row(lambda: reply)
""",
        new="""\
                return self._in_row(lambda: answer(state, plain, self.now()))
            reply = super().serve(message)
""",
        harm="`setdefault` tells a value that is never committed.",
        checks=("tests/actors/runtime/test_durable.py",),
    ),
    Bug(
        name="passivation-loses-a-write",
        file="actors/runtime/supervisor.py",
        old="""\
                if state.is_committed():
                    directory.vault.let_go(state.scope, state)
""",
        new="""\
                directory.vault.let_go(state.scope, state)
""",
        harm="A workflow leaves memory while a write of it waits for its commit.",
        checks=("property_tests/seeded/test_missed.py",),
    ),
    Bug(
        name="quarantine-not-applied",
        file="actors/runtime/supervisor.py",
        old="if len(failures) == FAILURES_MAX and now",
        new="if len(failures) > FAILURES_MAX and now",
        harm="A scope that fails on every write is restarted for ever.",
        checks=("tests/actors/runtime/test_owner.py",),
    ),
    Bug(
        name="revision-reused-after-drop",
        file="actors/runtime/supervisor.py",
        old="directory.floor = max(directory.floor, retired.last)",
        new="directory.floor = max(directory.floor, 0)",
        harm="`expected=` holds for a key of a workflow that was dropped since.",
        checks=("tests/api/test_manager.py",),
    ),
    Bug(
        name="sync-dropped",
        file="actors/runtime/committer.py",
        old="store.commit(events, sync=sync)",
        new="store.commit(events, sync=False)",
        harm="Power loss takes writes that had been acknowledged as `synced`.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="flush-forgotten",
        file="actors/runtime/committer.py",
        old="""\
        else:
            due = self._now()""",
        new="""\
        elif self._over:
            due = self._now()""",
        harm="`buffered` writes are never synced, however long ago they were made.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="group-loses-an-owner",
        file="actors/runtime/committer.py",
        old="groups.setdefault(store, []).append((state, entries))",
        new="groups[store] = [(state, entries)]",
        harm="Of the workflows written at one moment only one is committed.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="committed-on-a-failure",
        file="actors/runtime/committer.py",
        old="state.scope in self._broken",
        new="None in self._broken",
        harm="A write is committed that rests on one which was not.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="rollout-choice-unstable",
        file="actors/runtime/placement.py",
        old="""\
    digest = hashlib.blake2b(workflow_id.encode(), digest_size=6).digest()
""",
        new="""\
    digest = (hash(workflow_id) % (1 << 48)).to_bytes(6, "big")
""",
        harm="After a restart a rollout moves other workflows, and some back.",
        checks=("property_tests/test_stores.py",),
    ),
)
