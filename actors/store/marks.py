"""High-water marks: how far commits had been acknowledged, kept beside the store.

A log that lost its tail looks like one that was never written further, so an engine
opens it without a word. The mark tells them apart. It is written after each sync and
before its acknowledgement, and not synced itself: it outlives the process, and power
loss can only leave an older one.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from stateward.actors.core.errors import StoreError, StoreFullError

_SLOT: Final = Struct("<16sQI")
"""Id of the store, number of the commit, and the checksum of both."""
SIZE: Final = 64
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where there is no space left."""


class FileMark:
    """The `Mark` of one store, in a file of two slots that are written in turn."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Read the file, if there is one.

        Args:
            path: Of the file.
            read_only: Leave everything as it is.

        Raises:
            StoreError: It cannot be read. Effect: none.
        """
        self.path = path
        self._read_only = read_only
        self._file: int | None = None
        self._id = b""
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error}", path=path) from error
        self._slots = list(slots(content))

    @property
    def newest(self) -> int:
        """Number of the newest commit of any store; 0 for none."""
        return max((commit for _, commit in self._slots), default=0)

    def choose(self, store_id: bytes) -> int:
        """Begin to note the commits of one store; return the newest one noted.

        Args:
            store_id: 16 bytes; the marks of another store count for nothing.

        Raises:
            StoreError: The file cannot be opened or made. Effect: none.
            StoreFullError: There is no space for it. Effect: none.
        """
        self._id = store_id
        if not self._read_only:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            try:
                self._file = os.open(self.path, flags, 0o600)
                self._take_space(self._file)
            except OSError as error:
                kind = StoreFullError if error.errno in FULL else StoreError
                raise kind(
                    f"cannot open {self.path}: {error}", path=self.path
                ) from error
        mine = (commit for found, commit in self._slots if found == store_id)
        return max(mine, default=0)

    def _take_space(self, file: int) -> None:
        """Have the file be as long as it will ever be.

        Once a commit is made it is too late to find no space: nobody could be told of
        it then.
        """
        # LIMIT: a disk that writes everything to a new place may have none left then.
        size = os.fstat(file).st_size
        if size < SIZE:
            os.pwrite(file, bytes(SIZE - size), size)

    def advance(self, commit: int) -> None:
        """Note that `commit` outlives power loss, and is going to be acknowledged."""
        if self._file is not None:
            head = _SLOT.pack(self._id, commit, 0)[:24]
            slot = head + crc32(head).to_bytes(4, "little")
            os.pwrite(self._file, slot, 32 * (commit % 2))

    def close(self) -> None:
        """Close the file; idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def slots(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield id and commit of each slot that is whole, whichever store's it is."""
    for start in (0, 32):
        slot = content[start : start + _SLOT.size]
        if len(slot) == _SLOT.size:
            store_id, commit, checksum = _SLOT.unpack(slot)
            if checksum == crc32(slot[:24]):
                yield store_id, commit
