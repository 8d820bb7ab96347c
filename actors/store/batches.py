"""Batches: what owners have decided, as records and the heads they lead to.

A change is what one command does to the records of its owner. It is all that the log
keeps of the command, and all that a commit is made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  # a class
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from stateward.actors.core.cells import DELETED
from stateward.actors.core.state import Event
from stateward.actors.store.names import entry_name
from stateward.actors.store.records import (
    Cipher,
    DamagedError,
    Head,
    entry_content,
    guard,
    plain_content,
)

if TYPE_CHECKING:
    from stateward.actors.store.store import DurableStore

Entry: TypeAlias = tuple[bytes, bytes | None, int]
"""Name; content, `None` if it is removed; revision it replaces, 0 for nothing."""
_CHANGE: Final = Struct("<BQQQQII")
_ENTRY: Final = Struct("<II")
USUAL: Final = Struct("<BQQQdBI")
"""`OVERWRITE`, commits, revision, size, updated, depth, size of the name."""
_REMOVED: Final = 0xFFFFFFFF
"""What stands for the length of a content that is none."""


_ANY, OVERWRITE = 0, 1
"""What a body begins with."""


class Change(NamedTuple):
    """What one command does to the records of its owner."""

    revision: int
    """Of the command."""
    keys: int
    """How many there are afterwards."""
    size: int
    """UTF-8 bytes of the keys and encoded bytes of their values, afterwards."""
    version: int
    """Of the newest migration that the owner has been through."""
    entries: Sequence[Entry]
    commits: int = 0
    """Number of the newest commit that it may rest on, if it was logged."""

    @property
    def name(self) -> bytes:
        """Of one of its entries."""
        return self.entries[0][0]


class Overwrite(NamedTuple):
    """What the usual command does: an entry that was there, and stays, is another."""

    revision: int
    size: int
    """As of `Change`."""
    updated: float
    """Seconds since the epoch."""
    depth: int
    """How many levels the value nests."""
    name: bytes
    data: bytes
    """The value as JSON."""
    commits: int
    """As of `Change`."""

    def content(self, created: float) -> bytes:
        """Return what the record of the entry holds then.

        Args:
            created: When the key came into being, in seconds since the epoch.
        """
        return plain_content(
            self.data,
            depth=self.depth,
            revision=self.revision,
            created=created,
            updated=self.updated,
        )


Logged: TypeAlias = tuple[int, int, int, int, bytes, bytes, int, float, bytes | Change]
"""What is in the log. Revision, keys and size afterwards; where its record ends; what
the names of its owner's entries begin with. If it is an overwrite: the name; revision
and creation, by the owner's clock, of what is replaced; the body. Else the change.

A plain tuple of what is no object of ours: there is one in every buffered write, and
the garbage collector does not come back to it."""


@dataclass(slots=True, eq=False)  # tidy: the head is replaced with every commit
class Seal:
    """What the store keeps in memory of one owner."""

    store: "DurableStore"
    prefix: bytes
    """What the names of its entries begin with."""
    head_name: bytes
    head: Head
    """As committed last."""
    newest: Logged | tuple[int, int, int] = (0, 0, 0)
    """Revision, keys and size after what was logged last, or is about to be."""

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def behind(self) -> bool:
        return self.newest[0] > self.head.revision

    def reached(self) -> tuple[int, int, int]:
        newest = self.newest
        # ORDER: it leaves the log after it has come to the head.
        if newest[0] > self.head.revision and self.store.redo.has(self, newest[0]):
            return newest[0], newest[1], newest[2]
        return self.head.revision, self.head.keys, self.head.size


class Batch:
    """What is written in one commit: the newest content of each name, and heads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.contents: dict[bytes, bytes | None] = {}
        self._heads: dict[Seal, Head] = {}

    def head(self, seal: Seal) -> Head:
        """Return what an owner's records add up to so far."""
        head = self._heads.get(seal)
        if head is None:
            head = self._heads[seal] = seal.head.copy()
            head.moved = False
        return head

    def add_logged(
        self, logged: Sequence[Logged], seals: Mapping[bytes, Seal], offset: float
    ) -> None:
        """Add what is in the log.

        Args:
            logged: Oldest first.
            seals: Of the owners, by what the names of their entries begin with.
            offset: What to add to the owners' clock for seconds since the epoch.
        """
        newest: dict[bytes, Logged] = {}
        first: dict[bytes, int] = {}
        for it in logged:
            name, done = it[5], it[8]
            if isinstance(done, bytes):
                if name not in newest:
                    first[name] = it[6]
                newest[name] = it
            else:
                self._add_overwrites(newest, first, seals, offset)
                self.add(seals[it[4]], done)
        self._add_overwrites(newest, first, seals, offset)

    def _add_overwrites(
        self,
        newest: dict[bytes, Logged],
        first: dict[bytes, int],
        seals: Mapping[bytes, Seal],
        offset: float,
    ) -> None:
        """Add the newest version of each of some entries, and forget them."""
        for name, it in newest.items():
            revision, keys, size, _, prefix, _, _, created, body = it
            change = unpacked(cast("bytes", body))
            if isinstance(change, Overwrite):  # tidy: always
                content = change.content(created + offset)
                head = self.replace(seals[prefix], name, content, first[name], revision)
                if revision >= head.revision:
                    head.revision, head.keys, head.size = revision, keys, size
        newest.clear()
        first.clear()

    def replace(
        self, seal: Seal, name: bytes, content: bytes, old: int, new: int
    ) -> Head:
        """Add that an entry that was there, and stays, is another; return the head.

        Args:
            seal: Of its owner.
            name: Of the entry.
            content: What its record holds.
            old: Revision it had.
            new: Revision it has.
        """
        head = self._heads.get(seal) or self.head(seal)
        head.replace(old, new)
        self.contents[name] = content
        return head

    def add(self, seal: Seal, change: Change) -> None:
        """Add what one command has done, after all that its owner did before."""
        head = self.head(seal)
        revision, head.keys, head.size, head.version, entries, _ = change
        head.revision = revision
        for name, content, replaced in entries:
            head.replace(replaced, 0 if content is None else revision)
            self.contents[name] = content

    def rows(self) -> dict[bytes, bytes | None]:
        """Return the records to write, by name."""
        return {
            name: None if content is None else guard(name, content)
            for name, content in self.contents.items()
        }

    def heads(self) -> list[tuple[Seal, Head]]:
        """Return what each owner's records add up to then."""
        return list(self._heads.items())


def change_of(
    seal: Seal, event: Event, *, version: int, offset: float, cipher: Cipher | None
) -> Change:
    """Return what a command does that is staged, and not settled.

    Args:
        seal: Of its owner.
        event: What was decided.
        version: Of the newest migration that the owner has been through.
        offset: What to add to the owner's clock for seconds since the epoch.
        cipher: Seals values; `None` leaves them readable.
    """
    revision, changes, keys, size, _ = event
    prefix = seal.prefix
    entries: list[Entry] = []
    for cell in changes:
        name, old = entry_name(prefix, cell.table.step_name, cell.key), cell.previous
        content = None
        if cell.expires != DELETED:
            content = entry_content(name, cell, offset, cipher)
        replaced = 0 if old is None or old.expires == DELETED else old.revision
        entries.append((name, content, replaced))
    return Change(revision, keys, size, version, entries)


def packed(change: Change, commits: int) -> bytes:
    """Return a change as bytes, but for what it replaces.

    Args:
        change: To be logged.
        commits: Number of the newest commit.
    """
    revision, keys, size, version, entries, _ = change
    parts = [_CHANGE.pack(_ANY, commits, revision, keys, size, version, len(entries))]
    for name, content, _ in entries:
        if content is None:
            parts += _ENTRY.pack(len(name), _REMOVED), name
        else:
            parts += _ENTRY.pack(len(name), len(content)), content, name
    return b"".join(parts)


def unpacked(body: bytes) -> Change | Overwrite:
    """Return what was packed; raise `DamagedError` if it was not that."""
    try:
        return _overwrite(body) if body[0] == OVERWRITE else _change(body)
    except (StructError, IndexError) as error:
        raise DamagedError(f"it is no change: {error}") from error


def _overwrite(body: bytes) -> Overwrite:
    _, commits, revision, size, updated, depth, length = USUAL.unpack_from(body)
    place = USUAL.size + length
    name, data = body[USUAL.size : place], body[place:]
    return Overwrite(revision, size, updated, depth, name, data, commits)


def _change(body: bytes) -> Change:
    _, commits, revision, keys, size, version, count = _CHANGE.unpack_from(body)
    start = _CHANGE.size
    entries: list[Entry] = []
    for _ in range(count):
        name_size, content_size = _ENTRY.unpack_from(body, start)
        start += _ENTRY.size
        content = None
        if content_size != _REMOVED:
            content = body[start : start + content_size]
            start += content_size
        entries.append((body[start : start + name_size], content, 0))
        start += name_size
    if start != len(body) or not entries:
        raise DamagedError("it is no change")
    return Change(revision, keys, size, version, entries, commits)
