"""The usual write written out: it does what the readable path does, or steps aside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stateward import Limits, ScopedState, StateManager
from stateward.actors.core import faults
from stateward.actors.core.cells import Cell
from stateward.actors.core.state import NOWHERE
from stateward.actors.core.values import pack
from stateward.actors.runtime.overwrite import Overwriter
from stateward.messages import SetState
from stateward.testing import SimulatedClock
from tests.journals import Disk, WatchedJournal
from tests.support import unchanged
from tests.threads import Gate, Job, eventually


def cell_for(state: ScopedState, key: str, value: object) -> Cell:
    """Return what a handle sends for the usual write."""
    cell = Cell()
    owner = state.manager.engine.state(state.scope.owner)
    cell.table = NOWHERE if owner is None else owner.table(state.scope.step_name)
    cell.key = key
    cell.value, cell.size, cell.depth = pack(value)
    return cell


@pytest.mark.parametrize("value", [2, "longer than before", None, [1, {"a": [2]}], {}])
def test_overwrite_leaves_what_the_readable_path_leaves(value: object) -> None:
    """Two scopes, one written each way, are the same in every respect."""
    clock = SimulatedClock()
    with StateManager(clock=clock) as manager:
        short, long = manager.workflow_state("short"), manager.workflow_state("long")
        for state in (short, long):
            state.set("key", [1, 2, 3])
        clock.advance(1.0)
        assert short.ask(cell_for(short, "key", value)) == 2  # type: ignore[arg-type]  # no message
        assert long.ask(SetState(long.scope, "key", value)) == 2  # type: ignore[arg-type]  # it is JSON
        assert short.entry("key") == long.entry("key")
        assert dict(short) == dict(long) == {"key": value}
        states = [manager.engine.state(it.scope.owner) for it in (short, long)]
        sizes = [(it.size, it.keys, it.settled) for it in states if it is not None]
        assert sizes[0] == sizes[1]


def test_overwrite_steps_aside_when_the_write_is_not_usual() -> None:
    """What is new, expires, is limited, out of date or under test is left alone."""
    clock = SimulatedClock()
    limits = Limits(max_value_bytes=10, max_depth=2, max_bytes=40)
    with StateManager(clock=clock, limits=limits) as manager:
        state = manager.workflow_state("w")
        state.update({"key": 1, "other": "x" * 8})
        before = state.snapshot()

        def send(key: str, value: object) -> object:
            return state.ask(cell_for(state, key, value))  # type: ignore[arg-type]  # no message

        assert send("new", 1) is None
        assert send("key", "x" * 9) is None  # One byte over max_value_bytes.
        assert send("key", [[[1]]]) is None
        stale = cell_for(state, "key", 2)
        stale.table = NOWHERE
        assert state.ask(stale) is None  # type: ignore[arg-type]  # no message
        with faults.arm("worker.task", lambda: None):
            assert send("key", 2) is None
        assert state.snapshot() == before
        assert state.revision == before.revision


def test_overwrite_steps_aside_for_the_table_of_a_dropped_workflow() -> None:
    """A write by an old route changes neither what was dropped nor what came since."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        state.set("key", "old")
        stale = cell_for(state, "key", 2)
        state.drop()
        state.set("key", 1)
        with unchanged(state):
            assert state.ask(stale) is None  # type: ignore[arg-type]  # no message
        assert stale.table["key"].value == "old"


def test_overwrite_steps_aside_when_the_owner_would_outgrow_its_bytes() -> None:
    """At the limit a value of the same size is put in place, a longer one is not."""
    with StateManager(limits=Limits(max_bytes=4)) as manager:
        state = manager.workflow_state("w")
        state.set("k", 100)
        assert state.ask(cell_for(state, "k", 200)) == 2  # type: ignore[arg-type]  # no message
        assert state.ask(cell_for(state, "k", 1000)) is None  # type: ignore[arg-type]  # no message
        assert state["k"] == 200


def test_overwrite_steps_aside_when_something_has_expired() -> None:
    """An owner that has to sweep first is left to the readable path."""
    clock = SimulatedClock()
    with StateManager(clock=clock) as manager:
        state = manager.workflow_state("w")
        state.set("key", 1)
        owner = manager.engine.state(state.scope.owner)
        assert owner is not None
        owner.next_expiry = clock.now()
        assert state.ask(cell_for(state, "key", 2)) is None  # type: ignore[arg-type]  # no message
        state.set("key", 3)
        assert state["key"] == 3


class SlowJournal(WatchedJournal):
    """Commits once the gate is open; no fault point is armed, which is not usual."""

    def __init__(self) -> None:
        """Begin with an open gate."""
        super().__init__()
        self.gate = Gate()
        self.gate.open()
        self.before = lambda: self.gate(None)


@pytest.fixture(name="journal")
def slow_journal() -> SlowJournal:
    """Return a journal with nothing in it."""
    return SlowJournal()


@pytest.fixture(name="disk")
def slow_disk(tmp_path: Path, journal: SlowJournal) -> Disk:
    """Return a disk with that journal."""
    return Disk(tmp_path, journal)


@pytest.mark.parametrize(("key", "value"), [("a", 2), ("a", [{"b": [2]}]), ("t", "x")])
def test_staged_overwrite_leaves_what_the_readable_path_leaves(
    disk: Disk, journal: SlowJournal, key: str, value: Any
) -> None:
    """With a store as well; and the same is there after reopening."""
    clock = SimulatedClock()
    with disk.manager(clock=clock) as manager:
        short, long = manager.workflow_state("short"), manager.workflow_state("long")
        for state in (short, long):
            state.set("a", [1, 2, 3])
            state.set("t", 0, ttl=100.0)
        clock.advance(1.0)
        assert short.set(key, value) == 3
        assert long.ask(SetState(long.scope, key, value)) == 3
        entries = short.entry("a"), short.entry("t")
        assert entries == (long.entry("a"), long.entry("t"))
        states = manager.engine.directory.states
        found = [states[it.scope.owner] for it in (short, long)]
        assert len({(it.size, it.keys, it.settled) for it in found}) == 1
        rows = WatchedJournal(journal.crash().scan(b"", b"\xff" * 9))
        left = disk.after("left", rows)
    with left.manager(clock=clock) as again:
        for state in map(again.workflow_state, ("short", "long")):
            assert (state.entry("a"), state.entry("t")) == entries


def test_staged_overwrite_rests_on_what_is_staged(
    disk: Disk, journal: SlowJournal
) -> None:
    """A write goes on from what waits for its commit, and is seen once it has its."""
    with disk.manager() as manager:
        state = manager.workflow_state("w")
        state.set("a", 1)
        calls: tuple[Callable[[], Any], ...] = (
            lambda: state.set("a", 22),
            lambda: state.set("a", 333),
            lambda: state.pop("a"),
            lambda: state.set("a", 4444),
            lambda: state.set("a", 55555),
        )
        owner = manager.engine.directory.states[state.scope.owner]
        journal.gate = Gate()
        jobs = []
        for call in calls:
            jobs.append(Job(call))
            eventually(lambda: len(owner.staged or ()) == len(jobs), "a command")
        assert state["a"] == 1
        journal.gate.open()
        assert [job.result() for job in jobs] == [2, 3, 333, 5, 6]
        assert dict(state) == {"a": 55555}
        assert owner.totals() == (1, 6)


def test_staged_overwrite_promises_no_more_than_the_manager(
    disk: Disk, journal: SlowJournal
) -> None:
    """A synced write does not have the next one wait for the disk as well."""
    with disk.manager(durability="buffered") as manager:
        state = manager.workflow_state("w")
        state.set("a", 1, durability="synced")
        state.set("a", 2)
        assert journal.syncs[-2:] == [True, False]


def test_staged_overwrite_steps_aside_when_the_write_is_not_usual(disk: Disk) -> None:
    """What is new, limited, expired or under test is left to the readable path."""
    clock = SimulatedClock()
    limits = Limits(max_value_bytes=10, max_depth=2, max_bytes=30)
    with disk.manager(clock=clock, limits=limits) as manager:
        state = manager.workflow_state("w")
        state.update({"key": 1, "other": "x" * 8})

        def send(key: str, value: object) -> object:
            return state.ask(cell_for(state, key, value))  # type: ignore[arg-type]  # no message

        with unchanged(state):
            assert send("new", 1) is None
            assert send("key", "x" * 9) is None  # One byte over max_value_bytes.
            assert send("key", [[[1]]]) is None
            with faults.arm("worker.task", lambda: None):
                assert send("key", 2) is None
        state.set("third", "full", ttl=5.0)
        with unchanged(state):
            assert send("key", 12) is None  # One byte over max_bytes.
        assert state.set("key", 2) == 3
        clock.advance(5.0)
        assert send("key", 3) is None
        assert dict(state) == {"key": 2, "other": "x" * 8}


def test_overwriter_serves_nothing_else_by_itself() -> None:
    """What is no overwrite has to be served by the class that knows how."""
    with pytest.raises(NotImplementedError):
        Overwriter.serve(object(), "anything")  # type: ignore[arg-type]  # needs no self
