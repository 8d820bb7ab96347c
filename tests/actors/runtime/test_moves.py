"""Moves: the books of an owner between two commits, and what stays where it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stateward import StateManager, StoreError, StoreFullError, WorkflowScope
from stateward.actors.core.decider import decide
from stateward.actors.core.errors import InvariantError
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import SetState
from stateward.actors.core.staging import Staged, publish_committed, stage
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.directory import Directory
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.runtime.moves import Mover, MoveState, committed
from stateward.actors.runtime.placement import Placement
from stateward.actors.runtime.wakes import Wakes
from stateward.actors.store.opening import open_store
from stateward.actors.store.store import DurableStore
from stateward.actors.store.urls import parse_url
from tests.threads import WAIT

W = WorkflowScope("w")


def staged(state: OwnerState, key: str) -> Staged:
    """Stage a command that sets `key`, and return it."""
    event, _ = decide(state, SetState(W, key, 1), 0.0)
    entry = Staged(Deferred(Wakes(WAIT)), event=event, answer=lambda: None)
    stage(state, entry)
    return entry


def test_committed_counts_no_command_that_is_only_staged() -> None:
    """What is written decides, whether it has been published or not."""
    state = OwnerState(W, Limits(), 0, 0.0)
    assert committed(state) == (0, 0, 0)
    state.make_row()
    entries = [staged(state, key) for key in "abc"]
    assert committed(state) == (0, 0, 0)
    entries[0].committed = entries[1].committed = True
    assert committed(state) == (2, 2, 4)
    publish_committed(state)
    assert committed(state) == (2, 2, 4)


def test_mover_needs_a_store() -> None:
    """A directory without one has nowhere to move to."""
    with pytest.raises(InvariantError):
        Mover(Directory(), lambda _: None)


class Rig:
    """A manager in memory that has begun to move, and its mover."""

    def __init__(self, manager: StateManager, target: DurableStore) -> None:
        """Have everything be wanted in `target`."""
        self.manager = manager
        self.mover = manager.engine.mover()
        self.target = target

        def begin(placement: Placement) -> Placement:
            placement.target, placement.rollout = target, 1.0
            return placement

        self.placement: Placement = manager.engine.place(begin)
        self.state = manager.workflow_state("w")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig with a workflow `w` in memory."""
    with StateManager() as manager:
        manager.workflow_state("w")["a"] = 1
        yield Rig(manager, open_store(parse_url(f"sqlite:///{tmp_path}/s")))


def test_move_brings_an_owner_to_its_store(rig: Rig) -> None:
    """It is there afterwards, in its entirety, and writes to it."""
    assert rig.mover.misplaced() == [W]
    state = rig.mover.move(W)
    assert state is not None
    assert rig.mover.misplaced() == []
    assert rig.target.holds(W) == 1
    assert rig.placement.moving == {}
    rig.state["b"] = 2
    assert rig.target.holds(W) == 2
    assert rig.mover.move(W) is rig.manager.engine.state(W), "there is no more to do"
    assert rig.mover.longest_pause > 0


def test_move_back_to_memory_leaves_nothing(rig: Rig) -> None:
    """What came back to memory is in no store."""
    rig.mover.move(W)
    rig.placement.rollout = 0
    rig.mover.move(W)
    assert rig.target.holds(W) is None
    rig.state["b"] = 2
    assert dict(rig.state) == {"a": 1, "b": 2}
    assert list(rig.target.usages()) == []


def test_move_of_an_owner_that_a_store_holds_as_well_is_refused(rig: Rig) -> None:
    """Of two different ones, none is thrown away."""
    rig.mover.move(W)
    scope = WorkflowScope("v")
    rig.manager.workflow_state("v")["mine"] = 1
    state = rig.manager.engine.state(scope)
    assert state is not None
    state.seal = None
    with pytest.raises(StoreError, match="in memory"):
        rig.mover.move(scope)
    assert rig.target.holds(scope) == 1


def test_move_that_fails_leaves_an_owner_in_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is in the store, and it can be tried again."""

    def fail(*_: object, **__: object) -> None:
        raise StoreFullError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(rig.target.ledger, "write", fail)
        with pytest.raises(StoreFullError):
            rig.mover.move(W)
    rig.state["b"] = 2
    assert rig.target.holds(W) is None
    assert rig.placement.void == set()
    rig.mover.move(W)
    assert rig.target.holds(W) == 2


def test_late_finish_does_nothing(rig: Rig) -> None:
    """What was sent, and given up since, moves nothing any more."""
    late: list[MoveState] = []

    def lose(message: Any) -> bool:
        late.append(message)
        raise StoreFullError("no answer in time")

    mover = Mover(rig.manager.engine.directory, lose)
    with pytest.raises(StoreFullError):
        mover.move(W)
    assert rig.manager.engine.ask(late[0]) is False
    assert rig.target.holds(W) is None
    state = rig.manager.engine.state(W)
    assert state is not None
    assert state.seal is None
