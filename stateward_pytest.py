"""The pytest plugin, as pytest sees it; the rest is in `stateward.testing.plugin`.

Imported in every run of pytest where stateward is installed. So it imports nothing of
stateward, which costs a tenth of a second, before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stateward import StateManager
    from stateward.testing import SimulatedClock
    from stateward.testing.simulation_managers import SimulatedManager

MARKER = (
    "stateward(store='memory', **options): what the fixture stateward_manager is made "
    "with: store='sqlite' or 'rocksdb' is put into a folder of the test's own, options "
    "are those of StateManager, such as limits and durability."
)

SIMULATED_MARKER = (
    "simulated(**options): what the fixture simulated_manager is made with: seed and "
    "the other options of Simulation."
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, for runs with `--strict-markers`."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", SIMULATED_MARKER)


@pytest.fixture
def stateward_clock() -> SimulatedClock:
    """Lend a clock that stands still until the test advances it."""
    from stateward.testing import SimulatedClock

    return SimulatedClock()


@pytest.fixture
def stateward_manager(request: pytest.FixtureRequest) -> Iterator[StateManager]:
    """Lend a manager, closed after the test; `@pytest.mark.stateward` says which.

    It goes by `stateward_clock` if the test uses that too.
    """
    from stateward.testing.plugin import managed, options_of

    def folder() -> Path:
        path: Path = request.getfixturevalue("tmp_path")
        return path

    options = options_of(request.node.iter_markers("stateward"), folder)
    if "stateward_clock" in request.fixturenames:
        options.setdefault("clock", request.getfixturevalue("stateward_clock"))
    with managed(**options) as manager:
        yield manager


@pytest.fixture
def simulated_manager(request: pytest.FixtureRequest) -> Iterator[SimulatedManager]:
    """Lend the manager of a simulation, which is its attribute `simulation`.

    `@pytest.mark.simulated` says which; without it the manager is in memory, and only
    the order is chosen.
    """
    from stateward.testing import Simulation

    options: dict[str, Any] = {"durability": None, "crashes": False, "failures": False}
    for mark in reversed(list(request.node.iter_markers("simulated"))):
        options.update(mark.kwargs)
    with Simulation(**options) as simulation:
        yield simulation.manager
