"""Handles: what a caller holds of a scope.

Reads go to the snapshot cache (see `reads`); writes are messages to the scope's owner.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from stateward.actors.core import reader
from stateward.actors.core.cells import Cell, Table
from stateward.actors.core.errors import MissingKeyError
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
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import PLAIN, JsonValue, dumps, pack
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import BUSY, TurnRef
from stateward.durability import Durability, is_synced
from stateward.reads import ReadableState
from stateward.transactions import Transaction, transact

if TYPE_CHECKING:
    from stateward.aio import AsyncScopedState, AsyncWorkflowState

T = TypeVar("T")
_UNSET = object()


class ScopedState(ReadableState, MutableMapping[str, JsonValue]):
    """A mapping of strings to JSON values, shared by everybody who asks for its scope.

    Concurrency: Any thread. Every operation is atomic, and linearizable with all others
    on the scope's owner; reads never wait for writers.
    Durability: As the manager's store promises.

    Example:
        >>> from stateward import StateManager
        >>> with StateManager() as manager:
        ...     state = manager.workflow_state("order-123")
        ...     state["config"] = {"retries": 3}
        ...     state.increment("iteration")
        ...     sorted(state)
        1
        ['config', 'iteration']
    """

    __slots__ = ()

    @property
    def aio(self) -> "AsyncScopedState":
        """The same scope for asyncio; reads are plain calls, writes are awaited."""
        from stateward.aio import AsyncScopedState

        return AsyncScopedState(self._host, self._scope)

    def set(
        self,
        key: str,
        value: JsonValue,
        *,
        ttl: float | None = None,
        expected: int | None = None,
        durability: Durability | None = None,
    ) -> Revision:
        """Bind `key` to `value`.

        Args:
            key: 1 to `limits.max_key_bytes` bytes of UTF-8, without NUL.
            value: JSON; at most `limits.max_value_bytes` once encoded.
            ttl: Seconds until the key expires, > 0; `None` for `limits.default_ttl`.
                Any expiry the key had is forgotten.
            expected: Revision the key must still be at; 0 for absent.
            durability: `synced`: outlives power loss once this returns, also where the
                manager is `buffered`; `None` for what the manager promises.

        Returns:
            A new revision, even for an equal value; above all earlier ones.

        Raises:
            InvalidKeyError: `key` cannot be a key. Effect: none.
            InvalidValueError: `value` is not JSON; names the place. Effect: none.
            ConflictError: The key is not at `expected`. Effect: none.
            LimitError: A limit would be passed. Effect: none.
            AskTimeoutError: No answer in time; see its `effect`.
            ReentrantCallError: Called inside a turn. Effect: none.
            ClosedError: The manager is closed. Effect: none.

        Cost: One turn of the owner; O(size of the value). Readers never wait.

        Example:
            >>> from stateward import StateManager
            >>> with StateManager() as manager:
            ...     state = manager.workflow_state("order-123")
            ...     state.set("retries", 3, expected=0)
            1
        """
        ref = self._ref
        if ref is not None and ttl is None and expected is None and durability is None:
            reply = overwrite(ref, self._table, key, value)
            if type(reply) is int:
                return reply  # type: ignore[return-value]  # as a revision is
            if type(reply) is Deferred:
                return cast("Revision", reply.wait())
        sync = is_synced(durability)
        message = SetState(self._scope, key, value, ttl, expected, sync=sync)
        return cast("Revision", self.ask(message))

    def delete(self, key: str, *, expected: int | None = None) -> bool:
        """Remove `key`, and return whether it was there.

        Raises:
            ConflictError: The key is not at revision `expected`. Effect: none.
        """
        return bool(self.ask(DeleteState(self._scope, key, expected=expected)))

    @overload  # type: ignore[override]  # a mapping's returns None; this says more
    def update(
        self, other: Mapping[str, JsonValue], /, **more: JsonValue
    ) -> Revision: ...
    @overload
    def update(
        self, other: Iterable[tuple[str, JsonValue]] = (), /, **more: JsonValue
    ) -> Revision: ...
    def update(
        self,
        other: Mapping[str, JsonValue] | Iterable[tuple[str, JsonValue]] = (),
        /,
        **more: JsonValue,
    ) -> Revision:
        """Bind every key to its value, all or none, in one revision.

        Raises:
            LimitError: All together would pass a limit. Effect: none.
        """
        # Items, for another scope's are of one revision, which key by key they are not.
        items = other.items() if isinstance(other, Mapping) else other
        values = dict(items, **more)
        return cast("Revision", self.ask(UpdateState(self._scope, values)))

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove `keys` in one revision, and return how many were there."""
        return cast("int", self.ask(DeleteManyState(self._scope, keys)))

    def clear(self) -> None:
        """Remove every key of the scope itself, in one revision; steps keep theirs."""
        self.ask(ClearState(self._scope))

    def increment(self, key: str, by: float = 1, *, initial: float = 0) -> float:
        """Add `by` to the number under `key`, and return the sum.

        Args:
            key: As for `set`; an expiry it has is kept.
            by: An `int` or a finite `float`.
            initial: What to add to if the key is absent.

        Raises:
            WrongTypeError: The key holds no number. Effect: none.
            InvalidValueError: The sum has more than 64 bits, or is not finite.
                Effect: none.
        """
        message = IncrementState(self._scope, key, by, initial=initial)
        return cast("float", self.ask(message))

    def append(self, key: str, *items: JsonValue) -> Revision:
        """Add `items` to the end of the list under `key`; an absent one is empty.

        Raises:
            WrongTypeError: The key holds no list. Effect: none.

        Cost: O(size of the list) to copy its bytes; it is not decoded.
        """
        return cast("Revision", self.ask(AppendState(self._scope, key, items)))

    def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply the JSON Merge Patch `patch` (RFC 7396), and return the result.

        Dictionaries are merged, `None` in the patch removes a name, everything else
        replaces what was there; an absent key is patched as an empty dictionary.
        """
        return cast("JsonValue", self.ask(MergeState(self._scope, key, patch)))

    def modify(  # type: ignore[explicit-any]  # the function knows what it gets
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        default: JsonValue = None,
    ) -> JsonValue:
        """Replace the value of `key` by `function(value)`, and return the new one.

        The function runs once, in the owner's turn: all other writes to the owner wait
        for it. It is given a private copy; what it raises reaches the caller alone.

        Raises:
            ReentrantCallError: The function wrote to a scope. Effect: none.
            InvalidValueError: It returned what is not JSON. Effect: none.
        """
        message = ModifyState(self._scope, key, function, default=default)
        return cast("JsonValue", self.ask(message))

    def setdefault(  # type: ignore[override]  # a mapping's may return None
        self, key: str, default: JsonValue = None
    ) -> JsonValue:
        """Bind `key` to `default` unless it is there; return what is there then."""
        found = self._find(key)
        if found is not None:
            return found.thaw()
        return cast("JsonValue", self.ask(SetDefaultState(self._scope, key, default)))

    @overload
    def pop(self, key: str, /) -> JsonValue: ...
    @overload
    def pop(self, key: str, /, default: JsonValue | T) -> JsonValue | T: ...
    def pop(self, key: str, default: object = _UNSET) -> object:
        """Remove `key`, and return its value; `default` if it is absent.

        Raises:
            MissingKeyError: It is absent, and there is no default. Effect: none.
        """
        try:
            return self.ask(PopState(self._scope, key))
        except MissingKeyError:
            if default is _UNSET:
                raise
            return default

    def popitem(self) -> tuple[str, JsonValue]:
        """Remove some entry, and return its key and value.

        Raises:
            MissingKeyError: The scope holds nothing. Effect: none.
        """
        return cast("tuple[str, JsonValue]", self.ask(PopItemState(self._scope)))

    def transaction(self) -> Transaction:
        """Begin a transaction over this scope and, in a workflow, all its scopes.

        Used in a `with` block: what it writes is committed as one command when the
        block ends, or not at all if it raises.

        Raises:
            ConflictError: On the way or at the end: something it read has changed
                since. Effect: none.

        Example:
            >>> from stateward import StateManager
            >>> with StateManager() as manager:
            ...     state = manager.workflow_state("order-123")
            ...     with state.transaction() as tx:
            ...         tx["paid"] = True
            ...         tx.step("ship")["ready"] = tx["paid"]
            ...     state.step("ship").get("ready")
            True
        """
        return Transaction(self._host.engine, self._scope)

    def transact(
        self, function: Callable[[Transaction], T], *, attempts: int = 32
    ) -> T:
        """Run `function(transaction)`, again after each conflict; return its result.

        Args:
            function: Reads and writes through the transaction, and nothing else that
                must not be repeated.
            attempts: How often to run it at most.

        Raises:
            ConflictError: Every attempt met a conflict. Effect: none.
        """
        return transact(self.transaction, function, attempts)

    def __setitem__(self, key: str, value: JsonValue) -> None:
        """Bind `key` to `value`; `set` says all about it."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove `key`.

        Raises:
            MissingKeyError: `key` is absent. Effect: none.
        """
        if not self.delete(key):
            raise MissingKeyError(f"{key!r} is not in {self._scope}", key=key)

    def ask(self, message: Message) -> Any:  # type: ignore[explicit-any]  # any reply
        """Send a command to the owner of this scope, and return its reply."""
        ref = self._ref
        if ref is not None:
            reply = ref.attempt(message)
            if type(reply) is Deferred:
                return reply.wait()
            if reply is not BUSY:
                return reply
        engine = self._host.engine
        reply = engine.ask_owner(self._owner, message)
        self._ref, self._table = engine.route(self._scope)
        return reply


class WorkflowState(ScopedState):
    """The state of one workflow, and the way to its steps.

    As a mapping it holds the workflow's own keys; those of its steps are theirs.
    """

    __slots__ = ()

    @property
    def workflow_id(self) -> str:
        """Which workflow."""
        return cast("WorkflowScope", self._scope).workflow_id

    @property
    def aio(self) -> "AsyncWorkflowState":
        """The same workflow for asyncio; reads are plain calls, writes are awaited."""
        from stateward.aio import AsyncWorkflowState

        return AsyncWorkflowState(self._host, self._scope)

    def step(self, name: str) -> ScopedState:
        """Return the state of the step `name`."""
        return self._host.state(StepScope(self.workflow_id, name))

    def steps(self) -> list[str]:
        """Return the names of the steps that hold anything, in order of first use."""

        def read(state: OwnerState, _: str | None, /, *, now: float) -> list[str]:
            # Counted first: this raises if `state` is not the one that serves.
            reader.count(state, None, now)
            return [
                name
                for name, table in state.tables()
                if name and not table.hidden and reader.count(state, name, now)
            ]

        return self._read(read, [])

    def global_state(self) -> ScopedState:
        """Return the state every workflow shares."""
        return self._host.state(GlobalScope())

    def custom_state(self, namespace: str) -> ScopedState:
        """Return the state of a namespace of the application's own."""
        return self._host.state(CustomScope(namespace))

    def drop(self) -> bool:
        """Forget the workflow and its steps at once; return whether it held a key."""
        return self._host.drop_workflow(self.workflow_id)


def overwrite(ref: TurnRef[Owner], table: Table, key: str, value: JsonValue) -> Any:  # type: ignore[explicit-any]  # as `attempt`
    """Give a key that is there another value, here and now; see the `overwrite` module.

    Args:
        ref: To the owner.
        table: Of the scope, as far as is known.
        key: Of the entry.
        value: Of the entry.

    Returns:
        The revision, or a `Deferred` of it. Anything else means that this has no effect
        and the usual message has to be sent.
    """
    if type(key) is not str or key not in table:
        return None
    cell = Cell()
    cell.table = table
    cell.key = key
    if type(value) in PLAIN:
        try:
            cell.size = len(dumps(value))
        except TypeError:
            pack(value)  # Not to be stored; this says why.
        cell.value = value  # type: ignore[assignment]  # plain, so a scalar
        cell.depth = 0
    else:
        cell.value, cell.size, cell.depth = pack(value)
    return ref.attempt(cell)
