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
from stateward.actors.core.cells import Cell
from stateward.actors.core.values import dumps, pack
from stateward.durability import Durability
from stateward.messages import (
    ClearState,
    DeleteState,
    IncrementState,
    Message,
    SetState,
    UpdateState,
)
from stateward.testing import Simulation
from stateward.testing.faulty import Disk, MemoryMark
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
LOGGING: Final = (
    "core/state.py",
    "runtime/durable.py",
    "store/batches.py",
    "store/redo.py",
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
RELEASING: Final = LAST | {"if mine:", "try:", "release()", "finally:"}
"""As `LAST`: what stands in a `finally` that lets go of the log."""
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


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, AllocationError])
@pytest.mark.parametrize("name", [*WRITES, "usual"])
def test_write_happens_or_not_when_a_line_of_its_logging_fails(
    name: str, error: Callable[[], BaseException]
) -> None:
    """A failing line between staging and publishing leaves a write whole, or none."""
    logged = WRITES | {"usual": lambda: SetState(SCOPE, "usual", 99)}
    with filled("buffered") as it:
        it.advance(it.options.flush_interval)
        it.settle()
        perform(it, logged[name]())
        assert it.manager._store is not None
        assert it.manager._store.redo.behind, "it was not logged"
        after = dict(it.manager.workflow_state("w"))
    for at in range(1, LINES_MAX):
        with filled("buffered") as it:
            it.advance(it.options.flush_interval)
            it.settle()
            countdown = Countdown(at, error)
            action = partial(perform, it, logged[name]())
            fail(partial(Lines(countdown, LOGGING, RELEASING).run, action))
            check_logged(it, after, countdown.place)
        if not countdown.place:
            break
    assert 20 < at < LINES_MAX - 1


def perform(it: Simulation, message: Message) -> None:
    """Have the owner decide; the usual overwrite comes to it as a version."""
    ref, table = it.manager.engine.route(SCOPE)
    if ref is not None and isinstance(message, SetState) and message.key == "usual":
        cell = Cell()
        cell.table, cell.key = table, "a"
        cell.value, cell.size, cell.depth = pack(99)
        assert type(ref.attempt(cell)) is int, "it was not logged"
    else:
        send(it.manager, message)


def check_logged(it: Simulation, after: dict[str, JsonValue], place: str) -> None:
    """Check as `check` does, and that the end of the process leaves the same."""
    manager = it.manager
    disk = manager.disk
    left = Disk(
        journal=manager.journal.after_kill(),
        mark=MemoryMark(disk.mark.slots),
        region=disk.region.after_kill(),
    )
    it.settle()
    # Whoever comes next recovers what was interrupted.
    send(manager, DeleteState(SCOPE, "absent"))
    found = dict(manager.workflow_state("w"))
    check(it, after, place)
    manager.perish()
    it._open(left)
    assert dict(it.manager.workflow_state("w")) == found, place


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
    if it.options.durability == "synced":
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
    it._open(Disk(journal=manager.journal.after_power_loss(0), mark=manager.disk.mark))
    assert dict(it.manager.workflow_state("w")) in allowed, place
