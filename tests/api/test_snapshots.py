from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from stateward import Entry, Snapshot, WorkflowState
from stateward.testing import SimulatedClock


def test_snapshot_is_the_scope_at_one_revision(state: WorkflowState) -> None:
    """Nothing that happens later changes a snapshot."""
    state.update({"a": 1, "b": [2]})
    state.step("s")["c"] = 3
    snapshot = state.snapshot()
    state.update({"a": 10, "new": 1})
    del state["b"]
    state.drop()
    assert dict(snapshot) == {"a": 1, "b": [2]}
    assert snapshot.revision == 2
    assert repr(snapshot) == "Snapshot({'a': 1, 'b': [2]}, revision=2)"


def test_snapshot_is_a_mapping_and_no_more(state: WorkflowState) -> None:
    """It has every reading call of a mapping, and no writing one."""
    state.update({"a": 1, "b": [2]})
    snapshot = state.snapshot()
    assert (len(snapshot), list(snapshot), "a" in snapshot) == (2, ["a", "b"], True)
    assert "c" not in snapshot
    assert (snapshot["b"], snapshot.get("c"), snapshot.get("c", 7)) == ([2], None, 7)
    assert list(snapshot.items()) == [("a", 1), ("b", [2])]
    assert list(snapshot.values()) == [1, [2]]
    assert snapshot == {"a": 1, "b": [2]} == state.snapshot()
    assert snapshot != {"a": 1}
    with pytest.raises(KeyError):
        snapshot["c"]
    changes: list[Callable[[Any], object]] = [
        lambda it: it.__setitem__("a", 2),
        lambda it: it.__delitem__("a"),
        lambda it: it.update(a=2),
        lambda it: it.clear(),
        lambda it: setattr(it, "revision", 9),
        lambda it: setattr(it, "other", 9),
    ]
    for change in changes:
        with pytest.raises((AttributeError, TypeError)):
            change(snapshot)


def test_snapshot_values_are_private_copies(state: WorkflowState) -> None:
    """What is taken out can be changed without changing the snapshot."""
    state["a"] = [1]
    snapshot = state.snapshot()
    for take in (snapshot.__getitem__, snapshot.get, dict(snapshot.items()).get):
        mine: Any = take("a")
        mine.append(2)
    assert snapshot["a"] == [1]


def test_snapshot_of_nothing_is_empty(state: WorkflowState) -> None:
    """A scope that has never held anything has a snapshot at revision 0."""
    snapshot = state.snapshot()
    assert isinstance(snapshot, Snapshot)
    assert (dict(snapshot), snapshot.revision) == ({}, 0)


def test_entry_tells_all_about_a_key(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """Value, revision, times of creation, change and expiry are those of the key."""
    start = clock.now()
    state["other"] = 0
    state.set("a", [1], ttl=60)
    clock.advance(5)
    assert state.entry("a") == Entry(
        value=(1,),
        revision=state.revision,
        created=start,
        updated=start,
        expires=start + 60,
    )
    state.append("a", 2)
    clock.advance(5)
    entry = state.entry("a")
    assert entry is not None
    assert (entry.value, entry.revision) == ((1, 2), 3)
    assert (entry.created, entry.updated, entry.expires) == (
        start,
        start + 5,
        start + 60,
    )
    state["a"] = 1
    entry = state.entry("a")
    assert entry is not None
    assert (entry.created, entry.updated, entry.expires) == (start, start + 10, None)
    assert state.entry("no") is None


def test_entry_begins_anew_when_the_key_does(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """A key that was deleted, or had expired, is created again."""
    state.set("a", 1, ttl=5)
    state["b"] = 1
    clock.advance(5)
    del state["b"]
    state.update({"a": 2, "b": 2})
    for key in ("a", "b"):
        entry = state.entry(key)
        assert entry is not None
        assert entry.created == clock.now()


def test_entry_cannot_be_changed(state: WorkflowState) -> None:
    """An entry is a frozen value with a read-only view in it."""
    state["a"] = {"b": [1]}
    entry = state.entry("a")
    assert entry is not None
    with pytest.raises(FrozenInstanceError):
        entry.value = 1  # type: ignore[misc]  # what must not be possible
    view: Any = entry.value
    with pytest.raises(TypeError):
        view["b"] = 2
    assert view["b"] == (1,)
