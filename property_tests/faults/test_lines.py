"""An interrupt, or a lack of memory, at each line of the path that a write takes.

What comes out of a line of the turns themselves is for `tests/test_interrupts.py`:
there CPython lets nothing in at most lines, and a trace would.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import pytest

from property_tests.faults.points import AllocationError, Countdown, Lines
from stateward import JsonValue, WorkflowScope
from stateward.actors.core.errors import InvariantError
from stateward.actors.core.values import dumps
from stateward.handles import Durability
from stateward.messages import (
    ClearState,
    DeleteState,
    IncrementState,
    Message,
    SetState,
    UpdateState,
)
from stateward.testing import Simulation
from stateward.testing.simulation_managers import SimulatedManager

SCOPE: Final = WorkflowScope("w")
BEFORE: Final[dict[str, JsonValue]] = {"a": 1, "b": [1, 2], "n": 0}
WRITES: Final[dict[str, Callable[[], Message]]] = {
    "overwrite": lambda: SetState(SCOPE, "a", 99),
    "new key": lambda: SetState(SCOPE, "new", {"x": 1}),
    "expiring key": lambda: SetState(SCOPE, "a", 99, ttl=100),
    "batch": lambda: UpdateState(SCOPE, {"a": 7, "b": 7, "new": 7}),
    "delete": lambda: DeleteState(SCOPE, "a"),
    "clear": lambda: ClearState(SCOPE),
    "increment": lambda: IncrementState(SCOPE, "n"),
}
DECIDING: Final = (
    "core/decider.py",
    "core/draft.py",
    "core/staging.py",
    "core/state.py",
    "runtime/durable.py",
    "runtime/owner.py",
)
COMMITTING: Final = (
    "core/staging.py",
    "core/state.py",
    "runtime/committer.py",
    "store/heads.py",
    "store/ledger.py",
    "store/records.py",
    "store/store.py",
)
LAST: Final = frozenset({"if state.staged:", "self._committer.submit(state)"})
"""What stands in the `finally` of a turn, before which CPython lets nothing in."""
LINES_MAX: Final = 5_000


@contextmanager
def filled(durability: Durability | None) -> Iterator[Simulation]:
    """Lend a simulation whose workflow holds something."""
    with Simulation(choices=(), durability=durability, disturbed=0) as it:
        send(it.manager, UpdateState(SCOPE, BEFORE))
        it.settle()
        yield it


def send(manager: SimulatedManager, message: Message) -> object:
    """Have the owner decide here and now."""
    return manager.engine.owner(SCOPE).attempt(message)


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, AllocationError])
@pytest.mark.parametrize("durability", ["synced", None])
@pytest.mark.parametrize("name", WRITES)
def test_write_happens_or_not_when_a_line_of_its_turn_fails(
    name: str, durability: Durability | None, error: Callable[[], BaseException]
) -> None:
    """The first line fails, then the second, until a turn meets no failure."""
    with filled(durability) as it:
        send(it.manager, WRITES[name]())
        it.settle()
        after = dict(it.manager.workflow_state("w"))
    for at in range(1, LINES_MAX):
        with filled(durability) as it:
            countdown = Countdown(at, error)
            action = partial(send, it.manager, WRITES[name]())
            fail(partial(Lines(countdown, DECIDING, LAST).run, action))
            check(it, after, countdown.place)
        if not countdown.place:
            break
    assert 20 < at < LINES_MAX - 1


@pytest.mark.xfail(
    strict=True,
    raises=InvariantError,
    reason="a lack of memory in the first line of `Committed.carry_out` loses a signal",
)
@pytest.mark.slow
@pytest.mark.parametrize("name", WRITES)
def test_write_happens_or_not_when_a_line_of_its_commit_fails(name: str) -> None:
    """A lack of memory at any line of the committer loses no write, and no answer."""
    with filled("synced") as it:
        send(it.manager, WRITES[name]())
        it.settle()
        after = dict(it.manager.workflow_state("w"))
    for at in range(1, LINES_MAX):
        with filled("synced") as it:
            countdown = Countdown(at, AllocationError)
            send(it.manager, WRITES[name]())
            committer = it.manager.engine.directory.committer
            assert committer is not None
            turn = partial(committer.turn, wait=False)
            fail(partial(Lines(countdown, COMMITTING).run, turn))
            check(it, after, countdown.place)
        if not countdown.place:
            break
    assert 20 < at < LINES_MAX - 1


def fail(action: Callable[[], object]) -> None:
    """Call `action`, which may fail."""
    try:
        action()
    except (KeyboardInterrupt, Exception):  # noqa: BLE001  # as whoever called would
        return


def check(it: Simulation, after: dict[str, JsonValue], place: str) -> None:
    """Check contents, accounting, that others can write, and what a crash leaves."""
    it.settle()
    manager = it.manager
    state = manager.workflow_state("w")
    found = dict(state)
    assert found in (BEFORE, after), place
    stats = manager.stats()
    sizes = [len(key) + len(dumps(value)) for key, value in found.items()]
    assert (stats.keys, stats.size_bytes) == (len(sizes), sum(sizes)), place
    if not manager.poisoned:
        send(manager, SetState(SCOPE, "probe", 1))
        it.settle()
        assert dict(state) == {**found, "probe": 1}, place
    if manager.ledger is not None:
        check_reopened(it, manager, after, place)


def check_reopened(
    it: Simulation, manager: SimulatedManager, after: dict[str, JsonValue], place: str
) -> None:
    """Check that the next process finds what could be read.

    Where the effect of a write was not known, that may have happened as well.
    """
    found = dict(manager.workflow_state("w"))
    allowed = [found, after] if manager.poisoned else [found]
    manager.perish()
    it._open(manager.journal.after_power_loss(0), manager.mark)
    assert dict(it.manager.workflow_state("w")) in allowed, place
