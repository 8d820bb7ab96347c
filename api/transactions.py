"""Transactions: optimistic, over everything one owner owns.

A transaction reads from one revision: whenever the owner has moved on, what was read
so far is looked at again, and the transaction moves along or ends with `ConflictError`.
Its writes wait here until the end and then go to the owner as one command, which checks
the reads once more. So neither readers nor writers ever wait for a transaction.

Source: the snapshot extension of T. Riegel, P. Felber and C. Fetzer, "A Lazy Snapshot
Algorithm with Eager Validation", DISC 2006.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, Self, TypeVar

from stateward.actors.core.errors import (
    ConflictError,
    InvariantError,
    MissingKeyError,
    UsageError,
    WrongTypeError,
)
from stateward.actors.core.limits import check_ttl
from stateward.actors.core.messages import (
    Revision,
    check_number,
    checked_keys,
)
from stateward.actors.core.scopes import (
    StateScope,
    StepScope,
    WorkflowScope,
    check_key,
)
from stateward.actors.core.values import (
    JsonValue,
    freeze,
    merge_patch,
    pack,
    unpack,
)
from stateward.reads import Engine
from stateward.transaction_log import TransactionLog

T = TypeVar("T")


class TransactionScope(MutableMapping[str, JsonValue]):
    """One scope as a transaction sees it: what it read, and over it what it wrote."""

    __slots__ = ("_log", "_scope", "_step_name")

    def __init__(self, log: "TransactionLog", scope: StateScope) -> None:
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

    def modify(  # type: ignore[explicit-any]  # the function knows what it gets
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        default: JsonValue = None,
    ) -> JsonValue:
        """Replace the value of `key` by `function(value)`, and return the new one."""
        self._replace(key, function(self.get(key, default)))
        return self[key]

    def get_many(self, keys: Iterable[str]) -> dict[str, JsonValue]:
        """Return private copies of the values of those `keys` that are there."""
        return {key: self[key] for key in checked_keys(keys) if key in self}

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove `keys` at the commit; return how many are there."""
        return sum(self.delete(key) for key in checked_keys(keys))

    def view(self, key: str, default: object = None) -> object:
        """Return the value of `key` read-only, or `default` if it is absent."""
        return freeze(self[key]) if key in self else default

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
        super().__init__(TransactionLog(engine, scope), scope)

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
