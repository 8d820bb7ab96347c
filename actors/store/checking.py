"""Checking: a walk through a store that reports all that is not as it must be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

from stateward.actors.core.errors import (
    ClosedError,
    CorruptStoreError,
    StateError,
    StoreLockedError,
    WrongKeyError,
)
from stateward.actors.core.ports import Examined
from stateward.actors.core.scopes import RUN_STEP, OwnerScope, utf8_bytes
from stateward.actors.store.about import (
    FORMAT_NAME,
    PROGRESS_NAME,
    parse_about,
    parse_progress,
)
from stateward.actors.store.names import (
    ENTRIES,
    HEADS,
    STORE,
    parse_owner,
    parse_place,
)
from stateward.actors.store.records import (
    DamagedError,
    Head,
    parse_entry_record,
    parse_head,
)
from stateward.actors.store.store import DurableStore

Progress: TypeAlias = Callable[[int, int], object]
"""Called with how much of how much is done."""
_END: Final = b"\xff" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong in a store."""

    scope: OwnerScope | None
    """Whose; `None` if that cannot be told, or it is the store's own."""
    name: bytes
    """Where in the store."""
    problem: str

    def __str__(self) -> str:
        """Say what is wrong, in one line."""
        whose = "the store" if self.scope is None else str(self.scope)
        return f"{whose}: {self.problem} (at {self.name!r})"


def inspect(
    store: DurableStore, *, progress: Progress | None = None
) -> Iterator[Finding]:
    """Yield everything that is wrong in a store, of one moment; change nothing.

    Args:
        store: May be in use.
        progress: Called with how many owners of how many have been looked at.
    """
    yield from Inspection(store, progress).run()


class Inspection:
    """One walk: all heads, then all entries, in a single scan; then the engine's."""

    def __init__(self, store: DurableStore, progress: Progress | None) -> None:
        """Begin with nothing seen."""
        self._store = store
        self._progress = progress
        self._heads: dict[bytes, Head] = {}
        """Of each owner, by its part of names."""
        self._damaged: set[bytes] = set()
        """Owners whose head is damaged: their entries cannot be added up."""
        self._owners = 0
        """How many heads there must be."""
        self._missing = {FORMAT_NAME, PROGRESS_NAME}
        """The store's own records, those not met yet."""
        self._here = 0
        """How many owners are here, of those that have a head."""
        self._last = b""
        """The name that was met last."""
        self._owner = b""
        self._found = Head()
        self._done: set[bytes] = set()

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong."""
        for look in (self._walk, self._ask_engine):
            try:
                yield from look()
            except (ClosedError, StoreLockedError):
                raise  # It says nothing of the store.
            except StateError as error:
                yield _of_store(self._last, f"the engine reads no further: {error}")

    def _ask_engine(self) -> Iterator[Finding]:
        journal = self._store.ledger.journal
        if isinstance(journal, Examined):
            for line in journal.problems():
                yield _of_store(STORE, f"the engine tells of damage: {line}")

    def _walk(self) -> Iterator[Finding]:
        counted = False
        for name, record in self._store.ledger.journal.scan(STORE, _END):
            last = self._last
            if type(name) is not bytes or type(record) is not bytes or name <= last:
                yield _of_store(last, "what stands after this is no record")
                continue
            self._last = name
            self._missing.discard(name)
            if name >= ENTRIES and not counted:
                counted = True
                yield from self._count_heads()
            yield from self._look(name, record)
        if not counted:
            yield from self._count_heads()
        yield from self._end_owner()
        for owner in self._heads.keys() - self._done:
            yield from self._compare(owner, Head())

    def _count_heads(self) -> Iterator[Finding]:
        for name in sorted(self._missing):
            yield _of_store(name, "this record of its own is missing")
        count = len(self._heads) + len(self._damaged)
        self._here = count - sum(head.moved for head in self._heads.values())
        if PROGRESS_NAME not in self._missing and count != self._owners:
            yield _of_store(
                HEADS, f"{count} owners are found, {self._owners} were committed"
            )

    def _look(self, name: bytes, record: bytes) -> Iterator[Finding]:
        """Look at one record."""
        kind = name[:1]
        try:
            if kind == STORE:
                self._look_at_own(name, record)
            elif kind == HEADS:
                yield from self._look_at_head(name, record)
            elif kind == ENTRIES:
                yield from self._look_at_entry(name, record)
            else:
                yield _of_store(name, "it is no record of a store")
        except (DamagedError, CorruptStoreError) as error:
            yield _of_store(name, str(error))

    def _look_at_own(self, name: bytes, record: bytes) -> None:
        if name == PROGRESS_NAME:
            self._owners = parse_progress(record).owners
        elif name == FORMAT_NAME:
            parse_about(record)
        else:
            raise DamagedError("it is no record of a store")

    def _look_at_head(self, name: bytes, record: bytes) -> Iterator[Finding]:
        owner = name[1:]
        try:
            parse_owner(name)
            self._heads[owner] = parse_head(name, record)
        except DamagedError as error:
            self._damaged.add(owner)
            yield Finding(scope=_scope(name), name=name, problem=f"its head: {error}")

    def _look_at_entry(self, name: bytes, record: bytes) -> Iterator[Finding]:
        try:
            scope, end = parse_owner(name)
        except DamagedError as error:
            yield _of_store(name, str(error))
            return
        if name[1:end] != self._owner:
            yield from self._end_owner()
            self._owner, self._found = name[1:end], Head()
        try:
            step_name, key = parse_place(name, end)
            cell = parse_entry_record(name, record, self._store.cipher)
            if cell.depth:
                orjson.loads(cell.value)  # type: ignore[arg-type]  # a container is bytes
        except (DamagedError, orjson.JSONDecodeError, WrongKeyError) as error:
            yield Finding(scope=scope, name=name, problem=str(error))
            return
        self._found.add(cell.revision)
        self._found.revision = max(self._found.revision, cell.revision)
        if step_name != RUN_STEP:
            self._found.keys += 1
            self._found.size += utf8_bytes(key) + cell.size

    def _end_owner(self) -> Iterator[Finding]:
        """Compare what was found of an owner with its head."""
        owner, self._owner = self._owner, b""
        if owner:
            self._done.add(owner)
            yield from self._compare(owner, self._found)
            if self._progress is not None:
                self._progress(len(self._done), self._here)

    def _compare(self, owner: bytes, found: Head) -> Iterator[Finding]:
        about = self._store.ledger.about
        if owner in self._damaged or owner == about.clearing:
            return
        head = self._heads.get(owner)
        name = HEADS + owner
        if head is None:
            yield Finding(
                scope=_scope(name),
                name=name,
                problem=f"{found.entries} records, and it has no head",
            )
            return
        if head.moved:
            if found.entries:
                yield Finding(
                    scope=_scope(name),
                    name=name,
                    problem=f"it was moved, and {found.entries} records are here",
                )
            return
        for what in ("entries", "checksum", "keys", "size"):
            there, wanted = getattr(found, what), getattr(head, what)
            if there != wanted:
                yield Finding(
                    scope=_scope(name),
                    name=name,
                    problem=f"{what} is {there}, and {wanted} was committed",
                )
        if found.revision > head.revision:
            yield Finding(
                scope=_scope(name),
                name=name,
                problem=f"revision is {head.revision}, and a record has "
                f"{found.revision}",
            )
        if head.version > about.version:
            yield Finding(
                scope=_scope(name),
                name=name,
                problem=f"it is at version {head.version}, the store at "
                f"{about.version}",
            )


def _of_store(name: bytes, problem: str) -> Finding:
    return Finding(scope=None, name=name, problem=problem)


def _scope(name: bytes) -> OwnerScope | None:
    try:
        return parse_owner(name)[0]
    except DamagedError:
        return None
