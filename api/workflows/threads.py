"""Threads: where the steps of one manager's runs are carried out."""

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any, Final

from stateward.actors.core.errors import ClosedError
from stateward.actors.core.ports import Dispatcher
from stateward.actors.runtime.workers import WorkerPool

JOBS_MAX: Final = 32
"""LIMIT: threads that run plain steps of one manager, unless a `Parallel` asks for more
with `max_concurrency`; `async` steps need none."""


class Threads:
    """A pool for plain steps and a loop for `async` ones, each made when needed.

    Concurrency: Any thread.
    """

    def __init__(self, dispatcher: Dispatcher | None) -> None:
        """Make no thread yet.

        Args:
            dispatcher: Of the host, which then runs the steps; `None` for a pool.
        """
        self._dispatcher = dispatcher
        self._lock = threading.RLock()  # `abandon` may come from a finalizer.
        self._pool: WorkerPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def pool(self, threads: int) -> Dispatcher:
        """Return where plain steps run, `threads` of them at least at a time."""
        with self._lock:
            if self._closed:
                raise ClosedError("the manager is closed")
            if self._dispatcher is not None:
                return self._dispatcher
            if self._pool is None:
                self._pool = WorkerPool("stateward-step", JOBS_MAX)
            self._pool.allow(threads)
            return self._pool

    def make_room(self) -> None:
        """Let steps that nobody waits for any more keep no others from running."""
        if self._pool is not None:
            self._pool.make_room()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop for `async` steps of runs that were not begun in one."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_keep, args=(self._loop,), name="stateward-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def refuse(self) -> None:
        """Let no further run begin."""
        with self._lock:
            self._closed = True

    def close(self) -> None:
        """End every thread that is not stuck in a step; idempotent."""
        self.refuse()
        if self._pool is not None:
            self._pool.close()
        self._stop_loop()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join()

    def abandon(self) -> None:
        """As `close`, but wait for nothing; a garbage collector must not."""
        self._closed = True
        if self._pool is not None:
            self._pool.abandon()
        self._stop_loop()

    def _stop_loop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._loop.stop)
            except RuntimeError:
                pass  # RACE: it was closed just now.


async def awaited(value: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Await a step; return what came of it if that would end the whole loop."""
    try:
        return await value, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


def _keep(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then cancel what is left in it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()
