"""Handles for asyncio: reads are plain calls, writes are awaited and never block.

A write that finds its owner free takes its turn at once, in a few microseconds, on the
loop's thread. One that would have to wait, or that runs a function of the caller's, is
left to a worker and awaited.
"""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from stateward.actors.core.errors import (
    ConflictError,
    InvariantError,
    MissingKeyError,
)
from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    DeleteManyState,
    DeleteState,
    IncrementState,
    MergeState,
    Message,
    ModifyState,
    PopItemState,
    PopState,
    Revision,
    SetDefaultState,
    SetState,
    UpdateState,
)
from stateward.actors.core.values import JsonValue
from stateward.actors.runtime.inbox import Deferred
from stateward.durability import Durability, is_synced
from stateward.handles import WorkflowState, overwrite
from stateward.reads import ReadableState
from stateward.transactions import Transaction, check_attempts

T = TypeVar("T")
_UNSET = object()


class AsyncScopedState(ReadableState):
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

    __slots__ = ()

    async def set(
        self,
        key: str,
        value: JsonValue,
        *,
        ttl: float | None = None,
        expected: int | None = None,
        durability: Durability | None = None,
    ) -> Revision:
        """Bind `key` to `value`, and return the new revision."""
        if ttl is None and expected is None and durability is None:
            ref = self._ref
            if ref is None:
                ref, self._table = self._host.engine.route(self._scope)
                self._ref = ref
            if ref is not None:
                reply = overwrite(ref, self._table, key, value)
                if type(reply) is int:
                    return cast("Revision", reply)
                if type(reply) is Deferred:
                    return cast("Revision", await reply.soon())
                # Or whatever has changed since; the next write finds out.
                self._ref = None
        sync = is_synced(durability)
        message = SetState(self._scope, key, value, ttl, expected, sync=sync)
        return cast("Revision", await self._ask(message))

    async def delete(self, key: str, *, expected: int | None = None) -> bool:
        """Remove `key`, and return whether it was there."""
        return bool(await self._ask(DeleteState(self._scope, key, expected=expected)))

    @overload
    async def update(
        self, other: Mapping[str, JsonValue], /, **more: JsonValue
    ) -> Revision: ...
    @overload
    async def update(
        self, other: Iterable[tuple[str, JsonValue]] = (), /, **more: JsonValue
    ) -> Revision: ...
    async def update(
        self,
        other: Mapping[str, JsonValue] | Iterable[tuple[str, JsonValue]] = (),
        /,
        **more: JsonValue,
    ) -> Revision:
        """Bind every key to its value, all or none, in one revision."""
        items = other.items() if isinstance(other, Mapping) else other
        message = UpdateState(self._scope, dict(items, **more))
        return cast("Revision", await self._ask(message))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove `keys` in one revision, and return how many were there."""
        return cast("int", await self._ask(DeleteManyState(self._scope, keys)))

    async def clear(self) -> None:
        """Remove every key of the scope itself, in one revision."""
        await self._ask(ClearState(self._scope))

    async def increment(self, key: str, by: float = 1, *, initial: float = 0) -> float:
        """Add `by` to the number under `key`, and return the sum."""
        message = IncrementState(self._scope, key, by, initial=initial)
        return cast("float", await self._ask(message))

    async def append(self, key: str, *items: JsonValue) -> Revision:
        """Add `items` to the end of the list under `key`."""
        return cast("Revision", await self._ask(AppendState(self._scope, key, items)))

    async def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply a JSON Merge Patch, and return the result."""
        return cast("JsonValue", await self._ask(MergeState(self._scope, key, patch)))

    async def modify(  # type: ignore[explicit-any]  # the function knows what it gets
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        default: JsonValue = None,
    ) -> JsonValue:
        """Replace the value of `key` by `function(value)`, run by a worker."""
        message = ModifyState(self._scope, key, function, default=default)
        return cast("JsonValue", await self._ask(message))

    async def setdefault(self, key: str, default: JsonValue = None) -> JsonValue:
        """Bind `key` to `default` unless it is there; return what is there then."""
        message = SetDefaultState(self._scope, key, default)
        return cast("JsonValue", await self._ask(message))

    async def pop(self, key: str, default: object = _UNSET) -> object:
        """Remove `key`, and return its value; `default` if it is absent."""
        try:
            return await self._ask(PopState(self._scope, key))
        except MissingKeyError:
            if default is _UNSET:
                raise
            return default

    async def popitem(self) -> tuple[str, JsonValue]:
        """Remove some entry, and return its key and value."""
        message = PopItemState(self._scope)
        return cast("tuple[str, JsonValue]", await self._ask(message))

    def transaction(self) -> "AsyncTransaction":
        """Begin a transaction, to be used in an `async with` block."""
        return AsyncTransaction(Transaction(self._host.engine, self._scope))

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
        raise InvariantError("the last attempt neither returned nor raised")

    async def _ask(self, message: Message) -> Any:  # type: ignore[explicit-any]  # any reply
        return await self._host.engine.ask_soon(self._owner, message)


class AsyncWorkflowState(AsyncScopedState):
    """A workflow for asyncio, and the way to its steps."""

    __slots__ = ()

    @property
    def workflow_id(self) -> str:
        """Which workflow."""
        return self._sync.workflow_id

    def step(self, name: str) -> AsyncScopedState:
        """Return the state of the step `name`."""
        return self._sync.step(name).aio

    def steps(self) -> list[str]:
        """Return the names of the steps that hold anything."""
        return self._sync.steps()

    def global_state(self) -> AsyncScopedState:
        """Return the state every workflow shares."""
        return self._sync.global_state().aio

    def custom_state(self, namespace: str) -> AsyncScopedState:
        """Return the state of a namespace of the application's own."""
        return self._sync.custom_state(namespace).aio

    async def drop(self) -> bool:
        """Forget the workflow and its steps at once; return whether it held a key."""
        return await self._host.drop_soon(self.workflow_id)

    @property
    def _sync(self) -> WorkflowState:
        return WorkflowState(self._host, self._scope)


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
        """Commit, or discard if the block raised; no effect if it has ended itself."""
        if kind is None and not self._transaction.over:
            await self._transaction.commit_soon()
        else:
            self._transaction.discard()
