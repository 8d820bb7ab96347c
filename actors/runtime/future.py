"""`TurnFuture`: a Pykka future that can be awaited without blocking the event loop."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from stateward.actors.runtime.guard import busy, check_may_wait

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class TurnFuture(pykka.ThreadingFuture[T]):
    """The reply to a queued message.

    Concurrency: Any thread may wait; `await` works on any running asyncio loop and
    leaves the loop free, where Pykka's own futures block it.
    """

    def __init__(self) -> None:
        """Make a future nothing is known of."""
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []
        self.withdraw: Callable[[], bool] = _too_late
        """Take the message back; `False` if its turn has begun or is over."""

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the reply, or raise it if it is an exception.

        Raises:
            ReentrantCallError: There is none yet, and this is inside a turn.
            pykka.Timeout: None came within `timeout` seconds.
        """
        if busy and not self.done():
            check_may_wait()
        return super().get(timeout=timeout)

    def done(self) -> bool:
        """Return whether there is a reply to get."""
        return self._result is not None

    def set(self, value: Any | None = None) -> None:
        """Give the reply, once."""
        super().set(value)
        self._call_back()

    def set_exception(self, exc_info: Any | None = None) -> None:
        """Give an exception as the reply, once."""
        super().set_exception(exc_info)
        self._call_back()

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in the thread that replies, or now if it has."""
        with self._condition:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback()

    def _call_back(self) -> None:
        with self._condition:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
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

            def wake() -> None:
                try:
                    loop.call_soon_threadsafe(_finish, ready)
                except RuntimeError:
                    pass  # RACE: the loop was closed; nobody waits there any more.

            self.add_done_callback(wake)
            yield from ready.__await__()
        result: T = self.get()
        return result

    __iter__ = __await__


def _finish(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _too_late() -> bool:
    return False
