"""Records: what goes in comes out, and what was damaged is refused."""

import random
from collections.abc import Iterator
from math import inf
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward import JsonValue
from stateward.actors.core.cells import Cell
from stateward.actors.core.values import pack, unpack
from stateward.actors.store.records import (
    DamagedError,
    Head,
    entry_record,
    guard,
    head_record,
    parse_entry_record,
    parse_head,
    unguard,
)
from tests.hostile import EXACT, label

NAME: Final = b"\x02wa\0kkey"


class Reversed:
    """A cipher for tests: reverses, and knows what it was bound to."""

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        return bound_to + data[::-1]

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        if not sealed.startswith(bound_to):
            raise DamagedError("it is bound to something else")
        return sealed[len(bound_to) :][::-1]

    def is_newest(self, sealed: bytes) -> bool:
        return len(sealed) > 0


def cell_of(value: JsonValue, expires: float | None = None, revision: int = 7) -> Cell:
    """Return a version of an entry."""
    cell = Cell()
    cell.value, cell.size, cell.depth = pack(value)
    cell.revision, cell.created, cell.updated = revision, 10.25, 11.5
    cell.expires = expires
    return cell


def nested(depth: int) -> JsonValue:
    """Return a value of so many levels."""
    value: JsonValue = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("value", EXACT, ids=label)
@pytest.mark.parametrize("cipher", [None, Reversed()], ids=["plain", "sealed"])
def test_entry_record_keeps_any_value(
    value: JsonValue, cipher: Reversed | None
) -> None:
    """Every kind of value comes back equal and of the same type."""
    cell = cell_of(value)
    record = entry_record(NAME, cell, 0.0, cipher)
    entry = parse_entry_record(NAME, record, cipher)
    assert repr(unpack(entry.value)) == repr(value)
    assert type(entry.value) is type(cell.value)
    assert (entry.size, entry.depth) == (cell.size, cell.depth)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 64])
def test_entry_record_keeps_any_depth(depth: int) -> None:
    """A value is as deep afterwards as before, up to the limit."""
    entry = parse_entry_record(
        NAME, entry_record(NAME, cell_of(nested(depth)), 0), None
    )
    assert unpack(entry.value) == nested(depth)
    assert entry.depth == depth


@pytest.mark.parametrize("expires", [None, 12.0, 1e300, inf])
@pytest.mark.parametrize("revision", [1, (1 << 53) + 1, (1 << 64) - 1])
def test_entry_record_keeps_what_is_beside_the_value(
    expires: float | None, revision: int
) -> None:
    """Revision and times come back, the times counted from the epoch."""
    record = entry_record(NAME, cell_of("x", expires, revision), 1000.0)
    entry = parse_entry_record(NAME, record, None)
    assert (entry.revision, entry.created, entry.updated) == (revision, 1010.25, 1011.5)
    assert entry.expires == (None if expires is None else expires + 1000.0)


def test_entry_record_is_bound_by_its_cipher() -> None:
    """What is sealed opens neither without its cipher nor under another name."""
    record = entry_record(NAME, cell_of([1]), 0.0, Reversed())
    moved = guard(NAME + b"2", unguard(NAME, record))
    with pytest.raises(DamagedError, match="bound"):
        parse_entry_record(NAME + b"2", moved, Reversed())


def damages(record: bytes) -> Iterator[bytes]:
    """Yield the record with each bit flipped, each byte missing, and each cut."""
    for index in range(len(record)):
        for bit in range(8):
            flipped = bytes([record[index] ^ (1 << bit)])
            yield record[:index] + flipped + record[index + 1 :]
        yield record[:index] + record[index + 1 :]
        yield record[:index]
    yield record + b"\0"


@pytest.mark.parametrize("value", [None, 1, "text", [1, {"a": 2.5}]], ids=label)
def test_entry_record_damaged_anywhere_is_refused(value: JsonValue) -> None:
    """No flipped bit, lost byte or cut goes by unseen."""
    record = entry_record(NAME, cell_of(value, 99.0), 0.0)
    for damaged in damages(record):
        with pytest.raises(DamagedError):
            parse_entry_record(NAME, damaged, None)


def test_entry_record_with_noise_is_refused() -> None:
    """Random bytes in place of some or all of a record are refused."""
    chance = random.Random(4)
    record = entry_record(NAME, cell_of({"a": "b" * 40}), 0.0)
    for _ in range(2000):
        start = chance.randrange(len(record))
        noise = chance.randbytes(chance.randint(1, len(record) - start))
        damaged = record[:start] + noise + record[start + len(noise) :]
        if damaged != record:
            with pytest.raises(DamagedError):
                parse_entry_record(NAME, damaged, None)


@given(name=st.binary(max_size=20), other=st.binary(max_size=20), content=st.binary())
def test_guard_binds_a_record_to_its_name(
    name: bytes, other: bytes, content: bytes
) -> None:
    """A record is good under its own name, and damaged under any other."""
    record = guard(name, content)
    assert unguard(name, record) == content
    if other != name:
        with pytest.raises(DamagedError):
            unguard(other, record)


@given(
    head=st.builds(
        Head,
        *(st.integers(0, (1 << 64) - 1) for _ in range(5)),
        st.integers(0, (1 << 32) - 1),
    )
)
def test_head_record_is_read_back(head: Head) -> None:
    """A head comes back as it was written."""
    assert parse_head(b"name", head_record(b"name", head)) == head


def test_head_record_damaged_anywhere_is_refused() -> None:
    """A damaged head, one in another's place, or no head at all is refused."""
    record = head_record(b"name", Head(5, 2, 9, 1, 30, 0))
    for damaged in damages(record):
        with pytest.raises(DamagedError):
            parse_head(b"name", damaged)
    with pytest.raises(DamagedError):
        parse_head(b"nam", record)
    with pytest.raises(DamagedError, match="no head"):
        parse_head(b"name", guard(b"name", b"x"))


@pytest.mark.parametrize("length", [0, 3, 33])
def test_entry_record_too_short_is_refused(length: int) -> None:
    """A good record without a value is no entry."""
    with pytest.raises(DamagedError, match="no entry"):
        parse_entry_record(NAME, guard(NAME, bytes(length)), None)


def test_head_counts_what_changes() -> None:
    """A head follows entries that are made, replaced and deleted, also past 2**64."""
    head = Head()
    last = (1 << 64) - 1
    head.replace(0, 3)
    assert (head.entries, head.checksum) == (1, 3)
    head.replace(3, last)
    assert (head.entries, head.checksum) == (1, last)
    head.replace(0, 3)
    assert (head.entries, head.checksum) == (2, 2)
    head.replace(last, 0)
    head.replace(0, 0)
    assert (head.entries, head.checksum) == (1, 3)
    head.add_all([(1 << 64) - 1])
    assert (head.entries, head.checksum) == (2, 2)
