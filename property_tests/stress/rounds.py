"""Rounds of a stress test: some threads, some dozens of calls each, many times over.

A round is short, so that it begins and ends often, which is where things go wrong, and
is bounded in calls and not in time. Threads are switched as often as the interpreter
lets them. What is drawn at random depends on the seed of the run, which is printed with
a failure, though not on which thread gets ahead: a round that failed is likely, but not
certain, to fail again.
"""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from property_tests.profiles import rounds
from stateward import Limits, StateManager, WorkflowState
from stateward.testing import SimulatedClock

SWITCH_INTERVAL: Final = 1e-6
"""Seconds; the interpreter asks the running thread to let go about every time."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round works with."""

    manager: StateManager
    """The same for all rounds of a test."""
    clock: SimulatedClock
    chance: random.Random
    """Seeded; for the main thread, which hands out `seeds` to the others."""
    workflow: WorkflowState
    """One that no other round has."""

    def seeds(self, count: int) -> list[random.Random]:
        """Return as many sources of random numbers as there are threads."""
        return [random.Random(self.chance.getrandbits(64)) for _ in range(count)]


def stress(
    ci: int, *, limits: Limits | None = None, idle_timeout: float | None = None
) -> Callable[[Callable[[Round], None]], Callable[[pytest.FixtureRequest], None]]:
    """Have a test run for many rounds, of which it is one.

    Args:
        ci: How many rounds to run in the gate; the profile says how many otherwise.
        limits: Of the manager.
        idle_timeout: Of the manager, in seconds of the round's clock.
    """

    def decorate(
        test: Callable[[Round], None],
    ) -> Callable[[pytest.FixtureRequest], None]:
        def run(request: pytest.FixtureRequest) -> None:
            first = int(request.config.getoption("hypothesis_seed") or 0)
            clock = SimulatedClock()
            with (
                StateManager(
                    clock=clock, limits=limits, idle_timeout=idle_timeout
                ) as manager,
                eager_switching(),
            ):
                for number in range(rounds(ci)):
                    chance = random.Random(f"{first}/{number}")
                    workflow = manager.workflow_state(f"round:{number}")
                    try:
                        test(Round(manager, clock, chance, workflow))
                    except BaseException as error:
                        error.add_note(f"in round {number} of seed {first}")
                        raise
                    workflow.drop()

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        run.__module__, run.__qualname__ = test.__module__, test.__qualname__
        return run

    return decorate


def together(*work: Callable[[], object]) -> None:
    """Run all of `work` at the same time, each on a thread; raise what one raised."""
    start = threading.Barrier(len(work))
    errors: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            start.wait()
            task()
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def eager_switching() -> Iterator[None]:
    """Switch threads as often as can be, until the block ends."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def times(count: int, task: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that runs `task` that often."""

    def run() -> None:
        for _ in range(count):
            task()

    return run
