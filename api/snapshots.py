"""What readers are given: snapshots of scopes, and entries with all about them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stateward.actors.core.cells import Cell
from stateward.actors.core.messages import Revision
from stateward.actors.core.ports import Clock
from stateward.actors.core.values import FrozenJson, JsonValue


class Snapshot(Mapping[str, JsonValue]):
    """A scope as it was at one revision; nothing that happens later changes it.

    Each value that is taken out is a private copy.

    Concurrency: Any thread.
    Cost: Values stay encoded until they are taken out.

    Example:
        >>> from stateward import StateManager
        >>> with StateManager() as manager:
        ...     state = manager.workflow_state("order-123")
        ...     state.update({"a": 1, "b": [2]})
        ...     snapshot = state.snapshot()
        1
        >>> dict(snapshot), snapshot.revision
        ({'a': 1, 'b': [2]}, 1)
    """

    __slots__ = ("_cells", "_revision")

    def __init__(self, revision: int, cells: dict[str, Cell]) -> None:
        """Hold `cells`, which nobody changes any more."""
        self._revision = revision
        self._cells = cells

    @property
    def revision(self) -> Revision:
        """Of the owner when all of this was true; 0 if it has never held anything."""
        return Revision(self._revision)

    def __getitem__(self, key: str) -> JsonValue:
        """Return a private copy of the value of `key`; raise `KeyError` if absent."""
        return self._cells[key].thaw()

    def __contains__(self, key: object) -> bool:
        """Return whether `key` was there; no value is decoded."""
        return key in self._cells

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._cells)

    def __len__(self) -> int:
        """Return how many keys there were."""
        return len(self._cells)

    def __repr__(self) -> str:
        """Show the contents and the revision."""
        return f"Snapshot({dict(self)!r}, revision={self._revision})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry and what is known of it."""

    value: FrozenJson
    """Read-only and shared: mapping proxies and tuples all the way down."""
    revision: Revision
    """Of the owner, counting the command that wrote the value."""
    created: float
    """Seconds since the epoch when the key came into being."""
    updated: float
    """Seconds since the epoch when the value was written."""
    expires: float | None
    """Seconds since the epoch when the key goes; `None` for never."""


def entry_of(cell: Cell, clock: Clock) -> Entry:
    """Return what a reader may know of `cell`."""
    return Entry(
        value=cell.view(),
        revision=Revision(cell.revision),
        created=clock.epoch(cell.created),
        updated=clock.epoch(cell.updated),
        expires=None if cell.expires is None else clock.epoch(cell.expires),
    )
