"""Each limit is exact at its boundary, whatever the call that meets it.

A call that exactly meets a limit is served; one more is refused with limit, allowance
and actual figure, and leaves contents, revisions and accounting as they were.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

from stateward import (
    ByteCountError,
    DepthError,
    JsonValue,
    KeyCountError,
    KeyTooLongError,
    LimitError,
    Limits,
    ScopedState,
    StateManager,
    ValueTooLargeError,
    WorkflowState,
)
from tests.support import refused

Write = Callable[[ScopedState, str, Any], object]


def overwrite(state: ScopedState, key: str, value: JsonValue) -> None:
    """Bind `key` when it is there and known to the handle already."""
    assert key in state
    state.set(key, value)


WRITES: Final[dict[str, Write]] = {
    "set": lambda it, key, value: it.set(key, value),
    "update": lambda it, key, value: it.update({key: value}),
    "setdefault": lambda it, key, value: it.setdefault(key, value),
    "modify": lambda it, key, value: it.modify(key, lambda _: value),
    "merge": lambda it, key, value: it.merge(key, value),
    "transaction": lambda it, key, value: it.transact(lambda tx: tx.set(key, value)),
}


@pytest.fixture(params=list(WRITES.values()), ids=list(WRITES))
def write(request: pytest.FixtureRequest) -> Write:
    """Return one of the ways to write a value."""
    way: Write = request.param
    return way


@pytest.mark.parametrize("write", [*WRITES.values(), overwrite])
@pytest.mark.parametrize(
    ("limits", "fits", "over", "kind", "figures"),
    [
        (
            Limits(max_value_bytes=10),
            "x" * 8,
            "x" * 9,
            ValueTooLargeError,
            ("max_value_bytes", 10, 11),
        ),
        (
            Limits(max_value_bytes=10),
            ["\xe9" * 3],
            ["\xe9" * 3 + "x"],
            ValueTooLargeError,
            ("max_value_bytes", 10, 11),
        ),
        (Limits(max_depth=2), [[1]], [[[]]], DepthError, ("max_depth", 2, 3)),
        (
            Limits(max_depth=5),
            {"a": [[[[]]]]},
            {"a": [[[[[]]]]]},
            DepthError,
            ("max_depth", 5, 6),
        ),
        (Limits(max_bytes=7), "x" * 4, "x" * 5, ByteCountError, ("max_bytes", 7, 8)),
    ],
)
def test_value_meets_a_limit_exactly(
    manager: StateManager,
    state: WorkflowState,
    write: Write,
    limits: Limits,
    fits: JsonValue,
    over: JsonValue,
    kind: type[LimitError],
    figures: tuple[str, int, int],
) -> None:
    """Size, depth and total are measured alike by every way to write."""
    manager.set_limits("w", limits)
    if write is overwrite:
        state["k"] = 0
    write(state, "k", fits)
    assert state["k"] == fits
    del state["k"]
    if write is overwrite:
        state["k"] = 0
    limit, allowance, actual = figures
    with refused(kind, state, limit=limit, allowance=allowance, actual=actual):
        write(state, "k", over)


def test_key_meets_its_limit_exactly(
    manager: StateManager, state: WorkflowState, write: Write
) -> None:
    """Keys are measured in bytes of UTF-8."""
    manager.set_limits("w", Limits(max_key_bytes=4))
    for key in ("abcd", "\xe9\xe9", "\N{PILE OF POO}"):
        write(state, key, 1)
    for key in ("abcde", "\xe9\xe9x", "\N{PILE OF POO}x"):
        with refused(
            KeyTooLongError, state, limit="max_key_bytes", allowance=4, actual=5
        ):
            write(state, key, 1)


def test_keys_of_a_workflow_and_its_steps_meet_their_limit_exactly(
    manager: StateManager, state: WorkflowState, write: Write
) -> None:
    """All scopes of a workflow count together, and one key less makes room."""
    manager.set_limits("w", Limits(max_keys=3))
    scopes = [state, state.step("s"), state.step("t")]
    for scope in scopes:
        write(scope, "a", 1)
    for scope in (*scopes, state.step("new")):
        with refused(KeyCountError, *scopes, limit="max_keys", allowance=3, actual=4):
            write(scope, "b", 1)
    del scopes[1]["a"]
    write(scopes[2], "b", 1)
    assert state.steps() == ["t"]


@pytest.mark.parametrize("scope", ["global", "custom"])
def test_other_scopes_have_limits_of_their_own(scope: str) -> None:
    """Global state and each namespace are held to the manager's limits alone."""
    with StateManager(limits=Limits(max_keys=1, max_bytes=3)) as manager:
        state = manager.global_state()
        if scope == "custom":
            state = manager.custom_state("c")
        others = [manager.custom_state("d"), manager.workflow_state("c")]
        state["a"] = 12
        for other in others:
            other["a"] = 12
        with refused(KeyCountError, state, *others):
            state["b"] = 1
        with refused(ByteCountError, state, allowance=3, actual=4):
            state["a"] = 123


ADDITIONS: Final[dict[str, tuple[Callable[[ScopedState], object], JsonValue]]] = {
    "increment": (lambda it: it.increment("k", 90), 9),
    "append": (lambda it: it.append("k", 2), [1]),
    "merge": (lambda it: it.merge("k", {"b": 2}), {"a": 1}),
    "modify": (lambda it: it.modify("k", lambda value: value + "x"), "ab"),
    "transaction": (lambda it: it.transact(lambda tx: tx.append("k", 2)), [1]),
}


@pytest.mark.parametrize(("add", "before"), ADDITIONS.values(), ids=list(ADDITIONS))
@pytest.mark.parametrize("field", ["max_value_bytes", "max_bytes"])
def test_addition_meets_a_limit_exactly(
    manager: StateManager,
    state: WorkflowState,
    add: Callable[[ScopedState], object],
    before: JsonValue,
    field: str,
) -> None:
    """A value that grows is measured as it will be."""
    state["k"] = before
    add(state)
    after = manager.stats().size_bytes - (field == "max_value_bytes")
    state["k"] = before
    manager.set_limits("w", limited(field, after - 1))
    kind = ByteCountError if field == "max_bytes" else ValueTooLargeError
    with refused(kind, state, limit=field, allowance=after - 1, actual=after):
        add(state)
    manager.set_limits("w", limited(field, after))
    add(state)
    assert state["k"] != before


@pytest.mark.parametrize("first", [True, False])
def test_batch_is_refused_as_a_whole_from_one_too_many(
    manager: StateManager, state: WorkflowState, first: bool
) -> None:
    """Whether the limit was met before or is passed within, nothing is bound."""
    manager.set_limits("w", Limits(max_keys=4))
    if first:
        state["a"] = 0
    state.step("s")["z"] = 0
    with refused(KeyCountError, state, state.step("s"), allowance=4, actual=5):
        state.update(dict.fromkeys("abcd", 1))
    state.update(dict.fromkeys("abc", 1))
    assert dict(state) == {"a": 1, "b": 1, "c": 1}


def test_workflow_over_a_lowered_limit_may_shrink_and_not_grow(
    manager: StateManager, state: WorkflowState
) -> None:
    """What it held before stays readable, and can be made smaller in any way."""
    state.update({"a": "x" * 20, "b": [1, 2], "c": 1})
    manager.set_limits("w", Limits(max_keys=1, max_bytes=10))
    with refused(KeyCountError, state):
        state["d"] = 1
    with refused(ByteCountError, state, allowance=10, actual=33):
        state.append("b", 3)
    with refused(ByteCountError, state):
        state["c"] = 12
    state["c"] = 2
    state["a"] = "x" * 10
    state["a"] = "y" * 10
    assert state.pop("b") == [1, 2]
    assert dict(state) == {"a": "y" * 10, "c": 2}


def limited(field: str, most: int) -> Limits:
    """Return limits that differ from the usual ones in one field."""
    values: dict[str, Any] = {field: most}
    return Limits(**values)
