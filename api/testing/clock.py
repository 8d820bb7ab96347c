"""A clock under a test's control."""

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from stateward.actors.core.limits import check_ttl


class SimulatedClock:
    """A `Clock` that moves when it is told to, and runs what becomes due.

    Concurrency: Any thread may read it; tasks run in the thread that advances it.

    Example:
        >>> from stateward import StateManager
        >>> clock = SimulatedClock()
        >>> with StateManager(clock=clock) as manager:
        ...     state = manager.global_state()
        ...     state.set("token", "abc", ttl=60)
        ...     clock.advance(60)
        ...     "token" in state
        1
        False
    """

    def __init__(self, start: float = 1_000_000.0) -> None:
        """Begin at `start` seconds since the epoch."""
        self._now = start
        self._order = count()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    def epoch(self, moment: float) -> float:
        """Return `moment`: this clock counts from the epoch."""
        return moment

    def call_at(self, when: float, task: Callable[[], None]) -> None:
        """Run `task` when the clock is advanced to `when`."""
        with self._lock:
            heappush(self._tasks, (when, next(self._order), task))

    def advance(self, seconds: float) -> None:
        """Move the clock, running what becomes due on the way, at its time.

        Raises:
            UsageError: `seconds` is no number, negative or endless; a clock does not
                go back.
        """
        if seconds != 0:
            check_ttl(seconds, "seconds")
        target = self._now + seconds
        while True:
            with self._lock:
                if not self._tasks or self._tasks[0][0] > target:
                    break
                when, _, task = heappop(self._tasks)
            self._now = max(self._now, when)
            task()
        self._now = target
