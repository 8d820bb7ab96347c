"""A dispatcher that only collects: a schedule says which inbox has its turn next."""

from collections.abc import Callable
from typing import Final

from stateward.actors.core.ports import Task
from stateward.actors.runtime.inbox import TurnInbox


class SimulatedDispatcher:
    """A `Dispatcher` under which nothing runs until it is chosen.

    An actor can also be made to look `occupied`, as it does while another thread is in
    one of its turns: what it is sent meanwhile has to wait.

    A manager with this dispatcher has no thread at all: what it commits is written when
    somebody calls `turn` of its committer, as `Simulation` does.

    Concurrency: One thread.

    Example:
        >>> from stateward import StateManager
        >>> from stateward.messages import IncrementState
        >>> dispatcher = SimulatedDispatcher()
        >>> with StateManager(dispatcher=dispatcher) as manager:
        ...     state = manager.workflow_state("order-123")
        ...     state["n"] = 1
        ...     owner = manager.engine.owner(state.scope)
        ...     reply = owner.post(IncrementState(state.scope, "n"))
        ...     state["n"], dispatcher.waiting
        ...     dispatcher.run(0)
        ...     state["n"]
        (1, 1)
        2
    """

    single_threaded: Final = True
    """Whether nothing may be left to a thread of the manager's own."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._tasks: dict[int, Task] = {}
        self._occupied: dict[int, TurnInbox] = {}

    @property
    def submit(self) -> Callable[[Task], None]:
        """Note a task; one that waits already is not noted again."""
        return self._submit

    def _submit(self, task: Task) -> None:
        self._tasks.setdefault(id(task), task)

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._tasks)

    @property
    def occupied(self) -> int:
        """How many actors look as if they were in a turn."""
        return len(self._occupied)

    def run(self, index: int) -> None:
        """Run one of the tasks that wait.

        Args:
            index: Which one, counted from the one that has waited longest.
        """
        key = list(self._tasks)[index]
        self._tasks.pop(key).run()

    def occupy(self, inbox: TurnInbox) -> None:
        """Have an actor look as if another thread were in its turn; idempotent."""
        if id(inbox) not in self._occupied:
            self._occupied[id(inbox)] = inbox
            inbox.acquire = _refuse

    def vacate(self, index: int) -> None:
        """Let an occupied actor's turn end; whoever is in one looks at the mail last.

        Args:
            index: Which one, counted from the one that has been occupied longest.
        """
        key = list(self._occupied)[index]
        inbox = self._occupied.pop(key)
        inbox.acquire = inbox.turn.acquire
        if inbox.mail:
            self._submit(inbox)


def _refuse(blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ARG001
    return False
