from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import pytest

from stateward import (
    InvalidKeyError,
    MissingKeyError,
    ScopedState,
    StateManager,
    StepScope,
    UsageError,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.actors.core.scopes import GlobalScope
from tests.hostile import REFUSED_NAMES, label
from tests.support import unchanged

READS: dict[str, Callable[[ScopedState], object]] = {
    "get": lambda it: it.get("a"),
    "item": lambda it: it["a"],
    "view": lambda it: it.view("a"),
    "entry": lambda it: getattr(it.entry("a"), "value", None),
    "get_many": lambda it: it.get_many(["a"])["a"],
    "snapshot": lambda it: it.snapshot()["a"],
    "items": lambda it: dict(it.items())["a"],
    "values": lambda it: next(iter(it.values())),
    "contains": lambda it: 1 if "a" in it else None,
    "iteration": lambda it: len(list(it)),
    "len": len,
    "keys": lambda it: len(it.keys()),
    "revision": lambda it: it.revision - it.revision + 1,
}
"""Every way to read a scope that holds 1 under `a` and nothing else; each gives 1."""


@pytest.fixture(params=list(READS.values()), ids=list(READS))
def read(request: pytest.FixtureRequest) -> Callable[[ScopedState], object]:
    """Return one of the ways to read."""
    way: Callable[[ScopedState], object] = request.param
    return way


def test_read_is_served_by_a_handle_that_is_new(
    manager: StateManager, read: Callable[[ScopedState], object]
) -> None:
    """A handle that has seen nothing yet finds what others have written."""
    for scope in (GlobalScope(), StepScope("w", "s")):
        manager.state(scope)["a"] = 1
        assert read(manager.state(scope)) == 1


def test_read_follows_the_scope_wherever_it_goes(
    manager: StateManager, state: WorkflowState, read: Callable[[ScopedState], object]
) -> None:
    """A handle finds the scope again after it was dropped, let go or emptied."""
    step, other = state.step("s"), manager.step_state("w", "s")
    changes: list[Callable[[], object]] = [
        lambda: None,
        state.drop,
        lambda: manager.passivate(state.scope),
        other.clear,
        lambda: other.delete("a") and manager.passivate(state.scope),
        lambda: state.set("in the workflow", 1),
    ]
    for change in changes:
        other["a"] = 1
        assert read(step) == 1
        change()
        other["a"] = 1
        assert read(step) == 1


def test_read_is_allowed_inside_a_turn(
    state: WorkflowState, read: Callable[[ScopedState], object]
) -> None:
    """A function given to `modify` may read any scope, its own included."""
    state["a"] = 1
    assert state.modify("b", lambda _: [read(state)] if "b" not in state else []) == [1]  # type: ignore[list-item]  # a number


def test_read_shows_all_of_a_write_or_nothing(
    state: WorkflowState, read: Callable[[ScopedState], object]
) -> None:
    """Before its instant a command is seen by nobody, after it by everybody."""
    state["a"] = 1
    seen: list[object] = []
    with faults.arm("state.staged", lambda: seen.append(read(state))):
        state.update({"a": 2, "b": 2})
    state.drop()
    state["a"] = 2
    with faults.arm("state.published", lambda: seen.append(read(state))):
        state.update({"a": 1})
    assert seen == [1, 1]


def test_read_of_nothing_is_nothing(state: WorkflowState) -> None:
    """A scope that holds nothing is empty to every call."""
    for empty in (state, state.step("s")):
        assert empty.get("a") is None
        assert empty.get("a", 7) == empty.view("a", 7) == 7
        assert empty.entry("a") is None
        assert empty.get_many(["a", "b"]) == {}
        assert (len(empty), list(empty), "a" in empty) == (0, [], False)
        assert (dict(empty.snapshot()), empty.revision) == ({}, 0)
        with pytest.raises(MissingKeyError, match="'a' is not in") as caught:
            empty["a"]
        assert caught.value.context == {"key": "a"}


@pytest.mark.parametrize("key", [it[0] for it in REFUSED_NAMES], ids=label)
@pytest.mark.parametrize("filled", [True, False])
def test_read_refuses_what_is_no_key(
    state: WorkflowState, key: Any, filled: bool
) -> None:
    """What could never be stored is not merely absent; only `in` just says no."""
    if filled:
        state["b"] = 1
    calls: list[Callable[[], object]] = [
        lambda: state.get(key),
        lambda: state.get(key, 7),
        lambda: state[key],
        lambda: state.view(key),
        lambda: state.entry(key),
        lambda: state.get_many(["a", key]),
        lambda: state.setdefault(key, 1),
        lambda: state.pop(key),
        lambda: state.pop(key, 7),
    ]
    with unchanged(state):
        assert key not in state
        for call in calls:
            with pytest.raises(InvalidKeyError):
                call()


def test_get_many_refuses_a_single_string(state: WorkflowState) -> None:
    """A key where several are wanted is a mistake, not its letters."""
    with pytest.raises(UsageError, match="not a collection of keys"):
        state.get_many("ab")


def test_values_that_are_read_are_private_copies(state: WorkflowState) -> None:
    """What one reader does to a value is seen by nobody else."""
    state["a"] = {"b": [1]}
    reads: list[Callable[[], Any]] = [
        lambda: state["a"],
        lambda: state.get("a"),
        lambda: state.get_many(["a"])["a"],
        lambda: dict(state.items())["a"],
        lambda: next(iter(state.values())),
        lambda: state.snapshot()["a"],
        lambda: dict(state)["a"],
        lambda: state.setdefault("a"),
    ]
    for take in reads:
        mine = take()
        mine["b"].append(2)
        mine["c"] = 3
        assert state["a"] == {"b": [1]}


def test_views_are_shared_and_read_only(state: WorkflowState) -> None:
    """All who look share one view; a later write makes another."""
    state["a"] = {"b": [1, {"c": None}]}
    first, entry = state.view("a"), state.entry("a")
    assert entry is not None
    assert entry.value is first is state.view("a")
    view: Any = first
    assert view == {"b": (1, {"c": None})}
    changes: list[Callable[[], object]] = [
        lambda: view.__setitem__("b", 1),
        lambda: view["b"].append(1),
        lambda: view["b"][1].update(c=1),
    ]
    for change in changes:
        with pytest.raises((AttributeError, TypeError)):
            change()
    state.append("other", 1)
    assert state.view("a") is first
    state["a"] = 1
    assert (state.view("a"), view["b"][0]) == (1, 1)


def test_iteration_is_over_the_keys_there_were(state: WorkflowState) -> None:
    """Writes during iteration change nothing of it."""
    state.update({"a": 1, "b": 2, "c": 3})
    for walk in (iter(state), iter(state.keys())):
        first = next(walk)
        state.update({"d": 4})
        state.delete("b")
        assert [first, *walk] in (["a", "b", "c"], ["a", "c", "d"])


def test_keys_stand_in_the_order_in_which_they_came(state: WorkflowState) -> None:
    """As in a dictionary: an overwritten key keeps its place, a new one is last."""
    state.update({"b": 1, "a": 1, "c": 1})
    state["b"] = 2
    del state["a"]
    state["a"] = 3
    assert list(state) == ["b", "c", "a"]
    assert list(state.items()) == [("b", 2), ("c", 1), ("a", 3)]
    assert list(state.values()) == [2, 1, 3]
    assert state.popitem() == ("a", 3)


def test_handles_are_mappings_that_compare_by_contents(
    manager: StateManager, state: WorkflowState
) -> None:
    """Two handles of one scope are equal, and so are two scopes of equal contents."""
    state.update({"a": 1, "b": 2})
    other = manager.custom_state("c")
    other.update({"b": 2, "a": 1})
    assert isinstance(state, MutableMapping)
    assert isinstance(state.aio, Mapping)
    assert (
        state == manager.workflow_state("w") == other == {"a": 1, "b": 2} == state.aio
    )
    assert state != {"a": 1}
    strangers: list[object] = [1, "a", None]
    assert state not in strangers
    with pytest.raises(TypeError):
        hash(state)


def test_handles_name_their_scope(manager: StateManager, state: WorkflowState) -> None:
    """The `repr` is of the scope, since the contents may be large."""
    assert repr(state) == "<WorkflowState of WorkflowScope(workflow_id='w')>"
    assert repr(manager.global_state()) == "<ScopedState of GlobalScope()>"


def test_workflow_leads_to_its_steps_and_elsewhere(
    manager: StateManager, state: WorkflowState
) -> None:
    """From a workflow every other scope it may need can be reached."""
    assert state.workflow_id == "w"
    for name in ("b", "a", "c"):
        state.step(name)["k"] = name
    state.global_state()["k"] = "global"
    state.custom_state("x")["k"] = "custom"
    assert state.steps() == ["b", "a", "c"]
    del state.step("a")["k"]
    assert state.steps() == ["b", "c"]
    assert manager.workflow_state("w").steps() == ["b", "c"]
    assert (manager.global_state()["k"], manager.custom_state("x")["k"]) == (
        "global",
        "custom",
    )
    assert state.drop() is True
    assert (state.steps(), state.drop()) == ([], False)
    assert manager.global_state()["k"] == "global"


def test_steps_are_those_with_something_alive(paused: StateManager) -> None:
    """A step whose last key has expired is no longer listed, swept or not."""
    state = paused.workflow_state("w")
    state.step("s").set("k", 1, ttl=5)
    clock: Any = paused.engine.clock
    clock.advance(4.999)
    assert state.steps() == ["s"]
    clock.advance(0.001)
    assert state.steps() == []
