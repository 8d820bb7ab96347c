"""The committer: what all owners have staged is written in groups, or taken back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from stateward import (
    CommitFailedError,
    StoreFullError,
    StorePoisonedError,
    WorkflowScope,
)
from stateward.actors.core import faults
from stateward.actors.core.decider import decide
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import SetState
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.runtime.inbox import Deferred
from tests.actors.core.ledger import audit, contents
from tests.journals import held_back
from tests.threads import WAIT, eventually


class RecordingStore:
    """A `Store` that keeps what it is told to commit."""

    time = 0.0
    offset = 0.0

    def __init__(self) -> None:
        """Begin with nothing committed."""
        self.commits: list[tuple[list[str], bool]] = []
        """Owners in each commit, by id, and whether it was synced."""
        self.error: Exception | None = None
        """What to raise."""
        self.refused = 0
        """How often it was raised."""
        self.closed = 0

    def load(self, state: OwnerState) -> None:
        """Leave `state` as it is."""

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Note the commit."""
        if self.error is not None:
            self.refused += 1
            raise self.error
        names = [f"{state.scope.owner}:{len(events)}" for state, events in work]
        self.commits.append(([it.split("'")[-2] + it[-2:] for it in names], sync))

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield nothing."""
        return iter(())

    def close(self) -> None:
        """Note that it was closed."""
        self.closed += 1


class Rig:
    """A committer on a recording store, whose signals are carried out or kept."""

    def __init__(self, *, synced: bool = True, flush_interval: float = 1e6) -> None:
        """Start the committer."""
        self.store = RecordingStore()
        self.kept: list[Committed] = []
        self.keeps = False
        """Whether signals wait for the test."""
        self.changed: list[OwnerState] = []
        self.committer = Committer(
            self.store,
            self.deliver,
            self.changed.append,
            synced=synced,
            flush_interval=flush_interval,
            reply_timeout=WAIT,
        )

    def deliver(self, signal: Committed) -> None:
        """Carry `signal` out, or keep it."""
        if self.keeps:
            self.kept.append(signal)
        else:
            signal.carry_out()

    def send(
        self, state: OwnerState, value: int, *, sync: bool = False, submit: bool = True
    ) -> Deferred:
        """Set `a`, and have that committed."""
        reply = Deferred(WAIT)
        event, revision = decide(state, SetState(state.scope, "a", value), 0.0)
        stage(state, Staged(reply, event=event, answer=lambda: revision, sync=sync))
        if submit:
            self.committer.submit(state)
        return reply


@contextmanager
def rig(*, synced: bool = True, flush_interval: float = 1e6) -> Iterator[Rig]:
    """Return a rig, closed at the end."""
    made = Rig(synced=synced, flush_interval=flush_interval)
    try:
        yield made
    finally:
        made.committer.close()


def owner(name: str) -> OwnerState:
    """Return the state of an owner with a store."""
    state = OwnerState(WorkflowScope(name), Limits(), 0, 0.0)
    state.make_row()
    return state


def test_committer_publishes_and_answers() -> None:
    """What is staged is committed, then published, then answered."""
    state = owner("w")
    with rig() as it:
        assert it.send(state, 1).wait() == 1
        assert contents(state) == {"a": 1}
        assert it.store.commits == [(["w:1"], True)]
    assert it.changed == [state]


def test_committer_writes_in_one_commit_what_waited() -> None:
    """All that was staged during one commit is in the next, in order."""
    first, second, third = owner("1"), owner("2"), owner("3")
    with rig() as it:
        with held_back() as gate:
            replies = [it.send(first, 1)]
            gate.wait_until_entered()
            replies += [it.send(second, 1), it.send(first, 2), it.send(third, 1)]
            replies += [it.send(second, 2)]
            assert contents(first) == {}
        assert [reply.wait() for reply in replies] == [1, 1, 2, 1, 2]
        assert it.store.commits == [(["1:1"], True), (["2:2", "1:1", "3:1"], True)]
    for state in (first, second, third):
        audit(state)


def test_committer_writes_nothing_for_answers_alone() -> None:
    """An answer that waits in the row costs no commit."""
    state, reply = owner("w"), Deferred(WAIT)
    with rig() as it:
        stage(state, Staged(reply, answer=lambda: "read"))
        it.committer.submit(state)
        assert reply.wait() == "read"
        assert it.store.commits == []


def test_committer_ignores_an_owner_with_nothing_staged() -> None:
    """An owner submitted twice, or without a store, is no reason to commit."""
    state, plain = owner("w"), OwnerState(WorkflowScope("p"), Limits(), 0, 0.0)
    with rig() as it:
        it.committer.submit(plain)
        it.committer.submit(state)
        it.send(state, 1).wait()
        it.committer.submit(state)
    assert it.store.commits == [(["w:1"], True)]


def test_buffered_commit_is_synced_on_demand() -> None:
    """Without `synced` a commit syncs only if one of its commands says so."""
    state, other = owner("w"), owner("o")
    with rig(synced=False) as it:
        it.send(state, 1).wait()
        with held_back() as gate:
            _ = it.send(state, 2)
            gate.wait_until_entered()
            replies = [it.send(state, 3), it.send(other, 1, sync=True)]
        for reply in replies:
            reply.wait()
        flags = [sync for _, sync in it.store.commits]
        assert flags == [False, False, True]
    assert len(it.store.commits) == 3, "what was synced is flushed no more"


def test_buffered_commit_is_flushed_after_the_interval() -> None:
    """What was not synced is, once `flush_interval` has passed."""
    with rig(synced=False, flush_interval=0.01) as it:
        it.send(owner("w"), 1).wait()
        eventually(lambda: ([], True) in it.store.commits, "a flush")


def test_close_flushes_and_closes_the_store_once() -> None:
    """Closing commits, syncs, ends the thread; a second time it does nothing."""
    state = owner("w")
    with rig(synced=False) as it:
        with held_back() as gate:
            replies = [it.send(state, 1)]
            gate.wait_until_entered()
            replies.append(it.send(state, 2))
            it.committer.abandon()
        it.committer.close()
        assert [reply.wait() for reply in replies] == [1, 2]
        assert it.store.commits == [(["w:1"], False), (["w:1"], False), ([], True)]
    assert it.store.closed == 1


def test_flush_that_failed_without_effect_comes_again() -> None:
    """A full disk may have space later; what was promised stays promised."""
    with rig(synced=False, flush_interval=0.01) as it:
        assert it.send(owner("w"), 1).wait() == 1
        it.store.error = StoreFullError("no space")
        eventually(lambda: it.store.refused > 1, "a second try")
        it.store.error = None
        eventually(lambda: ([], True) in it.store.commits, "a flush")


def test_poisoned_store_is_not_flushed_again() -> None:
    """It takes nothing until it is reopened; saying so once is enough."""
    with rig(synced=False, flush_interval=0.01) as it:
        assert it.send(owner("w"), 1).wait() == 1
        it.store.error = StorePoisonedError("poisoned")
        eventually(lambda: it.store.refused > 0, "a try")
    assert it.store.refused == 1


def test_failed_flush_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A sync that fails after the answers is said in the log, and not again."""
    with rig(synced=False) as it:
        it.send(owner("w"), 1).wait()
        it.store.error = CommitFailedError("no disk", effect="unknown")
    assert "A sync failed" in caplog.text
    assert it.store.closed == 1


@pytest.mark.parametrize(
    ("error", "kind", "effect"),
    [
        (StoreFullError("full", effect="none"), StoreFullError, "none"),
        (CommitFailedError("?", effect="unknown"), CommitFailedError, "unknown"),
        (OSError("odd"), CommitFailedError, "unknown"),
    ],
)
def test_failed_commit_tells_each_sender(
    error: Exception, kind: type[CommitFailedError], effect: str
) -> None:
    """Every sender of the group is told why, and whether it may have happened."""
    first, second = owner("1"), owner("2")
    with rig() as it:
        it.store.error = error
        with held_back() as gate:
            _ = it.send(first, 1)
            gate.wait_until_entered()
            replies = [it.send(second, 1), it.send(second, 2)]
        for reply in replies:
            with pytest.raises(kind) as caught:
                reply.wait()
            assert caught.value.effect == effect
        it.store.error = None
        assert it.send(first, 3).wait() == 1
        assert it.send(second, 3).wait() == 1
    audit(first)
    audit(second)


def test_owner_is_not_committed_before_it_has_taken_back() -> None:
    """What is staged on a failed commit is never written; others go on."""
    broken, other = owner("b"), owner("o")
    with rig() as it:
        it.keeps, it.store.error = True, CommitFailedError("no", effect="unknown")
        replies = [it.send(broken, 1)]
        eventually(lambda: bool(it.kept), "a signal")
        it.store.error = None
        replies += [it.send(broken, 2), it.send(broken, 3)]
        _ = it.send(other, 1)
        eventually(lambda: len(it.kept) == 2, "the other's signal")
        assert it.store.commits == [(["o:1"], True)]
        it.keeps = False
        for signal in it.kept:
            signal.carry_out()
        effects = []
        for reply in replies:
            with pytest.raises(CommitFailedError) as caught:
                reply.wait()
            effects.append(caught.value.effect)
        assert effects == ["unknown", "none", "none"]
        assert contents(other) == {"a": 1}
        assert it.send(broken, 4).wait() == 1
    audit(broken)


def test_what_is_staged_after_a_group_is_not_published_with_it() -> None:
    """A signal publishes what was written, and no entry that came since."""
    state = owner("w")
    with rig() as it:
        it.keeps = True
        _ = it.send(state, 1)
        eventually(lambda: bool(it.kept), "a signal")
        _ = it.send(state, 2, submit=False)
        it.keeps = False
        it.kept[0].carry_out()
        assert contents(state) == {"a": 1}
        assert len(state.staged or ()) == 1
        it.committer.submit(state)
        eventually(lambda: contents(state) == {"a": 2}, "the second")
    audit(state)


def test_no_entry_is_committed_twice() -> None:
    """What is committed and not yet published is not written with what follows."""
    state = owner("w")
    with rig() as it:
        it.keeps = True
        replies = [it.send(state, 1)]
        eventually(lambda: bool(it.kept), "a signal")
        replies.append(it.send(state, 2))
        eventually(lambda: len(it.kept) == 2, "the second")
        for signal in it.kept:
            signal.carry_out()
        assert [reply.wait() for reply in replies] == [1, 2]
    assert it.store.commits == [(["w:1"], True), (["w:1"], True)]


def test_committer_outlives_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody expected is logged; the next commit goes on."""
    state, other = owner("w"), owner("o")
    failures: list[Callable[[], Any]] = []

    def fail() -> None:
        failures.append(fail)
        raise RuntimeError("seeded")

    with rig() as it:
        with faults.arm("store.committed", fail):
            _ = it.send(state, 1)
            eventually(lambda: bool(failures), "the bug")
        it.send(other, 1).wait()
        eventually(lambda: "The committer failed" in caplog.text, "a log line")
