"""The directory: who owns what, and where what is not in memory comes from."""

from typing import Any

import pytest

from stateward import ClosedError, WorkflowScope
from stateward.actors.core.limits import Limits
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.directory import Directory

W = WorkflowScope("w")


class LoadingVault:
    """A vault that returns one state."""

    def __init__(self) -> None:
        """Begin with nothing loaded."""
        self.loads = 0

    def load(self, scope: WorkflowScope) -> OwnerState:
        """Count, and return a state."""
        self.loads += 1
        return OwnerState(scope, Limits(), 7, 0.0)


def test_state_comes_from_memory_then_from_the_vault() -> None:
    """What is in memory and serves is not loaded; what serves no more is."""
    directory, vault = Directory(), LoadingVault()
    assert directory.state(W) is None
    state = OwnerState(W, Limits(), 0, 0.0)
    directory.states[W] = state
    fake: Any = vault
    directory.vault = fake
    assert directory.state(W) is state
    state.retire()
    found = directory.state(W)
    assert found is not None
    assert (found.revision, vault.loads) == (7, 1)


def test_state_of_a_closed_manager_is_refused() -> None:
    """Nobody reads after the end, not even what is in memory."""
    directory = Directory(states={W: OwnerState(W, Limits(), 0, 0.0)}, closed=True)
    with pytest.raises(ClosedError):
        directory.state(W)


def test_active_owner_is_one_that_lives() -> None:
    """An owner that ended is as good as none."""

    class Owner:
        alive = True

        def is_alive(self) -> bool:
            return self.alive

    it = Owner()
    owner: Any = it
    directory = Directory(owners={W: owner})
    assert directory.active(W) is owner
    assert directory.active(WorkflowScope("other")) is None
    it.alive = False
    assert directory.active(W) is None
