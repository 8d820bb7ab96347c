"""Handles for asyncio: reads are plain calls, writes are awaited and never block.

A write that finds its owner free takes its turn at once, in a few microseconds, on the
loop's thread. One that would have to wait, or that runs a function of the caller's, is
left to a worker and awaited.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from stateward.actors.core.errors import ConflictError, MissingKeyError
from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    DeleteManyState,
    DeleteState,
    DropState,
    IncrementState,
    MergeState,
    ModifyState,
    PopItemState,
    PopState,
    Revision,
    SetDefaultState,
    SetState,
    UpdateState,
)
from stateward.actors.core.scopes import StateScope
from stateward.actors.core.values import FrozenJson, JsonValue
from stateward.handles import ScopedState, WorkflowState
from stateward.snapshots import Entry, Snapshot
from stateward.transactions import Transaction, check_attempts

T = TypeVar("T")
_UNSET = object()


class AsyncScopedState:
    """A scope for asyncio; every method does what its namesake of `ScopedState` does.

    Concurrency: Any running loop. A cancelled write is withdrawn if its turn has not
    begun; otherwise it happens.

    Example:
        >>> import asyncio
        >>> from stateward import StateManager
        >>> async def main():
        ...     async with StateManager() as manager:
        ...         state = manager.workflow_state("order-123").aio
        ...         await state.set("retries", 3)
        ...         return state.get("retries")
        >>> asyncio.run(main())
        3
    """

    __slots__ = ("_state",)

    def __init__(self, state: ScopedState) -> None:
        """Wrap a handle; `ScopedState.aio` is the way to."""
        self._state = state

    @property
    def scope(self) -> StateScope:
        """What this is a handle of."""
        return self._state.scope

    def __repr__(self) -> str:
        """Name the scope."""
        return f"<{type(self).__name__} of {self.scope}>"

    # ------------------------------------------------------------------ reads

    def get(self, key: str, default: Any = None) -> Any:
        """Return a private copy of the value of `key`, or `default`."""
        return self._state.get(key, default)

    def view(self, key: str, default: Any = None) -> FrozenJson:
        """Return the value of `key` read-only, or `default`."""
        return cast("FrozenJson", self._state.view(key, default))

    def entry(self, key: str) -> Entry | None:
        """Return the value of `key` with all that is known of it."""
        return self._state.entry(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, JsonValue]:
        """Return the values of those `keys` that are there, from one revision."""
        return self._state.get_many(keys)

    def snapshot(self) -> Snapshot:
        """Return the whole scope as it is at one revision."""
        return self._state.snapshot()

    def __getitem__(self, key: str) -> JsonValue:
        """Return a private copy of the value of `key`; raise if it is absent."""
        return self._state[key]

    def __contains__(self, key: object) -> bool:
        """Return whether `key` is there."""
        return key in self._state

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys there are now."""
        return iter(self._state)

    def __len__(self) -> int:
        """Return how many keys the scope itself holds."""
        return len(self._state)

    # ----------------------------------------------------------------- writes

    async def set(
        self,
        key: str,
        value: JsonValue,
        *,
        ttl: float | None = None,
        expected: int | None = None,
    ) -> Revision:
        """Bind `key` to `value`, and return the new revision."""
        message = SetState(self.scope, key, value, ttl=ttl, expected=expected)
        return cast("Revision", await self._ask(message))

    async def delete(self, key: str, *, expected: int | None = None) -> bool:
        """Remove `key`, and return whether it was there."""
        return bool(await self._ask(DeleteState(self.scope, key, expected=expected)))

    async def update(
        self,
        other: Mapping[str, JsonValue] | Iterable[tuple[str, JsonValue]] = (),
        /,
        **more: JsonValue,
    ) -> Revision:
        """Bind every key to its value, all or none, in one revision."""
        message = UpdateState(self.scope, dict(other, **more))
        return cast("Revision", await self._ask(message))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove `keys` in one revision, and return how many were there."""
        return cast("int", await self._ask(DeleteManyState(self.scope, keys)))

    async def clear(self) -> None:
        """Remove every key of the scope itself, in one revision."""
        await self._ask(ClearState(self.scope))

    async def increment(self, key: str, by: float = 1, *, initial: float = 0) -> Any:
        """Add `by` to the number under `key`, and return the sum."""
        return await self._ask(IncrementState(self.scope, key, by, initial=initial))

    async def append(self, key: str, *items: JsonValue) -> Revision:
        """Add `items` to the end of the list under `key`."""
        return cast("Revision", await self._ask(AppendState(self.scope, key, items)))

    async def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply a JSON Merge Patch, and return the result."""
        return cast("JsonValue", await self._ask(MergeState(self.scope, key, patch)))

    async def modify(
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        default: JsonValue = None,
    ) -> JsonValue:
        """Replace the value of `key` by `function(value)`, run by a worker."""
        message = ModifyState(self.scope, key, function, default=default)
        return cast("JsonValue", await self._ask(message))

    async def setdefault(self, key: str, default: JsonValue = None) -> JsonValue:
        """Bind `key` to `default` unless it is there; return what is there then."""
        message = SetDefaultState(self.scope, key, default)
        return cast("JsonValue", await self._ask(message))

    async def pop(self, key: str, default: Any = _UNSET) -> Any:
        """Remove `key`, and return its value; `default` if it is absent."""
        try:
            return await self._ask(PopState(self.scope, key))
        except MissingKeyError:
            if default is _UNSET:
                raise
            return default

    async def popitem(self) -> tuple[str, JsonValue]:
        """Remove some entry, and return its key and value."""
        message = PopItemState(self.scope)
        return cast("tuple[str, JsonValue]", await self._ask(message))

    def transaction(self) -> "AsyncTransaction":
        """Begin a transaction, to be used in an `async with` block."""
        return AsyncTransaction(self._state.transaction())

    async def transact(
        self, function: Callable[[Transaction], T], *, attempts: int = 32
    ) -> T:
        """Run `function(transaction)`, again after each conflict; return its result."""
        check_attempts(attempts)
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as transaction:
                    return function(transaction)
            except ConflictError:
                if attempt == attempts:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _ask(self, message: Any) -> Any:
        return await self._state.manager.engine.ask_soon(self.scope.owner, message)


class AsyncWorkflowState(AsyncScopedState):
    """A workflow for asyncio, and the way to its steps."""

    __slots__ = ()
    _state: WorkflowState

    @property
    def workflow_id(self) -> str:
        """Which workflow."""
        return self._state.workflow_id

    def step(self, name: str) -> AsyncScopedState:
        """Return the state of the step `name`."""
        return self._state.step(name).aio

    def steps(self) -> list[str]:
        """Return the names of the steps that hold anything."""
        return self._state.steps()

    def global_state(self) -> AsyncScopedState:
        """Return the state every workflow shares."""
        return self._state.global_state().aio

    def custom_state(self, namespace: str) -> AsyncScopedState:
        """Return the state of a namespace of the application's own."""
        return self._state.custom_state(namespace).aio

    async def drop(self) -> bool:
        """Forget the workflow and its steps at once; return whether it held a key."""
        supervisor = self._state.manager.engine.supervisor
        return bool(await supervisor.ask(DropState(self.scope), block=False))


class AsyncTransaction:
    """The block of a transaction whose commit is awaited."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: Transaction) -> None:
        """Wrap a transaction that has just begun."""
        self._transaction = transaction

    async def __aenter__(self) -> Transaction:
        """Begin the block that ends with the commit."""
        return self._transaction

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or discard if the block raised."""
        if kind is None:
            await self._transaction.commit_soon()
        else:
            self._transaction.discard()
