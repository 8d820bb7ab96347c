from math import inf

import pytest

from stateward import StepScope
from stateward.actors.core import faults, reader
from stateward.actors.core.cells import Cell
from stateward.actors.core.decider import decide, expiry_of
from stateward.actors.core.messages import (
    CommitTransaction,
    DeleteState,
    Message,
    SetState,
    UpdateState,
)
from stateward.actors.core.scopes import RUN_STEP
from stateward.actors.core.state import NOWHERE, RETIRED, Event, OwnerState
from stateward.actors.core.values import pack
from tests.actors.core.ledger import (
    SCOPE,
    audit,
    contents,
    do,
    everything,
    new_state,
    record,
)

STEP = StepScope("w", "s")

CHANGE = CommitTransaction(
    SCOPE,
    reads=(),
    scans=(),
    writes=(
        (None, "a", pack(2), None),
        (None, "new", pack([2]), 50.0),
        ("s", "b", pack(2), None),
        ("other", "c", pack(2), None),
    ),
    removals=((None, "gone"), ("last", "d")),
)
"""A command that overwrites, adds, removes, opens a step and closes one."""

BEFORE = {None: {"a": 1, "gone": 1}, "s": {"a": 1}, "last": {"d": 1}}
AFTER = {None: {"a": 2, "new": [2]}, "s": {"a": 1, "b": 2}, "other": {"c": 2}}


@pytest.fixture
def state() -> OwnerState:
    """Return a state that holds `BEFORE`."""
    state = new_state(floor=10)
    do(state, UpdateState(SCOPE, {"a": 1, "gone": 1}))
    do(state, SetState(STEP, "a", 1))
    do(state, SetState(StepScope("w", "last"), "d", 1))
    assert everything(state) == BEFORE
    return state


def test_state_begins_above_its_floor() -> None:
    """A new state holds nothing and goes on from the revisions used before."""
    state = new_state(floor=10)
    audit(state)
    assert (state.revision, state.keys, state.size, state.next_expiry) == (
        10,
        0,
        0,
        inf,
    )
    assert do(state, SetState(SCOPE, "a", 1)) == 11


def test_event_is_unseen_while_it_is_staged(state: OwnerState) -> None:
    """Nothing of a command is seen before its revision is published, then all of it."""
    event = event_of(state, CHANGE)
    state.stage(event)
    assert everything(state) == BEFORE
    assert counts(state) == {None: 2, "s": 1, "last": 1, "other": 0}
    state.revision = event[0]
    assert everything(state) == AFTER
    assert counts(state) == {None: 2, "s": 2, "last": 0, "other": 1}
    state.settle(event)
    assert everything(state) == AFTER
    audit(state)


def test_steps_are_forgotten_with_their_last_key(state: OwnerState) -> None:
    """A step that holds nothing takes no memory."""
    do(state, CHANGE)
    assert state.steps is not None
    assert set(state.steps) == {"s", "other"}
    assert state.table("last") is NOWHERE


@pytest.mark.parametrize("point", ["state.staged", "state.published"])
def test_recover_finishes_or_undoes_what_was_interrupted(
    state: OwnerState, point: str
) -> None:
    """A command broken off before its instant never was, after it always was."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    event = event_of(state, CHANGE)
    with pytest.raises(KeyboardInterrupt), faults.arm(point, interrupt):
        state.carry_out(event)
    state.recover()
    audit(state)
    assert everything(state) == (BEFORE if point == "state.staged" else AFTER)
    do(state, SetState(SCOPE, "later", 1))
    assert contents(state)["later"] == 1


def test_recover_undoes_a_half_staged_command(state: OwnerState) -> None:
    """A command broken off between two of its cells leaves neither behind."""
    event = event_of(state, CHANGE)
    for staged in range(len(event[1])):
        revision, changes, keys, size, opened = event
        state.stage((revision, changes[:staged], keys, size, opened))
        state.pending = event
        assert everything(state) == BEFORE
        state.recover()
        audit(state)
        assert everything(state) == BEFORE
        event = event_of(state, CHANGE)


def test_recover_finishes_a_half_settled_command(state: OwnerState) -> None:
    """Settling may be broken off anywhere and is done again from the start."""
    event = event_of(state, CHANGE)
    state.stage(event)
    state.revision = event[0]
    revision, changes, keys, size, opened = event
    state.settle((revision, changes[: len(changes) // 2], keys, size, opened))
    state.settled, state.pending = revision - 1, event
    assert everything(state) == AFTER
    state.recover()
    audit(state)
    assert everything(state) == AFTER


def test_recover_forgets_a_step_whose_last_key_just_went(state: OwnerState) -> None:
    """A step is closed even if the interrupt came between its last key and that."""
    event = event_of(state, DeleteState(StepScope("w", "last"), "d"))
    state.stage(event)
    state.revision = event[0]
    del state.table("last")["d"]
    state.recover()
    audit(state)
    assert state.table("last") is NOWHERE


def test_recover_counts_anew_after_an_overwrite_broken_off(state: OwnerState) -> None:
    """An overwrite leaves only its cell to go by; the sizes are found all the same."""
    for published in (False, True):
        cell = overwriting(state, "a", "longer")
        state.pending, state.latest, state.own["a"] = cell, cell.revision, cell
        state.own.revision = cell.revision
        if published:
            state.revision = cell.revision
        state.recover()
        audit(state)
        assert contents(state)["a"] == ("longer" if published else 1)


def test_recover_has_no_effect_between_commands(state: OwnerState) -> None:
    """Where nothing was interrupted there is nothing to mend."""
    state.recover()
    audit(state)
    assert everything(state) == BEFORE


def test_undone_versions_stay_unseen_when_their_revision_comes_again(
    state: OwnerState,
) -> None:
    """A reader that still holds a version that was taken back never shows it."""
    event = event_of(state, CHANGE)
    state.stage(event)
    held = state.own["a"]
    state.recover()
    do(state, SetState(SCOPE, "other", 1))
    assert state.revision >= event[0]
    state.own["a"] = held
    found = reader.find(state, None, "a", 0.0)
    assert found is not None
    assert found.value == 1


def test_retire_ends_reading_and_keeps_the_revision(state: OwnerState) -> None:
    """Of a retired state only the last revision is known."""
    state.retire()
    assert (state.revision, state.last) == (RETIRED, 13)
    with pytest.raises(reader.RetiredError):
        contents(state)


def test_due_yields_what_has_expired_in_the_order_of_time() -> None:
    """Entries come up at their instant, the earliest first, and only while alive."""
    state = new_state()
    for key, ttl in (("b", 20), ("a", 10), ("c", 30), ("gone", 10), ("longer", 10)):
        do(state, SetState(SCOPE, key, 1, ttl=ttl))
    do(state, SetState(STEP, "s", 1, ttl=15))
    do(state, DeleteState(SCOPE, "gone"))
    do(state, SetState(SCOPE, "longer", 1, ttl=40))
    assert sweep(state, 9.999) == []
    assert sweep(state, 10.0) == ["a"]
    assert state.next_expiry == 15.0
    assert sweep(state, 29.0) == ["s", "b"]
    assert state.next_expiry == 30.0
    assert sweep(state, 100.0) == ["c", "longer"]
    assert state.next_expiry == inf
    assert everything(state, 100.0) == {}


def test_due_yields_again_what_was_not_removed() -> None:
    """An interrupt between looking and removing loses no expiry."""
    state = new_state()
    do(state, SetState(SCOPE, "a", 1, ttl=10))
    due = state.due(10.0)
    assert next(due) == (state.own, "a")
    del due
    assert sweep(state, 10.0) == ["a"]


def test_notes_of_expiries_stay_in_proportion_to_live_keys() -> None:
    """A key set again and again leaves no trail of old expiries behind."""
    state = new_state()
    do(state, SetState(SCOPE, "early", 1, ttl=0.5))
    for turn in range(1_000):
        do(state, SetState(SCOPE, "k", turn, ttl=1 + turn))
    assert state._expiries is not None
    assert len(state._expiries) < 100
    assert sweep(state, 0.5) == ["early"]
    assert sweep(state, 999.0) == []
    assert sweep(state, 1_000.0) == ["k"]


def test_expiry_is_remembered_when_a_command_is_undone() -> None:
    """A key whose longer life was taken back still goes at its old time."""
    state = new_state()
    do(state, SetState(SCOPE, "k", 1, ttl=100))
    writes = tuple(("s", f"k{i}", pack(1), 300.0) for i in range(200))
    longer = ((None, "k", pack(2), 200.0), *writes)
    change = CommitTransaction(SCOPE, reads=(), scans=(), writes=longer, removals=())
    state.stage(event_of(state, change))
    state.recover()
    audit(state)
    assert sweep(state, 99.0) == []
    assert sweep(state, 100.0) == ["k"]


def test_tables_are_listed_from_one_moment(state: OwnerState) -> None:
    """A step that comes while the tables are walked through does not disturb."""
    tables = state.tables()
    names = [next(tables)[0], next(tables)[0]]
    do(state, SetState(StepScope("w", "late"), "a", 1))
    names += [name for name, _ in tables]
    assert names == [None, "s", "last"]


def test_nowhere_is_the_table_of_no_step(state: OwnerState) -> None:
    """What does not exist is empty, and its state serves nobody."""
    assert state.table("nobody") is NOWHERE
    assert not NOWHERE
    assert NOWHERE.state.revision == RETIRED


def test_state_with_a_record_alone_is_not_empty() -> None:
    """What is recorded of a run is kept, although no key is there."""
    state = new_state()
    assert state.is_empty()
    do(state, record({"run": 1}))
    assert (state.keys, state.size) == (0, 0)
    assert not state.is_empty()
    do(state, record(gone=("run",)))
    assert state.is_empty()
    do(state, SetState(STEP, "a", 1))
    assert not state.is_empty()


@pytest.mark.parametrize("point", ["state.staged", "state.published"])
def test_recover_counts_no_records(state: OwnerState, point: str) -> None:
    """A command over keys and records broken off anywhere leaves the books right."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    do(state, record({"run": 1, "old": 1}))
    change = CommitTransaction(
        SCOPE,
        reads=(),
        scans=(),
        writes=(*CHANGE.writes, (RUN_STEP, "run", pack("longer"), None)),
        removals=(*CHANGE.removals, (RUN_STEP, "old")),
    )
    event = event_of(state, change)
    with pytest.raises(KeyboardInterrupt), faults.arm(point, interrupt):
        state.carry_out(event)
    state.recover()
    audit(state)
    undone = point == "state.staged"
    records = {"run": 1, "old": 1} if undone else {"run": "longer"}
    assert everything(state) == (BEFORE if undone else AFTER) | {RUN_STEP: records}


def test_recover_counts_no_records_after_an_overwrite(state: OwnerState) -> None:
    """The bytes counted one by one are those of the callers' keys."""
    do(state, record({"run": "x" * 100}))
    size = state.size + len('"other"') - len("1")
    cell = overwriting(state, "a", "other")
    state.pending, state.latest, state.own["a"] = cell, cell.revision, cell
    state.own.revision = state.revision = cell.revision
    state.recover()
    assert state.size == size
    audit(state)


def event_of(state: OwnerState, command: Message) -> Event:
    """Return the event `command` causes."""
    event, _ = decide(state, command, 0.0)
    assert event is not None
    return event


def overwriting(state: OwnerState, key: str, value: str) -> Cell:
    """Return the cell of an overwrite that has just begun."""
    (cell,) = event_of(state, SetState(SCOPE, key, value))[1]
    cell.previous = state.own[key]
    return cell


def counts(state: OwnerState) -> dict[str | None, int]:
    """Return how many keys a reader counts in each scope."""
    return {name: reader.count(state, name, 0.0) for name, _ in state.tables()}


def sweep(state: OwnerState, now: float) -> list[str]:
    """Remove what has expired, as an owner does, and return the keys."""
    swept = []
    for table, key in state.due(now):
        event = expiry_of(state, table, key, now)
        assert event is not None
        state.carry_out(event)
        swept.append(key)
    audit(state)
    return swept
