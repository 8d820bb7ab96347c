"""Arrivals: an owner comes into a store, piece by piece, and counts from the last on.

The pieces are written while the owner goes on elsewhere. The store has noted that they
count for nothing yet; the last commit writes what has changed meanwhile, the head, and
that they do. So a crash leaves a whole owner, or none and something to clear away.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import CorruptStoreError
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.batches import Seal
from stateward.actors.store.names import entry_name, entry_range, head_name, owner_name
from stateward.actors.store.records import Head, head_record

if TYPE_CHECKING:
    from stateward.actors.store.store import DurableStore

_WRAP = 1 << 64


class Arrival:
    """One owner on its way into a store.

    Concurrency: All but `verify` as commits: by one thread at a time.
    """

    def __init__(self, store: "DurableStore", scope: OwnerScope) -> None:
        """Clear away what lies in the store of the owner, and counts for nothing.

        Raises:
            CommitFailedError: See its `effect`.
        """
        self._store = store
        self._scope = scope
        self._prefix, self._stop = entry_range(scope)
        self._written: dict[bytes, int] = {}
        """Revision of what was written, by name."""
        self._checksum = 0
        # A commit that failed may have left something of an owner that went away.
        while store.clear_some():
            pass
        if next(store.ledger.journal.scan(self._prefix, self._stop), None) is not None:
            self._disclaim()
            while store.clear_some():
                pass

    def _disclaim(self) -> None:
        """Have what is stored of the owner count for nothing until the end."""
        ledger = self._store.ledger
        owner = owner_name(self._scope)
        if ledger.about.clearing != owner:
            about = replace(ledger.about, clearing=owner)
            ledger.write({}, sync=False, about=about)

    def put(self, cells: Iterable[Cell]) -> None:
        """Write some entries, none of them twice.

        Raises:
            CommitFailedError: See its `effect`.
        """
        self._disclaim()
        rows: dict[bytes, bytes | None] = {}
        for cell in cells:
            name, record = self._store.row(self._prefix, cell)
            rows[name] = record
            self._written[name] = cell.revision
            self._checksum = (self._checksum + crc32(record, crc32(name))) % _WRAP
        self._store.ledger.write(rows, sync=False)

    def verify(self) -> None:
        """Read what was written, and raise unless it is that.

        Raises:
            CorruptStoreError: It is not.
        """
        count = checksum = 0
        for name, record in self._store.ledger.scan(self._prefix, self._stop):
            count += 1
            checksum = (checksum + crc32(record, crc32(name))) % _WRAP
        if (count, checksum) != (len(self._written), self._checksum):
            raise CorruptStoreError(
                f"{self._store.text}: of {self._scope} {len(self._written)} records "
                f"were written, and what is read back are {count} others",
                scope=self._scope,
            )

    def finish(
        self,
        cells: Iterable[Cell],
        *,
        revision: int,
        keys: int,
        size: int,
        version: int | None,
    ) -> Seal:
        """Write what has changed since, and have the owner be here from now on.

        Args:
            cells: Every entry of the owner.
            revision: Of its newest command.
            keys: How many of them are keys.
            size: UTF-8 bytes of the keys and encoded bytes of their values.
            version: Of the newest migration it has been through; `None` for all.

        Raises:
            CommitFailedError: See its `effect`.
            CorruptStoreError: What is read back is not what was written.
        """
        store = self._store
        before = store.heads.find(self._scope) or Head()
        seal = Seal(store, self._prefix, head_name(self._scope), before)
        head = Head(
            revision=revision,
            keys=keys,
            size=size,
            version=store.version if version is None else version,
        )
        rows: dict[bytes, bytes | None] = {}
        left = dict(self._written)
        for cell in cells:
            head.add(cell.revision)
            name = entry_name(self._prefix, cell.table.step_name, cell.key)
            if left.pop(name, None) != cell.revision:
                rows.update([store.row(self._prefix, cell)])
        rows.update(dict.fromkeys(left))
        wanted = dict(rows)
        if head.entries:
            wanted[seal.head_name] = head_record(seal.head_name, head)
        # The other one has yet to note that the owner is not there any more.
        arrived = owner_name(self._scope) if store.ledger.shared else None
        about = replace(store.ledger.about, clearing=None, arrived=arrived)
        store.write(rows, [(seal, head)], sync=True, about=about)
        if any(store.ledger.journal.get(name) != row for name, row in wanted.items()):
            raise CorruptStoreError(
                f"{store.text}: {self._scope} does not read as it was written",
                scope=self._scope,
            )
        return seal
