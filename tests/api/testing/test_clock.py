from math import inf, nan
from typing import Any

import pytest

from stateward import StateManager, UsageError
from stateward.testing import SimulatedClock
from tests.hostile import label


def test_clock_stands_still_until_told_otherwise() -> None:
    """Time passes by `advance` and by nothing else."""
    clock = SimulatedClock(start=100.0)
    assert [clock.now(), clock.now()] == [100.0, 100.0]
    clock.advance(0)
    clock.advance(2.5)
    assert clock.now() == 102.5
    assert clock.epoch(clock.now()) == 102.5


def test_tasks_run_at_their_time_and_in_their_order() -> None:
    """Each task sees the time it was meant for, whenever it was asked for."""
    clock = SimulatedClock(start=0.0)
    met: list[tuple[str, float]] = []
    for name, when in (
        ("c", 3.0),
        ("a", 1.0),
        ("b", 2.0),
        ("a again", 1.0),
        ("d", 9.0),
    ):
        clock.call_at(when, lambda name=name: met.append((name, clock.now())))  # type: ignore[misc]  # cannot be inferred
    clock.advance(3)
    assert met == [("a", 1.0), ("a again", 1.0), ("b", 2.0), ("c", 3.0)]
    clock.advance(5.5)
    assert len(met) == 4
    clock.advance(0.5)
    assert met[-1] == ("d", 9.0)


def test_tasks_may_ask_for_more_tasks() -> None:
    """What a task asks for runs in the same move if its time comes in it."""
    clock = SimulatedClock(start=0.0)
    met: list[float] = []

    def tick() -> None:
        met.append(clock.now())
        clock.call_at(clock.now() + 1, tick)

    clock.call_at(1.0, tick)
    clock.advance(3.5)
    assert met == [1.0, 2.0, 3.0]
    assert clock.now() == 3.5


def test_task_whose_time_has_passed_does_not_turn_time_back() -> None:
    """A task asked for too late runs at the next move, at the time there is."""
    clock = SimulatedClock(start=10.0)
    met: list[float] = []
    clock.call_at(1.0, lambda: met.append(clock.now()))
    assert met == []
    clock.advance(0)
    assert met == [10.0]


@pytest.mark.parametrize("seconds", [-1, -5e-324, nan])
def test_clock_does_not_go_back(seconds: float) -> None:
    """Only a number of seconds from 0 up moves the clock."""
    clock = SimulatedClock()
    with pytest.raises(UsageError, match=r"^seconds is .*, not a finite number"):
        clock.advance(seconds)
    assert clock.now() == 1_000_000.0


@pytest.mark.parametrize("seconds", [inf, 10**400, "1", True], ids=label)
def test_clock_does_not_leave_time(seconds: Any) -> None:
    """What is not a finite number of seconds is refused, and named."""
    clock = SimulatedClock()
    with pytest.raises(UsageError, match=r"^seconds is "):
        clock.advance(seconds)
    assert clock.now() == 1_000_000.0


def test_managers_on_one_clock_share_their_time() -> None:
    """A host with two managers moves both at once."""
    clock = SimulatedClock()
    with StateManager(clock=clock) as first, StateManager(clock=clock) as second:
        states = [first.global_state(), second.global_state()]
        for state in states:
            state.set("a", 1, ttl=5)
        clock.advance(5)
        assert [dict(state) for state in states] == [{}, {}]
