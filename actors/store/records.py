"""Records: what stands under a name, sealed so that damage is noticed.

Engines serve flipped bytes as if nothing had happened. So every record begins with a
checksum (CRC-32) of its name and its content, and every owner has a head that tells
how many records there are and the sum of their revisions: a record that is damaged,
missing, out of date or in another's place is an error, never a wrong value.

An entry is a fixed part (depth, revision, created, updated, expires; times in seconds
since the epoch) and the value as JSON. With a cipher the value is sealed as well, bound
to the name and the fixed part.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import isnan, nan
from struct import Struct
from typing import Final, Protocol
from zlib import crc32

import orjson

from stateward.actors.core.cells import Cell

_SUM: Final = Struct("<I")
_ENTRY: Final = Struct("<BQddd")
_RECORD: Final = Struct("<IBQddd")
"""A checksum and the fixed part of an entry, to be read in one go."""
_HEAD: Final = Struct("<QQQQQQI")
_WRAP: Final = 1 << 64


class DamagedError(Exception):
    """A record is not what was written; the caller knows where."""


class Cipher(Protocol):
    """Seals values; see `ciphers`."""

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        """Return `data` sealed; it opens with the same `bound_to` only."""
        ...

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Return what was sealed; raise `DamagedError` if it is not that."""
        ...

    def is_newest(self, sealed: bytes) -> bool:
        """Return whether the newest key was used."""
        ...


@dataclass(slots=True)  # tidy: changes with every command, one per owner in memory
class Head:
    """What an owner's records must add up to."""

    revision: int = 0
    """Of the owner's newest command."""
    entries: int = 0
    """How many records there are, those of runs included."""
    checksum: int = 0
    """Sum of their revisions, modulo 2**64."""
    keys: int = 0
    """How many of them are keys."""
    size: int = 0
    """UTF-8 bytes of the keys and encoded bytes of their values."""
    version: int = 0
    """Of the newest migration that the owner has been through."""
    moved: bool = False
    """Whether the owner is in another store now, and nothing of it counts here."""

    def replace(self, old: int, new: int) -> None:
        """Note that one record takes the place of another, by their revisions.

        Args:
            old: 0 if there was none.
            new: 0 if there is none now.
        """
        self.entries += (new > 0) - (old > 0)
        self.checksum = (self.checksum + new - old) % _WRAP

    def copy(self) -> "Head":
        """Return another one that adds up to the same; one is made in every commit."""
        return Head(
            self.revision,
            self.entries,
            self.checksum,
            self.keys,
            self.size,
            self.version,
            self.moved,
        )

    def add(self, revision: int) -> None:
        """Count one record."""
        self.add_all((revision,))

    def add_all(self, revisions: Collection[int]) -> None:
        """Count records of these revisions."""
        self.entries += len(revisions)
        self.checksum = (self.checksum + sum(revisions)) % _WRAP


def guard(name: bytes, content: bytes) -> bytes:
    """Return `content` with a checksum that binds it to `name`."""
    return _SUM.pack(crc32(content, crc32(name))) + content


def unguard(name: bytes, record: bytes) -> bytes:
    """Return what was guarded; raise `DamagedError` if it is not that."""
    content = record[_SUM.size :]
    if not record or guard(name, content) != record:
        raise DamagedError("its checksum is wrong")
    return content


def head_record(name: bytes, head: Head) -> bytes:
    """Return the record of an owner's head."""
    fields = (head.revision, head.entries, head.checksum, head.keys, head.size)
    return guard(name, _HEAD.pack(*fields, head.moved, head.version))


def parse_head(name: bytes, record: bytes) -> Head:
    """Return the head that a record holds."""
    content = unguard(name, record)
    if len(content) != _HEAD.size:
        raise DamagedError("it is no head")
    revision, entries, checksum, keys, size, moved, version = _HEAD.unpack(content)
    return Head(revision, entries, checksum, keys, size, version, bool(moved))


def entry_content(
    name: bytes, cell: Cell, offset: float, cipher: Cipher | None = None
) -> bytes:
    """Return what the record of one version of an entry holds, to be guarded.

    Args:
        name: Where it will stand.
        cell: The version.
        offset: What to add to the owner's clock for seconds since the epoch.
        cipher: Seals the value; `None` leaves it readable.
    """
    value = cell.value
    fixed = _ENTRY.pack(
        cell.depth,
        cell.revision,
        cell.created + offset,
        cell.updated + offset,
        nan if cell.expires is None else cell.expires + offset,
    )
    data = value if type(value) is bytes else orjson.dumps(value)
    if cipher is not None:
        data = cipher.seal(data, name + fixed)
    return fixed + data


def revision_of(content: bytes) -> int:
    """Return the revision of the entry that a record holds."""
    if len(content) <= _ENTRY.size:
        raise DamagedError("it is no entry")
    _, revision, _, _, _ = _ENTRY.unpack_from(content)
    return int(revision)


def entry_record(
    name: bytes, cell: Cell, offset: float, cipher: Cipher | None = None
) -> bytes:
    """Return the record of one version of an entry; the arguments are as above."""
    return guard(name, entry_content(name, cell, offset, cipher))


def plain_content(
    data: bytes, *, depth: int, revision: int, created: float, updated: float
) -> bytes:
    """As `entry_content`, of a version that never expires; times since the epoch."""
    return _ENTRY.pack(depth, revision, created, updated, nan) + data


def created_of(content: bytes) -> float:
    """Return when the key came into being that a record holds, since the epoch."""
    _, _, created, _, _ = _ENTRY.unpack_from(content)
    return float(created)


def resealed_record(name: bytes, record: bytes, cipher: Cipher) -> bytes | None:
    """Return the same entry sealed with the newest key; `None` if it is."""
    content = unguard(name, record)
    fixed, sealed = content[: _ENTRY.size], content[_ENTRY.size :]
    if not sealed:
        raise DamagedError("it is no entry")
    if cipher.is_newest(sealed):
        return None
    data = cipher.open(sealed, name + fixed)
    return guard(name, fixed + cipher.seal(data, name + fixed))


def parse_entry_record(
    name: bytes, record: bytes, cipher: Cipher | None, offset: float = 0.0
) -> Cell:
    """Return the version that a record holds; raise `DamagedError` if it is damaged.

    Where it belongs is not filled in; `offset` is as in `entry_record`.
    """
    if len(record) <= _RECORD.size:
        raise DamagedError("it is no entry")
    # As `unguard`, without a copy more: a store that is opened has many of these.
    checksum, depth, revision, created, updated, expires = _RECORD.unpack_from(record)
    if crc32(record[_SUM.size :], crc32(name)) != checksum:
        raise DamagedError("its checksum is wrong")
    data = record[_RECORD.size :]
    if cipher is not None:
        data = cipher.open(data, name + record[_SUM.size : _RECORD.size])
    cell = Cell()
    try:
        cell.value = data if depth else orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"it is no JSON: {error}") from error
    cell.size = len(data)
    cell.depth = depth
    cell.revision = revision
    cell.created = created - offset
    cell.updated = updated - offset
    cell.expires = None if isnan(expires) else expires - offset
    return cell
