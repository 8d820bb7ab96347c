"""The store: what owners have committed, sealed, in whatever journal keeps it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import (
    CorruptStoreError,
    InvariantError,
    StoreError,
    StoreFormatError,
)
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.store.about import About
from stateward.actors.store.arrivals import Arrival
from stateward.actors.store.batches import Batch, Change, Seal, change_of
from stateward.actors.store.ciphers import Key
from stateward.actors.store.heads import Heads
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.names import (
    ENTRIES,
    entry_name,
    entry_range,
    head_name,
    owner_name,
    owner_range,
    parse_owner,
    parse_place,
)
from stateward.actors.store.records import (
    Cipher,
    DamagedError,
    Head,
    entry_record,
    head_record,
    parse_entry_record,
)
from stateward.actors.store.redo import RedoLog

CLEAR_ROWS: Final = 1000
"""LIMIT: what is removed in one commit of what counts for nothing any more."""


def _nothing() -> None:
    pass


class DurableStore:
    """A `Store` in a journal.

    Concurrency: What writes, by one thread at a time; all else by any.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        redo: RedoLog | None = None,
        cipher: Cipher | None = None,
        version: int | None = None,
    ) -> None:
        """Serve what `ledger` holds.

        Args:
            ledger: Closed with the store, but not if this raises.
            redo: As `ledger`; `None` to log nothing.
            cipher: Seals values; `None` leaves them readable.
            version: Of the newest migration there is; `None` leaves owners as stored.

        Raises:
            StoreFormatError: It has been through newer migrations. Effect: none.
        """
        self.ledger = ledger
        self.redo = redo or RedoLog(None)
        """What has happened, and is not in the journal yet."""
        self.redo.encode = self._change
        self.redo.plain = cipher is None
        self.text = ledger.text
        self.heads = Heads(ledger)
        self.cipher = cipher
        self.offset = 0.0
        """What to add to the owners' clock for seconds since the epoch."""
        self.key: Key | None = None
        """What `cipher` was made from."""
        self.let_go: Callable[[], None] = _nothing
        """Called when the store has been closed."""
        stored = ledger.about.version
        if version is not None and version < stored:
            raise StoreFormatError(
                f"{self.text} has been through migration {stored}, and the newest one "
                f"here is {version}"
            )
        self._lifts = version is not None
        self.version = stored if version is None else version
        """Of the newest migration; owners that are older are lifted to it."""

    @property
    def time(self) -> float:
        """When something was committed last, in seconds since the epoch; 0: never."""
        return self.ledger.progress.time

    @property
    def floor(self) -> int:
        """Revision that no owner which holds nothing may begin below."""
        return self.ledger.progress.floor

    # -------------------------------------------------------------- owners

    def load(self, state: OwnerState, *, anew: bool = False) -> None:
        """Fill a new state with what is stored of its owner.

        Args:
            state: Of the owner.
            anew: Whether one that has moved away begins here once more.
        """
        scope = state.scope
        prefix, stop = entry_range(scope)
        name = head_name(scope)
        offset = self.offset
        self.ledger.check_here()
        self.ledger.check_stays(scope)
        if not anew:
            self.ledger.check_alone(scope)
        try:
            head = self.heads.find(scope)
            found, revisions = Head(), list[int]()
            if not self._is_elsewhere(scope, head):
                for name, record in self.ledger.scan(prefix, stop):
                    step_name, key = parse_place(name, len(prefix))
                    # RACE: the key may be rotated meanwhile; the newest opens all.
                    cell = parse_entry_record(name, record, self.cipher, offset)
                    revisions.append(cell.revision)
                    state.restore(step_name, key, cell)
                found.add_all(revisions)
            if head is None and not found.entries:
                self.heads.check_order()
        except DamagedError as error:
            raise CorruptStoreError(
                f"{self.text}: {scope} is damaged at {name!r}: {error}",
                scope=scope,
            ) from error
        if head is None:
            head = Head(version=self.version)
        if head.moved and not anew:
            raise StoreError(
                f"{scope} is not in {self.text} any more, it was moved to "
                f"{self.ledger.about.moved_to}: call `persist_to` with that",
                scope=scope,
            )
        self._check_head(scope, head, found)
        state.begin_at(head.revision or self.floor, head.keys, head.size)
        state.seal = Seal(self, prefix, head_name(scope), head)

    def _check_head(self, scope: OwnerScope, head: Head, found: Head) -> None:
        """Raise unless what was found is what there must be, and may be used here."""
        if (found.entries, found.checksum) != (head.entries, head.checksum):
            raise CorruptStoreError(
                f"{self.text}: {scope} has {found.entries} records of which the "
                f"revisions add up to {found.checksum}; {head.entries} and "
                f"{head.checksum} were committed",
                scope=scope,
            )
        if head.version > self.version:
            raise StoreFormatError(
                f"{self.text}: {scope} has been through migration {head.version}, and "
                f"the newest one here is {self.version}",
                scope=scope,
            )

    def _is_elsewhere(self, scope: OwnerScope, head: Head | None) -> bool:
        """Return whether what lies here of an owner counts for nothing."""
        if head is not None:
            return head.moved
        clearing = self.ledger.about.clearing
        return clearing is not None and clearing == owner_name(scope)

    def holds(self, scope: OwnerScope) -> int | None:
        """Return the newest revision of an owner that is here; `None` if it is not.

        Raises:
            CorruptStoreError: Its head is damaged.
            StoreError: It may be in another store. Effect: none.
        """
        self.ledger.check_stays(scope)
        try:
            head = self.heads.find(scope)
        except DamagedError as error:
            raise CorruptStoreError(
                f"{self.text}: the head of {scope} is damaged: {error}", scope=scope
            ) from error
        return None if head is None or head.moved else head.revision

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield each owner that holds anything: scope, keys, bytes, and all records.

        Raises:
            CorruptStoreError: A head is damaged or missing.
        """
        for scope, head in self.heads.here():
            yield scope, head.keys, head.size, head.entries

    def outdated(self) -> Iterator[OwnerScope]:
        """Yield each owner that has migrations to go through."""
        for scope, head in self.heads.here():
            if head.version < self.version:
                yield scope

    # ------------------------------------------------------------- commits

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Write what is logged, then the events of each owner, in order; or nothing."""
        redo, batch = self.redo, Batch()
        logged, seals = redo.pending()
        batch.add_logged(logged, seals, self.offset)
        for state, events in work:
            found = state.seal
            if not isinstance(found, Seal) or found.store is not self:
                raise InvariantError(f"{state.scope} was not loaded from {self.text}")
            if self._lifts:
                batch.head(found).version = self.version
            for event in events:
                batch.add(found, self._change(found, event))
        end, commits = logged[-1][3] if logged else 0, redo.commits
        try:
            self.write(batch.rows(), batch.heads(), sync=sync, logged=end)
            redo.settle(logged)
            if not sync:
                redo.prepare(self.ledger.about.id, self.ledger.progress.logged)
        except BaseException as error:
            if redo.commits != commits:
                # It is written, and whoever staged it is told that it may not be.
                self.poison(f"what follows a commit failed: {error!r}")
            redo.refuse(for_good=self.ledger.poisoned is not None)
            raise

    def _change(self, seal: Seal, event: Event) -> Change:
        version = self.version if self._lifts else seal.head.version
        return change_of(
            seal, event, version=version, offset=self.offset, cipher=self.cipher
        )

    def poison(self, reason: str) -> None:
        """Take no more commits, for nobody knows what the last one has written."""
        self.ledger.poisoned = reason
        self.redo.refuse(for_good=True)

    def is_outdated(self, state: OwnerState) -> bool:
        """Return whether a state, as it was loaded, has migrations to go through."""
        return isinstance(state.seal, Seal) and state.seal.head.version < self.version

    def lift(self, state: OwnerState, events: Sequence[Event]) -> bool:
        """Write what migrations did to an owner; `False` if it has changed since."""
        seal = state.seal
        # An interrupt may have kept the caller of an earlier one from seeing its end.
        if (
            not isinstance(seal, Seal)
            or (self.heads.find(state.scope) or Head(version=self.version)) != seal.head
        ):
            return False
        self.commit([(state, events)], sync=True)
        return True

    def write(
        self,
        rows: dict[bytes, bytes | None],
        heads: Iterable[tuple[Seal, Head]],
        *,
        sync: bool,
        about: About | None = None,
        logged: int = 0,
    ) -> None:
        """Write records, and the heads they lead to; see `Ledger.write`."""
        heads, owners, floor = list(heads), 0, 0
        for seal, head in heads:
            stays = bool(head.entries) or head.moved
            owners += stays - (bool(seal.head.entries) or seal.head.moved)
            rows[seal.head_name] = None
            if stays:
                rows[seal.head_name] = head_record(seal.head_name, head)
            else:
                floor = max(floor, head.revision)
        if self.version > self.ledger.about.version and heads:
            about = replace(about or self.ledger.about, version=self.version)

        def then() -> None:
            for seal, head in heads:
                seal.head = head
            self.redo.commits = self.ledger.progress.commits

        self.ledger.write(
            rows,
            sync=sync,
            owners=owners,
            floor=floor,
            logged=logged,
            about=about,
            then=then,
        )

    # --------------------------------------------------------------- moves

    def arrive(self, scope: OwnerScope) -> Arrival:
        """Begin to take in an owner."""
        return Arrival(self, scope)

    def scope_of(self, owner: bytes) -> OwnerScope:
        """Return the owner that a part of names stands for."""
        return parse_owner(ENTRIES + owner)[0]

    def check_here(self) -> None:
        """Raise `StoreError` if all of it has been moved to another store."""
        self.ledger.check_here()

    def check_complete(self) -> None:
        """Raise `StoreError` if a move has left some of it in another store."""
        self.ledger.check_whole()
        self.ledger.check_here()
        about = self.ledger.about
        if self.ledger.shared and (about.leaving is not None or self.heads.moved()):
            raise StoreError(
                f"some of {self.text} was moved to {about.moved_to}: open it, and call "
                "`persist_to` with that, to have all of it in one"
            )

    def leave(self, scope: OwnerScope, to: str) -> None:
        """Note that an owner is about to be in another store.

        Args:
            scope: Of the owner.
            to: URL of the other store.
        """
        self.ledger.note(leaving=owner_name(scope), moved_to=to)

    def depart(self, scope: OwnerScope, to: str) -> None:
        """Note that an owner is in another store now, and what it leaves counts not.

        Args:
            scope: Of the owner.
            to: URL of the other store.
        """
        # One is noted at a time, and a commit that failed may have left another.
        while self.clear_some():
            pass
        seal = Seal(self, entry_range(scope)[0], head_name(scope), Head())
        seal.head = self.heads.find(scope) or Head()
        old = seal.head
        head = Head(revision=old.revision, version=old.version, moved=True)
        about = replace(
            self.ledger.about, leaving=None, clearing=owner_name(scope), moved_to=to
        )
        self.write({}, [(seal, head)], sync=True, about=about)

    def clear_some(self) -> bool:
        """Remove some of what counts for nothing; return whether there may be more."""
        about = self.ledger.about
        if about.clearing is None:
            return False
        found = self.ledger.journal.scan(*owner_range(about.clearing))
        names = [name for name, _ in islice(found, CLEAR_ROWS)]
        if not names:
            about = replace(about, clearing=None)
        self.ledger.write(dict.fromkeys(names), sync=False, about=about)
        return bool(names)

    def row(self, prefix: bytes, cell: Cell) -> tuple[bytes, bytes]:
        """Return name and record of one version of an entry.

        Args:
            prefix: What the names of its owner's entries begin with.
            cell: The version.
        """
        name = entry_name(prefix, cell.table.step_name, cell.key)
        return name, entry_record(name, cell, self.offset, self.cipher)

    def close(self) -> None:
        """Let go of the store; idempotent."""
        try:
            self.redo.close()
            self.ledger.close()
        finally:
            self.let_go()
