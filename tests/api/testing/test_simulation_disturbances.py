import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from stateward import StateError, StateManager
from stateward.durability import Durability
from stateward.testing import Simulation
from stateward.testing.simulation import HandlerBugError
from stateward.testing.simulation_disturbances import Disturbances, ProcessEnd

ALWAYS = {"pass_time", "occupy", "passivate", "occupy_supervisor"}
STORED = ALWAYS | {"let_go", "slow"}


@pytest.mark.parametrize(
    ("durability", "crashes", "failures", "expected"),
    [
        (None, True, False, ALWAYS),
        (None, True, True, ALWAYS | {"bug"}),
        ("synced", False, False, STORED),
        ("synced", False, True, STORED | {"bug", "refuse"}),
        ("synced", True, False, STORED | {"kill", "lose_power"}),
        (
            "synced",
            True,
            True,
            STORED | {"kill", "lose_power", "bug", "refuse", "break_disk"},
        ),
    ],
)
def test_disturbances_are_those_that_are_allowed(
    durability: Durability | None,
    crashes: bool,
    failures: bool,
    expected: set[str],
) -> None:
    """Each happens where it may, and nowhere else."""
    simulation = Simulation(durability=durability, crashes=crashes, failures=failures)
    found = Disturbances(simulation, crashes=crashes, failures=failures)
    assert {kind.__name__ for kind in found._kinds} == expected


@pytest.mark.slow
def test_every_disturbance_has_its_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a few seeds every kind is taken, and each does something now and then."""
    effects: Counter[str] = Counter()

    def watch(name: str) -> None:
        original = getattr(Disturbances, name)

        def watched(self: Disturbances) -> None:
            before = picture(self._it)
            try:
                original(self)
            except ProcessEnd:
                effects[name] += 1
                raise
            effects[name] += before != picture(self._it)

        monkeypatch.setattr(Disturbances, name, watched)

    kinds = STORED | {"kill", "lose_power", "bug", "refuse", "break_disk"}
    for name in kinds:
        watch(name)

    for seed in range(12):
        left = iter(range(40))

        async def work(manager: StateManager, left: Iterator[int] = left) -> None:
            for number in left:
                for scope in "abc":
                    with contextlib.suppress(StateError, HandlerBugError):
                        await manager.workflow_state(scope).aio.set("n", number)

        with Simulation(seed=seed, disturbed=0.2) as it:
            it.client("a", work)
            it.run()
    assert {name for name in kinds if not effects[name]} == set()


def picture(it: Simulation) -> tuple[object, ...]:
    """Return what disturbances change."""
    directory = it.manager.engine.directory
    return (
        it.clock.now(),
        it.dispatcher.occupied,
        it.dispatcher.waiting,
        it.bug,
        list(it.manager.journal.faults),
        [state.revision for state in directory.states.values()],
        len(directory.quarantined),
    )
