"""Whatever is offered is stored exactly, or refused with its place and without a trace.

Every way to write is tried with every strange value, key and id.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

from stateward import (
    CustomScope,
    DepthError,
    GlobalScope,
    InvalidKeyError,
    InvalidValueError,
    KeyTooLongError,
    Limits,
    ScopedState,
    StateManager,
    StateScope,
    StepScope,
    ValueTooLargeError,
    WorkflowScope,
    WorkflowState,
    qualified_name,
)
from stateward.actors.core.scopes import shown
from stateward.messages import SetState
from tests.hostile import (
    ALIEN,
    ALIEN_KEYS,
    AWKWARD_NAMES,
    EXACT,
    REFUSED_NAMES,
    WRAPPERS,
    label,
)
from tests.support import refused

Write = Callable[[ScopedState, Any, Any], object]


def overwrite(state: ScopedState, key: Any, value: Any) -> None:
    """Bind `key` when it is there and known to the handle already."""
    state.set(key, value)
    state.set(key, value)


WRITES: Final[dict[str, Write]] = {
    "set": lambda it, key, value: it.set(key, value),
    "item": lambda it, key, value: it.__setitem__(key, value),
    "overwrite": overwrite,
    "set with ttl": lambda it, key, value: it.set(key, value, ttl=60),
    "expected": lambda it, key, value: it.set(key, value, expected=0),
    "update": lambda it, key, value: it.update({"b": 1, key: value}),
    "update pairs": lambda it, key, value: it.update([("b", 1), (key, value)]),
    "setdefault": lambda it, key, value: it.setdefault(key, value),
    "modify": lambda it, key, value: it.modify(key, lambda _: value),
    "default": lambda it, key, value: it.modify(key, lambda it: it, default=value),
    "transaction": lambda it, key, value: it.transact(lambda tx: tx.set(key, value)),
    "message": lambda it, key, value: it.manager.supervisor.ask(
        SetState(it.scope, key, value)
    ),
}
"""Every way to bind a key that is absent."""


@pytest.fixture(params=list(WRITES.values()), ids=list(WRITES))
def write(request: pytest.FixtureRequest) -> Write:
    """Return one of the ways to write."""
    way: Write = request.param
    return way


def test_values_are_stored_exactly(state: WorkflowState, write: Write) -> None:
    """Each value of JSON comes back equal and of the same type at every level."""
    for index, value in enumerate(EXACT):
        write(state, f"k{index}", value)
        assert repr(state[f"k{index}"]) == repr(value)


@pytest.mark.parametrize("alien", [it[0] for it in ALIEN], ids=label)
def test_values_are_refused_when_they_are_not_json(
    state: WorkflowState, write: Write, alien: object
) -> None:
    """Nothing is converted, the place is named, and nothing of the call happens."""
    state["there"] = 1
    for place, wrap in WRAPPERS:
        with refused(InvalidValueError, state, place=place):
            write(state, "k", wrap(alien))


@pytest.mark.parametrize("name", ALIEN_KEYS, ids=label)
def test_values_are_refused_when_a_name_in_them_is_no_string(
    state: WorkflowState, write: Write, name: object
) -> None:
    """A dictionary inside a value has `str` keys and no others."""
    with refused(InvalidValueError, state, place="value['a']"):
        write(state, "k", {"a": {name: 1}})


def test_values_are_refused_when_they_are_endless(
    state: WorkflowState, write: Write
) -> None:
    """A cycle, 1,000 levels, and sharing that explodes: each in no time."""
    cycle: list[object] = [1]
    cycle.append({"a": cycle})
    with refused(InvalidValueError, state, place="value[1]['a']"):
        write(state, "k", cycle)
    deep: list[object] = []
    wide: list[object] = []
    for _ in range(1_000):
        deep = [deep]
        wide = [wide, wide]
    with refused(DepthError, state, limit="max_depth"):
        write(state, "k", deep)
    with refused(DepthError, state, limit="max_depth"):
        write(state, "k", wide)
    bush: list[object] = []
    for _ in range(60):
        bush = [bush, bush]
    with refused(ValueTooLargeError, state, limit="max_value_bytes"):
        write(state, "k", bush)


@pytest.mark.parametrize(
    "key", [it[0] for it in REFUSED_NAMES if it[0] != ["a"]], ids=label
)
def test_keys_are_refused_when_they_are_none(
    state: WorkflowState, write: Write, key: Any
) -> None:
    """Empty, NUL, lone surrogates and other types are refused by every write."""
    state["there"] = 1
    with refused(InvalidKeyError, state, key=shown(key)):
        write(state, key, 1)


def test_keys_are_stored_exactly(state: WorkflowState, write: Write) -> None:
    """Any other characters make a key, up to `max_key_bytes` of UTF-8."""
    kept = [key for key in AWKWARD_NAMES if len(key.encode()) <= 512]
    for key in kept:
        write(state, key, key)
    assert {key: state[key] for key in kept} == {key: key for key in kept}
    assert set(state) - {"b"} == set(kept)
    with refused(KeyTooLongError, state, allowance=512, actual=10_000):
        write(state, "x" * 10_000, 1)


def test_names_never_meet_whatever_ids_and_keys_look_like(
    manager: StateManager,
) -> None:
    """Ids and keys that spell other scopes' prefixes stay where they were put."""
    ids = ["a", "b", "a:step:b", "a:", ":a", "%", "%3A", "a%3Astep%3Ab", "step", "\n"]
    keys = [*ids, "workflow:a:", "workflow:a:step:b:k", "custom:a:k", "k"]
    scopes: list[StateScope] = [
        GlobalScope(),
        *map(WorkflowScope, ids),
        *map(CustomScope, ids),
        *(StepScope(one, other) for one in ids for other in ids),
    ]
    for scope in scopes:
        written = {key: qualified_name(scope, key) for key in keys}
        manager.state(scope).update(written)
    for scope in scopes:
        expected = {key: qualified_name(scope, key) for key in keys}
        assert manager.state(scope) == expected
    for name in ids:
        assert manager.drop_workflow(name)
    left = [scope for scope in scopes if len(manager.state(scope))]
    assert left == [GlobalScope(), *map(CustomScope, ids)]


@pytest.mark.slow
@pytest.mark.parametrize("make", [str, lambda text: [text], lambda text: {"a": text}])
def test_huge_value_is_stored_exactly_or_refused(
    state: WorkflowState, make: Callable[[str], Any]
) -> None:
    """100 MB are refused by the usual limit with their size, and kept without one."""
    value = make("x" * 100_000_000)
    state["k"] = 1
    with refused(ValueTooLargeError, state, allowance=1 << 20) as caught:
        state["k"] = value
    assert caught.value.actual > 100_000_000
    state.manager.set_limits("w", Limits(max_value_bytes=None))
    state["k"] = value
    assert state["k"] == value
    del state["k"]
    assert state.manager.stats().size_bytes == 0


APPENDS: Final[dict[str, Write]] = {
    "append": lambda it, key, value: it.append(key, 1, value),
    "merge": lambda it, key, value: it.merge(key, {"a": value}),
    "transaction": lambda it, key, value: it.transact(lambda tx: tx.append(key, value)),
}


@pytest.mark.parametrize("add", APPENDS.values(), ids=list(APPENDS))
@pytest.mark.parametrize("alien", [it[0] for it in ALIEN], ids=label)
def test_additions_are_as_strict_as_writes(
    state: WorkflowState, add: Write, alien: object
) -> None:
    """What is added to a value is held to the same rules, and named as well."""
    with refused(InvalidValueError, state) as caught:
        add(state, "k", alien)
    assert caught.value.context["place"].startswith("value[")
