"""A journal in memory, which tells apart what a crash would leave: for simulations."""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from stateward.actors.core.errors import ClosedError, StoreError
from stateward.actors.core.ports import Rows


class MemoryJournal:
    """A `Journal` that keeps nothing, and knows what it would have kept."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Begin with `rows`, as if they were synced."""
        self._rows = dict(rows)
        self._names = sorted(self._rows)
        self._synced = dict(self._rows)
        self._unsynced: list[dict[bytes, bytes | None]] = []
        self._lock = threading.Lock()
        self._closed = False
        self.backups: dict[str, MemoryJournal] = {}
        """What `backup` wrote, by path."""

    def commit(self, rows: Rows, *, sync: bool) -> None:
        self._check_open()
        with self._lock:
            if rows:
                self._unsynced.append(dict(rows))
            for name, row in rows.items():
                self._put(name, row)
            if sync:
                for earlier in self._unsynced:
                    apply(self._synced, earlier)
                self._unsynced.clear()

    def _put(self, name: bytes, row: bytes | None) -> None:
        if row is not None:
            if name not in self._rows:
                insort(self._names, name)
            self._rows[name] = row
        elif name in self._rows:
            del self._rows[name]
            del self._names[bisect_left(self._names, name)]

    def get(self, name: bytes) -> bytes | None:
        self._check_open()
        with self._lock:
            return self._rows.get(name)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check_open()
        with self._lock:
            first, last = (bisect_left(self._names, end) for end in (start, stop))
            found = [(name, self._rows[name]) for name in self._names[first:last]]
        for row in found:
            self._check_open()
            yield row

    def backup(self, path: str) -> None:
        self._check_open()
        if path in self.backups:
            raise StoreError(f"there is something at {path} already", path=path)
        self.backups[path] = self.killed()

    def compact(self) -> None:
        self._check_open()

    def size_bytes(self) -> int:
        self._check_open()
        with self._lock:
            return sum(len(name) + len(row) for name, row in self._rows.items())

    def close(self) -> None:
        self._closed = True

    def crash(self) -> "MemoryJournal":
        """Return what power loss now would leave: what was synced."""
        with self._lock:
            return MemoryJournal(self._synced.items())

    def killed(self) -> "MemoryJournal":
        """Return what the end of the process now would leave: every commit."""
        with self._lock:
            left = MemoryJournal(self._synced.items())
            left._unsynced = [dict(rows) for rows in self._unsynced]
            for rows in self._unsynced:
                for name, row in rows.items():
                    left._put(name, row)
            return left

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the journal in memory is closed")


def apply(kept: dict[bytes, bytes], rows: Rows) -> None:
    """Change `kept` as one commit does."""
    for name, row in rows.items():
        if row is None:
            kept.pop(name, None)
        else:
            kept[name] = row
