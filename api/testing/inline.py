"""A dispatcher without threads: who runs next is up to the test.

What an engine leaves to its workers (signals between actors, expiries, queued messages)
then happens at a known moment, so that a failing run can be repeated and made smaller.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stateward.actors.core.ports import Task


def first(_: int) -> int:
    """Choose the task that has waited longest."""
    return 0


class InlineDispatcher:
    """A `Dispatcher` that runs a task where it is submitted, or later when told to.

    Concurrency: One thread.
    """

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._tasks: deque[Task] = deque()
        self._running: Task | None = None
        self._insisting: list[Task] = []
        self._deferred = False

    @property
    def submit(self) -> Callable[[Task], None]:
        """Run a task at once, unless one is running or tasks are being deferred."""
        return self._submit

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._tasks) + len(self._insisting)

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Only collect what is submitted meanwhile; the next `submit` runs it."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def drain(self, choose: Callable[[int], int] = first) -> None:
        """Run tasks until none is left.

        Args:
            choose: Is given how many tasks wait, and returns the index of the next one.
        """
        while self.waiting:
            self._run(choose)

    def _submit(self, task: Task) -> None:
        if task is self._running:
            # It cannot go on here: its turn is being run further up in this thread, or
            # has lasted long enough. Running it again and again would not end.
            self._insisting.append(task)
            return
        self._tasks.append(task)
        if self._running is None and not self._deferred:
            self._run(first)

    def _run(self, choose: Callable[[int], int]) -> None:
        """Run each task that waits, and those they submit in turn."""
        self._tasks.extend(self._insisting)
        self._insisting.clear()
        while self._tasks:
            index = choose(len(self._tasks))
            task = self._tasks[index]
            del self._tasks[index]
            self._running = task
            try:
                task.run()
            finally:
                self._running = None
