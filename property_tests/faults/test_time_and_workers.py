"""A clock that jumps, both ways, and workers that die."""

import time
from pathlib import Path

import pytest

from stateward import StateManager
from stateward.actors.core import faults
from stateward.messages import IncrementState
from stateward.testing.simulation import HandlerBugError

DAY = 86_400.0
WAIT = 10.0  # LIMIT: for a machine under load; nothing waits that long by itself


@pytest.mark.parametrize("jumps", [(DAY, -DAY), (-DAY, DAY), (-DAY, -DAY)])
def test_wall_clock_that_jumps_neither_expires_nor_revives_a_key(
    jumps: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a manager runs, only the time that has passed counts for its keys."""
    wall = time.time  # tidy: it is what jumps
    with StateManager(f"sqlite:///{tmp_path}/s.db") as manager:
        state = manager.global_state()
        state.set("hour", 1, ttl=3600)
        state.set("soon", 1, ttl=1e-6)
        for jump in jumps:
            monkeypatch.setattr(time, "time", lambda jump=jump: wall() + jump)
            assert dict(state) == {"hour": 1}
            state["probe"] = jump
            del state["probe"]


@pytest.mark.parametrize(("jump", "left"), [(-DAY, {"day": 1}), (2 * DAY, {})])
def test_wall_clock_that_jumped_between_two_processes_revives_no_key(
    jump: float,
    left: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What had expired stays so, and what had not goes by the clock there is."""
    wall, url = time.time, f"sqlite:///{tmp_path}/s.db"  # tidy: it is what jumps
    with StateManager(url) as manager:
        manager.global_state().set("day", 1, ttl=DAY)
        manager.global_state().set("soon", 1, ttl=1e-6)
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    with StateManager(url) as manager:
        assert dict(manager.global_state()) == left


def test_worker_that_dies_keeps_no_later_message_waiting() -> None:
    """The next message to an actor finds a worker, and what waited is carried out."""
    hits: list[int] = []

    def die() -> None:
        hits.append(1)
        if len(hits) == 1:
            raise HandlerBugError("the worker dies")

    with StateManager() as manager:
        state = manager.workflow_state("w")
        state["n"] = 0
        owner = manager.engine.owner(state.scope.owner)
        with faults.arm("worker.task", die):
            first = owner.post(IncrementState(state.scope, "n"))
            second = owner.post(IncrementState(state.scope, "n"))
            assert [second.get(timeout=WAIT), first.get(timeout=WAIT)] == [2, 1]
    assert len(hits) >= 2
