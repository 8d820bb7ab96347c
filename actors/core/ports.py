"""Ports: what the engine needs from the world, each a `Protocol` a test can serve.

With these three fixed the engine is deterministic: what time it is, who runs next, and
(with a store) what was committed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from stateward.actors.core.cells import Cell
    from stateward.actors.core.scopes import OwnerScope
    from stateward.actors.core.state import Event, OwnerState

IN_MEMORY: Final = "memory://"
"""The URL of what no store keeps."""


@runtime_checkable
class Clock(Protocol):
    """What time it is, and a call when it is later."""

    def now(self) -> float:
        """Return seconds since any fixed moment; never less than it returned before."""
        ...

    def epoch(self, moment: float) -> float:
        """Return `moment`, something `now` returned, in seconds since the epoch."""
        ...

    def call_at(self, when: float, task: Callable[[], None]) -> None:
        """Run `task`, which is short and never raises, once it is `when`."""
        ...


class Task(Protocol):
    """Something that waits for a worker.

    It may have `lost`: true once it may never end, so that it counts as no worker's.
    """

    def run(self) -> None:
        """Do what is to be done; may be called when nothing is."""
        ...


class Dispatcher(Protocol):
    """Who runs next: carries out tasks on threads of its own, or on nobody's.

    It may have `single_threaded`: true if all of a manager runs in one thread, as in a
    simulation, and nothing may be left to another. And `forked`: true in a child of the
    process that has its threads; without it such a child is not told that it is one.
    """

    @property
    def submit(self) -> Callable[[Task], None]:
        """Have a task run soon, in any order; never waits and never fails."""
        ...


Rows: TypeAlias = Mapping[bytes, bytes | None]
"""Records by name; `None` removes one."""


class Journal(Protocol):
    """Where commits are kept: an ordered map of bytes to bytes that outlives us.

    What the bytes mean, and whether they are damaged, is not its concern: records are
    sealed and checked above it, in `store`. One that is open for reading goes on
    returning what was committed when it was opened, whatever others commit.

    Concurrency: One thread at a time commits; any threads read meanwhile.
    """

    def commit(self, rows: Rows, *, sync: bool) -> None:
        """Write all of `rows`, or none.

        Returns once they outlive a crash of the process; with `sync`, once they and
        everything committed before outlive power loss. Without rows it only syncs.

        Raises:
            StoreFullError: No space is left. Effect: none.
            CommitFailedError: Effect: none if nothing was written, else unknown.
        """
        ...

    def get(self, name: bytes) -> bytes | None:
        """Return one record as it was committed last; `None` if there is none."""
        ...

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield names and records, `start <= name < stop`, ascending, of one moment.

        Raises:
            CorruptStoreError: The engine knows that something is damaged or missing;
                never fewer rows instead.
        """
        ...

    def backup(self, path: str) -> None:
        """Write what is committed now, of one moment, to a new store at `path`.

        Commits go on meanwhile.

        Raises:
            StoreError: There is something at `path`, or it cannot be written.
        """
        ...

    def compact(self) -> None:
        """Give back the space of what was removed or replaced."""
        ...

    def size_bytes(self) -> int:
        """Return how much the store takes on disk."""
        ...

    def close(self) -> None:
        """Let go of every file; idempotent. What is committed stays."""
        ...


@runtime_checkable
class Examined(Protocol):
    """What a `Journal` does besides, if its engine can look at itself."""

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with how the engine keeps the records, a line each.

        It is asked beside commits, and changes nothing. Whatever reading all records
        finds as well need not be told.

        Raises:
            CorruptStoreError: As `Journal.scan`.
        """
        ...


class Seal(Protocol):
    """What a store keeps with a state; all but this is its own business."""

    @property
    def store(self) -> "Store":
        """Where the owner commits."""
        ...

    @property
    def version(self) -> int:
        """Of the newest migration it has been through."""
        ...

    @property
    def behind(self) -> bool:
        """Whether some of what has happened may be in the log alone."""
        ...

    def reached(self) -> tuple[int, int, int]:
        """Return revision, keys and size after what was committed or logged last."""
        ...


class Redo(Protocol):
    """Where what has happened is kept until it is committed."""

    @property
    def behind(self) -> bool:
        """Whether there is anything that is not committed yet."""
        ...

    def log(self, state: "OwnerState", event: "Event") -> bool:
        """Have what is staged in an owner's turn outlive a crash of the process.

        Returns:
            `False` if that cannot be now, and it must be committed instead.

        Concurrency: Any thread; never waits.
        """
        ...

    def overwrite(
        self, state: "OwnerState", cell: "Cell", old: "Cell", size: int
    ) -> bool:
        """As `log`, of one version that is staged; all else stays as it was.

        Args:
            state: Of its owner.
            cell: The version, which never expires.
            old: The one before.
            size: Of the owner afterwards.
        """
        ...

    def hold(self) -> None:
        """Log nothing until `release`; returns once nobody is about to.

        Raises:
            StoreError: Somebody does not finish. Effect: none.
        """
        ...

    def release(self) -> None:
        """Log again."""
        ...


class Store(Protocol):
    """What owners have committed, whatever journal keeps it.

    Concurrency: What writes, by one thread at a time; all else by any.
    """

    offset: float
    """What to add to the owners' clock for seconds since the epoch."""

    @property
    def redo(self) -> Redo:
        """What is logged, and not committed yet; the next commit has it too."""
        ...

    @property
    def time(self) -> float:
        """When something was committed last, in seconds since the epoch; 0: never."""
        ...

    @property
    def floor(self) -> int:
        """Revision that no owner which holds nothing may begin below."""
        ...

    @property
    def text(self) -> str:
        """What errors call it: its URL."""
        ...

    def check_here(self) -> None:
        """Raise `StoreError` if all of it has been moved to another store."""
        ...

    def load(self, state: "OwnerState", *, anew: bool = False) -> None:
        """Fill a new state with what is stored of its owner.

        Args:
            state: Of the owner.
            anew: Whether one that has moved away begins here once more.

        Raises:
            CorruptStoreError: Something of it is damaged or missing.
        """
        ...

    def commit(
        self, work: "Iterable[tuple[OwnerState, Sequence[Event]]]", *, sync: bool
    ) -> None:
        """Write what is logged, then the events of each owner, in order; or nothing.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def poison(self, reason: str) -> None:
        """Take no more commits, for nobody knows what the last one has written."""
        ...

    def is_outdated(self, state: "OwnerState") -> bool:
        """Return whether a state, as it was loaded, has migrations to go through."""
        ...

    def lift(self, state: "OwnerState", events: "Sequence[Event]") -> bool:
        """Write what migrations did to an owner; `False` if it has changed since.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def outdated(self) -> "Iterator[OwnerScope]":
        """Yield each owner that has migrations to go through."""
        ...

    def usages(self) -> "Iterator[tuple[OwnerScope, int, int, int]]":
        """Yield each owner that holds anything: scope, keys, bytes, and all records."""
        ...

    def holds(self, scope: "OwnerScope") -> int | None:
        """Return the newest revision of an owner that is here; `None` if it is not.

        Raises:
            CorruptStoreError: Its head is damaged.
        """
        ...

    def arrive(self, scope: "OwnerScope") -> "Arrival":
        """Begin to take in an owner.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def leave(self, scope: "OwnerScope", to: str) -> None:
        """Note that an owner is about to be in the store `to`.

        Whoever opens this store alone afterwards is refused it.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def depart(self, scope: "OwnerScope", to: str) -> None:
        """Note that an owner is in the store `to` now, and nothing of it counts here.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def clear_some(self) -> bool:
        """Remove some of what counts for nothing; return whether there may be more.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def close(self) -> None:
        """Let go of the store; idempotent."""
        ...


class Arrival(Protocol):
    """An owner on its way into a store.

    Concurrency: All but `verify` as commits: by one thread at a time.
    """

    def put(self, cells: "Iterable[Cell]") -> None:
        """Write some entries, none of them twice; they count for nothing yet."""
        ...

    def verify(self) -> None:
        """Read what was written; raise `CorruptStoreError` unless it is that."""
        ...

    def finish(
        self,
        cells: "Iterable[Cell]",
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
        ...
