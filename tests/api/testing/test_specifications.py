from typing import Any

import pytest

from stateward import UsageError
from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import Counter, Register, Transactions
from stateward.testing.transitions import Specification


def run(*steps: tuple[Call, Any]) -> list[Operation]:
    """Return calls one after the other; `...` for no reply, a `str` for a refusal."""
    operations = []
    for place, (call, reply) in enumerate(steps):
        reply_of: dict[str, Any] = {
            "returned": 2 * place + 1,
            "outcome": Outcome.RETURNED,
            "result": reply,
        }
        if reply is ...:
            reply_of = {}
        elif type(reply) is str:
            reply_of |= {"outcome": Outcome.REFUSED, "result": None, "error": reply}
        operations.append(
            Operation(client="c", call=call, invoked=2 * place, **reply_of)
        )
    return operations


def put(value: Any, **named: int) -> Call:
    """Return a write."""
    return Call("set", ("k", value), tuple(named.items()))


GET, ENTRY, DELETE = Call("get", ("k",)), Call("entry", ("k",)), Call("delete", ("k",))


def add(by: int) -> Call:
    """Return an increment."""
    return Call("increment", ("k", by))


def swap(old: Any, new: Any) -> Call:
    """Return a comparison."""
    return Call("compare_and_set", ("k", old, new))


def moved(reads: dict[str, Any], writes: dict[str, Any]) -> Call:
    """Return a transaction."""
    return Call("transaction", (), (("reads", reads), ("writes", writes)))


@pytest.mark.parametrize(
    ("steps", "ok"),
    [
        ([(put(1), 1), (GET, 1)], True),
        ([(put(1), 1), (GET, True)], False),
        ([(put(1), 1), (GET, 1.0)], False),
        ([(put({"a": 1, "b": 2}), 1), (GET, {"b": 2, "a": 1})], True),
        ([(put(1), 2), (put(2), 2)], False),
        ([(put(1), 1), (put(2, expected=1), 3), (ENTRY, [2, 3])], True),
        ([(put(1), 1), (put(2, expected=1), "ConflictError")], False),
        ([(put(1), 1), (put(2, expected=3), "ConflictError")], True),
        ([(put(1), 1), (put(2, expected=1), "LimitError"), (GET, 1)], True),
        ([(put(1), 1), (DELETE, True), (GET, None), (DELETE, False)], True),
        ([(put(1), 1), (DELETE, False)], False),
        ([(put(1), 1), (put(2), ...), (ENTRY, [1, 1]), (ENTRY, [2, 9])], True),
        ([(put(1), 1), (put(2), ...), (ENTRY, [2, 9]), (ENTRY, [2, 8])], False),
        ([(put(1), None), (swap(1, 2), True), (GET, 2)], True),
        ([(put(1), None), (swap(1, 2), False)], False),
        ([(put(1), None), (swap(2, 3), "ConflictError"), (swap(2, 3), "x")], True),
        ([(Call("get", ("k", 7)), 7), (put(7), 1), (Call("get", ("k", 7)), 7)], True),
    ],
)
def test_register_knows_right_from_wrong(
    steps: list[tuple[Call, Any]], *, ok: bool
) -> None:
    """Values, revisions and refusals are what they have to be in this order."""
    assert check_history(run(*steps), Register()).ok is ok


def test_register_may_hold_something_at_first() -> None:
    """Each key holds the initial value until it is written."""
    assert check_history(run((GET, 5), (swap(5, 6), True)), Register(5)).ok
    assert not check_history(run((GET, None)), Register(5)).ok


@pytest.mark.parametrize("rising", [False, True])
@pytest.mark.parametrize(
    ("steps", "ok"),
    [
        ([(add(1), 1), (GET, 1), (add(2), 3)], True),
        ([(add(1), 1), (add(2), 2)], False),
        ([(add(1), 1), (add(2), ...), (GET, 1), (GET, 3)], True),
        ([(add(1), ...), (GET, 2)], False),
        ([(GET, None), (add(1), "ConflictError"), (GET, 0)], True),
    ],
)
def test_counter_knows_right_from_wrong(
    steps: list[tuple[Call, Any]], *, ok: bool, rising: bool
) -> None:
    """Sums add up, whether or not it is known that they rise."""
    assert check_history(run(*steps), Counter(rising=rising)).ok is ok


@pytest.mark.parametrize(
    ("steps", "ok"),
    [
        (
            [(moved({"a": None}, {"a": 1, "b": 2}), None), (moved({"b": 2}, {}), 0)],
            True,
        ),
        (
            [(moved({}, {"a": 1, "b": 2}), None), (moved({"a": 1, "b": 1}, {}), 0)],
            False,
        ),
        ([(moved({}, {"a": 1}), None), (moved({"a": None}, {}), None)], False),
        ([(moved({}, {"a": 1}), "ConflictError"), (moved({"a": None}, {}), 0)], True),
        ([(moved({}, {"a": 1}), ...), (moved({"a": 1}, {"a": None}), 0)], True),
    ],
)
def test_transactions_know_right_from_wrong(
    steps: list[tuple[Call, Any]], *, ok: bool
) -> None:
    """Each transaction sees and leaves everything at one moment."""
    assert check_history(run(*steps), Transactions()).ok is ok


@pytest.mark.parametrize(
    ("specification", "call", "reply"),
    [
        (Register(), Call("append", ("k", 1)), 1),
        (Register(), ENTRY, [1]),
        (Register(), put(1, expected=True), 1),
        (Counter(), put(1), 1),
        (Counter(), GET, "text"),
        (Counter(rising=True), add(0), 0),
        (Transactions(), GET, 1),
    ],
)
def test_call_that_is_not_known_is_refused(
    specification: Specification[Any], call: Call, reply: Any
) -> None:
    """Nothing is passed over that could be wrong."""
    (operation,) = run((call, 0))
    with pytest.raises(UsageError):
        specification.transition(
            Operation(
                client="c",
                call=call,
                invoked=0,
                returned=1,
                outcome=operation.outcome,
                result=reply,
            )
        )


def test_keys_are_checked_apart() -> None:
    """The name of the part is that of the key, and of what it is on."""
    operation = Operation(client="c", call=GET, on="workflow:w:", invoked=0)
    assert Register().partition(operation) == "workflow:w:: k"
    assert Counter().partition(operation) == "workflow:w:: k"
    assert Transactions().partition(operation) == "workflow:w:"
