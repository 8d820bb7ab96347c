"""Event loops that go on when they are told to: one for each client of a simulation.

A client awaits the library as an application does; whatever it waits for, and each
timeout, ends up here. Tasks, futures and timeouts are those of `asyncio`, unchanged.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVarTuple

from stateward.actors.core.ports import Clock

Ts = TypeVarTuple("Ts")


class SimulatedLoop(asyncio.AbstractEventLoop):
    """An event loop that runs one callback at a time, by the clock of a simulation.

    It is of one client, as if each client had a thread: its callbacks run in order, and
    those of different clients in any.

    Concurrency: One thread.
    """

    def __init__(self, clock: Clock) -> None:
        """Make a loop with nothing to do."""
        self.clock = clock
        self.ready: deque[Callback] = deque()
        """What can go on, in order."""
        self.timers: list[Timer] = []
        """What goes on later."""

    def step(self) -> None:
        """Run the first callback that is ready."""
        outer = asyncio._get_running_loop()  # noqa: SLF001  # asyncio's, for event loops
        asyncio._set_running_loop(self)  # noqa: SLF001  # asyncio's, for event loops
        try:
            self.ready.popleft().run()
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001  # asyncio's, for event loops

    def wake(self) -> None:
        """Have those timers be ready that are due."""
        now = self.clock.now()
        for timer in sorted(self.timers, key=lambda it: it.when()):
            if timer.when() <= now:
                self.timers.remove(timer)
                self.ready.append(timer)

    def time(self) -> float:
        """Return seconds of the simulated clock."""
        return self.clock.now()

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Have `callback` called in a step to come."""
        handle = Callback(callback, args, self, context)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Have `callback` called once the clock says `when`."""
        timer = Timer(when, callback, args, self, context)
        self.timers.append(timer)
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Have `callback` called once `delay` seconds have passed."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Forget a timer; asyncio calls this."""
        if handle in self.timers:
            self.timers.remove(handle)  # type: ignore[arg-type]  # one of ours

    def create_future(self) -> asyncio.Future[Any]:  # type: ignore[explicit-any]  # as asyncio's
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[explicit-any,override]  # as asyncio's, without options
        self, coro: Coroutine[Any, Any, Any], **_: object
    ) -> asyncio.Task[Any]:
        """Return a task of this loop."""
        return asyncio.Task(coro, loop=self)

    def get_debug(self) -> bool:
        """Return whether asyncio is to be slow and careful: no."""
        return False

    def is_running(self) -> bool:
        """Return whether a step of this loop is under way."""
        return asyncio._get_running_loop() is self  # noqa: SLF001  # as above

    def is_closed(self) -> bool:
        """Return whether nothing goes on any more: it never comes to that."""
        return False

    def call_exception_handler(self, context: dict[str, object]) -> None:
        """Raise what a callback has raised; nobody else would hear of it."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            raise error


class Callback(asyncio.Handle):
    """A callback that a step can run."""

    def run(self) -> None:
        """Call it, unless that was cancelled."""
        if not self.cancelled():
            self._run()


class Timer(asyncio.TimerHandle, Callback):
    """A callback that has its time."""
