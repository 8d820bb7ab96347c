"""How the redo log lies in its file, and how it is read.

A page says whose log it is, and which start of the machine it was written in; a ring of
records follows.

A record is a head and a body. First the body is written, into zeros; then the head, its
last byte last, which says that it is whole. So a crash leaves no half of a record, and
what follows the last one is no head. Whatever has a wrong checksum was damaged; or it
was lost with the machine, and what follows counts for nothing.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final
from zlib import crc32

from stateward.actors.core.errors import CorruptStoreError
from stateward.actors.store.batches import Change, Overwrite, unpacked
from stateward.actors.store.records import DamagedError
from stateward.actors.store.regions import Region

START: Final = 4096
"""Where the ring begins."""
RECORD: Final = Struct("<QIIB")
"""LSN, size of the body, checksum of both, `DONE`; no body: it goes on at the start."""
HEAD: Final = RECORD.size
DONE: Final = 0xA5
WORD: Final = 0xFFFFFFFF
"""What the checksum takes of an LSN."""
_MAGIC: Final = b"stateward redo 1"
_ABOUT: Final = Struct("<16s16s16sQI")
"""What it is; id of the store; which start of the machine; size; checksum."""


def about_log(store_id: bytes, boot: bytes, size: int) -> bytes:
    """Return what the file begins with.

    Args:
        store_id: 16 bytes.
        boot: Which start of the machine this is, 16 bytes.
        size: Of the ring, in bytes.
    """
    head = _ABOUT.pack(_MAGIC, store_id, boot, size, 0)[:-4]
    return head + crc32(head).to_bytes(4, "little")


def next_round(start: int, size: int) -> int:
    """Return the next LSN at the beginning of a ring of so many bytes."""
    return start + size - start % size


def where_it_fits(start: int, size: int) -> int:
    """Return where a head can be from `start` on; elsewhere if sizes have changed."""
    return start if start % size + HEAD <= size else next_round(start, size)


def read_log(
    content: bytes, region: Region, store_id: bytes, start: int, commits: int
) -> Iterator[tuple[Change | Overwrite, int]]:
    """Yield what was logged from `start` on, and where each ends.

    Args:
        content: Of the file.
        region: Where it is.
        store_id: Of the store whose log this must be.
        start: Where begins what its journal lacks.
        commits: Number of the newest commit to the journal.

    Raises:
        CorruptStoreError: It is damaged, or the log of another store.
    """
    # Whoever made it had not come to use it, if it does not say what it is.
    if not any(content[: _ABOUT.size]):
        return
    try:
        size, boot = _parse_about(content, store_id)
        kept = any(boot) and boot == region.boot
        while True:
            start = where_it_fits(start, size)
            place = START + start % size
            lsn, length, checksum, done = RECORD.unpack_from(content, place)
            if done == 0:
                return
            body = content[place + HEAD : place + HEAD + length]
            whole = (lsn, done, len(body)) == (start, DONE, length)
            if not whole or checksum != crc32(body, lsn & WORD):
                # After power loss this is what was not written back any more.
                if kept:
                    raise DamagedError(f"its record at {place} is damaged")
                return
            if length == 0:
                start = next_round(start, size)
                continue
            change = unpacked(body)
            if change.commits > commits:
                # It rests on what was committed, and not synced.
                if kept:
                    raise DamagedError(f"it rests on commit {change.commits}")
                return
            start += HEAD + length
            yield change, start
    except DamagedError as error:
        raise CorruptStoreError(
            f"{region.path} may hold what the store lacks, and cannot be read: "
            f"{error}; to go on without, remove it",
            path=region.path,
        ) from error


def _parse_about(content: bytes, store_id: bytes) -> tuple[int, bytes]:
    """Return the size of the ring, and which start of the machine it is of."""
    head = content[: _ABOUT.size]
    if len(head) < _ABOUT.size:
        raise DamagedError("it was cut")
    magic, owner, boot, size, checksum = _ABOUT.unpack(head)
    if magic != _MAGIC or checksum != crc32(head[:-4]):
        raise DamagedError("its first page is damaged")
    if len(content) != START + size:
        raise DamagedError("it was cut")
    if owner != store_id:
        raise DamagedError("it is the log of another store")
    return size, boot
