"""High-water marks: how far commits had been acknowledged, kept beside the store.

A log that lost its tail looks like one that was never written further, so an engine
opens it without a word. The mark tells them apart. It is written after each sync and
before its acknowledgement, and not synced itself: it outlives the process, and power
loss can only leave an older one.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

_SLOT: Final = Struct("<16sQI")
"""Id of the store, number of the commit, and the checksum of both."""


class Mark:
    """The mark of one store, in a file of two slots that are written in turn."""

    def __init__(self, path: str, store_id: bytes, *, read_only: bool = False) -> None:
        """Open the file, made if need be.

        Args:
            path: Of the file.
            store_id: 16 bytes; the marks of another store count for nothing.
            read_only: Leave everything as it is.
        """
        self._id = store_id
        self._file: int | None = None
        if not read_only:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError:
            self.close()
            raise
        self.commit = max(
            (commit for found, commit in slots(content) if found == store_id), default=0
        )
        """Number of the newest commit that was acknowledged; 0 for none."""

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


def acknowledged(path: str) -> int:
    """Return the newest commit in the file at `path`, of any store; 0 for none."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return 0
    return max((commit for _, commit in slots(content)), default=0)
