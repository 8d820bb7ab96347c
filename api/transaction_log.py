"""What a transaction has read, kept to one revision, and what it is going to write.

`transactions` says how that works.
"""

from collections.abc import Callable, Iterable

from stateward.actors.core import reader
from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import ClosedError, ConflictError
from stateward.actors.core.messages import KEPT, CommitTransaction, Revision
from stateward.actors.core.scopes import StateScope
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import JsonValue, Packing, pack
from stateward.reads import Engine

_Place = tuple[str | None, str]
"""Step name and key."""
_Write = tuple[Packing, float | None] | None
"""Packed value and ttl; `None` for a removal."""


class TransactionLog:
    """What a transaction has read, and what it is going to write."""

    def __init__(self, engine: Engine, scope: StateScope) -> None:
        self.engine = engine
        self.owner = scope.owner
        self.pinned = -1
        """Revision all reads are of."""
        self.revision: Revision | None = None
        self._state: OwnerState | None = None
        self._reads: dict[_Place, int] = {}
        self._scans: dict[str | None, int] = {}
        self._writes: dict[_Place, _Write] = {}
        self.over = False

    def writes(self) -> dict[_Place, _Write]:
        """Return the writes so far, to look at or to add to."""
        if self.over:
            raise ClosedError("the transaction is over")
        return self._writes

    def replace(self, place: _Place, value: JsonValue) -> None:
        """Write a value derived from the one that was read; its expiry is kept."""
        writes = self.writes()
        ttl: float | None = None if place in writes else KEPT
        earlier = writes.get(place)
        if earlier is not None:
            ttl = earlier[1]
        writes[place] = (pack(value), ttl)

    def read(self, place: _Place) -> Cell | None:
        """Return the version of one entry that belongs to all other reads."""
        step_name, key = place

        def find(state: OwnerState, now: float) -> dict[_Place, Cell]:
            cell = reader.find(state, step_name, key, now)
            return {} if cell is None else {place: cell}

        cells = self._consistent(find)
        cell = cells.get(place)
        self._note(place, cell)
        return cell

    def scan(self, step_name: str | None) -> Iterable[str]:
        """Return all keys of one scope, as they belong to all other reads."""

        def find(state: OwnerState, now: float) -> dict[_Place, Cell]:
            _, cells = reader.find_all(state, step_name, None, now)
            return {(step_name, key): cell for key, cell in cells.items()}

        cells = self._consistent(find)
        self._scans.setdefault(step_name, self.pinned)
        for place, cell in cells.items():
            self._note(place, cell)
        return [key for _, key in cells]

    def finish(self) -> CommitTransaction | None:
        """End the transaction; return the command, or `None` if it wrote nothing."""
        command = self.end()
        return command if self._writes else None

    def end(self) -> CommitTransaction:
        """End the transaction, and return the command even if it wrote nothing."""
        writes, self.over = self.writes(), True
        return CommitTransaction(
            self.owner,
            reads=tuple((*place, seen) for place, seen in self._reads.items()),
            scans=tuple(self._scans.items()),
            writes=tuple(
                (*place, *write) for place, write in writes.items() if write is not None
            ),
            removals=tuple(place for place, write in writes.items() if write is None),
        )

    def done(self, revision: int) -> Revision:
        """Note at which revision the transaction took effect."""
        self.revision = Revision(max(revision, 0))
        return self.revision

    def _note(self, place: _Place, cell: Cell | None) -> None:
        seen = 0 if cell is None else cell.revision
        if self._reads.setdefault(place, seen) != seen:
            raise _stale(place, self._reads[place], seen)

    def _consistent(
        self, find: Callable[[OwnerState, float], dict[_Place, Cell]]
    ) -> dict[_Place, Cell]:
        """Return what `find` finds, of the same revision as everything read before."""
        self.writes()
        while True:
            state = self.engine.state(self.owner)
            now = self.engine.clock.now()
            if state is None:
                self._revalidate(None, now)
                self.pinned = max(self.pinned, 0)
                return {}
            revision = state.revision
            try:
                found = find(state, now)
                if revision != self.pinned or state is not self._state:
                    self._revalidate(state, now)
            except reader.RetiredError:
                continue
            if state.revision == revision:
                self._state, self.pinned = state, revision
                return found

    def _revalidate(self, state: OwnerState | None, now: float) -> None:
        """Raise `ConflictError` unless all that was read is still so."""
        for place, seen in self._reads.items():
            cell = None if state is None else reader.find(state, *place, now)
            actual = 0 if cell is None else cell.revision
            if actual != seen:
                raise _stale(place, seen, actual)
        for step_name, revision in self._scans.items():
            if state is not None and state.table(step_name).revision > revision:
                raise ConflictError(
                    f"the keys of {step_name or self.owner} changed after revision "
                    f"{revision}, when the transaction read them all",
                    expected=revision,
                )


def _stale(place: _Place, seen: int, actual: int) -> ConflictError:
    return ConflictError(
        f"{place[1]!r} was read at revision {seen} and is at {actual} now",
        key=place[1],
        expected=seen,
        actual=actual,
    )
