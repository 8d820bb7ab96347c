"""The system's clock, and calls at a later time."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Final

logger: Final = logging.getLogger("stateward.clock")

_TICKS: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system offers that."""


class SystemClock:
    """A `Clock` that follows the system's, and never goes back.

    The wall clock is read once; from then on time advances as the machine's own counter
    does. A correction of the wall clock therefore neither expires nor revives a key.

    Concurrency: Any thread. Tasks are run by one daemon thread, started when needed.
    """

    def __init__(self) -> None:
        """Take the time."""
        self.now: Callable[[], float] = partial(time.clock_gettime, _TICKS)
        """Called in every write; in C it costs a third of a method."""
        self._offset = time.time() - self.now()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def epoch(self, moment: float) -> float:
        """Return `moment`, something `now` returned, in seconds since the epoch."""
        return moment + self._offset

    def call_at(self, when: float, task: Callable[[], None]) -> None:
        """Run `task` once `now()` has reached `when`; nothing after `close`."""
        with self._changed:
            if self._closed:
                return
            heappush(self._tasks, (when, next(self._order), task))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="stateward-timer", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Forget every task and end the thread; idempotent."""
        thread = self.abandon()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def abandon(self) -> threading.Thread | None:
        """As `close`, but return the thread instead of waiting for it."""
        with self._changed:
            self._closed = True
            self._tasks.clear()
            self._changed.notify()
            return self._thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._due():
                    wait = self._tasks[0][0] - self.now() if self._tasks else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                task = heappop(self._tasks)[2]
            try:
                task()
            except Exception:
                logger.exception("A timer's task failed: %r", task)

    def _due(self) -> bool:
        return bool(self._tasks) and self._tasks[0][0] <= self.now()
