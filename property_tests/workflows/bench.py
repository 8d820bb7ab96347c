"""An interleaver, on which one workflow is run, and what is to be read of the run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from property_tests.workflows.plans import World
from property_tests.workflows.sequel import Seen
from stateward import JsonValue, StateManager
from stateward.actors.core import faults
from stateward.testing import Interleaver, flow_of
from stateward.testing.batons import Batons
from stateward.testing.plans import Plan
from stateward.workflows import Run, RunResult

WORKFLOW_ID = "w"


class Bench:
    """One manager, on which one workflow is run."""

    def __init__(self, it: Interleaver) -> None:
        """Work with `it`; `bench` is the way to get one."""
        self.manager: StateManager = it.manager
        self.batons: Batons = it.batons
        self.world = World(it)
        self._it = it

    def run(self, plan: Plan) -> RunResult:
        """Run the flow of a plan, or go on with it, until it is over."""
        return self._it.run(flow_of(plan, self.world.does), WORKFLOW_ID)

    def finish(self, run: Run) -> None:
        """Let everybody go on, and time pass, until a run is over."""
        self._it.finish(run)

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
    """Return a manager whose jobs go on one at a time, in an order that is chosen.

    They are overtaken where a step or a fault point says so, which is quicker than at
    every access.
    """
    with Interleaver(choices, accesses=False) as it:
        yield Bench(it)


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
