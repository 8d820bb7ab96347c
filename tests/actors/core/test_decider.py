from typing import Any

import pytest

from stateward import (
    ConflictError,
    InvalidKeyError,
    InvalidValueError,
    JsonValue,
    Limits,
    MissingKeyError,
    StateError,
    StepScope,
    WrongTypeError,
)
from stateward.actors.core.decider import decide, expiry_of, replace
from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    IncrementState,
    MergeState,
    Message,
    PopItemState,
    PopState,
    SetDefaultState,
    SetState,
    UpdateState,
)
from stateward.actors.core.scopes import RUN_STEP
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import Packing, pack
from tests.actors.core.ledger import (
    SCOPE,
    audit,
    contents,
    do,
    everything,
    new_state,
    record,
)
from tests.hostile import label

STEP = StepScope("w", "s")


@pytest.fixture
def state() -> OwnerState:
    """Return a state at revision 4 with a number, a list, an object and a step."""
    state = new_state()
    do(state, UpdateState(SCOPE, {"n": 1, "text": "a", "none": None}), 1.0)
    do(state, SetState(SCOPE, "list", [1]), 2.0)
    do(state, SetState(SCOPE, "object", {"a": 1}, ttl=60), 3.0)
    do(state, SetState(STEP, "n", 10), 4.0)
    return state


def test_decide_changes_nothing_by_itself(state: OwnerState) -> None:
    """A decision is only an event; the state is as it was."""
    before = everything(state)
    for command in (ClearState(SCOPE), SetState(SCOPE, "n", 2), PopItemState(STEP)):
        event, _ = decide(state, command, 5.0)
        assert event is not None
        assert event[0] == 5
    assert everything(state) == before
    audit(state)


@pytest.mark.parametrize(
    ("command", "reply", "after"),
    [
        (SetState(SCOPE, "n", 2), 5, {"n": 2}),
        (SetState(SCOPE, "new", [2]), 5, {"new": [2]}),
        (SetState(SCOPE, "n", 2, expected=1), 5, {"n": 2}),
        (SetState(SCOPE, "new", 2, expected=0), 5, {"new": 2}),
        (SetDefaultState(SCOPE, "new", [1]), [1], {"new": [1]}),
        (UpdateState(SCOPE, {"n": 3, "new": 4}), 5, {"n": 3, "new": 4}),
        (DeleteState(SCOPE, "n"), True, {"n": ...}),
        (DeleteState(SCOPE, "n", expected=1), True, {"n": ...}),
        (DeleteManyState(SCOPE, ["n", "no", "n", "list"]), 2, {"n": ..., "list": ...}),
        (PopState(SCOPE, "list"), [1], {"list": ...}),
        (PopItemState(SCOPE), ("object", {"a": 1}), {"object": ...}),
        (IncrementState(SCOPE, "n"), 2, {"n": 2}),
        (IncrementState(SCOPE, "n", 0.5), 1.5, {"n": 1.5}),
        (IncrementState(SCOPE, "new", -2, initial=5), 3, {"new": 3}),
        (AppendState(SCOPE, "list", [[2], "]"]), 5, {"list": [1, [2], "]"]}),
        (AppendState(SCOPE, "new", []), 5, {"new": []}),
        (
            MergeState(SCOPE, "object", {"b": 2, "a": None}),
            {"b": 2},
            {"object": {"b": 2}},
        ),
        (MergeState(SCOPE, "new", {"b": 2, "a": None}), {"b": 2}, {"new": {"b": 2}}),
        (MergeState(SCOPE, "object", [1]), [1], {"object": [1]}),
    ],
    ids=label,
)
def test_command_changes_what_it_says_and_nothing_else(
    state: OwnerState, command: Message, reply: object, after: dict[str, Any]
) -> None:
    """Each command gives its reply, takes one revision, and leaves the rest alone."""
    expected = contents(state) | after
    assert do(state, command) == reply
    assert state.revision == 5
    assert contents(state) == {k: v for k, v in expected.items() if v is not ...}
    assert contents(state, "s") == {"n": 10}


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (SetDefaultState(SCOPE, "list", 2), [1]),
        (UpdateState(SCOPE, {}), 4),
        (DeleteState(SCOPE, "no"), False),
        (DeleteState(SCOPE, "no", expected=0), False),
        (DeleteManyState(SCOPE, ["no"]), 0),
        (DeleteManyState(SCOPE, []), 0),
        (ClearState(StepScope("w", "no")), 0),
        (DeleteState(StepScope("w", "no"), "n"), False),
        (CommitTransaction(SCOPE, reads=(), scans=(), writes=(), removals=()), 4),
    ],
    ids=label,
)
def test_command_takes_no_revision_when_nothing_changes(
    state: OwnerState, command: Message, reply: object
) -> None:
    """What changes nothing is no event."""
    assert decide(state, command, 5.0) == (None, reply)


@pytest.mark.parametrize(
    ("command", "kind", "context"),
    [
        (SetState(SCOPE, "n", 2, expected=2), ConflictError, (2, 1)),
        (SetState(SCOPE, "n", 2, expected=0), ConflictError, (0, 1)),
        (SetState(SCOPE, "new", 2, expected=1), ConflictError, (1, 0)),
        (DeleteState(SCOPE, "n", expected=3), ConflictError, (3, 1)),
        (DeleteState(SCOPE, "new", expected=3), ConflictError, (3, 0)),
        (PopState(SCOPE, "new"), MissingKeyError, None),
        (PopState(StepScope("w", "no"), "n"), MissingKeyError, None),
        (PopItemState(StepScope("w", "no")), MissingKeyError, None),
        (IncrementState(SCOPE, "text"), WrongTypeError, None),
        (IncrementState(SCOPE, "none"), WrongTypeError, None),
        (IncrementState(SCOPE, "list"), WrongTypeError, None),
        (IncrementState(SCOPE, "n", 2**64 - 1), InvalidValueError, None),
        (AppendState(SCOPE, "n", [1]), WrongTypeError, None),
        (AppendState(SCOPE, "object", [1]), WrongTypeError, None),
        (AppendState(SCOPE, "text", [1]), WrongTypeError, None),
        (SetState(SCOPE, "a\0", 1), InvalidKeyError, None),
        (IncrementState(SCOPE, "\ud800"), InvalidKeyError, None),
        (IncrementState(SCOPE, ""), InvalidKeyError, None),
    ],
    ids=label,
)
def test_command_is_refused_without_a_trace(
    state: OwnerState,
    command: Message,
    kind: type[StateError],
    context: tuple[int, int] | None,
) -> None:
    """A refusal is an error, and leaves contents, revision and accounting alone."""
    before = everything(state)
    with pytest.raises(kind) as caught:
        decide(state, command, 5.0)
    assert type(caught.value) is kind
    if context is not None:
        found = caught.value.context
        assert (found["expected"], found["actual"]) == context
    assert everything(state) == before
    assert state.revision == 4
    audit(state)


def test_increment_is_refused_when_the_sum_is_not_finite(state: OwnerState) -> None:
    """A sum beyond the greatest float is no number of JSON."""
    do(state, SetState(SCOPE, "big", 1.7e308))
    with pytest.raises(InvalidValueError, match="is not a finite number"):
        decide(state, IncrementState(SCOPE, "big", 1.7e308), 5.0)


def test_increment_is_refused_for_a_boolean(state: OwnerState) -> None:
    """True is not counted as one."""
    do(state, SetState(SCOPE, "flag", True))
    with pytest.raises(WrongTypeError, match="holds a bool"):
        decide(state, IncrementState(SCOPE, "flag"), 5.0)


def test_clear_leaves_steps_alone(state: OwnerState) -> None:
    """The scope's own keys go in one revision; a step goes by itself."""
    assert do(state, ClearState(SCOPE)) == 5
    assert state.revision == 5
    assert everything(state) == {"s": {"n": 10}}
    assert do(state, ClearState(STEP)) == 1
    assert everything(state) == {}
    assert state.steps == {}


def test_popitem_takes_the_newest_key_first(state: OwnerState) -> None:
    """Keys go in the reverse of the order in which they came."""
    keys = list(contents(state))
    popped = [do(state, PopItemState(SCOPE))[0] for _ in keys]
    assert popped == keys[::-1]


@pytest.mark.parametrize(
    ("command", "expires"),
    [
        (SetState(SCOPE, "object", 1), None),
        (UpdateState(SCOPE, {"object": 1}), None),
        (SetState(SCOPE, "object", 1, ttl=2.5), 12.5),
        (MergeState(SCOPE, "object", {"b": 1}), 63.0),
        (SetDefaultState(SCOPE, "object", 1), 63.0),
        (SetDefaultState(SCOPE, "new", 1), None),
        (IncrementState(SCOPE, "new"), None),
    ],
    ids=label,
)
def test_expiry_is_forgotten_by_set_and_kept_by_changes(
    state: OwnerState, command: Message, expires: float | None
) -> None:
    """A new value lives as long as it is told to; a changed one as long as before."""
    do(state, command, 10.0)
    key = "new" if "new" in contents(state) else "object"
    assert state.own[key].expires == expires


def test_default_ttl_is_given_to_keys_that_come_into_being() -> None:
    """With a default, every new value expires unless its own `ttl` says when."""
    state = new_state(Limits(default_ttl=5))
    do(state, SetState(SCOPE, "a", 1), 10.0)
    do(state, SetState(SCOPE, "b", 1, ttl=7), 10.0)
    do(state, UpdateState(SCOPE, {"c": 1}), 11.0)
    do(state, IncrementState(SCOPE, "d"), 12.0)
    do(state, IncrementState(SCOPE, "d"), 13.0)
    assert {key: cell.expires for key, cell in state.own.items()} == {
        "a": 15.0,
        "b": 17.0,
        "c": 16.0,
        "d": 17.0,
    }


def test_replace_gives_a_new_value_and_keeps_the_expiry(state: OwnerState) -> None:
    """What a function returned takes the place of the value, checked like any other."""
    event, reply = replace(state, ClearState(SCOPE), "object", [2], 5.0)
    assert event is not None
    state.carry_out(event)
    assert reply == [2]
    assert contents(state)["object"] == [2]
    assert state.own["object"].expires == 63.0
    assert state.own["object"].created == 3.0
    assert state.own["object"].updated == 5.0
    with pytest.raises(InvalidValueError):
        replace(state, ClearState(SCOPE), "object", (2,), 5.0)  # type: ignore[arg-type]  # to be refused


def test_expiry_event_removes_one_entry(state: OwnerState) -> None:
    """What has expired goes as if it had been deleted; what is gone is no event."""
    event = expiry_of(state, state.own, "object", 63.0)
    assert event is not None
    state.carry_out(event)
    assert "object" not in contents(state)
    assert expiry_of(state, state.own, "object", 63.0) is None


def commit(
    reads: tuple[tuple[str | None, str, int], ...] = (),
    scans: tuple[tuple[str | None, int], ...] = (),
    writes: tuple[tuple[str | None, str, JsonValue], ...] = (),
    removals: tuple[tuple[str | None, str], ...] = (),
) -> CommitTransaction:
    """Return the end of a transaction."""
    packed: tuple[tuple[str | None, str, Packing, float | None], ...] = tuple(
        (step_name, key, pack(value), None) for step_name, key, value in writes
    )
    return CommitTransaction(
        SCOPE, reads=reads, scans=scans, writes=packed, removals=removals
    )


def test_commit_changes_several_scopes_in_one_revision(state: OwnerState) -> None:
    """All writes and removals of a transaction happen together, in any step."""
    command = commit(
        reads=((None, "n", 1), ("s", "n", 4), ("new", "n", 0)),
        scans=((None, 3), ("s", 4), ("new", 0)),
        writes=((None, "n", 2), ("new", "a", 1), ("new", "b", 2)),
        removals=(("s", "n"), ("s", "no"), (None, "list")),
    )
    assert do(state, command) == state.revision == 5
    own = {"n": 2, "text": "a", "none": None, "object": {"a": 1}}
    assert everything(state) == {None: own, "new": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    "stale",
    [
        commit(reads=((None, "n", 0),), writes=((None, "n", 2),)),
        commit(reads=((None, "n", 3),), writes=((None, "n", 2),)),
        commit(reads=(("s", "no", 1),), writes=((None, "n", 2),)),
        commit(scans=((None, 2),), writes=((None, "n", 2),)),
        commit(scans=(("s", 3),), removals=((None, "n"),)),
    ],
)
def test_commit_is_refused_when_a_read_is_stale(
    state: OwnerState, stale: CommitTransaction
) -> None:
    """One stale read, of a key or of all keys, and nothing of it happens."""
    before = everything(state)
    with pytest.raises(ConflictError):
        decide(state, stale, 5.0)
    assert everything(state) == before
    audit(state)


def test_commit_compares_and_swaps_the_record_of_a_run() -> None:
    """A record is written if it is still at the revision it was read at, or absent."""
    state = new_state()

    def write(seen: int) -> object:
        plain = record({"run": seen})
        reads = ((RUN_STEP, "run", seen),)
        command = CommitTransaction(
            SCOPE, reads=reads, scans=(), writes=plain.writes, removals=()
        )
        return do(state, command)

    assert write(0) == 1
    assert write(1) == 2
    for stale in (0, 1):
        with pytest.raises(ConflictError) as caught:
            write(stale)
        assert caught.value.context["key"] == "run"
    assert contents(state, RUN_STEP) == {"run": 1}
