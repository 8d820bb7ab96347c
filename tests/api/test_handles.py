from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from stateward import (
    ConflictError,
    InvalidKeyError,
    InvalidValueError,
    JsonValue,
    Limits,
    MissingKeyError,
    ReentrantCallError,
    ScopedState,
    StateManager,
    UsageError,
    WorkflowState,
    WrongTypeError,
)
from tests.hostile import RFC_7396
from tests.support import refused, unchanged


def test_set_binds_a_key_and_gives_the_revision(state: WorkflowState) -> None:
    """Each set is a new revision, even of an equal value."""
    assert [state.set("a", 1), state.set("a", 1), state.set("b", [1])] == [1, 2, 3]
    state["a"] = {"x": None}
    assert dict(state) == {"a": {"x": None}, "b": [1]}
    assert state.revision == 4


def test_set_keeps_nothing_of_the_callers(state: WorkflowState) -> None:
    """What is done to a value after it was set changes nothing stored."""
    mine: Any = {"list": [1]}
    state["a"] = mine
    mine["list"].append(2)
    state["a"] = mine
    mine["list"].append(3)
    assert state["a"] == {"list": [1, 2]}


def test_set_expects_a_revision_of_the_key_and_not_of_the_scope(
    state: WorkflowState,
) -> None:
    """0 is for absent, and a key stays at its revision while others are written."""
    first = state.set("a", 1, expected=0)
    state["b"] = 1
    second = state.set("a", 2, expected=first)
    for expected in (0, first, second + 1, 10**30):
        with refused(ConflictError, state, key="a", expected=expected, actual=second):
            state.set("a", 3, expected=expected)
    with refused(ConflictError, state, key="c", expected=1, actual=0):
        state.set("c", 1, expected=1)
    assert state.delete("a", expected=second)
    with refused(ConflictError, state, expected=second, actual=0):
        state.set("a", 3, expected=second)
    state.set("a", 3, expected=0)


def test_set_overwrites_as_it_writes_first(state: WorkflowState) -> None:
    """Values of every type replace each other, through any number of handles."""
    other = state.manager.workflow_state("w")
    values: list[JsonValue] = [1, "a", None, [1], {"a": 1}, True, 1.5, [], "b", 2]
    for turn, value in enumerate(values * 2):
        (state, other)[turn % 2]["k"] = value
        for handle in (state, other, state.manager.workflow_state("w")):
            assert (handle["k"], handle.get("k"), len(handle)) == (value, value, 1)
    stats = state.manager.stats()
    assert (stats.keys, stats.size_bytes) == (1, 1 + 1)


@pytest.mark.parametrize("first", [True, False])
def test_set_refuses_a_bad_value_the_first_time_and_later(
    state: WorkflowState, first: bool
) -> None:
    """Overwriting is as strict as writing, for scalars as for containers."""
    if not first:
        state["a"] = 1
        state["a"] = 2
    for value in ("\ud800", 1 << 64, float("nan"), [float("inf")], {"x": {1}}, (1,)):
        with refused(InvalidValueError, state) as caught:
            state.set("a", value)  # type: ignore[arg-type]  # what is to be refused
        assert caught.value.context["place"].startswith("value")


def test_delete_says_whether_the_key_was_there(state: WorkflowState) -> None:
    """Deleting what is not there changes nothing; `del` raises."""
    state["a"] = 1
    assert state.delete("a") is True
    with unchanged(state):
        assert state.delete("a") is False
        assert state.delete("b", expected=0) is False
    with refused(MissingKeyError, state, key="a"):
        del state["a"]
    revision = state.set("a", 1)
    with refused(ConflictError, state, actual=revision):
        state.delete("a", expected=revision - 1)
    del state["a"]
    assert dict(state) == {}


def test_update_is_one_revision(state: WorkflowState) -> None:
    """All keys of a batch are bound together, from whatever a `dict` is made of."""
    assert state.update({"a": 1, "b": [2]}) == 1
    assert state.update([("a", 2)], c=3) == 2
    assert state.update(d=4) == 3
    assert state.update(other=1, self=2, key=3) == 4
    with unchanged(state):
        assert state.update() == state.update({}) == 4
    assert state.snapshot() == dict(
        {"a": 2, "b": [2], "c": 3, "d": 4}, other=1, self=2, key=3
    )


def test_update_is_refused_as_a_whole(state: WorkflowState) -> None:
    """One bad key or value among many, and none is bound."""
    state["a"] = 1
    with refused(InvalidValueError, state, key="b", place="value[0]") as caught:
        state.update({"a": 2, "b": [float("nan")]})
    assert "'b'" in str(caught.value)
    with refused(InvalidKeyError, state):
        state.update({"a": 2, "": 1})
    with refused(InvalidKeyError, state):
        state.update({1: 2})  # type: ignore[dict-item]  # what is to be refused


def test_update_takes_the_items_of_another_scope(state: WorkflowState) -> None:
    """Another scope is copied as it was at one revision, not key by key."""

    class Torn(Mapping[str, JsonValue]):
        """A mapping like a busy scope: what was listed may be gone when asked for."""

        def __getitem__(self, key: str) -> JsonValue:
            raise KeyError(key)

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

        def items(self) -> Any:
            return {"a": 1}.items()

    state.update(Torn())
    state.step("s").update(state)
    assert dict(state.step("s")) == {"a": 1}


def test_delete_many_is_one_revision(state: WorkflowState) -> None:
    """The keys that are there go together, and are counted."""
    state.update(dict.fromkeys("abcd", 1))
    assert state.delete_many(["a", "no", "b", "a"]) == 2
    assert state.revision == 2
    assert state.delete_many(iter("c")) == 1
    with unchanged(state):
        assert state.delete_many(["no"]) == state.delete_many([]) == 0
    with refused(UsageError, state):
        state.delete_many("d")
    assert dict(state) == {"d": 1}


def test_clear_removes_the_own_keys_in_one_revision(state: WorkflowState) -> None:
    """Steps keep theirs, and clearing nothing changes nothing."""
    state.update({"a": 1, "b": 1})
    state.step("s")["a"] = 1
    state.clear()
    assert (dict(state), state.revision) == ({}, 3)
    with unchanged(state, state.step("s")):
        state.clear()
    assert state.steps() == ["s"]
    state.step("s").clear()
    assert state.steps() == []


def test_increment_adds_exactly(state: WorkflowState) -> None:
    """Integers stay integers, floats floats, and an absent key begins at `initial`."""
    assert state.increment("a") == 1
    assert state.increment("a", -3) == -2
    assert type(state["a"]) is int
    assert state.increment("a", 0.5) == -1.5
    assert state.increment("b", 2, initial=40) == 42
    assert state.increment("c", 1, initial=0.5) == 1.5
    assert state.increment("d", (1 << 64) - 1) == (1 << 64) - 1
    assert state.increment("e", -(1 << 63)) == -(1 << 63)


def test_increment_is_refused_where_the_sum_is_no_number_of_json(
    state: WorkflowState,
) -> None:
    """One above 64 bits, one below, or beyond the floats: nothing is changed."""
    state.update({"top": (1 << 64) - 1, "bottom": -(1 << 63), "huge": 1.7e308})
    for key, by in (("top", 1), ("bottom", -1), ("huge", 1.7e308), ("huge", 10**400)):
        with refused(InvalidValueError, state):
            state.increment(key, by)


@pytest.mark.parametrize("value", [None, True, "1", [1], {"a": 1}])
def test_increment_is_refused_where_there_is_no_number(
    state: WorkflowState, value: JsonValue
) -> None:
    """Only what is a number can be added to, and a boolean is none."""
    state["a"] = value
    with refused(WrongTypeError, state, key="a"):
        state.increment("a")
    with refused(WrongTypeError, state):
        state.increment("b", True)


def test_append_adds_to_the_end(state: WorkflowState) -> None:
    """Items of any kind follow those that are there; an absent list is empty."""
    assert state.append("a", 1, "]") == 1
    assert state.append("a", [2], {"x": None}) == 2
    assert state.append("b") == 3
    assert state.append("b", 1) == 4
    assert dict(state) == {"a": [1, "]", [2], {"x": None}], "b": [1]}


@pytest.mark.parametrize("value", [None, 1, "[]", {"a": 1}])
def test_append_is_refused_where_there_is_no_list(
    state: WorkflowState, value: JsonValue
) -> None:
    """Only a list can be added to, and only with values."""
    state.update({"a": value, "list": []})
    with refused(WrongTypeError, state, key="a"):
        state.append("a", 1)
    with refused(InvalidValueError, state, place="value[1]"):
        state.append("list", 1, {2})  # type: ignore[arg-type]  # what is to be refused


@pytest.mark.parametrize(("target", "patch", "merged"), RFC_7396)
def test_merge_gives_the_results_of_the_rfc(
    state: WorkflowState, target: JsonValue, patch: JsonValue, merged: JsonValue
) -> None:
    """Every example of the appendix of RFC 7396 comes out as printed there."""
    state["a"] = target
    assert state.merge("a", patch) == merged
    assert state["a"] == merged
    result: Any = state.merge("b", patch)
    assert result == state["b"]
    if isinstance(result, dict):
        result["mine"] = 1
        assert state["b"] != result


def test_modify_replaces_a_value_by_what_the_function_returns(
    state: WorkflowState,
) -> None:
    """The function gets a private copy, or the default, and runs once."""
    state["a"] = [1]
    given: list[Any] = []

    def grow(value: Any) -> JsonValue:
        given.append(value)
        value.append(2)
        return {"was": value}

    assert state.modify("a", grow) == {"was": [1, 2]}
    given[0].append(3)
    assert state["a"] == {"was": [1, 2]}
    assert state.modify("b", lambda value: value, default=[7]) == [7]
    assert state.modify("c", lambda value: value) is None
    assert (len(given), state.revision, "c" in state) == (1, 4, True)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_modify_gives_what_the_function_raises_to_its_caller_alone(
    state: WorkflowState, error: type[BaseException]
) -> None:
    """Whatever it is, the state is as it was and others are served."""
    state["a"] = 1

    def fail(_: object) -> JsonValue:
        raise error("mine")

    with unchanged(state), pytest.raises(error, match="mine"):
        state.modify("a", fail)
    assert state.set("a", 2) == 2


def test_modify_is_refused_for_a_result_that_is_not_json(state: WorkflowState) -> None:
    """The function ran, and what it returned is not stored."""
    state["a"] = 1
    with refused(InvalidValueError, state, place="value[0]"):
        state.modify("a", lambda _: [object()])  # type: ignore[list-item]  # to be refused
    with refused(UsageError, state):
        state.modify("a", None)  # type: ignore[arg-type]  # what is to be refused


WRITES: dict[str, Callable[[ScopedState], object]] = {
    "set": lambda it: it.set("b", 1),
    "overwrite": lambda it: it.set("a", 1),
    "update": lambda it: it.update(b=1),
    "delete": lambda it: it.delete("a"),
    "modify": lambda it: it.modify("b", lambda value: value),
    "transaction": lambda it: it.transact(lambda tx: tx.set("b", 1)),
    "stats": lambda it: it.manager.set_limits("w", Limits()),
    "drop": lambda it: it.manager.drop_workflow("w"),
    "close": lambda it: it.manager.close(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("scope", ["same", "step", "other", "global"])
def test_modify_is_refused_what_would_wait(
    manager: StateManager,
    state: WorkflowState,
    write: Callable[[ScopedState], object],
    scope: str,
) -> None:
    """Inside a turn reading is allowed and waiting is not, wherever it leads."""
    states = {
        "same": state,
        "step": state.step("s"),
        "other": manager.workflow_state("x"),
        "global": manager.global_state(),
    }
    for each in states.values():
        each["a"] = 1
        each["a"] = 2
    target = states[scope]

    def reenter(_: object) -> JsonValue:
        assert target["a"] == 2
        write(target)
        return 3

    with refused(ReentrantCallError, *states.values()):
        state.modify("a", reenter)
    assert state.set("a", 4)


def test_setdefault_binds_only_what_is_absent(state: WorkflowState) -> None:
    """What is there stays, and is returned as a private copy."""
    assert state.setdefault("a", [1]) == [1]
    mine: Any = state.setdefault("a", 2)
    mine.append(2)
    assert state["a"] == [1]
    assert state.setdefault("b") is None
    assert dict(state) == {"a": [1], "b": None}


def test_pop_removes_and_gives_the_value(state: WorkflowState) -> None:
    """An absent key gives the default, or is an error without one."""
    state.update({"a": 1})
    state["b"] = [2]
    assert state.pop("b") == [2]
    with unchanged(state):
        assert state.pop("b", 7) == 7
        assert state.pop("b", None) is None
    with refused(MissingKeyError, state, key="b"):
        state.pop("b")
    assert state.popitem() == ("a", 1)
    with refused(MissingKeyError, state):
        state.popitem()
