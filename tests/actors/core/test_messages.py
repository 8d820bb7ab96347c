from collections.abc import Callable, Iterator
from math import inf, nan
from typing import Any, Final

import pytest

from stateward import (
    GlobalScope,
    InvalidKeyError,
    InvalidValueError,
    Limits,
    UsageError,
    WrongTypeError,
)
from stateward.actors.core.decider import DECISIONS
from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    DropState,
    ExpireState,
    GetManyState,
    GetSnapshot,
    GetState,
    IncrementState,
    MergeState,
    Message,
    ModifyState,
    Passivate,
    PopItemState,
    PopState,
    Release,
    SetDefaultState,
    SetLimits,
    SetState,
    UpdateState,
    check_expected,
    checked_keys,
)
from tests.actors.core.ledger import SCOPE, contents, do, new_state
from tests.hostile import REFUSED_NAMES, label

KEYED: Final[tuple[Callable[[Any], Message], ...]] = (
    lambda key: GetState(SCOPE, key),
    lambda key: GetManyState(SCOPE, ["a", key]),
    lambda key: SetDefaultState(SCOPE, key, 1),
    lambda key: UpdateState(SCOPE, {"b": 1, key: 1}),
    lambda key: DeleteState(SCOPE, key),
    lambda key: DeleteManyState(SCOPE, ["a", key]),
    lambda key: PopState(SCOPE, key),
    lambda key: AppendState(SCOPE, key, [1]),
    lambda key: MergeState(SCOPE, key, {}),
    lambda key: ModifyState(SCOPE, key, lambda value: value),
)
"""Messages that hold a key to every rule when they are made."""

LATER_KEYED: Final[tuple[Callable[[Any], Message], ...]] = (
    lambda key: SetState(SCOPE, key, 1),
    lambda key: IncrementState(SCOPE, key),
)
"""Messages whose key, once it is a `str`, is held to the rest by the owner."""

VALUED: Final[tuple[Callable[[Any], Message], ...]] = (
    lambda value: SetState(SCOPE, "k", value),
    lambda value: SetDefaultState(SCOPE, "k", value),
    lambda value: UpdateState(SCOPE, {"a": 1, "k": value}),
    lambda value: AppendState(SCOPE, "k", [1, value]),
    lambda value: MergeState(SCOPE, "k", value),
    lambda value: ModifyState(SCOPE, "k", lambda it: it, default=value),
)


@pytest.mark.parametrize("make", KEYED)
@pytest.mark.parametrize("key", [it[0] for it in REFUSED_NAMES if it[0] != ["a"]])
def test_message_is_not_made_with_what_is_no_key(
    make: Callable[[Any], Message], key: object
) -> None:
    """A bad key is refused before anything is sent."""
    with pytest.raises(InvalidKeyError):
        make(key)


@pytest.mark.parametrize("make", LATER_KEYED)
@pytest.mark.parametrize("key", [None, 1, b"a", ["a"], type("Name", (str,), {})("a")])
def test_message_is_not_made_with_what_is_no_string(
    make: Callable[[Any], Message], key: object
) -> None:
    """Whatever is not exactly a `str` is refused before anything is sent."""
    with pytest.raises(InvalidKeyError):
        make(key)


@pytest.mark.parametrize("make", VALUED)
@pytest.mark.parametrize("value", [nan, (1,), {1: 1}, {"a": {2}}, 1 << 64, "\ud800"])
def test_message_is_not_made_with_what_is_no_value(
    make: Callable[[Any], Message], value: object
) -> None:
    """A bad value is refused before anything is sent."""
    with pytest.raises(InvalidValueError):
        make(value)


def test_update_names_the_key_of_a_value_that_is_refused() -> None:
    """Of many values the message says which one it was."""
    with pytest.raises(InvalidValueError, match=r"'b'.*value\[1\] is nan") as caught:
        UpdateState(SCOPE, {"a": 1, "b": [0, nan]})
    assert caught.value.context == {"key": "b", "place": "value[1]"}


def test_message_shares_nothing_with_its_sender() -> None:
    """What is done to a value after a message was made does not reach the owner."""
    value: Any = {"a": [1]}
    items: list[Any] = [value]
    state = new_state()
    messages = (
        SetState(SCOPE, "set", value),
        SetDefaultState(SCOPE, "default", value),
        UpdateState(SCOPE, {"update": value}),
        AppendState(SCOPE, "append", items),
        MergeState(SCOPE, "merge", value),
    )
    value["a"].append(2)
    items.append(3)
    for message in messages:
        do(state, message)
    assert contents(state) == {
        "set": {"a": [1]},
        "default": {"a": [1]},
        "update": {"a": [1]},
        "append": [{"a": [1]}],
        "merge": {"a": [1]},
    }


@pytest.mark.parametrize("name", ["by", "initial"])
@pytest.mark.parametrize(
    "number", [True, "1", None, 1j, [], type("N", (int,), {})(1)], ids=label
)
def test_increment_takes_numbers_only(name: str, number: Any) -> None:
    """What is not exactly an `int` or a `float` is refused, and named."""
    with pytest.raises(WrongTypeError, match=f"^{name} is .*, not an int or a float"):
        IncrementState(SCOPE, "k", **{name: number})


@pytest.mark.parametrize("name", ["by", "initial"])
@pytest.mark.parametrize(
    "number", [nan, inf, -inf, 1 << 64, -(1 << 63) - 1, 10**5000], ids=label
)
def test_increment_takes_numbers_of_json_only(name: str, number: Any) -> None:
    """A number that could not be stored cannot be added either."""
    with pytest.raises(InvalidValueError):
        IncrementState(SCOPE, "k", **{name: number})


@pytest.mark.parametrize("expected", [-1, 1.0, True, "1", [], -(10**5000)], ids=label)
def test_expected_is_refused_when_it_is_no_revision(expected: Any) -> None:
    """A revision is an integer from 0 up."""
    for make in (
        lambda: SetState(SCOPE, "k", 1, expected=expected),
        lambda: DeleteState(SCOPE, "k", expected=expected),
        lambda: check_expected(expected),
    ):
        with pytest.raises(UsageError, match=r"^expected is "):
            make()


@pytest.mark.parametrize("ttl", [0, -1, nan, inf, "1", 10**400])
def test_ttl_is_refused_when_it_is_no_time(ttl: Any) -> None:
    """A time to live is a positive, finite number of seconds."""
    with pytest.raises(UsageError, match=r"^ttl is "):
        SetState(SCOPE, "k", 1, ttl=ttl)


@pytest.mark.parametrize("function", [None, 1, "len", 10**5000], ids=label)
def test_modify_takes_what_can_be_called(function: Any) -> None:
    """What is no function is refused before anything is sent."""
    with pytest.raises(UsageError, match=r"cannot be called$"):
        ModifyState(SCOPE, "k", function)


def test_keys_are_taken_once_and_in_order_from_any_collection() -> None:
    """Repeated keys count once, and an iterator is used up once."""

    def keys() -> Iterator[str]:
        yield from "abcab"

    assert checked_keys(keys()) == ("a", "b", "c")
    assert checked_keys({"x": 1}.keys()) == ("x",)
    assert checked_keys([]) == ()


@pytest.mark.parametrize("make", [GetManyState, DeleteManyState])
def test_keys_are_not_taken_from_a_string(make: Callable[[Any, Any], Message]) -> None:
    """A single key where several are wanted is a mistake, not its letters."""
    with pytest.raises(
        UsageError, match=r"^keys is the string 'abc', not a collection"
    ):
        make(SCOPE, "abc")


@pytest.mark.parametrize("make", [GetManyState, DeleteManyState])
def test_keys_are_refused_when_one_cannot_be_a_key(
    make: Callable[[Any, Any], Message],
) -> None:
    """Something unhashable among keys is refused as any other bad key."""
    with pytest.raises(InvalidKeyError):
        make(SCOPE, ["a", ["b"]])


def test_repr_shows_every_field() -> None:
    """A message in a log says what it is."""
    commit = CommitTransaction(SCOPE, reads=(), scans=(), writes=(), removals=())
    assert repr(DeleteState(SCOPE, "k", expected=3)) == (
        "DeleteState(scope=WorkflowScope(workflow_id='w'), expected=3, key='k')"
    )
    assert repr(commit).startswith("CommitTransaction(scope=")
    assert repr(GetSnapshot(GlobalScope())) == "GetSnapshot(scope=GlobalScope())"


def test_only_modify_runs_code_of_the_sender() -> None:
    """Everything else is quick, and may be served on an event loop's thread."""
    kinds: set[type[Message]] = {
        ModifyState,
        *DECISIONS,
        DropState,
        ExpireState,
        Passivate,
        Release,
    }
    assert {kind for kind in kinds if kind.runs_foreign_code} == {ModifyState}


@pytest.mark.parametrize("limits", [1, {"max_keys": 1}, Limits])
def test_limits_are_refused_when_they_are_none(limits: Any) -> None:
    """What is no `Limits` does not reach an owner."""
    with pytest.raises(UsageError, match=r"^limits is .*, not Limits or None$"):
        SetLimits(SCOPE, limits)


def test_administrative_messages_carry_what_they_say() -> None:
    """Limits, idle times and addresses arrive as they were given."""
    limits = Limits(max_keys=1)
    assert SetLimits(SCOPE, limits).limits is limits
    assert Passivate(SCOPE).idle_since == inf
    assert Passivate(SCOPE, idle_since=3.0).idle_since == 3.0
    for kind in (ClearState, PopItemState, DropState, ExpireState, Release):
        assert kind(SCOPE).scope == SCOPE
    assert GetState(SCOPE, "k", 7).default == 7
