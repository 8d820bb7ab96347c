"""A manager, a clock and a choice of who goes on: what each run here is made with."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from property_tests.workflows.batons import Batons
from property_tests.workflows.plans import TICK, Plan, World, build
from property_tests.workflows.sequel import Seen
from stateward import JsonValue, StateManager
from stateward.actors.core import faults
from stateward.testing import SimulatedClock
from stateward.workflows import Run, RunResult, atomic

TICKS_MAX = 10_000  # LIMIT: of the clock, for a run that waits for nothing to end
WORKFLOW_ID = "w"


class Bench:
    """One manager, on which one workflow is run."""

    def __init__(self, manager: StateManager, world: World) -> None:
        """Work with `manager`; `bench` is the way to get one."""
        self.manager = manager
        self.world = world
        self.batons = world.batons

    def run(self, plan: Plan) -> RunResult:
        """Run the flow of a plan, or go on with it, until it is over."""
        run = self.manager.start(build(plan, self.world), WORKFLOW_ID)
        self.finish(run)
        return run.result(0)

    def finish(self, run: Run) -> None:
        """Let everybody go on, and time pass, until a run is over."""
        ticks = 0
        while not run.done():
            if not self.batons.step():
                ticks += 1
                assert ticks < TICKS_MAX, "the run does not end"
                self.world.clock.advance(TICK)

    def recorded(self) -> RunResult:
        """Return what is recorded of the run."""
        state = self.manager.run_state(WORKFLOW_ID)
        assert state is not None
        return state

    def counts(self) -> dict[str, Any]:
        """Return what the steps have counted in the state of the workflow."""
        return dict(self.manager.workflow_state(WORKFLOW_ID))

    def mine(self) -> dict[str, JsonValue]:
        """Return what each step has written to its own state, by path."""
        state = self.manager.workflow_state(WORKFLOW_ID)
        return {path: state.step(path)["mine"] for path in state.steps()}


@contextmanager
def bench(choices: Iterable[int] = ()) -> Iterator[Bench]:
    """Return a manager whose jobs go on one at a time, in an order that is chosen."""
    clock, batons = SimulatedClock(), Batons(choices)
    world = World(clock, batons)
    with (
        # Who waits for a lock would keep the baton from the one that holds it.
        patch.object(atomic, "COURTESY", 0.0),
        StateManager(clock=clock, dispatcher=batons, ask_timeout=5) as manager,
    ):
        try:
            yield Bench(manager, world)
        finally:
            batons.drain()


@contextmanager
def pausing(batons: Batons) -> Iterator[None]:
    """Let another job go on before and after each command that records something."""
    with (
        faults.arm("run.commit", batons.pause),
        faults.arm("run.committed", batons.pause),
    ):
        yield


def steps_of(result: RunResult) -> dict[str, Seen]:
    """Return status, attempts and output of each step, by path."""
    return {it.path: (it.status, it.attempts, it.output) for it in result.steps}


def told(result: RunResult) -> tuple[Any, ...]:
    """Return what a result says, but for times and exceptions themselves."""
    failed = {path: type(error).__name__ for path, error in result.failures.items()}
    return result.status, result.output, steps_of(result), set(failed)
