"""Bugs in `api`: handles, transactions, runs."""

from typing import Final

from property_tests.seeded.bug import Bug

FACE_BUGS: Final = (
    Bug(
        name="uncommitted-read",
        file="api/reads.py",
        old="""\
        if cell is not None and cell.revision <= table.state.revision:
            if cell.direct:
""",
        new="""\
        if cell is not None:
            if cell.direct:
""",
        harm="`get` returns what is only staged, or what a dropped workflow held.",
        checks=("tests/api/test_reads.py",),
    ),
    Bug(
        name="route-not-refreshed",
        file="api/reads.py",
        old="                current = engine.state(self._owner)\n",
        new="                current = None\n",
        harm="A handle made before its workflow, or before a drop, reads nothing.",
        checks=("tests/api/test_reads.py",),
    ),
    Bug(
        name="increment-reads-and-sets",
        file="api/handles.py",
        old='        return cast("float", self.ask(message))\n',
        new="""\
        total = cast("float", self.get(key, initial)) + message.by
        self.set(key, total)
        return total
""",
        harm="Two threads that count at once count one.",
        checks=("property_tests/stress/test_lost_updates.py",),
    ),
    Bug(
        name="transaction-reads-two-revisions",
        file="api/transaction_log.py",
        old="""\
                if revision != self.pinned or state is not self._state:
                    self._revalidate(state, now)
""",
        new="",
        harm="A transaction sees one key before a batch and another one after it.",
        checks=("tests/api/test_transaction_log.py",),
    ),
    Bug(
        name="fencing-dropped",
        file="api/workflows/access.py",
        old="return self._engine.ask_owner(scope, Fenced(message, self._fence))",
        new="return self._engine.ask_owner(scope, message)",
        harm="A step that timed out goes on writing beside its next attempt.",
        checks=("tests/guarantees/test_fencing.py",),
    ),
    Bug(
        name="atomic-step-in-two-commits",
        file="api/workflows/work.py",
        old="""\
        self._commit(job, {path: record}, None if log is None else log.end())
""",
        new="""\
        writes = None if log is None else log.finish()
        if writes is not None:
            self._plan.engine.ask_owner(writes.scope, writes)
        self._commit(job, {path: record})
""",
        harm="A crash between the two has an atomic step write twice.",
        checks=("tests/api/workflows/test_atomic.py",),
    ),
    Bug(
        name="finished-step-repeated",
        file="api/workflows/frames.py",
        old="        if known is not None:\n",
        new="        if known is not None and not self.is_step:\n",
        harm="A resumed run charges the customer again.",
        checks=("tests/api/workflows/test_course.py",),
    ),
    Bug(
        name="attempts-counted-anew",
        file="api/workflows/frames.py",
        old='self._try(record["attempts"] + 1 if retrying else 1)',
        new="self._try(1)",
        harm="A step that may be tried three times is tried three times a process.",
        checks=("tests/api/workflows/test_course.py",),
    ),
    Bug(
        name="lost-run-goes-on",
        file="api/workflows/records.py",
        old="    reads = ((RUN_STEP, RUN_KEY, header),)\n",
        new="    reads = ()\n",
        harm="A run whose workflow was dropped goes on, and brings it back.",
        checks=("tests/api/workflows/test_runner.py",),
    ),
    Bug(
        name="lost-run-not-told",
        file="api/workflows/plan.py",
        old="                raise RunLostError(\n",
        new="                return\n                raise RunLostError(\n",
        harm="A run that has lost its records reports success.",
        checks=("tests/api/workflows/test_runner.py",),
    ),
)
