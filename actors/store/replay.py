"""Replay: what was logged, and had not come to the journal when the process ended."""

from bisect import bisect_left
from collections.abc import Iterator

from stateward.actors.core.errors import CorruptStoreError, StoreError
from stateward.actors.core.ports import Examined, Journal, Rows
from stateward.actors.store.batches import Batch, Change, Overwrite, Seal
from stateward.actors.store.names import entry_range, head_name, owner_name, parse_owner
from stateward.actors.store.records import (
    DamagedError,
    Head,
    created_of,
    revision_of,
    unguard,
)
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.store import DurableStore


def replay(store: DurableStore) -> None:
    """Have what is logged be in the store, then have nothing be logged.

    A store that is open for reading is read as if it were in it, unless a manager had
    it open: then what that had logged last is not seen.

    Raises:
        CorruptStoreError: The log or the store is damaged. Effect: none.
        CommitFailedError: It cannot be written; it stays in the log. Effect: none.
        StoreError: The log cannot be read. Effect: none.
    """
    ledger, redo = store.ledger, store.redo
    journal = Overlay(ledger.journal) if ledger.read_only else None
    batch = _read(store, redo)
    if batch.contents:
        if journal is not None:
            ledger.journal = journal
        store.write(batch.rows(), batch.heads(), sync=True, logged=redo.end)
    if journal is None:
        redo.remove()


def _read(store: DurableStore, redo: RedoLog) -> Batch:
    """Return everything that is logged, as it is to be written."""
    ledger, batch, seals = store.ledger, Batch(), dict[bytes, Seal]()
    name = b""
    try:
        about, at, alone = ledger.about, ledger.progress, not ledger.read_only
        for change in redo.read(about.id, at.logged, at.commits, alone=alone):
            name = change.name
            scope, _ = parse_owner(name)
            seal = seals.get(owner_name(scope))
            if seal is None:
                head = store.heads.find(scope) or Head()
                seal = Seal(store, entry_range(scope)[0], head_name(scope), head)
                seals[owner_name(scope)] = seal
            if change.revision <= batch.head(seal).revision:
                continue  # It was taken back, and another command has its revision.
            if isinstance(change, Overwrite):
                _overwrite(store, batch, seal, change)
            else:
                _add(store, batch, seal, change)
    except DamagedError as error:
        raise CorruptStoreError(
            f"{store.text} is damaged at {name!r}: {error}"
        ) from error
    return batch


def _add(store: DurableStore, batch: Batch, seal: Seal, change: Change) -> None:
    entries = []
    for name, content, _ in change.entries:
        old = _content(store, batch, name)
        entries.append((name, content, 0 if old is None else revision_of(old)))
    batch.add(seal, change._replace(entries=entries))


def _overwrite(
    store: DurableStore, batch: Batch, seal: Seal, change: Overwrite
) -> None:
    name, old = change.name, _content(store, batch, change.name)
    if old is None:
        raise DamagedError("it is not there, and another value of it is in the log")
    content, new = change.content(created_of(old)), change.revision
    head = batch.replace(seal, name, content, revision_of(old), new)
    head.revision, head.size = new, change.size


def _content(store: DurableStore, batch: Batch, name: bytes) -> bytes | None:
    """Return what an entry is so far; `None` if it is not there."""
    if name in batch.contents:
        return batch.contents[name]
    record = store.ledger.journal.get(name)
    return None if record is None else unguard(name, record)


class Overlay:
    """A `Journal` for reading, beneath rows that it lacks."""

    def __init__(self, journal: Journal) -> None:
        """Begin with what `journal` has."""
        self._journal = journal
        self._rows: dict[bytes, bytes | None] = {}
        self._names: list[bytes] = []

    def commit(self, rows: Rows, *, sync: bool) -> None:  # noqa: ARG002  # kept here alone
        """Lay `rows` over it."""
        self._rows.update(rows)
        self._names = sorted(self._rows)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong beneath."""
        if isinstance(self._journal, Examined):
            yield from self._journal.problems()

    def backup(self, path: str) -> None:
        """Refuse: what engines copy lacks the rows."""
        raise StoreError(f"{path} would lack what is in the log alone")

    def compact(self) -> None:
        """Do nothing."""

    def size_bytes(self) -> int:
        """Return what is on disk."""
        return self._journal.size_bytes()

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def get(self, name: bytes) -> bytes | None:
        """Return one record."""
        return self._rows[name] if name in self._rows else self._journal.get(name)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield names and records, ascending."""
        names = self._names
        place, last = bisect_left(names, start), bisect_left(names, stop)
        for name, record in self._journal.scan(start, stop):
            while place < last and names[place] < name:
                yield from self._laid(names[place])
                place += 1
            if place < last and names[place] == name:
                yield from self._laid(name)
                place += 1
            else:
                yield name, record
        for name in names[place:last]:
            yield from self._laid(name)

    def _laid(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        record = self._rows[name]
        if record is not None:
            yield name, record
