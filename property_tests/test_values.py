"""Values: what goes in comes out, nothing else goes in, and nobody shares a part of it.

The properties hold for every way in and every way out; `ways_in` and `ways_out` list
them.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stateward import (
    DepthError,
    InvalidValueError,
    JsonValue,
    Limits,
    ScopedState,
    StateManager,
    Transaction,
    WorkflowScope,
)
from stateward.messages import GetState, SetState
from stateward.testing.likeness import alike, levels, thawed
from stateward.testing.strategies import (
    containers,
    deep_values,
    json_values,
    names,
    unfit_values,
)
from stateward.testing.strategies.unfit import Unfit
from stateward.testing.strategies.values import (
    EDGE_FLOATS,
    EDGE_INTS,
    INT_MAX,
    INT_MIN,
)

Way = tuple[str, Callable[[ScopedState, Any], object]]


def ways_in(state: ScopedState) -> Iterator[Way]:
    """Yield each way to store a value under `k`, by name."""

    def commit(state: ScopedState, value: Any) -> None:
        state.transact(lambda tx: tx.set("k", value))

    def ask(state: ScopedState, value: Any) -> None:
        state.manager.supervisor.ask(SetState(state.scope, "k", value))

    def keep(value: Any) -> Callable[[Any], Any]:
        return lambda _: value

    yield "set", lambda state, value: state.set("k", value)
    yield "set again", lambda state, value: state.set("k", value)
    yield "set with ttl", lambda state, value: state.set("k", value, ttl=1e6)
    yield "update", lambda state, value: state.update({"k": value})
    yield "modify", lambda state, value: state.modify("k", keep(value))
    yield "transaction", commit
    yield "message", ask
    state.delete("k")
    yield "setdefault", lambda state, value: state.setdefault("k", value)


def ways_out(state: ScopedState) -> Iterator[tuple[str, JsonValue]]:
    """Yield the value of `k` by each way to read a private copy, by name."""
    yield "get", state.get("k")
    yield "item", state["k"]
    yield "get_many", state.get_many(["k", "absent"])["k"]
    yield "snapshot", state.snapshot()["k"]
    yield "items", dict(state.items())["k"]
    yield "values", next(iter(state.values()))
    yield "transaction", state.transact(lambda tx: tx["k"])
    asked: Any = state.manager.supervisor.ask(GetState(state.scope, "k"))
    yield "message", asked
    yield "aio", state.aio.get("k")
    yield "setdefault", state.setdefault("k", "another")


# Seen to fail when `pack` does not keep floats as they are, but as orjson reads them
# back through `int`; and when a reader is given the stored object itself.
@given(value=json_values())
@example(value=-0.0)
@example(value=[*EDGE_INTS, *EDGE_FLOATS, True, False, None, "", "\0", [], {}])
@example(value={"": {"\0": {"\u2028": "\U0010ffff"}}})
def test_value_round_trip_is_exact(value: JsonValue) -> None:
    """What goes in by any way comes out by every way equal and of the same types."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        for way_in, write in ways_in(state):
            write(state, copy.deepcopy(value))
            for way_out, read in ways_out(state):
                assert alike(read, value), f"in by {way_in}, out by {way_out}"


# Seen to fail when `_depth` starts to count at 0, and when the codec's own limit of 254
# levels is left to refuse what is too deep.
@given(value=deep_values(st.integers(0, 250)), limit=st.integers(1, 250))
def test_value_depth_is_exact_at_the_limit(value: JsonValue, limit: int) -> None:
    """A value is stored up to `max_depth` levels, and refused from one level more."""
    with StateManager(limits=Limits(max_depth=limit)) as manager:
        state = manager.workflow_state("w")
        if levels(value) <= limit:
            state.set("k", value)
            assert alike(state.get("k"), value)
            assert alike(thawed(state.view("k")), value)
            return
        with pytest.raises(DepthError) as caught:
            state.set("k", value)
        assert (caught.value.allowance, caught.value.actual) == (limit, levels(value))
        assert len(state) == 0


# Seen to fail when `pack` calls orjson without the three options of `_STRICT`, when
# `_small_depth` does not look at floats, and when `update` checks values as it goes.
@given(unfit=unfit_values())
@example(unfit=({"a": [1, float("nan")]}, "value['a'][1]"))
@example(unfit=({1: 2}, "value"))
def test_value_is_refused_with_its_place(unfit: Unfit) -> None:
    """What is not JSON is refused by every way in, and the part is named."""
    value, place = unfit
    with StateManager() as manager:
        state = manager.workflow_state("w")
        state.update({"k": 1, "other": [2]})
        for way, write in ways_in(state):
            before = state.snapshot()
            with pytest.raises(InvalidValueError) as caught:
                write(state, value)
            assert caught.value.context["place"] == place, way
            assert place in str(caught.value) or len(place) > 60
            after = state.snapshot()
            assert (after, after.revision) == (before, before.revision), way


@given(deep=deep_values(st.integers(251, 1_000)))
def test_value_is_refused_when_deeper_than_the_codec(deep: JsonValue) -> None:
    """A value of up to 1,000 levels is refused as too deep, whatever the limits."""
    with StateManager(limits=Limits(max_depth=250)) as manager:
        state = manager.workflow_state("w")
        for way, write in ways_in(state):
            with pytest.raises(DepthError) as caught:
                write(state, deep)
            assert caught.value.limit == "max_depth", way
        assert manager.stats().keys == 0


@given(excess=st.integers(INT_MAX + 1, 1 << 80) | st.integers(-(1 << 80), INT_MIN - 1))
def test_integer_is_refused_from_65_bits_on(excess: int) -> None:
    """An integer that 64 bits cannot hold is refused by every way in."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        for way, write in ways_in(state):
            with pytest.raises(InvalidValueError, match="more than 64"):
                write(state, excess)
            assert "k" not in state, way


# Seen to fail when a stored container is the caller's own, when `get` returns what
# `view` shares, and when `Snapshot` decodes a value once and keeps it.
@given(value=containers())
def test_value_is_nobody_elses_to_change(value: list[Any] | dict[str, Any]) -> None:
    """Changing what was put in or handed out, all over, changes nothing stored."""
    original = copy.deepcopy(value)
    with StateManager() as manager:
        state = manager.workflow_state("w")
        for way, write in ways_in(state):
            given_in = copy.deepcopy(value)
            write(state, given_in)
            snapshot = state.snapshot()
            spoil(given_in)
            for _, handed_out in ways_out(state):
                spoil(handed_out)
            spoil(snapshot["k"])
            assert alike(snapshot["k"], original), way
            for way_out, read in ways_out(state):
                assert alike(read, original), f"in by {way}, out by {way_out}"


# Seen to fail when `modify` hands its function the stored default, and when `append`
# and `merge` keep the object they were given.
@given(value=containers(), patch=st.dictionaries(st.text(max_size=2), containers()))
def test_value_is_nobody_elses_when_made_by_a_command(
    value: list[Any] | dict[str, Any], patch: dict[str, Any]
) -> None:
    """What a command was given or returned can be changed without effect."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        default = copy.deepcopy(value)
        spoil(state.modify("modified", lambda given: given, default=default))
        spoil(default)
        state.append("appended", item := copy.deepcopy(value))
        spoil(item)
        spoil(state.merge("merged", mine := copy.deepcopy(patch)))
        spoil(mine)
        spoil(state.setdefault("kept", kept := copy.deepcopy(value)))
        spoil(kept)
        assert alike(state["modified"], value)
        assert alike(state["appended"], [value])
        assert alike(state["merged"], without_nulls(patch))
        assert alike(state["kept"], value)


# Seen to fail when `freeze` leaves dictionaries inside lists as they are, and when
# `view` is not made anew for a value that was overwritten.
@given(values=st.lists(json_values(), min_size=1, max_size=3))
def test_view_is_equal_and_read_only_all_the_way_down(values: list[JsonValue]) -> None:
    """A view shows the newest value, is shared, and no part of it can be changed."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        for value in values:
            state.set("k", value)
            for view in (state.view("k"), state.aio.view("k"), entry_value(state)):
                assert alike(thawed(view), value)
            assert state.view("k") is state.view("k")


# Seen to fail when sizes are counted in characters, and when an overwritten value stays
# in the sum.
@given(
    entries=st.dictionaries(
        names(), st.lists(json_values(max_leaves=6), min_size=1, max_size=2)
    ),
    order=st.randoms(use_true_random=False),
)
def test_size_is_that_of_keys_and_encoded_values(
    entries: dict[str, list[JsonValue]], order: Any
) -> None:
    """`size_bytes` is the UTF-8 of the keys plus what `orjson` makes of the values."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        held: dict[str, JsonValue] = {}
        for key, versions in entries.items():
            for value in versions:
                state.set(key, value)
                held[key] = value
                assert manager.stats().size_bytes == size_bytes(held)
        for key in order.sample(sorted(held), len(held)):
            state.delete(key)
            del held[key]
            assert manager.stats().size_bytes == size_bytes(held)


@given(value=json_values(), spare=st.integers(-1, 1))
def test_size_is_exact_at_the_limit(value: JsonValue, spare: int) -> None:
    """A value of exactly `max_value_bytes` is stored, and one byte more is refused."""
    allowance = max(1, len(orjson.dumps(value)) + spare)
    with StateManager(limits=Limits(max_value_bytes=allowance)) as manager:
        state = manager.state(WorkflowScope("w"))
        fits = len(orjson.dumps(value)) <= allowance
        try:
            state.set("k", value)
        except ValueError:
            assert not fits
        else:
            assert fits
        assert ("k" in state) is fits


@given(value=json_values())
def test_value_is_json_to_others(value: JsonValue) -> None:
    """The JSON a value is measured by says the same to another reader of JSON."""
    assert alike(json.loads(orjson.dumps(value)), value)


def test_value_keeps_apart_what_shares_a_part() -> None:
    """A value that holds the same list twice comes out with two lists."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        shared: list[JsonValue] = [1]
        state.set("k", [shared, shared])

        def change(tx: Transaction) -> None:
            both: Any = tx["k"]
            both[0].append(2)
            tx["k"] = both

        state.transact(change)
        assert state["k"] == [[1, 2], [1]]


def entry_value(state: ScopedState) -> object:
    """Return the value of `k` as its entry shows it."""
    entry = state.entry("k")
    assert entry is not None
    return entry.value


def size_bytes(entries: dict[str, JsonValue]) -> int:
    """Return what the entries have to be counted as."""
    return sum(
        len(key.encode()) + len(orjson.dumps(value)) for key, value in entries.items()
    )


def spoil(value: Any) -> None:
    """Change every list and dictionary in `value` that can be changed."""
    if isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value["spoilt"] = "spoilt"
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoilt")


def without_nulls(patch: JsonValue) -> JsonValue:
    """Return what a merge patch makes of nothing (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    return {
        name: without_nulls(change)
        for name, change in patch.items()
        if change is not None
    }
