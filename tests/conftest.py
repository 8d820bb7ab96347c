"""Fixtures shared by the tests: a clock that stands still, a manager, a workflow."""

from collections.abc import Iterator

import pytest

from stateward import StateManager, WorkflowState
from stateward.testing import SimulatedClock


@pytest.fixture
def clock() -> SimulatedClock:
    """Return a clock at 1,000,000 seconds since the epoch."""
    return SimulatedClock()


@pytest.fixture
def manager(clock: SimulatedClock) -> Iterator[StateManager]:
    """Return a manager on `clock`, closed at the end."""
    with StateManager(clock=clock) as manager:
        yield manager


@pytest.fixture
def state(manager: StateManager) -> WorkflowState:
    """Return the state of a workflow that holds nothing."""
    return manager.workflow_state("w")
