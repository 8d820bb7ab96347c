"""The system's clock, and calls at a later time."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

logger: Final = logging.getLogger("stateward.clock")

_TICKS: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system offers that."""

WAIT_MAX: Final = 60.0
"""LIMIT: seconds the timer sleeps at most; the machine may sleep as well meanwhile."""

_Appointment: TypeAlias = tuple[float, int, Callable[[], None]]
"""When, which of several, and what to do."""


class SystemClock:
    """A `Clock` that follows the system's, and never goes back.

    The wall clock is read once; from then on time advances as the machine's own counter
    does. A correction of the wall clock therefore neither expires nor revives a key.

    Concurrency: Any thread. Tasks are run by one daemon thread.
    """

    def __init__(self, not_before: float = 0.0) -> None:
        """Take the time, and start the thread.

        Not when it is first needed: that would be in a turn, which may be interrupted,
        and starting a thread may then leave a lock taken.

        Args:
            not_before: Seconds since the epoch; a wall clock that says less is wrong,
                and what has expired before must stay expired.
        """
        self.now: Callable[[], float] = partial(time.clock_gettime, _TICKS)
        """Called in every write; in C it costs a third of a method."""
        self._offset = max(time.time(), not_before) - self.now()
        self._order = count()
        self._arrivals: SimpleQueue[_Appointment | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(
            target=_keep, args=(self.now, self._arrivals), name="stateward-timer"
        )
        self._thread.daemon = True
        self._thread.start()

    def epoch(self, moment: float) -> float:
        """Return `moment`, something `now` returned, in seconds since the epoch."""
        return moment + self._offset

    def call_at(self, when: float, task: Callable[[], None]) -> None:
        """Run `task` once `now()` has reached `when`; nothing after `close`."""
        if not self._closed:
            # One C call: an interrupt cannot leave it half-way.
            self._arrivals.put((when, next(self._order), task))

    def close(self) -> None:
        """Forget every task and end the thread; idempotent."""
        self.abandon()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def abandon(self) -> None:
        """As `close`, but wait for nothing; a garbage collector must not."""
        self._closed = True
        self._arrivals.put(None)


def _keep(
    now: Callable[[], float], arrivals: "SimpleQueue[_Appointment | None]"
) -> None:
    """Keep the appointments that arrive, until `None` does."""
    book: list[_Appointment] = []
    while True:
        wait = book[0][0] - now() if book else WAIT_MAX
        try:
            arrival = arrivals.get(timeout=max(0.0, min(wait, WAIT_MAX)))
        except Empty:
            if book and book[0][0] <= now():
                _run(heappop(book)[2])
            continue
        if arrival is None:
            return
        heappush(book, arrival)


def _run(task: Callable[[], None]) -> None:
    try:
        task()
    except Exception:
        logger.exception("A timer's task failed: %r", task)
