"""A bug or a lack of memory at each named fault point, hit by hit."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from property_tests.faults.points import AllocationError, Countdown, failing_points
from property_tests.simulation.clients import OWNERS
from property_tests.simulation.rounds import Round
from stateward import StateError, StateManager
from stateward.actors.core.faults import POINTS
from stateward.actors.core.messages import Passivate
from stateward.durability import Durability
from stateward.testing import Simulation
from stateward.testing.simulation import HandlerBugError

HITS_MAX = 5_000
ELSEWHERE = frozenset({"run.commit", "run.committed", "worker.task"})
"""Points in the threads and runs that a simulation does without."""
SYNCED = ELSEWHERE | {"store.logged"}
IN_MEMORY = SYNCED | {"store.commit", "store.committed"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [HandlerBugError, AllocationError])
@pytest.mark.parametrize(
    ("durability", "missed"),
    [("synced", SYNCED), ("buffered", ELSEWHERE), (None, IN_MEMORY)],
)
def test_guarantees_hold_when_any_hit_of_a_point_fails(
    error: Callable[[], BaseException],
    durability: Durability | None,
    missed: frozenset[str],
) -> None:
    """The first hit fails, then the second, until a run meets no failure."""
    places: set[str] = set()
    for at in range(1, HITS_MAX):
        countdown = Countdown(at, error)
        with Simulation(seed=1, durability=durability, disturbed=0) as simulation:
            it = Round(simulation, clients=2, operations=9)
            simulation.client("host", passivate)
            with failing_points(countdown):
                simulation.run()
            it.check_end()
        if not countdown.place:
            break
        places.add(countdown.place)
    else:
        pytest.fail("no run was clean")
    assert POINTS - places == missed
    assert at > 50


async def passivate(manager: StateManager) -> None:
    """Let owners go again and again, as a host may."""
    for _ in range(4):
        for scope in OWNERS.values():
            with contextlib.suppress(StateError, HandlerBugError):
                await manager.engine.ask_supervisor_soon(Passivate(scope.owner))
            await asyncio.sleep(0)
