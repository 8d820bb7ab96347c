from collections.abc import Callable

from stateward import Clock, Dispatcher, StateManager
from stateward.actors.core.ports import Task
from stateward.actors.runtime.clock import SystemClock
from stateward.testing import SimulatedClock


class OwnDispatcher:
    """A host's own `Dispatcher`: whoever submits runs the task."""

    def __init__(self) -> None:
        self.served = 0

    @property
    def submit(self) -> Callable[[Task], None]:
        """Run a task now."""
        return self._run

    def _run(self, task: Task) -> None:
        self.served += 1
        task.run()


def test_clock_is_told_apart_at_run_time() -> None:
    """Both clocks there are stand in for the port, and a lookalike does not."""
    system = SystemClock()
    assert isinstance(system, Clock)
    assert isinstance(SimulatedClock(), Clock)
    assert not isinstance(object(), Clock)
    system.close()


def test_dispatcher_of_the_host_runs_what_is_queued() -> None:
    """A manager given a dispatcher queues its messages there."""
    dispatcher = OwnDispatcher()
    port: Dispatcher = dispatcher
    with StateManager(dispatcher=port) as manager:
        state = manager.workflow_state("w")
        future = manager.supervisor.ask(_set(state.scope.prefix()), block=False)
        assert future.get() == 1
        assert state.get("k") == 1
    assert dispatcher.served > 0


def _set(prefix: str) -> object:
    from stateward import parse_scope
    from stateward.messages import SetState

    return SetState(parse_scope(prefix), "k", 1)
