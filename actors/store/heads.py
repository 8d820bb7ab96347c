"""Heads: what says of each owner what its records must add up to."""

from collections.abc import Iterator

from stateward.actors.core.errors import CorruptStoreError
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.about import PROGRESS_NAME, parse_progress
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.names import ENTRIES, STORE, head_name, parse_owner
from stateward.actors.store.records import DamagedError, Head, parse_head


class Heads:
    """The heads in one store.

    Concurrency: Any thread.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Read them from `ledger`."""
        self._ledger = ledger
        self._in_order = False

    def find(self, scope: OwnerScope) -> Head | None:
        """Return the head of an owner; `None` if it has none.

        Raises:
            DamagedError: It is damaged.
        """
        name = head_name(scope)
        record = self._ledger.journal.get(name)
        return None if record is None else parse_head(name, record)

    def all(self) -> Iterator[tuple[OwnerScope, Head]]:
        """Yield each owner that has a head, with it.

        Raises:
            CorruptStoreError: A head is damaged or missing.
        """
        name = STORE
        try:
            for name, record in self._rows():
                scope, _ = parse_owner(name)
                yield scope, parse_head(name, record)
        except DamagedError as error:
            raise CorruptStoreError(
                f"{self._ledger.text}: the heads are damaged at {name!r}: {error}"
            ) from error

    def here(self) -> Iterator[tuple[OwnerScope, Head]]:
        """Yield each owner that has a head and has not moved away; see `all`."""
        return (found for found in self.all() if not found[1].moved)

    def moved(self) -> list[OwnerScope]:
        """Return the owners that have moved away; see `all`."""
        return [scope for scope, head in self.all() if head.moved]

    def _rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every head; raise if one is missing, or they are out of order."""
        count = owners = 0
        # One scan, so that both numbers are of one moment.
        for name, record in self._ledger.scan(STORE, ENTRIES):
            if not name.startswith(STORE):
                count += 1
                yield name, record
            elif name == PROGRESS_NAME:
                owners = parse_progress(record).owners
        if count != owners:
            raise DamagedError(f"{count} owners are found, {owners} were committed")

    def check_order(self) -> None:
        """Raise unless an owner that was not found is one that holds nothing.

        A damaged name leads a search astray, so that it misses what is there. Where
        all heads are there and in order, there is none.

        Raises:
            DamagedError: They are not.

        Cost: O(owners) once, then nothing; some 1.2 us an owner.
        """
        if self._in_order:
            return
        try:
            for _ in self._rows():
                pass
        except DamagedError as error:
            raise DamagedError(f"it is not there, and may be lost: {error}") from error
        self._in_order = True
