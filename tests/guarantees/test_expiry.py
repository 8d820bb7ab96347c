"""An expired key is invisible to every call from its instant, swept or not."""

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

from stateward import (
    KeyCountError,
    Limits,
    MissingKeyError,
    ScopedState,
    StateManager,
    UsageError,
    WorkflowState,
)
from stateward.messages import GetManyState, GetSnapshot, GetState
from stateward.testing import SimulatedClock
from tests.support import ManualDispatcher, refused

LOOKS: Final[dict[str, Callable[[ScopedState], object]]] = {
    "get": lambda it: it.get("t") is not None,
    "item": lambda it: bool(it.get("t", 0)),
    "view": lambda it: it.view("t") is not None,
    "entry": lambda it: it.entry("t") is not None,
    "contains": lambda it: "t" in it,
    "len": lambda it: len(it) == 2,
    "iteration": lambda it: "t" in list(it),
    "keys": lambda it: "t" in it.keys(),  # noqa: SIM118  # that is what is looked at
    "items": lambda it: "t" in dict(it.items()),
    "values": lambda it: [1] in it.values(),
    "snapshot": lambda it: "t" in it.snapshot(),
    "get_many": lambda it: "t" in it.get_many(["t"]),
    "equality": lambda it: it == {"a": 0, "t": [1]},
    "transaction": lambda it: "t" in it.transaction(),
    "transaction's keys": lambda it: "t" in list(it.transaction()),
    "aio": lambda it: "t" in it.aio,
    "stats": lambda it: it.manager.stats().keys == 2,
    "bytes": lambda it: it.manager.stats().size_bytes == (1 + 1) + (1 + 3),
    "GetState": lambda it: ask(it, GetState(it.scope, "t")) is not None,
    "GetManyState": lambda it: ask(it, GetManyState(it.scope, ["t"])) != {},
    "GetSnapshot": lambda it: len(ask(it, GetSnapshot(it.scope))) == 2,
}
"""Every way to see whether the scope holds `t` beside `a`."""


def ask(state: ScopedState, message: object) -> Any:
    """Ask the supervisor of a paused manager."""
    future = state.manager.supervisor.ask(message, block=False)
    dispatcher: Any = state.manager.engine.dispatcher
    dispatcher.run()
    return future.get(timeout=30)


@pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))
@pytest.mark.parametrize("step", [False, True])
@pytest.mark.parametrize("overwritten", [False, True])
def test_key_is_gone_at_its_instant_from_every_call(
    paused: StateManager,
    clock: SimulatedClock,
    look: Callable[[ScopedState], object],
    step: bool,
    overwritten: bool,
) -> None:
    """Until just before it is there, and from then on nowhere, though nobody swept."""
    state: ScopedState = paused.workflow_state("w")
    if step:
        state = paused.step_state("w", "s")
    if overwritten:
        state["t"] = 0
        state.set("t", 0, ttl=3)
    state["a"] = 0
    state.set("t", [1], ttl=10)
    assert look(state) is True
    clock.advance(9.999)
    assert look(state) is True
    clock.advance(0.001)
    assert look(state) is False
    assert dict(state) == {"a": 0}


def test_workflow_is_gone_with_its_last_key(
    paused: StateManager, dispatcher: ManualDispatcher, clock: SimulatedClock
) -> None:
    """A workflow of which everything has expired is no longer listed."""
    paused.step_state("w", "s").set("t", 1, ttl=10)
    clock.advance(9.999)
    assert (paused.workflow_ids(), paused.stats().workflows) == (["w"], 1)
    clock.advance(0.001)
    assert (paused.workflow_ids(), paused.stats().workflows) == ([], 0)
    dispatcher.run()
    assert paused.drop_workflow("w") is False


CHANGES: Final[dict[str, tuple[Callable[[ScopedState], object], Any, Any]]] = {
    "set expecting nothing": (lambda it: it.set("t", 2, expected=0) > 2, True, 2),
    "setdefault": (lambda it: it.setdefault("t", 2), 2, 2),
    "increment": (lambda it: it.increment("t", 2, initial=40), 42, 42),
    "append": (lambda it: it.append("t", 2) > 2, True, [2]),
    "merge": (lambda it: it.merge("t", {"b": 1}), {"b": 1}, {"b": 1}),
    "modify": (lambda it: it.modify("t", lambda value: [value]), [None], [None]),
    "delete": (lambda it: it.delete("t"), False, None),
    "delete expecting nothing": (lambda it: it.delete("t", expected=0), False, None),
    "delete_many": (lambda it: it.delete_many(["t"]), 0, None),
    "pop": (lambda it: it.pop("t", 7), 7, None),
    "popitem": (lambda it: it.popitem(), ("a", 0), None),
    "transaction": (lambda it: it.transact(lambda tx: tx.setdefault("t", 2)), 2, 2),
}
"""A change, its reply, and what is under `t` afterwards."""


@pytest.mark.parametrize(
    ("change", "reply", "after"), CHANGES.values(), ids=list(CHANGES)
)
def test_key_is_absent_to_changes_from_its_instant(
    paused: StateManager,
    clock: SimulatedClock,
    change: Callable[[ScopedState], object],
    reply: object,
    after: object,
) -> None:
    """Who writes meets no key that has expired, and may bring it into being anew."""
    state = paused.workflow_state("w")
    state["a"] = 0
    state.set("t", 1, ttl=10)
    clock.advance(10)
    assert change(state) == reply
    assert state.get("t") == after
    entry = state.entry("t")
    assert entry is None or (entry.created, entry.expires) == (clock.now(), None)


def test_key_is_absent_to_expectations_from_its_instant(
    paused: StateManager, clock: SimulatedClock
) -> None:
    """The revision of a key that has expired is that of a key that is absent."""
    state = paused.workflow_state("w")
    revision = state.set("t", 1, ttl=10)
    clock.advance(10)
    for call in (
        lambda: state.set("t", 2, expected=revision),
        lambda: state.delete("t", expected=revision),
    ):
        with pytest.raises(Exception, match=f"is absent .* expected {revision}$"):
            call()
    with pytest.raises(MissingKeyError):
        del state["t"]


def test_room_is_free_from_the_instant(clock: SimulatedClock) -> None:
    """What has expired counts towards no limit."""
    dispatcher = ManualDispatcher()
    limits = Limits(max_keys=2, max_bytes=4)
    with StateManager(clock=clock, dispatcher=dispatcher, limits=limits) as manager:
        state = manager.workflow_state("w")
        state.set("a", 1, ttl=10)
        state["b"] = 1
        for key in ("c", "d"):
            with refused(KeyCountError, state):
                state[key] = 1
        clock.advance(10)
        state["c"] = 1
        assert dict(state) == {"b": 1, "c": 1}
        dispatcher.let_go()


def test_expiry_is_that_of_the_last_write(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """A longer, a shorter and no time to live each replace the one before."""
    for key, ttl in (("longer", 20), ("shorter", 5), ("for ever", None)):
        state.set(key, 1, ttl=10)
        state.set(key, 1, ttl=ttl)
    state.set("kept", 1, ttl=10)
    state.increment("kept")
    gone = []
    for _ in range(25):
        before = set(state)
        clock.advance(1)
        gone += [(clock.now() - 1_000_000, key) for key in before - set(state)]
    assert gone == [(5, "shorter"), (10, "kept"), (20, "longer")]
    assert list(state) == ["for ever"]


def test_expiry_outlives_passivation(
    manager: StateManager, state: WorkflowState, clock: SimulatedClock
) -> None:
    """A key whose owner was let go expires at its time, and so does the next."""
    state.set("a", 1, ttl=10)
    state.set("b", 1, ttl=20)
    manager.passivate(state.scope)
    clock.advance(9.999)
    assert dict(state) == {"a": 1, "b": 1}
    clock.advance(0.001)
    assert dict(state) == {"b": 1}
    state["c"] = 1
    clock.advance(10)
    assert dict(state) == {"c": 1}


def test_expired_keys_are_removed_in_the_background(
    paused: StateManager, dispatcher: ManualDispatcher, clock: SimulatedClock
) -> None:
    """Nobody has to ask: the memory of expired keys is given back by a timer."""
    state = paused.workflow_state("w")
    for index in range(10):
        state.step(f"s{index}").set("t", "x" * 100, ttl=1 + index % 3)
    state["a"] = 1
    owned = paused.engine.state(state.scope.owner)
    assert owned is not None
    for keys in (7, 4, 1):
        clock.advance(1)
        dispatcher.run()
        assert owned.keys == keys
    assert owned.steps == {}


def test_default_ttl_is_given_where_none_is_told(clock: SimulatedClock) -> None:
    """With a default every new value expires, and can be told to live longer."""
    with StateManager(clock=clock, limits=Limits(default_ttl=10)) as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        state.set("b", 1, ttl=20)
        state.update(c=1)
        state.append("d", 1)
        clock.advance(5)
        state["a"] = 2
        state.append("d", 2)
        clock.advance(5)
        assert dict(state) == {"a": 2, "b": 1}
        clock.advance(5)
        assert dict(state) == {"b": 1}


@pytest.mark.parametrize("ttl", [0, -1, True, "1", float("nan"), float("inf"), 10**400])
def test_ttl_is_refused_when_it_is_no_time(state: WorkflowState, ttl: Any) -> None:
    """A bad time to live is refused before anything happens."""
    state["a"] = 1
    with refused(UsageError, state):
        state.set("a", 2, ttl=ttl)


@pytest.mark.parametrize("ttl", [5e-324, 1e-12])
def test_ttl_too_short_to_measure_is_over_at_once(
    paused: StateManager, ttl: float
) -> None:
    """A key that lives for less than the clock can tell is never seen."""
    state = paused.workflow_state("w")
    assert state.set("a", 1, ttl=ttl) == 1
    assert (dict(state), paused.stats().keys) == ({}, 0)


@pytest.mark.parametrize("ttl", [10**12, 1e300, 1.7976931348623157e308])
def test_ttl_of_ages_stops_no_timer(ttl: float) -> None:
    """On the system's clock a key may live longer than a thread can wait."""
    ticked = threading.Event()
    with StateManager(idle_timeout=None) as manager:
        state = manager.workflow_state("w")
        state.set("a", 1, ttl=ttl)
        clock = manager.engine.clock
        clock.call_at(clock.now(), ticked.set)
        assert ticked.wait(30)
        ticked.clear()
        clock.call_at(clock.now(), ticked.set)
        assert ticked.wait(30)
        assert dict(state) == {"a": 1}
