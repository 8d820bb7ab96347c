"""What an owner knows: its tables, its revision, its accounting.

One writer changes it, in the owner's turn; any number of threads read it without a
lock. A command is carried out in three steps, each of which may be interrupted and
repeated:

1. `stage` puts the new cells into their tables. Readers still see their predecessors.
2. `revision` is set to the event's: the one instant at which the command happens.
3. `settle` forgets predecessors, removes deleted cells, and brings the accounting up.

With a store, a command is published only once it is committed; meanwhile more may be
staged on it (see `staging`).

INVARIANT: `settled <= revision <= latest`; all three are equal between commands while
nothing is staged. A state that was retired has no revision any more.
INVARIANT: `next_expiry` is never later than the expiry of a live cell.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

from stateward.actors.core.cells import DELETED, NEVER, Cell, Table
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import RUN_STEP, GlobalScope, OwnerScope, utf8_bytes

if TYPE_CHECKING:
    from stateward.actors.core.ports import Seal
    from stateward.actors.core.staging import Staged

RETIRED: Final = -1
"""Revision of a state that serves no more: every cell in it looks unpublished."""

_HEAP_SLACK: Final = 64
"""LIMIT: out-of-date expiries that may wait before they are swept out."""


class OwnerState:
    """One owner's scopes at their newest, and older versions readers may still need.

    Slots, because a million idle workflows keep one each.
    """

    __slots__ = (
        "_expiries",
        "_expiries_max",
        "alarm",
        "keys",
        "last",
        "latest",
        "limits",
        "next_expiry",
        "own",
        "pending",
        "revision",
        "scope",
        "seal",
        "settled",
        "size",
        "staged",
        "steps",
        "undone",
        "used",
    )

    def __init__(
        self, scope: OwnerScope, limits: Limits, floor: int, now: float
    ) -> None:
        """Make the state of an owner that holds nothing.

        Args:
            scope: The owner's own scope; steps live beside it.
            limits: What it may hold.
            floor: Revision to go on from, so that none is ever used twice.
            now: Seconds of the owner's clock.
        """
        self.scope = scope
        self.limits = limits
        self.own = Table(self, None)
        self.steps: dict[str, Table] | None = None
        self.revision = floor
        """What readers may see; `RETIRED` once the state serves no more."""
        self.latest = floor
        """Of the newest command staged."""
        self.settled = floor
        """Of the newest command nothing is left to do for."""
        self.last = floor
        """As `revision`, but kept on retirement."""
        self.keys = 0
        """How many keys all tables hold, but for hidden ones."""
        self.size = 0
        """UTF-8 bytes of all those keys and encoded bytes of their values."""
        self.next_expiry = inf
        """Seconds of the owner's clock; nothing expires before."""
        self.alarm = inf
        """Seconds of the owner's clock; when somebody will come to sweep."""
        self.used = now
        """Seconds of the owner's clock of the last command."""
        self.pending: Event | Cell | None = None
        """The command under way; a cell alone if it is an `overwrite`."""
        self.undone = 0
        """How many commands were taken back after they were staged."""
        self.staged: deque[Staged] | None = None
        """What waits for its commit, oldest first; `None` without a store."""
        self.seal: Seal | None = None
        """What its store knows of it; `None` if no store keeps it."""
        self._expiries: list[tuple[float, str, str]] | None = None
        self._expiries_max = _HEAP_SLACK

    def table(self, step_name: str | None) -> Table:
        """Return the table of a step or the owner's own; `NOWHERE` if it has none."""
        if step_name is None:
            return self.own
        return NOWHERE if self.steps is None else self.steps.get(step_name, NOWHERE)

    def tables(self) -> Iterator[tuple[str | None, Table]]:
        """Yield every table with the name of its step, from one moment."""
        yield None, self.own
        if self.steps is not None:
            yield from list(self.steps.items())

    def is_committed(self) -> bool:
        """Return whether all that was decided is in the store, if there is one."""
        return not self.staged and (self.seal is None or not self.seal.behind)

    def is_empty(self) -> bool:
        """Return whether the newest command left nothing, not even a hidden record."""
        return not self.totals()[0] and not self.table(RUN_STEP).names()

    def totals(self) -> tuple[int, int]:
        """Return keys and size after the newest command, staged or not."""
        for entry in reversed(self.staged or ()):
            if entry.event is not None:
                return entry.event[2], entry.event[3]
        return self.keys, self.size

    def carry_out(self, event: "Event") -> None:
        """Make `event` happen; see the three steps of the module."""
        self.stage(event)
        if armed:
            hit("state.staged")
        self.publish(event)

    def publish(self, event: "Event") -> None:
        """Have a staged `event` happen; may be repeated from the start."""
        self.revision = event[0]
        if armed:
            hit("state.published")
        self.settle(event)

    def stage(self, event: "Event") -> None:
        """Put the new cells of `event` into their tables, unseen."""
        revision, changes, _, _, opened = event
        self.pending = event
        self.latest = revision
        if opened:
            if self.steps is None:
                self.steps = {}
            self.steps.update(opened)
        for cell in changes:
            table, key = cell.table, cell.key
            # ORDER: a transaction that scanned the table must not miss the change.
            table.revision = revision
            cell.previous = table.get(key, ABSENT)
            if cell.expires is not None and cell.expires != DELETED:
                # ORDER: the bound falls before anybody can see the cell.
                self.expect(cell.expires, table.step_name, key)
            table[key] = cell

    def settle(self, event: "Event") -> None:
        """Forget what `event` replaced; may be repeated from the start."""
        revision, changes, self.keys, self.size, _ = event
        for cell in changes:
            table = cell.table
            if cell.expires == DELETED:
                if table.get(cell.key) is cell:
                    del table[cell.key]
                if not table and table.step_name is not None:
                    self._close(table)
            cell.previous = None
        self.settled = revision
        self.pending = None

    def recover(self) -> None:
        """Finish or undo a command that was interrupted; no effect between commands."""
        pending = self.pending
        if pending is None:
            return
        if self.staged and self.staged[-1].event is pending:
            self.pending = None  # Just after it came into the row of what is staged.
            return
        if isinstance(pending, Cell):
            # An `overwrite`, which keeps no totals to go by.
            revision, size = pending.revision, self._counted()
            event: Event = (revision, (pending,), self.keys, size, None)
        else:
            event = pending
        if self.staged is not None:
            reached = 0 if self.seal is None else self.seal.reached()[0]
            if self.revision < event[0] <= reached:
                self.revision = event[0]  # It is logged, and so it has to happen.
        if self.revision >= event[0]:
            self.settle(event)
        else:
            self.undo(event)

    def undo(self, event: "Event") -> None:
        """Take back the newest command, never seen; may be repeated from the start."""
        before = event[0] - 1
        for cell in event[1]:
            # RACE: a reader may hold the cell; its revision will be given out again.
            cell.revision = NEVER
            table, key = cell.table, cell.key
            table.revision = before
            if table.get(key) is cell:
                old = cell.previous
                if old is None or (
                    old.expires == DELETED and old.revision <= self.settled
                ):
                    del table[key]
                else:
                    table[key] = old
            if not table and table.step_name is not None:
                self._close(table)
        # ORDER: before `latest`, or who copied the cells meanwhile would not notice.
        self.undone += 1
        self.latest = before
        self.pending = None

    def _counted(self) -> int:
        """Return the bytes of all keys and values, counted one by one."""
        return sum(
            utf8_bytes(key) + cell.size
            for _, table in self.tables()
            if not table.hidden
            for key, cell in table.items()
        )

    def restore(self, step_name: str | None, key: str, cell: Cell) -> None:
        """Put in an entry that was stored, before anybody can see the state."""
        table = self.own if step_name is None else self.table(step_name)
        if table is NOWHERE:
            table = Table(self, step_name)
            if self.steps is None:
                self.steps = {}
            self.steps[step_name or ""] = table
        # Neither a tuple nor a call of `max`: a tenth of the time to load a store.
        cell.table = table
        cell.key = key
        cell.frozen = cell.previous = None
        cell.direct = cell.depth == 0 and cell.expires is None
        table[key] = cell
        if cell.revision > table.revision:  # noqa: PLR1730  # as said
            table.revision = cell.revision
        if cell.expires is not None:
            self.expect(cell.expires, step_name, key)

    def make_row(self) -> None:
        """Have commands wait for their commit from here on."""
        self.staged = deque()

    def begin_at(self, revision: int, keys: int, size: int) -> None:
        """Go on from what was stored, in a state that nobody can see yet."""
        self.revision = self.latest = self.settled = self.last = revision
        self.keys, self.size = keys, size

    def retire(self) -> None:
        """Serve no more: readers turn to whoever took over."""
        self.last = self.latest
        self.revision = RETIRED

    def due(self, now: float) -> Iterator[tuple[Table, str]]:
        """Yield the entries that have expired at `now`.

        Each is looked at again until the caller has removed it, so that an interrupt
        loses none. Afterwards `next_expiry` is exact.
        """
        expiries = self._expiries or []
        while expiries and expiries[0][0] <= now:
            expires, step_name, key = expiries[0]
            table = self.table(step_name or None)
            cell = table.get(key)
            if cell is not None and cell.expires == expires:
                yield table, key
            heappop(expiries)
        self.next_expiry = expiries[0][0] if expiries else inf

    def expect(self, expires: float, step_name: str | None, key: str) -> None:
        """Note that `key` expires; keep the notes in proportion to what is alive."""
        self.next_expiry = min(self.next_expiry, expires)
        if self._expiries is None:
            self._expiries = []
        if len(self._expiries) >= self._expiries_max:
            # Overwritten keys leave their old expiry behind.
            alive = [note for note in self._expiries if self._is_current(*note)]
            heapify(alive)
            self._expiries = alive
            self._expiries_max = 2 * len(alive) + _HEAP_SLACK
        heappush(self._expiries, (expires, step_name or "", key))

    def _is_current(self, expires: float, step_name: str, key: str) -> bool:
        cell = self.table(step_name or None).get(key)
        # The predecessor of a version that is only staged may have to come back.
        while cell is not None and cell.expires != expires:
            cell = cell.previous
        return cell is not None

    def _close(self, table: Table) -> None:
        """Drop the table of a step that holds nothing any more."""
        steps = self.steps
        if steps is not None and steps.get(table.step_name or "") is table:
            del steps[table.step_name or ""]


Event: TypeAlias = tuple[int, Sequence[Cell], int, int, dict[str, Table] | None]
"""The fact that one command was accepted: its revision; the new cells, no entry named
twice; how many keys there are afterwards, and their size; tables of steps that had
none.

A plain tuple, because there is one in every write and a class would cost 0.1 us."""


def _absent() -> Cell:
    """Return what precedes the first version of a key."""
    cell = Cell()
    cell.value, cell.size, cell.depth, cell.direct = None, 0, 0, False
    cell.frozen, cell.revision = None, 0
    cell.created = cell.updated = 0.0
    cell.expires, cell.previous = DELETED, None
    return cell


ABSENT: Final = _absent()

NOWHERE: Final = OwnerState(GlobalScope(), Limits(), RETIRED, 0.0).own
"""The table of what does not exist: empty, never written, and its state is retired."""
