"""Fixtures shared by the tests: a clock that stands still, a manager, a workflow."""

from collections.abc import Iterator

import pytest

from stateward import StateManager, WorkflowState
from stateward.testing import SimulatedClock
from tests.support import ManualDispatcher


@pytest.fixture
def clock() -> SimulatedClock:
    """Return a clock at 1,000,000 seconds since the epoch."""
    return SimulatedClock()


@pytest.fixture
def dispatcher() -> ManualDispatcher:
    """Return a dispatcher that runs nothing until it is told to."""
    return ManualDispatcher()


@pytest.fixture
def paused(
    clock: SimulatedClock, dispatcher: ManualDispatcher
) -> Iterator[StateManager]:
    """Return a manager on `clock` and `dispatcher`, closed at the end."""
    with StateManager(clock=clock, dispatcher=dispatcher) as manager:
        yield manager
        dispatcher.let_go()


@pytest.fixture
def manager(clock: SimulatedClock) -> Iterator[StateManager]:
    """Return a manager on `clock`, closed at the end."""
    with StateManager(clock=clock) as manager:
        yield manager


@pytest.fixture
def state(manager: StateManager) -> WorkflowState:
    """Return the state of a workflow that holds nothing."""
    return manager.workflow_state("w")
