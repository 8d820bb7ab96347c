"""The calls a transaction has in common with a handle do the same in both."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from stateward import (
    ConflictError,
    InvalidKeyError,
    InvalidValueError,
    JsonValue,
    StateManager,
    Transaction,
    UsageError,
    WorkflowState,
)
from stateward.testing import SimulatedClock
from tests.hostile import REFUSED_NAMES, label
from tests.support import unchanged

CALLS: Final[dict[str, Callable[[Any], object]]] = {
    "modify": lambda it: it.modify("n", lambda value: value + 1),
    "modify a list": lambda it: it.modify("c", lambda value: [*value, 3]),
    "modify by default": lambda it: it.modify("new", lambda it: it * 2, default=4),
    "modify nothing": lambda it: it.modify("new", lambda value: value),
    "get_many": lambda it: it.get_many(["c", "gone", "n"]),
    "get_many twice": lambda it: it.get_many(iter(["n", "n"])),
    "get_many none": lambda it: it.get_many([]),
    "delete_many": lambda it: it.delete_many(["n", "gone", "c"]),
    "delete_many twice": lambda it: it.delete_many(iter(["n", "n"])),
    "delete_many none": lambda it: it.delete_many(()),
    "view": lambda it: it.view("c"),
    "view of a scalar": lambda it: it.view("n"),
    "view by default": lambda it: it.view("gone", 7),
    "view of nothing": lambda it: it.view("gone"),
}


@pytest.fixture
def filled(state: WorkflowState) -> WorkflowState:
    """Return a workflow that holds a number and a list."""
    state.update({"n": 1, "c": [1, 2]})
    return state


@pytest.fixture
def tx(filled: WorkflowState) -> Iterator[Transaction]:
    """Return a transaction under way, discarded at the end."""
    transaction = filled.transaction()
    yield transaction
    transaction.discard()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_transaction_call_does_what_the_handle_does(
    manager: StateManager, filled: WorkflowState, call: Callable[[Any], object]
) -> None:
    """Reply and contents are the same, in the block and after it."""
    other = manager.workflow_state("other")
    other.update(dict(filled))
    wanted = call(other)
    with filled.transaction() as tx:
        assert call(tx) == wanted
        assert dict(tx) == dict(other)
    assert dict(filled) == dict(other)


def test_transaction_modify_sees_what_was_written(tx: Transaction) -> None:
    """The function is given the value of the transaction, a private copy."""
    tx["n"] = 10
    assert tx.modify("n", lambda value: value + 1) == 11
    seen: dict[str, Any] = {}
    tx.modify("c", lambda value: seen.setdefault("c", value) and [0])
    seen["c"].append(9)
    assert tx["c"] == [0]
    tx.delete("n")
    assert tx.modify("n", lambda value: [value], default=3) == [3]


def test_transaction_modify_returns_a_private_copy(tx: Transaction) -> None:
    """Neither what it returns nor what the function returned is shared."""
    mine: list[JsonValue] = [1]
    given: Any = tx.modify("c", lambda _: mine)
    given.append(2)
    mine.append(3)
    assert tx["c"] == [1]


def test_transaction_modify_leaves_all_as_it_was_when_the_function_raises(
    tx: Transaction, filled: WorkflowState
) -> None:
    """What it raises goes on, and so may the transaction."""
    with pytest.raises(ZeroDivisionError):
        tx.modify("n", lambda value: value / 0)
    with pytest.raises(InvalidValueError):
        tx.modify("n", lambda _: object())  # type: ignore[arg-type,return-value]  # on purpose
    assert tx["n"] == 1
    with unchanged(filled):
        tx.commit()


def test_transaction_modify_keeps_the_expiry(
    clock: SimulatedClock, filled: WorkflowState
) -> None:
    """The new value lives as long as the old one would have."""
    filled.set("late", 1, ttl=10)
    with filled.transaction() as tx:
        tx.modify("late", lambda value: value + 1)
    assert filled["late"] == 2
    clock.advance(10)
    assert "late" not in filled


def test_transaction_modify_is_a_read(filled: WorkflowState) -> None:
    """A change of what the function was given refuses the commit."""
    tx = filled.transaction()
    tx.modify("n", lambda value: value + 1)
    filled["n"] = 5
    with pytest.raises(ConflictError):
        tx.commit()
    assert filled["n"] == 5


@pytest.mark.parametrize("name", ["get_many", "delete_many", "view"])
def test_transaction_call_is_a_read_of_each_key(
    filled: WorkflowState, name: str
) -> None:
    """A key that appears meanwhile refuses the commit, though it was not there."""
    tx = filled.transaction()
    calls: dict[str, Callable[[], object]] = {
        "get_many": lambda: tx.get_many(["gone"]),
        "delete_many": lambda: tx.delete_many(["gone"]),
        "view": lambda: tx.view("gone"),
    }
    calls[name]()
    tx["n"] = 2
    filled["gone"] = 1
    with pytest.raises(ConflictError):
        tx.commit()
    assert filled["n"] == 1


def test_transaction_get_many_gives_private_copies_of_its_own(
    tx: Transaction,
) -> None:
    """What was written in the transaction is what it reads."""
    tx["n"] = {"x": 1}
    found: Any = tx.get_many(["n", "c"])
    assert found == {"n": {"x": 1}, "c": [1, 2]}
    found["n"]["x"] = 2
    assert tx["n"] == {"x": 1}


def test_transaction_delete_many_counts_what_it_wrote_itself(tx: Transaction) -> None:
    """A key that the transaction added can be removed by it; twice it cannot."""
    tx["new"] = 1
    assert tx.delete_many(["new", "n"]) == 2
    assert tx.delete_many(["new", "n"]) == 0
    assert list(tx) == ["c"]


def test_transaction_view_cannot_be_changed(tx: Transaction) -> None:
    """A view is of the moment, and read-only all the way down."""
    tx["deep"] = {"list": [1]}
    view: Any = tx.view("deep")
    with pytest.raises(TypeError):
        view["list"] = 2
    with pytest.raises((TypeError, AttributeError)):
        view["list"].append(2)
    tx["deep"] = 0
    assert view["list"][0] == 1
    assert tx.view("deep") == 0


@pytest.mark.parametrize("keys", ["n", b"n", 5, None])
def test_transaction_refuses_what_is_no_list_of_keys(
    tx: Transaction, keys: Any
) -> None:
    """One string is not taken for the keys its letters would be."""
    for call in (tx.get_many, tx.delete_many):
        with pytest.raises((UsageError, TypeError)):
            call(keys)
    assert dict(tx) == {"n": 1, "c": [1, 2]}


@pytest.mark.parametrize("key", REFUSED_NAMES, ids=label)
def test_transaction_calls_refuse_what_is_no_key(tx: Transaction, key: Any) -> None:
    """A key that could never be there is an error, not an absent key."""
    calls: list[Callable[[], object]] = [
        lambda: tx.modify(key, lambda value: value),
        lambda: tx.get_many(["n", key]),
        lambda: tx.delete_many(["n", key]),
    ]
    for call in calls:
        with pytest.raises(InvalidKeyError):
            call()
    assert dict(tx) == {"n": 1, "c": [1, 2]}
