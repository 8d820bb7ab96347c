"""Ports: what the engine needs from the world, each a `Protocol` a test can serve.

With these three fixed the engine is deterministic: what time it is, who runs next, and
(with a store) what was committed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from stateward.actors.core.scopes import OwnerScope
    from stateward.actors.core.state import Event, OwnerState


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
    """Something that waits for a worker."""

    def run(self) -> None:
        """Do what is to be done; may be called when nothing is."""
        ...


class Dispatcher(Protocol):
    """Who runs next: carries out tasks on threads of its own, or on nobody's."""

    @property
    def submit(self) -> Callable[[Task], None]:
        """Have a task run soon, in any order; never waits and never fails."""
        ...


Rows: TypeAlias = Mapping[bytes, bytes | None]
"""Records by name; `None` removes one."""


class Journal(Protocol):
    """Where commits are kept: an ordered map of bytes to bytes that outlives us.

    What the bytes mean, and whether they are damaged, is not its concern: records are
    sealed and checked above it, in `store`.

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


class Store(Protocol):
    """What owners have committed, whatever journal keeps it.

    Concurrency: `commit` by one thread at a time; all else by any.
    """

    time: float
    """When something was committed last, in seconds since the epoch; 0 for never."""
    offset: float
    """What to add to the owners' clock for seconds since the epoch."""

    def load(self, state: "OwnerState") -> None:
        """Fill a new state with what is stored of its owner.

        Raises:
            CorruptStoreError: Something of it is damaged or missing.
        """
        ...

    def commit(
        self, work: "Iterable[tuple[OwnerState, Sequence[Event]]]", *, sync: bool
    ) -> None:
        """Write the events of each owner, in order; all of them or none.

        Raises:
            CommitFailedError: See its `effect`.
        """
        ...

    def usages(self) -> "Iterator[tuple[OwnerScope, int, int, int]]":
        """Yield each owner that holds anything: scope, keys, bytes, and all records."""
        ...

    def close(self) -> None:
        """Let go of the store; idempotent."""
        ...
