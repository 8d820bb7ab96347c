"""`TurnFuture`: a Pykka future that can be awaited without blocking the event loop.

It has no lock. The main thread can be interrupted while it waits; the lock of a Python
`Condition`, as Pykka's own futures have one, might then stay taken, and whoever replies
would wait for it for ever, inside the turn of an actor.
"""

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from math import inf
from typing import Any, Final, TypeVar, cast

import pykka

from stateward.actors.runtime.guard import busy, check_may_wait, is_interruptible
from stateward.actors.runtime.wakes import wake_tasks

T = TypeVar("T")

LOOK: Final = 1.0
"""Seconds after which the main thread looks whether it was interrupted: a signal that
comes when it is just about to wait does not end the wait."""


class TurnFuture(pykka.Future[T]):
    """The reply to a queued message.

    Concurrency: Any thread may wait; `await` works on any running asyncio loop and
    leaves the loop free, where Pykka's own futures block it.
    """

    def __init__(self) -> None:
        """Make a future nothing is known of."""
        super().__init__()
        self._unset = [True]
        self._result: tuple[Any, Any] | None = None
        self._callbacks: deque[Callable[[], None]] = deque()
        self.withdraw: Callable[[], bool] = _too_late
        """Take the message back; `False` if its turn has begun or is over."""

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the reply, or raise it if it is an exception.

        Raises:
            ReentrantCallError: There is none yet, and this is inside a turn.
            pykka.Timeout: None came within `timeout` seconds.
        """
        if self._get_hook is not None:
            with self._hooked:
                return super().get(timeout=timeout)
        value, raised = self._result or self._wait(timeout)
        if raised is None:
            return value
        kind, error, traceback = raised
        raise (kind() if error is None else error).with_traceback(traceback)

    def _wait(self, timeout: float | None) -> tuple[Any, Any]:
        if busy:
            check_may_wait()
        latch = threading.Lock()
        latch.acquire()
        main = is_interruptible()
        self.add_done_callback(latch.release if main else self._waking(latch.release))
        most = LOOK if main else threading.TIMEOUT_MAX
        left = inf if timeout is None else timeout
        deadline = time.monotonic() + left
        try:
            while not latch.acquire(timeout=max(0, min(most, left))):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise pykka.Timeout(f"{timeout} seconds")
        finally:
            if not main:
                self._awake()
        return cast("tuple[Any, Any]", self._result)

    def _waking(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Return what to call once there is a reply, to have a thread woken."""
        return wake

    def _awake(self) -> None:
        """Note that such a thread goes on, with a reply or without."""

    def done(self) -> bool:
        """Return whether there is a reply to get."""
        return self._result is not None

    def set(self, value: Any | None = None) -> None:
        """Give the reply, once."""
        self._reply(value, None)

    def set_exception(self, exc_info: Any | None = None) -> None:
        """Give an exception as the reply, once."""
        self._reply(None, exc_info or sys.exc_info())

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have `func` find out the reply when somebody waits for it."""
        if self._get_hook is None:
            self._claim()
            self._hooked = threading.RLock()  # Few are hooked, and it takes 0.5 us.
        super().set_get_hook(func)

    def _reply(self, value: Any, raised: Any) -> None:
        self._claim()
        self._result = (value, raised)
        self._call_back()

    def _claim(self) -> None:
        try:
            # One C call, so that two threads never both succeed.
            self._unset.pop()
        except IndexError:
            raise queue.Full from None

    def refuse(self, error: BaseException) -> None:
        """Give `error` as the reply, once."""
        self.set_exception((type(error), error, error.__traceback__))

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in the thread that replies, or now if it has."""
        self._callbacks.append(callback)
        if self.done():
            # RACE: whoever replied may have looked before.
            self._call_back()

    def _call_back(self) -> None:
        while True:
            try:
                callback = self._callbacks.popleft()
            except IndexError:
                return
            callback()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the reply on the running loop."""
        import asyncio  # It takes a fifth of `import stateward`; not all await.

        loop = asyncio.get_running_loop()
        if self._get_hook is not None:
            # Made by `map`, `join` and their like, which can only be waited for.
            reply: T = yield from loop.run_in_executor(None, self.get).__await__()
            return reply
        if not self.done():
            ready = loop.create_future()
            self.add_done_callback(partial(wake_tasks, loop, deque([ready])))
            yield from ready.__await__()
        result: T = self.get()
        return result

    __iter__ = __await__


def _too_late() -> bool:
    return False
