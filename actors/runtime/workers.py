"""Workers: a small pool of threads that run the turns no caller runs.

The pool grows while all its threads are at work, so that a slow function in one turn
does not keep the others waiting, up to `WORKERS_MAX`. Its threads are daemons and hold
no reference to what they serve: a forgotten pool keeps nothing alive.
"""

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final
from weakref import WeakSet

from stateward.actors.core import faults
from stateward.actors.core.ports import Task
from stateward.actors.runtime.guard import FORKED, busy

WORKERS_MAX: Final = 4
"""LIMIT: turns that threads of a manager run at once, beside those of its callers."""

logger: Final = logging.getLogger("stateward.workers")


class WorkerPool:
    """A `Dispatcher` on threads of its own.

    Concurrency: Any thread, also within a signal handler: `submit` is one C call.
    """

    forked = False
    """Whether the threads stayed behind in the parent process."""

    def __init__(
        self, name: str = "stateward-worker", threads_max: int = WORKERS_MAX
    ) -> None:
        """Make a pool and its first thread; others follow when they are needed.

        Args:
            name: What the names of its threads begin with.
            threads_max: How many there may be, besides those whose task is `lost`:
                it says so itself when nobody waits for its end any more.
        """
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._crew = _Crew(name, self._tasks, threads_max)
        self._crew.grow()
        _pools.add(self)

    def allow(self, threads_max: int) -> None:
        """Let there be as many threads, unless there may be more already."""
        self._crew.threads_max = max(self._crew.threads_max, threads_max)
        self._crew.grow()  # What waits already has waited for this.

    def make_room(self) -> None:
        """Look for lost tasks now, and add a thread if all others are at work."""
        self._crew.grow()

    @property
    def submit(self) -> Callable[[Task], None]:
        """Have a task run soon: the `put` of a queue, which cannot be interrupted."""
        return self._tasks.put

    def close(self) -> None:
        """Finish what was submitted, then end the threads; idempotent."""
        if not self.forked:
            for thread in self._crew.dismiss():
                if thread is not threading.current_thread():
                    thread.join()

    def abandon(self) -> None:
        """As `close`, but wait for nothing; a garbage collector must not."""
        if not self.forked:
            self._crew.dismiss()


class _Crew:
    """The threads of a pool, apart from it so that they do not keep it alive."""

    def __init__(
        self, name: str, tasks: "SimpleQueue[Task | None]", threads_max: int
    ) -> None:
        self._name = name
        self.threads_max = threads_max
        self._running: dict[threading.Thread, Task] = {}
        self._tasks = tasks
        self._lock = threading.RLock()  # `dismiss` may come from a finalizer.
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def grow(self) -> None:
        """Add a thread unless one is idle or there are enough."""
        with self._lock:
            if self._idle or self._closed:
                return
            if len(self._threads) - self._lost() >= self.threads_max:
                return
            self._idle += 1
            thread = threading.Thread(
                target=self._work,
                name=f"{self._name}-{len(self._threads) + 1}",
                daemon=True,
            )
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no more threads; those there are go on.
                self._threads.remove(thread)
                self._idle -= 1
                if not self._threads:
                    raise
                logger.exception("No thread for %s", thread.name)

    def dismiss(self) -> list[threading.Thread]:
        """Let every thread finish what was submitted; return those that will."""
        with self._lock:
            self._closed = True
            # Kept, so that it can be repeated after an interrupt.
            threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        return [it for it in threads if not _is_lost(self._running.get(it))]

    def _lost(self) -> int:
        """Return how many threads are in a task that may never end."""
        if len(self._threads) < self.threads_max:
            return 0
        return sum(map(_is_lost, list(self._running.values())))

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            thread = threading.current_thread()
            with self._lock:
                self._idle -= 1
                self._running[thread] = task
            self.grow()
            try:
                if faults.armed:
                    faults.hit("worker.task")
                task.run()
            except BaseException:
                # A worker outlives every task; what one raises is a bug of ours.
                logger.exception("A task failed: %r", task)
            del task
            with self._lock:
                del self._running[thread]
                self._idle += 1


def _is_lost(task: Task | None) -> bool:
    return getattr(task, "lost", False)


_pools: Final[WeakSet[WorkerPool]] = WeakSet()
_shared: Final[dict[str, WorkerPool]] = {}


def shared_pool() -> WorkerPool:
    """Return the pool of all actors that were not given one."""
    pool = _shared.get("pool")
    if pool is None:
        # RACE: two first actors each make one; one is kept, the other ends at once.
        made = WorkerPool("stateward-shared")
        pool = _shared.setdefault("pool", made)
        if pool is not made:
            made.abandon()
    return pool


def _after_fork() -> None:
    """In the child: no thread came along, and some lock may be held for ever."""
    _shared.clear()
    for pool in _pools:
        pool.forked = True
    busy.clear()
    busy.add(FORKED)


os.register_at_fork(after_in_child=_after_fork)
