import pytest

from stateward import JsonValue, StepScope
from stateward.actors.core.messages import (
    GetManyState,
    GetSnapshot,
    GetState,
    SetState,
    UpdateState,
)
from stateward.actors.core.queries import Query, answer
from stateward.actors.core.state import OwnerState
from tests.actors.core.ledger import SCOPE, do, new_state
from tests.hostile import label

STEP = StepScope("w", "s")


@pytest.fixture
def state() -> OwnerState:
    """Return a state of two keys, one that expires at 10, and a step."""
    state = new_state()
    do(state, UpdateState(SCOPE, {"a": [1], "b": None}))
    do(state, SetState(SCOPE, "t", 1, ttl=10))
    do(state, SetState(STEP, "a", 2))
    return state


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        (GetState(SCOPE, "a"), [1]),
        (GetState(SCOPE, "b", 7), None),
        (GetState(SCOPE, "t", 7), 7),
        (GetState(SCOPE, "no"), None),
        (GetState(SCOPE, "no", [7]), [7]),
        (GetState(STEP, "a"), 2),
        (GetManyState(SCOPE, ["b", "no", "a", "t"]), {"b": None, "a": [1]}),
        (GetManyState(STEP, []), {}),
        (GetSnapshot(SCOPE), {"a": [1], "b": None}),
        (GetSnapshot(STEP), {"a": 2}),
        (GetSnapshot(StepScope("w", "no")), {}),
    ],
    ids=label,
)
def test_answer_is_what_is_alive_in_the_scope(
    state: OwnerState, query: Query, reply: JsonValue
) -> None:
    """A query is answered from its own scope, without what has expired."""
    assert answer(state, query, 10.0) == reply


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        (GetState(SCOPE, "a", 7), 7),
        (GetManyState(SCOPE, ["a"]), {}),
        (GetSnapshot(SCOPE), {}),
    ],
    ids=label,
)
def test_answer_is_nothing_where_nobody_owns(
    state: OwnerState, query: Query, reply: JsonValue
) -> None:
    """An owner that was never there, or has just been dropped, holds nothing."""
    assert answer(None, query, 0.0) == reply
    state.retire()
    assert answer(state, query, 0.0) == reply


def test_answer_is_a_private_copy(state: OwnerState) -> None:
    """What is done to a reply changes nothing stored."""
    reply = answer(state, GetSnapshot(SCOPE), 0.0)
    assert isinstance(reply, dict)
    reply["a"] = 0
    assert answer(state, GetState(SCOPE, "a"), 0.0) == [1]
