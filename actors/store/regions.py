"""Regions: a file that is memory as well, so that it outlives whoever writes to it.

What is stored in mapped memory belongs to the operating system at once. The end of the
process takes nothing of it; power loss takes what was not written back yet.
"""

import mmap
import os
import sys
import time
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from weakref import WeakSet

from stateward.actors.core.errors import StoreError
from stateward.actors.store.locks import try_lock

Buffer: TypeAlias = mmap.mmap | bytearray
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux says which start of the machine this is."""
_PROBE: Final = 1e-3
"""Seconds; somebody who only looks whether we are there is gone by then."""


class Region(Protocol):
    """Bytes that outlive the process, but perhaps not the machine."""

    @property
    def path(self) -> str:
        """What errors call it, and what to remove to go on without it."""
        ...

    @property
    def boot(self) -> bytes:
        """16 bytes that are others after power loss; zeros if that cannot be told."""
        ...

    def read(self, *, anyway: bool) -> bytes | None:
        """Return what is there; `None` for nothing.

        Args:
            anyway: Whether to read what is in use too; else that counts as nothing.

        Raises:
            StoreError: It cannot be read. Effect: none.
        """
        ...

    def map(self, size: int) -> Buffer:
        """Return its memory, made anew: `size` bytes of zeros.

        Raises:
            StoreError: There is no space, or it cannot be made. Effect: none.
        """
        ...

    def sync(self) -> None:
        """Have all of it outlive power loss.

        Raises:
            StoreError: That cannot be.
        """
        ...

    def remove(self) -> None:
        """Have nothing be there; fails silently, for nothing is lost if it stays."""
        ...

    def close(self) -> None:
        """Let go of it; idempotent. What is there stays."""
        ...


class FileRegion:
    """A `Region` in a file, locked while it is mapped."""

    def __init__(self, path: str) -> None:
        """Be at `path`, and open nothing yet."""
        self.path = path
        self.boot = boot_id()
        self._file: int | None = None
        self._map: mmap.mmap | None = None
        REGIONS.add(self)

    def read(self, *, anyway: bool) -> bytes | None:
        """Return what is there; `None` for nothing, or if it is mapped somewhere."""
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123  # as a descriptor
                if not (anyway or try_lock(file.fileno())):
                    return None
                return file.read() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"cannot read {self.path}: {error}", path=self.path
            ) from error

    def map(self, size: int) -> Buffer:
        """Return the memory of a new file, all of whose space is taken now."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # What a process that is gone has left may still be locked by a child of it.
        self.remove()
        try:
            self._file = file = os.open(self.path, flags, 0o600)
            while not try_lock(file):
                time.sleep(_PROBE)
            # Or a full disk would be found out by a signal that ends the process.
            _reserve(file, size)
            self._map = mmap.mmap(file, size)
        except OSError as error:
            self.close()
            raise StoreError(
                f"cannot make {self.path}: {error}", path=self.path
            ) from error
        return self._map

    def sync(self) -> None:
        """Have the file outlive power loss."""
        if self._map is not None and self._file is not None:
            try:
                self._map.flush()
                os.fsync(self._file)
            except OSError as error:
                raise StoreError(
                    f"cannot sync {self.path}: {error}", path=self.path
                ) from error

    def remove(self) -> None:
        """Remove the file, which holds nothing any more."""
        try:
            os.unlink(self.path)  # noqa: PTH108  # as elsewhere in this class
        except OSError:
            pass

    def close(self) -> None:
        """Unmap and close the file."""
        found, self._map = self._map, None
        if found is not None:
            found.close()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


REGIONS: Final[WeakSet[FileRegion]] = WeakSet()


def _let_go_in_child() -> None:
    for region in list(REGIONS):
        region.close()  # The lock lives as long as any copy, and the map has one.


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go_in_child)


def _reserve(file: int, size: int) -> None:
    """Have a new file be zeros that take all their space."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))


def boot_id() -> bytes:
    """Return what tells this start of the machine from others; zeros if unknown."""
    try:
        return bytes.fromhex(_BOOT.read_text(encoding="ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
