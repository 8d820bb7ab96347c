"""The redo log: commands that have happened, and are not in the journal yet.

A command that need not outlive power loss at once is packed into mapped memory, which
outlives the process, and is over: no thread is waited for, and nothing of the system
called. The journal has it some milliseconds later, with all that came meanwhile in one
commit. After a crash what the journal lacks is read from the log (see `replay`).

The log is a ring. What lies in it is counted in bytes since its store was made, and a
place in that count (LSN, log sequence number; Mohan et al., ARIES, 1992) is where a
record begins, modulo the size. The journal says up to where it has everything.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final
from zlib import crc32

import orjson

from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import StoreError
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.store.batches import (
    OVERWRITE,
    USUAL,
    Change,
    Logged,
    Overwrite,
    Seal,
    packed,
)
from stateward.actors.store.names import entry_name
from stateward.actors.store.redo_format import (
    DONE,
    HEAD,
    RECORD,
    START,
    WORD,
    about_log,
    read_log,
    where_it_fits,
)
from stateward.actors.store.regions import Buffer, Region

logger: Final = logging.getLogger("stateward.redo")

SIZE: Final = 8 << 20
"""LIMIT: bytes of the ring, some 50,000 small writes; what comes more is committed."""
RECORD_MAX: Final = 1 << 20
"""LIMIT: bytes of a body; a larger one goes to the journal at once."""
pack_usual, pack_head = USUAL.pack, RECORD.pack_into
"""Looked up once: both are in every buffered write."""
HOLD: Final = 5.0
"""Seconds until who is logging must be done, or was interrupted and waits for us."""


class RedoLog:
    """The log of one store.

    Concurrency: `log` and `has` by any thread; all else by the one that commits.
    """

    commits = 0
    """Number of the newest commit to the journal."""
    plain = True
    """Whether values are logged as they are, and not sealed."""
    encode: Callable[[Seal, Event], Change]
    """Returns what an event does, as it is to be written now."""

    def __init__(self, region: Region | None, *, size: int = SIZE) -> None:
        """Log nothing yet, or nothing ever without a region; see `prepare`.

        Args:
            region: Where to.
            size: Bytes of the ring: what may be logged between two commits.
        """
        self._size = size
        self._lock: Final = threading.Lock()
        """Held to log something; nobody ever waits for it in a turn."""
        self._open = False
        """Whether anything may be logged."""
        self._prepared = False
        self.end = 0
        """Where what was read has ended."""
        self.left: bytes | None = None
        """What a process that is gone has left; `read` takes it if we are not alone."""
        self._region = region
        self._held = self._failing = self._given_up = False
        self._pending: list[Logged] = []
        """What the journal lacks, oldest first, and where each ends."""
        self._seals: dict[bytes, Seal] = {}
        """Whose the pending ones are, by what the names of their entries begin with.
        With it in there, each would be looked at by every garbage collection."""
        self._drained = 0
        """Where begins what the journal lacks."""
        self._buffer: Buffer = bytearray()

    @property
    def behind(self) -> bool:
        """Whether the journal lacks anything, and may still have it."""
        return bool(self._pending) and not self._given_up

    def has(self, seal: Seal, revision: int) -> bool:
        """Return whether the journal lacks a change that is logged."""
        return any(
            it[0] == revision and it[4] == seal.prefix
            for it in reversed(self._pending[:])
        )

    # ------------------------------------------------------------- logging

    def log(self, state: OwnerState, event: Event) -> bool:
        """Log what is staged in an owner's turn; `False` if that cannot be now.

        It is logged, and has to happen, once `Seal.reached` says so.
        """
        seal, mine = state.seal, True
        if not self._open or not isinstance(seal, Seal):
            return False
        acquire, release = self._lock.acquire, self._lock.release
        try:
            # Nobody waits here: whoever has the lock may have been interrupted by us.
            if not acquire(False):
                mine = False
                return False
            # RACE: what was true before the lock was taken may not be any more.
            if not self._open or state.seal is not seal:  # type: ignore[redundant-expr]  # it may have changed
                return False
            change = self.encode(seal, event)
            end = self._write(packed(change, self.commits))
            if end:
                self._seals[seal.prefix] = seal
                it = *change[:3], end, seal.prefix, b"", 0, 0.0, change
                seal.newest = it
                # ORDER: last. It is logged, and must happen, with this call or never.
                self._pending.append(it)
            return end > 0
        except BaseException:
            self._erase()
            raise
        finally:
            # Nothing may come before this call; see the rules of `turns`.
            if mine:
                try:
                    release()
                except RuntimeError:
                    pass  # RACE: interrupted before it was known not to be ours.

    def overwrite(self, state: OwnerState, cell: Cell, old: Cell, size: int) -> bool:
        """As `log`, of a version that is staged, and all else stays as it was.

        Written out, since a buffered write is held to three times one in memory.

        Args:
            state: Of its owner.
            cell: Which never expires.
            old: The version before.
            size: Of the owner afterwards.
        """
        mine = True
        seal: Seal | None = state.seal  # type: ignore[assignment]  # one of ours, if open
        if not self._open or not self.plain or seal is None:
            return False
        acquire, release = self._lock.acquire, self._lock.release
        try:
            if not acquire(False):
                mine = False
                return False
            # RACE: as in `log`.
            if not self._open or state.seal is not seal:  # type: ignore[redundant-expr]  # it may have changed
                return False
            value, step, revision = cell.value, cell.table.step_name, cell.revision
            prefix = seal.prefix
            if step is None:
                name = b"%bk%b" % (prefix, cell.key.encode())
            else:
                name = entry_name(prefix, step, cell.key)
            data = value if type(value) is bytes else orjson.dumps(value)
            updated, size_of_name = cell.updated + seal.store.offset, len(name)
            head = pack_usual(
                OVERWRITE,
                self.commits,
                revision,
                size,
                updated,
                cell.depth,
                size_of_name,
            )
            body = head + name + data
            end = self._write(body)
            if end:
                self._seals[prefix] = seal
                was, created = old.revision, old.created
                it = revision, state.keys, size, end, prefix, name, was, created, body
                seal.newest = it
                # ORDER: as in `log`.
                self._pending.append(it)
            return end > 0
        except BaseException:
            self._erase()
            raise
        finally:
            if mine:
                try:
                    release()
                except RuntimeError:
                    pass  # RACE: as in `log`.

    def _write(self, body: bytes) -> int:
        """Write a record; return where it ends, or 0 if there is no room."""
        pending, buffer, ring = self._pending, self._buffer, self._size
        last = pending[-1][3] if pending else self._drained
        start, size, place = last, len(body), last % ring
        if place + size + 2 * HEAD > ring:
            start, place = last - place + ring, 0
        end = start + HEAD + size
        if end + HEAD > self._drained + ring or size > RECORD_MAX:
            return 0
        if start != last:
            # What was taken back may lie there.
            RECORD.pack_into(buffer, START, 0, 0, 0, 0)
            checksum = crc32(b"", last & WORD)
            RECORD.pack_into(buffer, START + last % ring, last, 0, checksum, DONE)
        place += START
        inside = place + HEAD
        # ORDER: the head last, and its last byte last of all.
        buffer[inside : inside + size] = body
        pack_head(buffer, place, start, size, crc32(body, start & WORD), DONE)
        return end

    def _erase(self) -> None:
        """Have no record be where the next one will begin: it was taken back."""
        end = self._pending[-1][3] if self._pending else self._drained
        RECORD.pack_into(self._buffer, START + end % self._size, 0, 0, 0, 0)

    # ------------------------------------------------------------ draining

    def pending(self) -> tuple[list[Logged], dict[bytes, Seal]]:
        """Return what the journal lacks, oldest first, and whose it is by prefix."""
        return self._pending[:], self._seals

    def settle(self, drained: list[Logged]) -> None:
        """Note that the journal has the oldest of what it lacked."""
        if drained:
            self._clear(self._drained, drained[-1][3])
            # ORDER: a change that has left the pending ones must be taken for drained.
            self._drained = drained[-1][3]
            del self._pending[: len(drained)]
            # Whoever logs something now is forgotten some other time.
            if self._lock.acquire(blocking=False):
                known = self._seals
                self._seals = {it[4]: known[it[4]] for it in self._pending}
                self._lock.release()
        self._failing = False
        self._reopen()

    def _clear(self, start: int, stop: int) -> None:
        """Have zeros where records were, for what follows the last one is no head."""
        ring = self._size
        first, last = start % ring, stop % ring
        if last < first:
            self._buffer[START + first : START + ring] = bytes(ring - first)
            first = 0
        self._buffer[START + first : START + last] = bytes(last - first)

    def refuse(self, *, for_good: bool) -> None:
        """Log nothing until something can be committed again, if that may be.

        Args:
            for_good: Whether the journal takes nothing more. What it lacks stays in the
                log, for whoever opens it next.
        """
        self._failing = True
        self._given_up = self._given_up or for_good
        self._open = False

    def hold(self) -> None:
        """Log nothing until `release`, and have nobody be about to.

        Raises:
            StoreError: Somebody was interrupted while logging, and waits for us.
        """
        self._held = True
        self._open = False
        if not self._lock.acquire(timeout=HOLD):
            raise StoreError("somebody does not finish what was begun in the log")
        self._lock.release()

    def release(self) -> None:
        """Log again."""
        self._held = False
        self._reopen()

    def _reopen(self) -> None:
        self._open = self._prepared and not (self._held or self._failing)

    # -------------------------------------------------------------- opening

    def read(
        self, store_id: bytes, start: int, commits: int, *, alone: bool
    ) -> Iterator[Change | Overwrite]:
        """Yield what was logged from `start` on; afterwards `end` says up to where.

        The arguments, and what it raises, are as of `read_log`; `alone` says whether
        nobody else has the store open. If somebody may have, what is `left` is read.
        """
        self.end = start
        region = self._region
        content = self.left
        if region is not None and alone:
            content = region.read(anyway=True)
        if region is not None and content is not None:
            log = read_log(content, region, store_id, start, commits)
            for change, self.end in log:
                yield change

    def prepare(self, store_id: bytes, start: int) -> None:
        """Make the log, empty, or do without; from here on something can be logged.

        Args:
            store_id: Of the store.
            start: Where begins what its journal lacks.
        """
        region = self._region
        if region is None or self._prepared:
            return
        try:
            buffer = region.map(START + self._size)
            about = about_log(store_id, region.boot, self._size)
            buffer[: len(about)] = about
            region.sync()
        except StoreError:
            self._region = None
            logger.warning("No log: buffered writes are slower", exc_info=True)
            return
        self._buffer, self._drained = buffer, where_it_fits(start, self._size)
        self._prepared = True
        self._reopen()

    def remove(self) -> None:
        """Remove what was read, once the journal has it."""
        if self._region is not None:
            self._region.remove()

    def close(self) -> None:
        """Let go of the log; idempotent. It stays while the journal lacks any of it."""
        # What somebody else has made, or left, is not ours to remove.
        mine = self._prepared
        self._open = self._prepared = False
        # Who was interrupted while logging, and waits for us, finds it closed then.
        if self._lock.acquire(timeout=HOLD):
            self._lock.release()
        self._buffer = bytearray()
        if self._region is not None:
            self._region.close()
            if mine and not self._pending:
                self._region.remove()
