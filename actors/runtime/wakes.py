"""Waking: those who wait for a commit are answered together, and must not crowd.

Threads that are woken together all ask for the interpreter's lock while one has it:
each is switched to twice, once to find it taken. So the committer wakes one, who wakes
the next before it goes on, and so forth. It wakes whoever is left in the row when it
looks again, and then wakes all at once for a while: beside threads that compute each
in a row would have to win the interpreter's lock from them.

The main thread can be interrupted between taking the next one off the row and waking
it, so it is woken directly, and wakes nobody.

Tasks of an event loop are all told by one call to the loop, which costs a call of the
system. One timer a loop looks for those whose time is up, and for those whom an
interrupt, or a loop that failed, has kept from hearing.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary, ref

if TYPE_CHECKING:
    import asyncio

GATHER: Final = 50e-6
"""Seconds given to those who were answered together to come back together; measured."""
LATE: Final = 0.001
"""Seconds after which the committer wakes whom nobody has."""
CROWDS: Final = 20
"""LIMIT: how many groups are woken at once after one that was not awake in time."""
LOOK: Final = 1.0
"""Seconds between two looks at the tasks of a loop that wait."""

logger: Final = logging.getLogger("stateward.wakes")


class Answer(Protocol):
    """What somebody waits for."""

    def done(self) -> bool:
        """Return whether it is there."""
        ...


class Wakes:
    """Who waits for a commit, be it a thread or a task.

    Within a `with` block, whom its thread answers is woken at the end of the block.
    Nobody raises here but the system: who is woken must not harm who commits.

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
        """What wakes each thread that has been answered, in a row."""
        self._crowds = 0
        """How many groups are still to be woken at once."""
        self._tasks: dict[asyncio.AbstractEventLoop, deque[asyncio.Future[None]]] = {}
        """Those that have been answered."""
        self._watches: WeakValueDictionary[int, _Watch] = WeakValueDictionary()
        """Of each loop in which tasks wait, by its `id`; kept alive by its timer."""

    def __enter__(self) -> None:
        """Begin to answer many."""
        self._answering = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        """Wake all tasks that were answered, and a thread to begin with."""
        self._answering = None
        if self._crowds:
            self._crowds -= 1
            self._wake_all()
        self.next()
        while self._tasks:
            wake_tasks(*self._tasks.popitem())

    def next(self) -> None:
        """Wake one more thread; called by each that was woken."""
        try:
            wake = self._threads.popleft()
        except IndexError:
            return  # That was all.
        wake()

    def are_left(self) -> bool:
        """Return whether threads have been answered and not woken."""
        return bool(self._threads)

    def rest(self) -> None:
        """Wake all threads that are left, before something that may take long."""
        if self._threads:
            self._crowds = CROWDS
            self._wake_all()

    def _wake_all(self) -> None:
        while self._threads:
            self.next()

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
            self._tasks.setdefault(loop, deque()).append(ready)
        else:
            wake_tasks(loop, deque([ready]))

    def limit(
        self,
        loop: "asyncio.AbstractEventLoop",
        ready: "asyncio.Future[None]",
        answer: Answer,
    ) -> None:
        """Have a task go on in time, answered or not, that waits for `ready`."""
        watch, deadline = self._watches.get(id(loop)), loop.time() + self.timeout
        if watch is not None and watch.loop() is loop:
            watch.add(deadline, ready, answer)
        else:
            watch = self._watches[id(loop)] = _Watch(loop)
            watch.add(deadline, ready, answer)
            watch.arm(loop)


class _Watch:
    """The tasks of one loop that wait, each no longer than those that came later.

    A timer of its own for each would take a seventh of all that a write costs. This one
    keeps the watch alive: it is gone with its loop, or when nobody waits.
    """

    __slots__ = ("__weakref__", "_waiting", "loop")

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self.loop = ref(loop)
        self._waiting: deque[tuple[float, asyncio.Future[None], Answer]] = deque()

    def add(
        self, deadline: float, ready: "asyncio.Future[None]", answer: Answer
    ) -> None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            del waiting[0]
        waiting.append((deadline, ready, answer))

    def arm(self, loop: "asyncio.AbstractEventLoop") -> None:
        due = min(loop.time() + LOOK, self._waiting[0][0])
        loop.call_at(due, self._look, loop)

    def _look(self, loop: "asyncio.AbstractEventLoop") -> None:
        waiting, now = self._waiting, loop.time()
        if waiting:
            # ORDER: first. What follows may be interrupted, and is repeated then.
            self.arm(loop)
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            finish(loop, deque([waiting[0][1]]))
            del waiting[0]
        finish(loop, deque(it[1] for it in waiting if it[2].done()))


def wake_tasks(
    loop: "asyncio.AbstractEventLoop", tasks: "deque[asyncio.Future[None]]"
) -> None:
    """Have the tasks that wait for these go on, from any thread."""
    try:
        loop.call_soon_threadsafe(finish, loop, tasks)
    except RuntimeError:
        pass  # RACE: the loop was closed; nobody waits there any more.
    except Exception:
        # The others must not suffer. It looks for its tasks by itself, a second later.
        logger.exception("%r takes no calls", loop)


def finish(
    loop: "asyncio.AbstractEventLoop", tasks: "deque[asyncio.Future[None]]"
) -> None:
    """Have the tasks that wait for these go on, in the thread of their loop."""
    try:
        while tasks:
            if not tasks[0].done():
                tasks[0].set_result(None)
            del tasks[0]
    finally:
        if tasks:
            # An interrupt of the main thread came; the loop may be run on.
            loop.call_soon(finish, loop, tasks)


def make_way() -> None:
    """Let whoever was woken run, and come back."""
    time.sleep(GATHER)
