"""A journal that fails: as disks do, and as power does.

What a port permits is all that may happen here. A commit is written whole or not at all
and says which, or does not know. What was synced outlives power loss; of what was not,
any first part may be left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from stateward.actors.core.errors import CommitFailedError, StoreFullError
from stateward.actors.core.ports import Rows
from stateward.actors.store.memory import MemoryJournal, apply

PAGE: Final = 4096
"""Bytes that the system writes back at once."""


class Fault(Enum):
    """What becomes of a commit."""

    REFUSED = "refused"
    """It fails, and is known to have written nothing."""
    FULL = "full"
    """As `REFUSED`, for there is no space left."""
    LOST = "lost"
    """It fails, nobody knows how, and has written nothing."""
    KEPT = "kept"
    """As `LOST`, but everything was written."""
    SLOW = "slow"
    """It takes its time, before it is written and before it says so."""


class FaultyJournal(MemoryJournal):
    """A `Journal` in memory whose commits fail when they are told to.

    Concurrency: As the port says; `faults` is for the thread that commits.

    Example:
        >>> journal = FaultyJournal()
        >>> journal.commit({b"a": b"1"}, sync=True)
        >>> journal.commit({b"b": b"2"}, sync=False)
        >>> dict(journal.after_power_loss(0).scan(b"", b"z"))
        {b'a': b'1'}
        >>> journal.faults.append(Fault.FULL)
        >>> journal.commit({b"c": b"3"}, sync=True)
        Traceback (most recent call last):
        stateward.actors.core.errors.StoreFullError: no space is left
    """

    def __init__(
        self,
        rows: Iterable[tuple[bytes, bytes]] = (),
        *,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with `rows`, as if they were synced.

        Args:
            rows: Names and records.
            wait: Called by a slow commit; returns when the commit is to go on.
        """
        super().__init__(rows)
        self.faults: list[Fault] = []
        """What becomes of the next commits; those after them succeed."""
        self.wait = wait
        self.commits = 0
        """How many were written."""
        self._under_way: Rows | None = None

    def commit(self, rows: Rows, *, sync: bool) -> None:
        """Write all of `rows`, or fail as `faults` says."""
        self._check_open()
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case Fault.REFUSED:
                raise CommitFailedError("the disk has refused", effect="none")
            case Fault.FULL:
                raise StoreFullError("no space is left", effect="none")
            case Fault.LOST:
                raise CommitFailedError("the disk has gone", effect="unknown")
        self._under_way = rows
        if fault is Fault.SLOW:
            self.wait()
        super().commit(rows, sync=sync and fault is not Fault.KEPT)
        self.commits += 1
        self._under_way = None
        if fault is Fault.SLOW:
            self.wait()
        if fault is Fault.KEPT:
            raise CommitFailedError("the disk does not answer", effect="unknown")

    @property
    def unsynced(self) -> int:
        """How many commits power loss may take, the one under way included."""
        return len(self._unsynced) + (self._under_way is not None)

    def after_kill(self, *, under_way: bool = False) -> "FaultyJournal":
        """Return what the end of the process now would leave: every commit.

        Args:
            under_way: Whether the commit that is being written is among them.
        """
        kept = len(self._unsynced) + (under_way and self._under_way is not None)
        return self._after(kept, synced=False)

    def after_power_loss(self, kept: int) -> "FaultyJournal":
        """Return what power loss now would leave.

        Args:
            kept: How many of the `unsynced` commits, from the oldest on.
        """
        return self._after(kept, synced=True)

    def _after(self, kept: int, *, synced: bool) -> "FaultyJournal":
        left = FaultyJournal(self._synced.items(), wait=self.wait)
        last = () if self._under_way is None else (dict(self._under_way),)
        for rows in [*self._unsynced, *last][:kept]:
            left._unsynced.append(rows)  # another one of ours
            for name, row in rows.items():
                left._put(name, row)  # as above
        if synced:
            for rows in left._unsynced:  # as above
                apply(left._synced, rows)  # as above
            left._unsynced.clear()  # as above
        return left


class MemoryRegion:
    """A `Region` in memory, which tells apart what a crash would leave."""

    path = "the log"

    def __init__(self, content: bytes | bytearray | None = None, boot: int = 1) -> None:
        """Begin with what an earlier one has left.

        Args:
            content: Of it; `None` for nothing.
            boot: How often the machine has been started.
        """
        self._content = None if content is None else bytearray(content)
        self._boot = boot

    @property
    def boot(self) -> bytes:
        """Number of the start of the machine, as 16 bytes."""
        return self._boot.to_bytes(16, "big")

    def read(self, *, anyway: bool) -> bytes | None:  # noqa: ARG002  # one process
        """Return what is there; `None` for nothing."""
        return None if self._content is None else bytes(self._content)

    def map(self, size: int) -> bytearray:
        """Return its memory, made anew."""
        self._content = bytearray(size)
        return self._content

    def sync(self) -> None:
        """Do nothing."""

    def remove(self) -> None:
        """Have nothing be there."""
        self._content = None

    def close(self) -> None:
        """Let go of nothing."""

    def after_kill(self) -> "MemoryRegion":
        """Return what the end of the process now would leave: everything."""
        return MemoryRegion(self._content, self._boot)

    def after_power_loss(self, lost: Callable[[int], bool]) -> "MemoryRegion":
        """Return what power loss now would leave.

        Args:
            lost: Whether a page is as it was made, by its number; the first one stays.
        """
        left = MemoryRegion(self._content, self._boot + 1)
        content = left._content  # another one of ours
        for start in range(PAGE, 0 if content is None else len(content), PAGE):
            if content is not None and lost(start // PAGE):
                content[start : start + PAGE] = bytes(PAGE)
        return left


class MemoryMark:
    """The `Mark` of a journal in memory: how far commits were acknowledged."""

    path = "the mark"

    def __init__(self, slots: Iterable[tuple[bytes, int]] = ()) -> None:
        """Begin with what an earlier one has noted."""
        self.slots = list(slots)[-2:]
        """Id of the store and number of the commit, the two newest."""
        self._id = b""

    @property
    def newest(self) -> int:
        """Number of the newest commit of any store; 0 for none."""
        return max((commit for _, commit in self.slots), default=0)

    def choose(self, store_id: bytes) -> int:
        """Begin to note the commits of one store; return the newest one noted."""
        self._id = store_id
        mine = (commit for found, commit in self.slots if found == store_id)
        return max(mine, default=0)

    def advance(self, commit: int) -> None:
        """Note that `commit` outlives power loss, and is going to be acknowledged."""
        self.slots = [*self.slots[-1:], (self._id, commit)]

    def close(self) -> None:
        """Let go of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What a process finds, and leaves."""

    journal: FaultyJournal
    mark: MemoryMark = field(default_factory=MemoryMark)
    region: MemoryRegion = field(default_factory=MemoryRegion)
