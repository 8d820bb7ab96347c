"""Transactions: optimistic, over everything one owner owns.

A transaction reads from one revision: whenever the owner has moved on, what was read
so far is looked at again, and the transaction moves along or ends with `ConflictError`.
Its writes wait here until the end and then go to the owner as one command, which checks
the reads once more. So neither readers nor writers ever wait for a transaction.

Source: the snapshot extension of T. Riegel, P. Felber and C. Fetzer, "A Lazy Snapshot
Algorithm with Eager Validation", DISC 2006.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Self, TypeVar

from stateward.actors.core import reader
from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import (
    ClosedError,
    ConflictError,
    InvariantError,
    MissingKeyError,
    UsageError,
    WrongTypeError,
)
from stateward.actors.core.limits import check_ttl
from stateward.actors.core.messages import (
    KEPT,
    CommitTransaction,
    Revision,
    check_number,
)
from stateward.actors.core.scopes import (
    StateScope,
    StepScope,
    WorkflowScope,
    check_key,
)
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import (
    JsonValue,
    Packing,
    merge_patch,
    pack,
    unpack,
)
from stateward.actors.runtime.engine import Engine

T = TypeVar("T")

_Place = tuple[str | None, str]
"""Step name and key."""
_Write = tuple[Packing, float | None] | None
"""Packed value and ttl; `None` for a removal."""


class TransactionScope(MutableMapping[str, JsonValue]):
    """One scope as a transaction sees it: what it read, and over it what it wrote."""

    __slots__ = ("_log", "_scope", "_step_name")

    def __init__(self, log: "_Log", scope: StateScope) -> None:
        """Make a view; `Transaction` is the way to get one."""
        self._log = log
        self._scope = scope
        self._step_name = scope.step_name

    @property
    def scope(self) -> StateScope:
        """What this is a view of."""
        return self._scope

    def __repr__(self) -> str:
        """Name the scope."""
        return f"<{type(self).__name__} of {self._scope}>"

    def __getitem__(self, key: str) -> JsonValue:
        """Return a private copy of the value of `key`.

        Raises:
            MissingKeyError: `key` is absent. Effect: none.
            ConflictError: Something read before has changed since. Effect: none.
        """
        check_key(key)
        place = (self._step_name, key)
        writes = self._log.writes()
        if place in writes:
            write = writes[place]
            if write is not None:
                return unpack(write[0][0])
        else:
            cell = self._log.read(place)
            if cell is not None:
                return cell.thaw()
        raise MissingKeyError(f"{key!r} is not in {self._scope}", key=key)

    def __contains__(self, key: object) -> bool:
        """Return whether `key` is there."""
        if type(key) is not str or not key:
            return False
        place = (self._step_name, key)
        writes = self._log.writes()
        if place in writes:
            return writes[place] is not None
        return self._log.read(place) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys; another one appearing is a conflict from now on."""
        keys = dict.fromkeys(self._log.scan(self._step_name))
        for (step_name, key), write in self._log.writes().items():
            if step_name == self._step_name:
                if write is None:
                    keys.pop(key, None)
                else:
                    keys[key] = None
        return iter(keys)

    def __len__(self) -> int:
        """Return how many keys there are; as for iteration, that is a read of all."""
        return sum(1 for _ in self)

    def set(self, key: str, value: JsonValue, *, ttl: float | None = None) -> None:
        """Bind `key` to `value` when the transaction is committed."""
        check_key(key)
        check_ttl(ttl)
        self._log.writes()[self._step_name, key] = (pack(value), ttl)

    def delete(self, key: str) -> bool:
        """Remove `key` when the transaction is committed; return if it is there."""
        if key not in self:
            check_key(key)
            return False
        self._log.writes()[self._step_name, key] = None
        return True

    def increment(self, key: str, by: float = 1, *, initial: float = 0) -> float:
        """Add `by` to the number under `key`, and return the sum."""
        check_number(by, "by")
        check_number(initial, "initial")
        number = self.get(key, initial)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise WrongTypeError(f"{key!r} holds no number", key=key)
        self._replace(key, number + by)
        return number + by

    def append(self, key: str, *items: JsonValue) -> None:
        """Add `items` to the end of the list under `key`; an absent one is empty."""
        existing = self.get(key, [])
        if not isinstance(existing, list):
            raise WrongTypeError(f"{key!r} holds no list", key=key)
        self._replace(key, [*existing, *items])

    def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply the JSON Merge Patch `patch` (RFC 7396), and return the result."""
        merged = merge_patch(self.get(key), unpack(pack(patch)[0]))
        self._replace(key, merged)
        return merged

    def popitem(self) -> tuple[str, JsonValue]:
        """Remove the newest entry, and return its key and value; raise if none is."""
        for key in reversed(list(self)):
            return key, self.pop(key)
        raise MissingKeyError(f"{self._scope} holds nothing")

    def clear(self) -> None:
        """Remove every key of the scope when the transaction is committed."""
        for key in list(self):
            self._log.writes()[self._step_name, key] = None

    def __setitem__(self, key: str, value: JsonValue) -> None:
        """Bind `key` to `value` when the transaction is committed."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove `key` when the transaction is committed; it must be there."""
        if not self.delete(key):
            raise MissingKeyError(f"{key!r} is not in {self._scope}", key=key)

    def _replace(self, key: str, value: JsonValue) -> None:
        self._log.replace((self._step_name, key), value)


class Transaction(TransactionScope):
    """Reads and writes over a workflow and all its steps, committed as one command.

    Concurrency: One thread; the scopes it works on may be used by all others meanwhile.
    """

    __slots__ = ()

    def __init__(self, engine: Engine, scope: StateScope) -> None:
        """Begin; `ScopedState.transaction` is the way to."""
        super().__init__(_Log(engine, scope), scope)

    @property
    def revision(self) -> Revision | None:
        """Of the owner once this is committed; `None` before."""
        return self._log.revision

    @property
    def over(self) -> bool:
        """Whether this has ended: committed, refused or discarded."""
        return self._log.over

    def step(self, name: str) -> TransactionScope:
        """Return the view of a step of the same workflow."""
        return TransactionScope(self._log, StepScope(self._workflow_id(), name))

    def workflow(self) -> TransactionScope:
        """Return the view of the workflow's own scope."""
        return TransactionScope(self._log, WorkflowScope(self._workflow_id()))

    def _workflow_id(self) -> str:
        owner = self._scope.owner
        if not isinstance(owner, WorkflowScope):
            raise UsageError(f"{self._scope} is not in a workflow and has no steps")
        return owner.workflow_id

    def commit(self) -> Revision:
        """Carry out all writes, or none; the end of the `with` block does this."""
        message = self._log.finish()
        if message is None:
            return self._log.done(self._log.pinned)
        return self._log.done(self._log.engine.ask_owner(self._log.owner, message))

    async def commit_soon(self) -> Revision:
        """As `commit`, for asyncio."""
        message = self._log.finish()
        if message is None:
            return self._log.done(self._log.pinned)
        engine, owner = self._log.engine, self._log.owner
        return self._log.done(await engine.ask_soon(owner, message))

    def discard(self) -> None:
        """End without writing anything; no effect on one that is over."""
        if not self.over:
            self._log.finish()

    def __enter__(self) -> Self:
        """Begin the block that ends with `commit`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit, or discard if the block raised; no effect if it has ended itself."""
        if kind is None and not self.over:
            self.commit()
        else:
            self.discard()


class _Log:
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
        writes, self.over = self.writes(), True
        if not writes:
            return None
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


def transact(
    begin: Callable[[], Transaction],
    function: Callable[[Transaction], T],
    attempts: int,
) -> T:
    """Run `function` in a transaction, again after each conflict."""
    check_attempts(attempts)
    for attempt in range(1, attempts + 1):
        try:
            with begin() as transaction:
                return function(transaction)
        except ConflictError:
            if attempt == attempts:
                raise
    raise InvariantError("the last attempt neither returned nor raised")


def check_attempts(attempts: object) -> None:
    """Raise `UsageError` unless something can be tried `attempts` times."""
    if type(attempts) is not int or attempts < 1:
        raise UsageError(f"attempts is {attempts!r}, not an integer >= 1")
