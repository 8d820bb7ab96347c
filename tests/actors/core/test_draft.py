import pytest

from stateward import (
    ByteCountError,
    DepthError,
    InvalidKeyError,
    JsonValue,
    KeyCountError,
    KeyTooLongError,
    LimitError,
    Limits,
    StepScope,
    ValueTooLargeError,
)
from stateward.actors.core.decider import decide
from stateward.actors.core.draft import Draft, expiry
from stateward.actors.core.messages import (
    AppendState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    IncrementState,
    MergeState,
    Message,
    SetDefaultState,
    SetState,
    UpdateState,
)
from stateward.actors.core.scopes import RUN_STEP
from stateward.actors.core.values import pack
from tests.actors.core.ledger import SCOPE, audit, do, everything, new_state, record
from tests.hostile import label

STEP = StepScope("w", "s")
LIMITS = Limits(
    max_value_bytes=10, max_key_bytes=4, max_depth=2, max_keys=3, max_bytes=30
)
"""Each is met exactly, and passed by one, in the tests below."""

AT_THE_LIMIT: tuple[Message, ...] = (
    SetState(SCOPE, "k", "x" * 8),
    SetState(SCOPE, "abcd", 1),
    SetState(SCOPE, "\xe9\xe9", 1),
    SetState(StepScope("w", "abcd"), "k", 1),
    SetState(SCOPE, "k", [[1]]),
    UpdateState(SCOPE, {"a": 1, "b": 2, "c": 3}),
    UpdateState(SCOPE, {"a": "x" * 8, "b": "x" * 8, "c": "x" * 5}),
    AppendState(SCOPE, "k", [1, 2, 3, 45]),
    MergeState(SCOPE, "k", {"a": {}}),
    SetDefaultState(SCOPE, "k", [[], 1]),
)

ONE_MORE: tuple[tuple[Message, type[LimitError], str, int, int], ...] = (
    (SetState(SCOPE, "k", "x" * 9), ValueTooLargeError, "max_value_bytes", 10, 11),
    (
        SetState(SCOPE, "k", [1, 2, 3, 456]),
        ValueTooLargeError,
        "max_value_bytes",
        10,
        11,
    ),
    (SetState(SCOPE, "k", "\n" * 5), ValueTooLargeError, "max_value_bytes", 10, 12),
    (SetState(SCOPE, "abcde", 1), KeyTooLongError, "max_key_bytes", 4, 5),
    (SetState(SCOPE, "\xe9\xe9a", 1), KeyTooLongError, "max_key_bytes", 4, 5),
    (SetState(StepScope("w", "abcde"), "k", 1), KeyTooLongError, "max_key_bytes", 4, 5),
    (SetState(SCOPE, "k", [[[]]]), DepthError, "max_depth", 2, 3),
    (UpdateState(SCOPE, dict.fromkeys("abcd", 1)), KeyCountError, "max_keys", 3, 4),
    (
        UpdateState(SCOPE, {"a": "x" * 8, "b": "x" * 8, "c": "x" * 6}),
        ByteCountError,
        "max_bytes",
        30,
        31,
    ),
    (
        AppendState(SCOPE, "k", [1, 2, 3, 456]),
        ValueTooLargeError,
        "max_value_bytes",
        10,
        11,
    ),
    (AppendState(SCOPE, "k", [[[]]]), DepthError, "max_depth", 2, 3),
    (MergeState(SCOPE, "k", {"a": [[]]}), DepthError, "max_depth", 2, 3),
    (SetDefaultState(SCOPE, "k", [[[]]]), DepthError, "max_depth", 2, 3),
    (IncrementState(SCOPE, "k", 10**10), ValueTooLargeError, "max_value_bytes", 10, 11),
)


@pytest.mark.parametrize("command", AT_THE_LIMIT, ids=label)
def test_command_is_served_when_it_meets_a_limit_exactly(command: Message) -> None:
    """What is exactly allowed happens."""
    state = new_state(LIMITS)
    do(state, command)
    assert state.revision == 1


@pytest.mark.parametrize(
    ("command", "kind", "limit", "allowance", "actual"), ONE_MORE, ids=label
)
def test_command_is_refused_when_it_passes_a_limit_by_one(
    command: Message,
    kind: type[LimitError],
    limit: str,
    allowance: int,
    actual: int,
) -> None:
    """The error carries limit, allowance and actual figure, and nothing happened."""
    state = new_state(LIMITS)
    with pytest.raises(kind) as caught:
        decide(state, command, 0.0)
    error = caught.value
    assert type(error) is kind
    assert (error.limit, error.allowance, error.actual) == (limit, allowance, actual)
    assert str(allowance) in str(error)
    assert str(actual) in str(error)
    assert everything(state) == {}
    assert state.steps is None
    audit(state)


def test_steps_count_towards_the_limits_of_their_workflow() -> None:
    """Keys and bytes are those of a workflow and all its steps together."""
    state = new_state(LIMITS)
    do(state, SetState(SCOPE, "a", 1))
    do(state, SetState(STEP, "a", 1))
    do(state, SetState(StepScope("w", "t"), "a", 1))
    with pytest.raises(KeyCountError):
        decide(state, SetState(STEP, "b", 1), 0.0)
    do(state, DeleteState(SCOPE, "a"))
    do(state, SetState(STEP, "b", 1))


def test_bytes_count_keys_in_utf8_and_values_as_json() -> None:
    """What is accounted for is what would be stored."""
    state = new_state()
    do(state, SetState(SCOPE, "\xe9", "\xe9"))
    assert (state.keys, state.size) == (1, 2 + len('"\xe9"'.encode()))
    do(state, SetState(SCOPE, "\xe9", None))
    assert (state.keys, state.size) == (1, 2 + 4)
    do(state, DeleteState(SCOPE, "\xe9"))
    assert (state.keys, state.size) == (0, 0)


def test_batch_is_judged_by_its_outcome_and_not_on_the_way() -> None:
    """A transaction may take away first what it then has room to add."""
    state = new_state(LIMITS)
    do(state, UpdateState(SCOPE, {"a": 1, "b": 1, "c": 1}))
    command = CommitTransaction(
        SCOPE,
        reads=(),
        scans=(),
        writes=((None, "d", pack(1), None), ("s", "e", pack(1), None)),
        removals=((None, "a"), (None, "b")),
    )
    do(state, command)
    assert everything(state) == {None: {"c": 1, "d": 1}, "s": {"e": 1}}


def test_owner_over_a_lowered_limit_may_shrink_and_not_grow() -> None:
    """What an owner held before its limits were lowered stays, and can be reduced."""
    state = new_state()
    do(state, UpdateState(SCOPE, {"long-key": [[[1]]], "b": "x" * 20, "c": 1, "d": 1}))
    state.limits = LIMITS
    for command in (
        SetState(SCOPE, "e", 1),
        SetState(SCOPE, "c", 12),
        SetState(SCOPE, "long-key", [[[2]]]),
        SetState(SCOPE, "b", "y" * 20),
    ):
        with pytest.raises(LimitError):
            decide(state, command, 0.0)
    do(state, SetState(SCOPE, "c", 2))
    do(state, SetState(SCOPE, "long-key", 2))
    do(state, SetState(SCOPE, "b", 2))
    do(state, DeleteManyState(SCOPE, ["c", "d"]))
    assert everything(state) == {None: {"long-key": 2, "b": 2}}


@pytest.mark.parametrize("key", ["", "a\0", "\ud800"])
def test_put_refuses_what_is_no_key(key: str) -> None:
    """A key is checked when it comes into being, whoever sent it."""
    draft = Draft(new_state(), 0.0)
    with pytest.raises(InvalidKeyError):
        draft.put(draft.table(None), key, None, pack(1), None)


@pytest.mark.parametrize(
    ("value", "expires", "direct"),
    [(1, None, True), (1, 5.0, False), ([], None, False), (None, None, True)],
)
def test_cells_are_direct_when_readers_need_not_look_twice(
    value: JsonValue, expires: float | None, direct: bool
) -> None:
    """Only a scalar that never expires may be taken as it is."""
    draft = Draft(new_state(), 3.0)
    draft.put(draft.table(None), "k", None, pack(value), expires)
    (cell,) = draft.changes
    assert cell.direct is direct
    assert (cell.created, cell.updated, cell.expires) == (3.0, 3.0, expires)


def test_table_is_opened_once_for_a_step_that_has_none() -> None:
    """All of a command's writes to a new step go to one table, made on acceptance."""
    state = new_state()
    draft = Draft(state, 0.0)
    assert draft.table("s") is draft.table("s")
    assert draft.table("s") is not draft.table("t")
    assert draft.table(None) is state.own
    assert state.steps is None


@pytest.mark.parametrize(
    ("ttl", "default", "expires"),
    [(None, None, None), (5, None, 15.0), (None, 7, 17.0), (5, 7, 15.0)],
)
def test_expiry_is_told_or_the_default(
    ttl: float | None, default: float | None, expires: float | None
) -> None:
    """An entry's own time to live goes before the default one."""
    assert expiry(Limits(default_ttl=default), ttl, 10.0) == expires


def test_records_of_a_run_are_held_to_no_limit() -> None:
    """Keys, bytes, depth and names of records may be as the library needs them."""
    state = new_state(LIMITS)
    do(state, UpdateState(SCOPE, {"a": "x" * 7, "b": "x" * 7, "c": "x" * 6}))
    before = state.keys, state.size
    long_key = "node:" + "x" * 600
    records: dict[str, JsonValue] = {"a": 1, "b": 2, "c": 3, "d": "x" * 100}
    do(state, record({**records, "e": [[[1]]], long_key: 1}))
    assert (state.keys, state.size) == before
    assert len(state.table(RUN_STEP)) == 6
    do(state, record({"a": "x" * 50}, gone=("b", "c", "absent", long_key)))
    assert (state.keys, state.size) == before
    assert set(state.table(RUN_STEP)) == {"a", "d", "e"}
    do(state, record(gone=("a", "d", "e")))
    assert state.steps == {}


def test_records_of_a_run_never_expire() -> None:
    """`default_ttl` is for the keys of callers."""
    state = new_state(Limits(default_ttl=5))
    do(state, record({"run": 1}))
    do(state, record({"run": 2}), now=1)
    assert state.table(RUN_STEP)["run"].expires is None
    assert state.next_expiry == float("inf")


def test_records_and_keys_are_refused_as_one() -> None:
    """A command whose keys pass a limit writes no record either."""
    state = new_state(LIMITS)
    command = record({"run": 1})
    both = CommitTransaction(
        SCOPE,
        reads=(),
        scans=(),
        writes=((None, "k", pack("x" * 9), None), *command.writes),
        removals=(),
    )
    with pytest.raises(ValueTooLargeError):
        decide(state, both, 0)
    assert everything(state) == {}
