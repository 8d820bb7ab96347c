"""A lock beside a store, so that two managers never have it open at once.

The lock is the operating system's, on the file `<path>.lock`: it goes with its process
however that ends, so a file left behind locks nothing. What the file says is for people
only. It is never removed: somebody may be about to lock it, who then would lock a file
that has no name any more.
"""

import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from weakref import WeakSet

from stateward.actors.core.errors import StoreError, StoreLockedError

TEXT_BYTES: Final = 200  # LIMIT: what is read of a lock file, which anybody may write
REGION: Final = 1 << 30  # the byte that Windows locks, beyond the text


class StoreLock:
    """The right to have the store at `path` open; one holder on one machine.

    Concurrency: Any thread.
    """

    def __init__(self, path: str) -> None:
        """Take nothing yet."""
        self.path = str(Path(path).absolute())
        self._file = Path(self.path + ".lock")
        self._descriptor: int | None = None
        self._guard = threading.Lock()
        LOCKS.add(self)

    def acquire(self) -> None:
        """Take the lock; it stays ours until `release` or the end of the process.

        Raises:
            StoreLockedError: Somebody has it, perhaps this very process.
            StoreError: The file cannot be made.
        """
        with self._guard:
            if self._descriptor is not None:
                raise self._locked(os.getpid())
            try:
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise StoreError(
                    f"cannot lock {self.path}: {error}", path=self.path
                ) from error
            try:
                if not try_lock(descriptor):
                    raise self._locked(holder(descriptor))
                os.ftruncate(descriptor, 0)
                os.write(descriptor, text().encode())
            except OSError as error:
                os.close(descriptor)
                if isinstance(error, StoreError):
                    raise
                raise StoreError(
                    f"cannot lock {self.path}: {error}", path=self.path
                ) from error
            self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; idempotent."""
        with self._guard:
            if self._descriptor is not None:
                # RACE: a child that just began may not have closed its copy yet.
                unlock(self._descriptor)
            self.drop()

    def drop(self) -> None:
        """Close the file without waiting for anybody."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def renew_guard(self) -> None:
        """Leave behind the guard of the parent, which some thread there may hold."""
        self._guard = threading.Lock()

    def _locked(self, pid: int | None) -> StoreLockedError:
        who = "another process" if pid is None else f"process {pid}"
        if pid == os.getpid():
            who += " (this one)"
        return StoreLockedError(f"{who} has {self.path} open", path=self.path, pid=pid)


LOCKS: Final[WeakSet[StoreLock]] = WeakSet()


def let_go_in_child() -> None:
    """Leave a lock to the parent alone: a copy here would outlive the parent."""
    for lock in list(LOCKS):
        lock.renew_guard()
        # Closing frees the lock only once no process has the descriptor open.
        lock.drop()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=let_go_in_child)


def text() -> str:
    """Return what is written into a lock file."""
    return f"{os.getpid()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"


def holder(descriptor: int) -> int | None:
    """Return the pid in a lock file; `None` if it holds none."""
    first, _, _ = os.read(descriptor, TEXT_BYTES).partition(b" ")
    return int(first) if first.isdigit() else None


if sys.platform == "win32":

    def try_lock(descriptor: int) -> bool:
        """Return whether the file is locked by us now."""
        import msvcrt

        os.lseek(descriptor, REGION, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def unlock(descriptor: int) -> None:
        """Unlock the file; closing does it, since no process has a copy."""

else:

    def try_lock(descriptor: int) -> bool:
        """Return whether the file is locked by us now."""
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Unlock the file for every process that has a copy of `descriptor`."""
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
