"""Waking: those who wait for a commit are answered together, and must not crowd.

Threads that are woken together all ask for the interpreter's lock while one has it:
each is switched to twice, once to find it taken. So the committer wakes one, who wakes
the next before it goes on, and so forth. Should one of them fail to, the committer
wakes whoever is left a moment later.

The main thread can be interrupted between taking the next one off the row and waking
it, so it is woken directly, and wakes nobody.

Tasks of an event loop are all told by one call to the loop, which costs a call of the
system; and one timer a loop tells those whose answer does not come.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

LATE: Final = 0.001
"""Seconds after which the committer wakes whom nobody has."""


class Wakes:
    """Who waits for a commit, be it a thread or a task.

    Within a `with` block, whom its thread answers is woken at the end of the block.

    Concurrency: The block and `rest` by one thread at a time; `limit` by that of the
    loop; all else by any.
    """

    def __init__(self, timeout: float) -> None:
        """Begin with nobody.

        Args:
            timeout: Seconds that each waits at most.
        """
        self.timeout = timeout
        self._answering: int | None = None
        """The thread that is in the block."""
        self._threads: deque[Callable[[], None]] = deque()
        """What wakes each thread that has been answered."""
        self._tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        """Those that have been answered."""
        self._deadlines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Deadlines] = (
            WeakKeyDictionary()
        )

    def __enter__(self) -> None:
        """Begin to answer many."""
        self._answering = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        """Wake all tasks that were answered, and a thread to begin with."""
        self._answering = None
        self.next()
        self._tell_tasks()

    def _tell_tasks(self) -> None:
        for loop, tasks in list(self._tasks.items()):
            wake_tasks(loop, tasks)
            # ORDER: they are woken again, in vain, should this be cut short.
            del self._tasks[loop]

    def next(self) -> None:
        """Wake one more thread; called by each that was woken."""
        with suppress(IndexError):
            self._threads.popleft()()

    def are_left(self) -> bool:
        """Return whether any have been answered and not woken."""
        return bool(self._threads or self._tasks)

    def rest(self) -> None:
        """Wake all who are left."""
        while self._threads:
            self.next()
        self._tell_tasks()

    def thread(self, wake: Callable[[], None]) -> None:
        """Have a thread woken that has been answered, by calling `wake`."""
        if self._answering == threading.get_ident():
            self._threads.append(wake)
        else:
            wake()

    def task(
        self, loop: "asyncio.AbstractEventLoop", ready: "asyncio.Future[None]"
    ) -> None:
        """Have a task woken that has been answered and waits for `ready`."""
        if self._answering == threading.get_ident():
            self._tasks.setdefault(loop, []).append(ready)
        else:
            wake_tasks(loop, [ready])

    def limit(
        self, loop: "asyncio.AbstractEventLoop", ready: "asyncio.Future[None]"
    ) -> None:
        """Have a task go on in time, answered or not, that waits for `ready`."""
        deadlines = self._deadlines.get(loop)
        if deadlines is None:
            deadlines = self._deadlines[loop] = _Deadlines()
        deadlines.add(loop, ready, loop.time() + self.timeout)


class _Deadlines:
    """When the tasks of one loop go on at the latest; none before those who came first.

    A timer of its own for each would take a seventh of all that a write costs.
    """

    __slots__ = ("_armed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._armed = False

    def add(
        self,
        loop: "asyncio.AbstractEventLoop",
        ready: "asyncio.Future[None]",
        when: float,
    ) -> None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((when, ready))
        if not self._armed:
            self._armed = True
            loop.call_at(when, self._look, loop)

    def _look(self, loop: "asyncio.AbstractEventLoop") -> None:
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            finish([waiting.popleft()[1]])
        self._armed = bool(waiting)
        if waiting:
            loop.call_at(waiting[0][0], self._look, loop)


def wake_tasks(
    loop: "asyncio.AbstractEventLoop", tasks: "list[asyncio.Future[None]]"
) -> None:
    """Have the tasks that wait for these go on, from any thread."""
    try:
        loop.call_soon_threadsafe(finish, tasks)
    except RuntimeError:
        pass  # RACE: the loop was closed; nobody waits there any more.


def finish(tasks: "list[asyncio.Future[None]]") -> None:
    """Have the tasks that wait for these go on, in the thread of their loop."""
    for ready in tasks:
        if not ready.done():
            ready.set_result(None)
