"""Reads: what every handle of a scope can do without asking its owner."""

from collections.abc import (
    Collection,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

from stateward.actors.core import reader
from stateward.actors.core.cells import Cell, Table
from stateward.actors.core.errors import InvalidKeyError, MissingKeyError
from stateward.actors.core.messages import Message, Revision, checked_keys
from stateward.actors.core.ports import Clock
from stateward.actors.core.scopes import OwnerScope, StateScope, check_key
from stateward.actors.core.state import NOWHERE, OwnerState
from stateward.actors.core.values import FrozenJson, JsonValue, unpack
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import TurnRef
from stateward.snapshots import Entry, Snapshot, entry_of

if TYPE_CHECKING:
    from stateward.handles import ScopedState
    from stateward.manager import StateManager

T = TypeVar("T")
_ABSENT = object()
R_co = TypeVar("R_co", covariant=True)


class _Read(Protocol[R_co]):
    """Something that can be read of an owner's state, the step's name given."""

    def __call__(
        self, state: OwnerState, step_name: str | None, /, *, now: float
    ) -> R_co: ...


class Engine(Protocol):
    """What reads and writes go to: the engine, or the part of it a step may reach."""

    @property
    def clock(self) -> Clock:
        """What time it is."""
        ...

    def state(self, scope: OwnerScope) -> OwnerState | None:
        """Return what the owner of `scope` knows; `None` if there is nothing."""
        ...

    def route(self, scope: StateScope) -> tuple[TurnRef[Owner] | None, Table]:
        """Return where to send the next write to `scope`, and where to read it."""
        ...

    def ask_owner(self, scope: OwnerScope, message: Message) -> Any:  # type: ignore[explicit-any]  # any reply
        """Ask the owner of `scope`, and wait for the reply."""
        ...

    async def ask_soon(self, scope: OwnerScope, message: Message) -> Any:  # type: ignore[explicit-any]  # any reply
        """As `ask_owner`, without ever blocking the running loop."""
        ...


class Host(Protocol):
    """Where handles come from: a manager, or the attempt of a step."""

    @property
    def engine(self) -> Engine:
        """What the handles stand on."""
        ...

    def state(self, scope: StateScope) -> "ScopedState":
        """Return a handle of `scope`."""
        ...

    def drop_workflow(self, workflow_id: str) -> bool:
        """Forget a workflow and its steps; return whether it held a key."""
        ...

    async def drop_soon(self, workflow_id: str) -> bool:
        """As `drop_workflow`, without ever blocking the running loop."""
        ...

    def as_manager(self) -> "StateManager":
        """Return the manager, if whoever holds a handle may have it."""
        ...


class ReadableState(Mapping[str, JsonValue]):
    """The reading half of a handle: it goes to the snapshot cache and never waits.

    A handle has no state of its own beyond the route it was given last.

    Concurrency: Any thread, inside a turn too. Many-key reads are of one revision.
    """

    __slots__ = ("__weakref__", "_host", "_owner", "_ref", "_scope", "_table")

    def __init__(self, host: "Host", scope: StateScope) -> None:
        """Make a handle; `StateManager.state` is the way to get one."""
        self._host = host
        self._scope = scope
        self._owner = scope.owner
        self._table = NOWHERE
        self._ref: TurnRef[Owner] | None = None

    @property
    def scope(self) -> StateScope:
        """What this is a handle of."""
        return self._scope

    @property
    def manager(self) -> "StateManager":
        """Whose state this is.

        Raises:
            AccessDeniedError: This is the handle of a step. Effect: none.
        """
        return self._host.as_manager()

    @property
    def revision(self) -> Revision:
        """Of the owner, at its newest published; 0 if it holds nothing."""
        state = self._host.engine.state(self._owner)
        return Revision(0 if state is None else max(state.revision, 0))

    def __repr__(self) -> str:
        """Name the scope; the contents may be large."""
        return f"<{type(self).__name__} of {self._scope}>"

    @overload
    def get(self, key: str, /) -> JsonValue: ...
    @overload
    def get(self, key: str, /, default: JsonValue | T) -> JsonValue | T: ...
    def get(self, key: str, default: object = None) -> object:
        """Return a private copy of the value of `key`, or `default` if it is absent.

        Raises:
            InvalidKeyError: Nothing can be stored under `key`. Effect: none.

        Cost: One look-up in a dictionary, and decoding a list or dictionary.
        """
        # This is `reader.find` for the usual case, written out: a call would cost as
        # much as all of it.
        table = self._table
        try:
            cell = table.get(key)
        except TypeError:  # It has no hash, and `_find` says what it is.
            cell = None
        if cell is not None and cell.revision <= table.state.revision:
            if cell.direct:
                return cell.value
            if cell.expires is None:
                return unpack(cell.value)
        found = self._find(key)
        return default if found is None else found.thaw()

    @overload
    def view(self, key: str, /) -> FrozenJson: ...
    @overload
    def view(self, key: str, /, default: FrozenJson | T) -> FrozenJson | T: ...
    def view(self, key: str, default: object = None) -> object:
        """Return the value of `key` read-only, or `default` if it is absent.

        Lists are tuples and dictionaries are mapping proxies, all the way down; they
        are made once and shared by all who ask.

        Cost: One look-up in a dictionary, whatever the size, from the second time on.
        """
        found = self._find(key)
        return default if found is None else found.view()

    def entry(self, key: str) -> Entry | None:
        """Return the value of `key` with all that is known of it; `None` if absent."""
        found = self._find(key)
        return None if found is None else entry_of(found, self._host.engine.clock)

    def get_many(self, keys: Iterable[str]) -> dict[str, JsonValue]:
        """Return private copies of the values of those `keys` that are there.

        Concurrency: All from one revision, never a half-applied command.
        """
        _, cells = self._find_all(checked_keys(keys))
        return {key: cell.thaw() for key, cell in cells.items()}

    def snapshot(self) -> Snapshot:
        """Return the whole scope as it is at one revision.

        Cost: O(keys) to copy references; values are decoded when they are taken out.
        """
        return Snapshot(*self._find_all(None))

    def __getitem__(self, key: str) -> JsonValue:
        """Return a private copy of the value of `key`.

        Raises:
            MissingKeyError: `key` is absent. Effect: none.
        """
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise MissingKeyError(f"{key!r} is not in {self._scope}", key=key)
        return cast("JsonValue", value)

    def __contains__(self, key: object) -> bool:
        """Return whether `key` is there; what can be no key never is."""
        try:
            return self._find(cast("str", key)) is not None
        except InvalidKeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys there are now; writes meanwhile change nothing."""
        return iter(self._find_all(None)[1])

    def __len__(self) -> int:
        """Return how many keys the scope itself holds."""
        return self._read(reader.count, 0)

    def keys(self) -> KeysView[str]:
        """Return the keys there are now."""
        return self.snapshot().keys()

    def items(self) -> ItemsView[str, JsonValue]:
        """Return keys and private copies of values, from one revision."""
        return self.snapshot().items()

    def values(self) -> ValuesView[JsonValue]:
        """Return private copies of the values, from one revision."""
        return self.snapshot().values()

    def _find(self, key: str) -> Cell | None:
        """Return the live version of `key`, or `None`."""
        if type(key) is not str:
            check_key(key)
        table = self._table
        cell = table.get(key)
        if (
            cell is not None
            and cell.revision <= table.state.revision
            and cell.expires is None
        ):
            return cell
        found = self._read(partial(reader.find, key=key), None)
        if found is None:
            check_key(key)
        return found

    def _find_all(self, keys: Collection[str] | None) -> tuple[int, dict[str, Cell]]:
        """Return a revision and the entries as of it."""
        nothing: tuple[int, dict[str, Cell]] = (0, {})
        return self._read(partial(reader.find_all, keys=keys), nothing)

    def _read(self, read: "_Read[T]", absent: T) -> T:
        """Return `read(state, step_name, now=now)`; `absent` if there is no state."""
        engine = self._host.engine
        step_name = self._scope.step_name
        state = self._table.state
        while True:
            try:
                result = read(state, step_name, now=engine.clock.now())
            except reader.RetiredError:
                current = engine.state(self._owner)
                if current is None:
                    return absent
                state = current
            else:
                self._table = state.table(step_name)
                return result
