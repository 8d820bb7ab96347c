"""Chores: what the committer does between two commits, beside what is staged."""

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from stateward.actors.core.errors import ClosedError

T = TypeVar("T")

_LOOK: Final = 1.0
"""Seconds between two looks at whether the thread that is waited for has ended."""


class Chore(Generic[T]):
    """Something else that writes to a store, and so has its turn between commits."""

    def __init__(self, action: Callable[[], T]) -> None:
        """Hold what is to be done."""
        self._action = action
        self._result: T | None = None
        self._error: BaseException | None = None
        self._latch = threading.Lock()
        """Bare, for the main thread can be interrupted while it waits; see `future`."""
        self._latch.acquire()
        self._done = False

    def run(self, failure: Exception | None) -> None:
        """Do it, in the committer's thread; not after a failure."""
        try:
            if failure is not None:
                raise failure
            self._result = self._action()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
        self._done = True
        self._latch.release()

    def wait(self, worker: threading.Thread) -> T:
        """Wait until `worker` has done it; return what came of it.

        Raises:
            ClosedError: It has ended instead. Effect: none.
        """
        while not self._latch.acquire(timeout=_LOOK):
            if not worker.is_alive() and not self._done:
                raise ClosedError("the manager is closed")
        return self.result()

    def result(self) -> T:
        """Return what came of it, once it is done."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class Wake:
    """What is put in the queue when nothing is to be staged."""

    __slots__ = ()
