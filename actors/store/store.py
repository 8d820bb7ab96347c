"""The store: what owners have committed, sealed, in whatever journal keeps it."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final
from uuid import uuid4

import orjson

from stateward.actors.core.cells import DELETED, Cell
from stateward.actors.core.errors import (
    CorruptStoreError,
    InvariantError,
    StateError,
    StoreError,
    StoreFormatError,
    StorePoisonedError,
)
from stateward.actors.core.ports import Journal
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.store.locks import StoreLock
from stateward.actors.store.marks import Mark, acknowledged
from stateward.actors.store.names import (
    ENTRIES,
    STORE,
    entry_name,
    entry_range,
    head_name,
    parse_owner,
    parse_place,
)
from stateward.actors.store.records import (
    Cipher,
    DamagedError,
    Head,
    entry_record,
    guard,
    head_record,
    parse_entry_record,
    parse_head,
    unguard,
)
from stateward.actors.store.urls import StoreUrl, open_journal

FORMAT: Final = 1
"""Of what is stored; a store of a newer one is refused."""
FORMAT_NAME: Final = STORE + b"format"
PROGRESS_NAME: Final = STORE + b"progress"
_PROGRESS: Final = Struct("<QQQd")
"""Number of the newest commit; how many owners have a head; revision no owner that
holds nothing may begin below; when it was committed, in seconds since the epoch."""
_ANY: Final = b"\xff" * 16
"""Above the name of whatever a foreign or damaged store may hold."""


@dataclass(slots=True)  # tidy: the head is replaced with every commit
class Seal:
    """What the store keeps in memory of one owner."""

    prefix: bytes
    """What the names of its entries begin with."""
    head_name: bytes
    head: Head
    """As committed last."""


class DurableStore:
    """A `Store` in a journal, locked for one manager, with its mark beside it."""

    def __init__(
        self,
        url: StoreUrl,
        *,
        cipher: Cipher | None = None,
        read_only: bool = False,
    ) -> None:
        """Open the store, made if there is none.

        Args:
            url: Where it is.
            cipher: Seals values; `None` for a store whose values are readable.
            read_only: Change nothing, and be content without the lock.

        Raises:
            StoreLockedError: Another manager has it open. Effect: none.
            StoreFormatError: It is of a newer version, or none of ours. Effect: none.
            CorruptStoreError: It has lost commits that were acknowledged. Effect: none.
            StoreError: It cannot be opened. Effect: none.
        """
        self.url = url
        self.offset = 0.0
        """What to add to the owners' clock for seconds since the epoch."""
        self.poisoned: str | None = None
        """Why no commit is taken any more."""
        self._cipher = cipher
        self._read_only = read_only
        self._in_order = False
        self._mark_path = f"{url.path}.mark"
        self._lock = None if read_only else StoreLock(url.path)
        if self._lock is not None:
            self._lock.acquire()
        existed = os.path.lexists(url.path)
        try:
            try:
                self.journal: Journal = open_journal(
                    url, read_only=read_only, must_exist=read_only
                )
            except UnicodeDecodeError as error:
                # SQLite's own words quote what is damaged.
                raise CorruptStoreError(f"{url.text} is damaged: {error}") from error
            try:
                self._begin(existed=existed)
            except BaseException:
                self.journal.close()
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _begin(self, *, existed: bool) -> None:
        """Read what the store says of itself, and compare it with the mark."""
        try:
            record = self._get(FORMAT_NAME)
            if record is None:
                store_id = self._make(existed=existed)
            else:
                about = orjson.loads(unguard(FORMAT_NAME, record))
                if about["format"] > FORMAT:
                    raise StoreFormatError(
                        f"{self.url.text} has format {about['format']}; this version "
                        f"of stateward knows {FORMAT} and older ones"
                    )
                store_id = bytes.fromhex(about["id"])
            progress = unguard(PROGRESS_NAME, self._get(PROGRESS_NAME) or b"")
            self._progress(*_PROGRESS.unpack(progress))
        except DamagedError as error:
            raise CorruptStoreError(
                f"{self.url.text}: the store's own records are damaged: {error}"
            ) from error
        try:
            self._mark = Mark(self._mark_path, store_id, read_only=self._read_only)
        except OSError as error:
            raise StoreError(f"cannot open {self._mark_path}: {error}") from error
        if self._mark.commit > self.commits:
            newest = self._mark.commit
            self._mark.close()
            raise CorruptStoreError(
                f"{self.url.text} is at commit {self.commits}, commit {newest} had "
                f"been acknowledged; to open what is left, remove {self._mark_path}"
            )

    def _progress(self, commits: int, owners: int, floor: int, now: float) -> None:
        self.commits, self.owners, self.floor, self.time = commits, owners, floor, now

    def _get(self, name: bytes) -> bytes | None:
        """Return a record as the journal has it."""
        try:
            return self.journal.get(name)
        except (TypeError, OverflowError, MemoryError) as error:
            # An engine whose own notes of it are damaged: it is no bytes any more.
            raise DamagedError(f"it is unreadable: {error}") from error

    def _scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield names and records as the journal has them, in order."""
        last = b""
        for name, record in self.journal.scan(start, stop):
            if type(name) is not bytes or type(record) is not bytes or name <= last:
                raise DamagedError(f"after {last!r} stands what is no record")
            last = name
            yield name, record

    def _make(self, *, existed: bool) -> bytes:
        """Write the first records of a new store; return its id."""
        if next(self.journal.scan(b"", _ANY), None) is not None:
            raise StoreFormatError(
                f"{self.url.text} holds records and no format: it is no store of "
                "stateward, or it is damaged"
            )
        # A store that was removed is made anew; one that is there was not empty.
        newest = acknowledged(self._mark_path) if existed else 0
        if newest:
            raise CorruptStoreError(
                f"{self.url.text} holds nothing, commit {newest} had been "
                f"acknowledged; to begin a new store, remove {self._mark_path}"
            )
        store_id = uuid4().bytes
        about = {"format": FORMAT, "id": store_id.hex()}
        rows = {
            FORMAT_NAME: guard(FORMAT_NAME, orjson.dumps(about)),
            **progress_row(0, 0, 0, 0.0),
        }
        self.journal.commit(rows, sync=True)
        return store_id

    # -------------------------------------------------------------- owners

    def load(self, state: OwnerState) -> None:
        """Fill a new state with what is stored of its owner."""
        scope = state.scope
        prefix, stop = entry_range(scope)
        name = head_name(scope)
        cipher, offset = self._cipher, self.offset
        try:
            record_of_head = self._get(name)
            head = Head()
            if record_of_head is not None:
                head = parse_head(name, record_of_head)
            found = Head()
            for name, record in self._scan(prefix, stop):
                step_name, key = parse_place(name, len(prefix))
                cell = parse_entry_record(name, record, cipher, offset)
                found.add(cell.revision)
                state.restore(step_name, key, cell)
            if record_of_head is None and not found.entries:
                self._check_order()
        except (DamagedError, ValueError) as error:
            raise CorruptStoreError(
                f"{self.url.text}: {scope} is damaged at {name!r}: {error}",
                scope=scope,
            ) from error
        if (found.entries, found.checksum) != (head.entries, head.checksum):
            raise CorruptStoreError(
                f"{self.url.text}: {scope} has {found.entries} records of which the "
                f"revisions add up to {found.checksum}; {head.entries} and "
                f"{head.checksum} were committed",
                scope=scope,
            )
        state.begin_at(head.revision or self.floor, head.keys, head.size)
        state.seal = Seal(prefix, head_name(scope), head)

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield each owner that holds anything: scope, keys, bytes, and all records.

        Raises:
            CorruptStoreError: A head is damaged or missing.
        """
        name = STORE
        try:
            for name, record in self._heads():
                scope, _ = parse_owner(name)
                head = parse_head(name, record)
                yield scope, head.keys, head.size, head.entries
        except (DamagedError, ValueError) as error:
            raise CorruptStoreError(
                f"{self.url.text}: the heads are damaged at {name!r}: {error}"
            ) from error

    def _heads(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every head; raise if one is missing, or they are out of order."""
        count = owners = 0
        # One scan, so that both numbers are of one moment.
        for name, record in self._scan(STORE, ENTRIES):
            if not name.startswith(STORE):
                count += 1
                yield name, record
            elif name == PROGRESS_NAME:
                _, owners, _, _ = _PROGRESS.unpack(unguard(name, record))
        if count != owners:
            raise DamagedError(f"{count} owners are found, {owners} were committed")

    def _check_order(self) -> None:
        """Raise unless an owner that was not found is one that holds nothing.

        A damaged name leads a search astray, so that it misses what is there. Where
        all heads are there and in order, there is none.

        Cost: O(owners) once, then nothing; some 1.2 us an owner.
        """
        if self._in_order:
            return
        try:
            for _ in self._heads():
                pass
        except DamagedError as error:
            raise DamagedError(f"it is not there, and may be lost: {error}") from error
        self._in_order = True

    # ------------------------------------------------------------- commits

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Write the events of each owner, in order; all of them or none."""
        if self.poisoned is not None:
            raise StorePoisonedError(
                f"{self.url.text} takes no writes until it is reopened: {self.poisoned}"
            )
        rows: dict[bytes, bytes | None] = {}
        heads: list[tuple[Seal, Head]] = []
        floor, owners = self.floor, self.owners
        for state, events in work:
            seal = state.seal
            if not isinstance(seal, Seal):
                raise InvariantError(f"{state.scope} was not loaded from the store")
            head = self._collect(rows, seal, events)
            heads.append((seal, head))
            owners += bool(head.entries) - bool(seal.head.entries)
            rows[seal.head_name] = head_record(seal.head_name, head)
            if not head.entries:
                rows[seal.head_name] = None
                floor = max(floor, head.revision)
        commits, now = self.commits + 1, max(self.time, time.time())
        rows.update(progress_row(commits, owners, floor, now))
        try:
            self.journal.commit(rows, sync=sync)
            # Whatever was written counts from here on, acknowledged or not.
            self._progress(commits, owners, floor, now)
            for seal, head in heads:
                seal.head = head
            if sync:
                self._mark.advance(commits)
        except BaseException as error:
            if getattr(error, "effect", "unknown") != "none":
                self.poisoned = f"commit {commits} failed: {error}"
            raise

    def _collect(
        self, rows: dict[bytes, bytes | None], seal: Seal, events: Iterable[Event]
    ) -> Head:
        """Add the newest version of each entry to `rows`; return the owner's head."""
        head = seal.head.copy()
        newest: dict[tuple[str | None, str], Cell] = {}
        for revision, changes, keys, size, _ in events:
            for cell in changes:
                head.count(cell.previous, cell, gone=DELETED)
                newest[cell.table.step_name, cell.key] = cell
            head.revision, head.keys, head.size = revision, keys, size
        for (step_name, key), cell in newest.items():
            name = entry_name(seal.prefix, step_name, key)
            if cell.expires == DELETED:
                rows[name] = None
            else:
                rows[name] = entry_record(name, cell, self.offset, self._cipher)
        return head

    def close(self) -> None:
        """Let go of the store; idempotent."""
        try:
            self._note_time()
        finally:
            self.journal.close()
            self._mark.close()
            if self._lock is not None:
                self._lock.release()

    def _note_time(self) -> None:
        """Have whatever has expired by now stay so, though the clock be set back."""
        now = time.time()
        if self._read_only or self.poisoned is not None or now <= self.time:
            return
        row = progress_row(self.commits, self.owners, self.floor, now)
        try:
            self.journal.commit(row, sync=False)
        except StateError:
            pass  # closed before, or it cannot be written: then the clock is believed


def progress_row(
    commits: int, owners: int, floor: int, now: float
) -> dict[bytes, bytes]:
    """Return the store's own record of how far it has come, by its name."""
    content = _PROGRESS.pack(commits, owners, floor, now)
    return {PROGRESS_NAME: guard(PROGRESS_NAME, content)}
