"""The sequential reference model: what a manager is expected to hold and to answer.

It is one plain dictionary per scope and says in the simplest way what each call does.
It has no threads, actors, versions, background work or encoded values, and does not try
to be fast. Run it beside the library, give both the same calls, and compare.

What the model leaves open, because a user may rely on no particular answer:

- which revision a write gets: it is asked for through `revision_of`, and has to be
  above all earlier ones of the owner;
- which entry `popitem` takes: the caller says which one it was.

A value is never changed in place once it is here, so the model needs no copies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from math import isfinite
from typing import Any, TypeAlias

from stateward import (
    ConflictError,
    InvalidValueError,
    JsonValue,
    Limits,
    MissingKeyError,
    StateScope,
    WorkflowScope,
    WrongTypeError,
)
from stateward.testing.owner_models import Held, OwnerModel, Put, World

Anything: TypeAlias = Any  # type: ignore[explicit-any]  # what only the caller knows
_UNSET = object()
_INTS = (-(1 << 63), (1 << 64) - 1)
"""The least and the greatest integer that can be stored."""


class Model:
    """What a manager should hold, as plain dictionaries: a sequential specification.

    Do to it what is done to the manager, and compare. It knows limits, expiry and
    revisions, and refuses what the manager has to refuse, with the same errors.

    Concurrency: One thread.
    Cost: Each command is O(what its owner holds); it is for tests.

    Example:
        >>> from stateward import WorkflowScope
        >>> model = Model()
        >>> model.scope(WorkflowScope("w")).increment("k", 2)
        2
        >>> model.keys, model.size_bytes
        (1, 2)
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = float,
        limits: Limits | None = None,
        revision_of: Callable[[OwnerModel], int] | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            now: Seconds since the epoch, as `SimulatedClock.now`; always 0 by default.
            limits: Of every owner without limits of its own.
            revision_of: Is asked for the revision of each command that changes
                something; by default each gets the next one of its owner.
        """
        self._world = World(
            now=now,
            limits=limits or Limits(),
            revision_of=revision_of or (lambda owner: owner.revision + 1),
        )
        self._owners: dict[StateScope, OwnerModel] = {}

    def scope(self, scope: StateScope) -> "ScopeModel":
        """Return the model of one scope."""
        return ScopeModel(self, scope)

    def owner(self, scope: StateScope) -> OwnerModel:
        """Return the model of what owns `scope`, as it is now."""
        owner = self._owners.get(scope.owner)
        if owner is None:
            owner = self._owners[scope.owner] = OwnerModel(self._world, scope.owner)
        owner.expire()
        return owner

    def owners(self) -> list[OwnerModel]:
        """Return every owner that was ever asked for, as it is now."""
        return [self.owner(scope) for scope in list(self._owners)]

    def workflow_ids(self) -> list[str]:
        """Return the ids of the workflows that hold a key."""
        return [
            owner.scope.workflow_id
            for owner in self.owners()
            if isinstance(owner.scope, WorkflowScope) and owner.keys
        ]

    def steps(self, workflow_id: str) -> list[str]:
        """Return the names of the steps that hold a key, in order of first use."""
        owner = self.owner(WorkflowScope(workflow_id))
        return [name for name in owner.tables if name is not None]

    def drop_workflow(self, workflow_id: str) -> bool:
        """Forget a workflow and its steps; return whether it held a key."""
        return self.owner(WorkflowScope(workflow_id)).drop()

    def set_limits(self, workflow_id: str, limits: Limits | None) -> None:
        """Hold one workflow to other limits; `None` for the manager's again."""
        self.owner(WorkflowScope(workflow_id)).limits = limits

    @property
    def keys(self) -> int:
        """How many keys all scopes hold."""
        return sum(owner.keys for owner in self.owners())

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of all keys plus encoded bytes of all values."""
        return sum(owner.size_bytes for owner in self.owners())


class ScopeModel(MutableMapping[str, JsonValue]):
    """One scope: every call of `ScopedState`, by the same name."""

    def __init__(self, model: Model, scope: StateScope) -> None:
        """Make a handle; it holds nothing itself."""
        self.scope = scope
        self._model = model
        self._step_name = scope.step_name

    @property
    def owner(self) -> OwnerModel:
        """What owns the scope."""
        return self._model.owner(self.scope)

    @property
    def entries(self) -> dict[str, Held]:
        """What the scope holds."""
        return self.owner.tables.get(self._step_name, {})

    # ---------------------------------------------------------------- reads

    def entry(self, key: str) -> Held | None:
        """Return one entry, `None` if absent."""
        return self.entries.get(key)

    def view(self, key: str, default: object = None) -> object:
        """Return one value."""
        return self.get(key, default)

    def get_many(self, keys: Iterable[str]) -> dict[str, JsonValue]:
        """Return the values of those `keys` that are there."""
        return {key: self[key] for key in keys if key in self.entries}

    def snapshot(self) -> dict[str, JsonValue]:
        """Return all there is."""
        return {key: held.value for key, held in self.entries.items()}

    def __getitem__(self, key: str) -> JsonValue:
        """Return one value."""
        held = self.entries.get(key)
        if held is None:
            raise MissingKeyError(f"{key!r} is not in {self.scope}")
        return held.value

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self.entries)

    # --------------------------------------------------------------- writes

    def set(
        self,
        key: str,
        value: JsonValue,
        *,
        ttl: float | None = None,
        expected: int | None = None,
    ) -> int:
        """Bind `key` to `value`; forget any expiry it had."""
        self._expect(key, expected)
        return self._carry_out({key: Put(value, self.owner.expiry(ttl))})

    def delete(self, key: str, *, expected: int | None = None) -> bool:
        """Remove `key`; return whether it was there."""
        self._expect(key, expected)
        there = key in self.entries
        self._carry_out({key: None})
        return there

    def update(  # type: ignore[override]  # as in the library, it returns a revision
        self, other: Mapping[str, JsonValue] = {}, /, **more: JsonValue
    ) -> int:
        """Bind every key to its value, all or none."""
        expires = self.owner.expiry(None)
        puts = {key: Put(value, expires) for key, value in {**other, **more}.items()}
        return self._carry_out(puts)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove `keys`; return how many were there."""
        there = [key for key in dict.fromkeys(keys) if key in self.entries]
        self._carry_out(dict.fromkeys(there))
        return len(there)

    def clear(self) -> None:
        """Remove every key of the scope itself."""
        self.delete_many(list(self.entries))

    def increment(self, key: str, by: float = 1, *, initial: float = 0) -> float:
        """Add to a number; return the sum."""
        total = added(self.get(key, initial), by)
        self._replace(key, total)
        return total

    def append(self, key: str, *items: JsonValue) -> int:
        """Add to the end of a list."""
        return self._replace(key, extended(self.get(key, []), items))

    def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply a JSON Merge Patch; return the result."""
        merged = merged_patch(self.get(key), patch)
        self._replace(key, merged)
        return merged

    def modify(
        self,
        key: str,
        function: Callable[[Anything], JsonValue],
        *,
        default: JsonValue = None,
    ) -> JsonValue:
        """Replace a value by what `function` makes of it; return that."""
        value = function(self.get(key, default))
        self._replace(key, value)
        return value

    def setdefault(  # type: ignore[override]  # overloaded there; the same here
        self, key: str, default: JsonValue = None
    ) -> JsonValue:
        """Bind `key` unless it is there; return what is there then."""
        if key not in self.entries:
            self._replace(key, default)
        return self[key]

    def pop(self, key: str, default: Anything = _UNSET) -> Anything:
        """Remove `key`; return its value."""
        if key not in self.entries and default is not _UNSET:
            return default
        value = self[key]
        self._carry_out({key: None})
        return value

    def popitem(self, key: str | None = None) -> tuple[str, JsonValue]:
        """Remove the entry `key`, which the library has chosen; return both."""
        if key is None or not self.entries:
            raise MissingKeyError(f"{self.scope} holds nothing")
        return key, self.pop(key)

    def __setitem__(self, key: str, value: JsonValue) -> None:
        """Bind `key` to `value`."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove `key`, which has to be there."""
        self.pop(key)

    def _replace(self, key: str, value: JsonValue) -> int:
        """Bind `key` to `value`; leave any expiry it has."""
        held = self.entries.get(key)
        expires = self.owner.expiry(None) if held is None else held.expires
        return self._carry_out({key: Put(value, expires)})

    def _expect(self, key: str, expected: int | None) -> None:
        held = self.entries.get(key)
        if expected is not None and expected != (0 if held is None else held.revision):
            raise ConflictError(f"{key!r} is not at revision {expected}")

    def _carry_out(self, changes: Mapping[str, Put | None]) -> int:
        placed = {(self._step_name, key): put for key, put in changes.items()}
        return self.owner.carry_out(placed)


def added(number: JsonValue, by: float) -> float:
    """Return the sum; raise unless `number` is one and the sum can be stored."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise WrongTypeError(f"{number!r} cannot be incremented")
    total = number + by
    if not isfinite(total) or (
        type(total) is int and not _INTS[0] <= total <= _INTS[1]
    ):
        raise InvalidValueError(f"{total!r} cannot be stored")
    return total


def extended(items: JsonValue, more: Iterable[JsonValue]) -> list[JsonValue]:
    """Return the longer list; raise unless `items` is a list."""
    if not isinstance(items, list):
        raise WrongTypeError(f"{items!r} is no list")
    return [*items, *more]


def merged_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Return `target` after `patch`, as RFC 7396 writes it down in section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merged_patch(merged.get(name), change)
    return merged
