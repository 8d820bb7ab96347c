"""Small histories to draw, as often right as wrong.

Each begins as what a sequential run gives, in an order that its intervals permit. Then
some replies are replaced by any other, and some are lost.
"""

from typing import Any

from hypothesis import strategies as st

from property_tests.linearizability.brute import Variables, outcomes
from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome

OPERATIONS_MAX = 6
VALUES = st.integers(1, 2)
REVISIONS = st.integers(0, 3)
PLACES = st.dictionaries(st.sampled_from("ab"), st.none() | VALUES, max_size=2)

plain_calls = st.one_of(
    st.builds(lambda: Call("get", ("k",))),
    st.builds(lambda value: Call("set", ("k", value)), VALUES),
    st.builds(
        lambda old, new: Call("compare_and_set", ("k", old, new)),
        st.none() | VALUES,
        VALUES,
    ),
    st.builds(lambda: Call("delete", ("k",))),
)
revised_calls = st.one_of(
    st.builds(lambda: Call("entry", ("k",))),
    st.builds(lambda: Call("get", ("k",))),
    st.builds(lambda value: Call("set", ("k", value)), VALUES),
    st.builds(
        lambda value, at: Call("set", ("k", value), (("expected", at),)),
        VALUES,
        REVISIONS,
    ),
    st.builds(lambda at: Call("delete", ("k",), (("expected", at),)), REVISIONS),
)
counts = st.one_of(
    st.builds(lambda: Call("get", ("k", 0))),
    st.builds(lambda by: Call("increment", ("k", by)), st.sampled_from((-1, 1, 2))),
)
rising_counts = st.one_of(
    st.builds(lambda: Call("get", ("k", 0))),
    st.builds(lambda by: Call("increment", ("k", by)), st.integers(1, 2)),
)
transactions = st.builds(
    lambda reads, writes: Call(
        "transaction", (), (("reads", reads), ("writes", writes))
    ),
    PLACES,
    PLACES,
)


@st.composite
def histories(
    draw: st.DrawFn, calls: st.SearchStrategy[Call], most: int = OPERATIONS_MAX
) -> list[Operation]:
    """Draw a history of one key, or of one owner."""
    drawn = draw(st.lists(calls, min_size=1, max_size=most))
    events = draw(st.permutations([*range(len(drawn))] * 2))
    spans: dict[int, list[int]] = {}
    for tick, number in enumerate(events):
        spans.setdefault(number, []).append(tick)
    by_reply = draw(st.booleans())
    now = Variables()
    operations = []
    for number in sorted(spans, key=lambda number: spans[number][by_reply]):
        invoked, returned = spans[number]
        honest, now = replied(drawn[number], now)
        fate = draw(st.sampled_from(("honest", "honest", "honest", "any", "lost")))
        reply = draw(any_reply(drawn[number])) if fate == "any" else honest
        operations.append(
            Operation(
                client=f"c{number}",
                call=drawn[number],
                invoked=invoked,
                **({} if fate == "lost" else {"returned": returned, **reply}),
            )
        )
    return sorted(operations, key=lambda each: each.invoked)


def replied(call: Call, now: Variables) -> tuple[dict[str, Any], Variables]:
    """Return an honest reply to `call`, and what is held then."""
    for reply in replies(call, now):
        operation = Operation(client="c", call=call, invoked=0, **reply)
        for after in outcomes(operation, now):
            return reply, after
    raise AssertionError(f"no reply to {call}")


def replies(call: Call, now: Variables) -> list[dict[str, Any]]:
    """Return replies, of which one is honest; the refusal comes last."""
    value = now.values.get("k")
    found: list[Any] = [None, True, False]
    match call.name:
        case "get":
            found = [value if value is not None or not call.args[1:] else 0]
        case "entry":
            found = [None, [value, now.revisions.get("k", 0)]]
        case "increment":
            found = [(value or 0) + call.args[1]]
        case "set":
            found = [int(now.last.get("k", 0)) + 1]
        case "delete" | "compare_and_set":
            found = [True, False]
    returned = [{"outcome": Outcome.RETURNED, "result": each} for each in found]
    return [*returned, refusal()]


def refusal() -> dict[str, Any]:
    """Return the reply that something is not as it was expected."""
    return {"outcome": Outcome.REFUSED, "error": "ConflictError"}


def any_reply(call: Call) -> st.SearchStrategy[dict[str, Any]]:
    """Return some reply that a call can have."""
    result: st.SearchStrategy[Any]
    match call.name:
        case "get":
            result = st.integers(0, 4) if call.args[1:] else st.none() | VALUES
        case "entry":
            result = st.none() | st.tuples(VALUES, st.integers(1, 4)).map(list)
        case "increment":
            return st.integers(-2, 4).map(
                lambda each: {"outcome": Outcome.RETURNED, "result": each}
            )
        case "set":
            result = st.none() | st.integers(1, 4)
        case _:
            result = st.none() | st.booleans()
    returned = result.map(lambda each: {"outcome": Outcome.RETURNED, "result": each})
    return returned | st.just(refusal()) if call.named or call.args[2:] else returned
