"""The model of a transaction: what it has read, and what it is going to write.

It reads what is there now and remembers at which revision. A conflict is due from the
moment one of these revisions is another one, or a scope that was read whole has other
keys; the library may also raise one where a scope that was read whole has been written
to and has the same keys again (`may_conflict`).
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

from stateward import (
    ConflictError,
    JsonValue,
    MissingKeyError,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.testing.models import Model, added, extended, merged_patch
from stateward.testing.owner_models import OwnerModel, Place, Put


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What one entry is to become when the transaction is committed."""

    value: JsonValue
    ttl: float | None = None
    keeps_expiry: bool = False
    """Whether the entry expires when it would have without the transaction."""


class TransactionModel:
    """A transaction over all scopes of one owner."""

    def __init__(self, model: Model, scope: StateScope) -> None:
        """Begin."""
        self.scope = scope
        self.writes: dict[Place, Write | None] = {}
        """By place; `None` for a removal."""
        self._model = model
        self._reads: dict[Place, int] = {}
        self._scans: dict[str | None, tuple[set[str], int]] = {}

    @property
    def owner(self) -> OwnerModel:
        """Whose scopes it works on."""
        return self._model.owner(self.scope)

    @property
    def must_conflict(self) -> bool:
        """Whether something that was read is not so any more."""
        owner = self.owner
        return any(
            owner.revision_at(place) != revision
            for place, revision in self._reads.items()
        ) or any(
            owner.tables.get(step_name, {}).keys() != keys
            for step_name, (keys, _) in self._scans.items()
        )

    @property
    def may_conflict(self) -> bool:
        """Whether something near what was read has changed."""
        return self.must_conflict or any(
            self.owner.touched.get(step_name, 0) > revision
            for step_name, (_, revision) in self._scans.items()
        )

    def on(self, scope: StateScope) -> "TransactionScopeModel":
        """Return the view of one scope, of the same owner."""
        return TransactionScopeModel(self, scope)

    def workflow(self) -> "TransactionScopeModel":
        """Return the view of the workflow's own scope."""
        return self.on(self.scope.owner)

    def step(self, name: str) -> "TransactionScopeModel":
        """Return the view of a step of the same workflow."""
        assert isinstance(self.scope, WorkflowScope | StepScope)  # noqa: S101  # has steps
        return self.on(StepScope(self.scope.workflow_id, name))

    def read(self, place: Place) -> JsonValue:
        """Return a value as the transaction sees it."""
        if place in self.writes:
            write = self.writes[place]
            if write is None:
                raise MissingKeyError(f"{place} was removed")
            return write.value
        self._check()
        self._reads.setdefault(place, self.owner.revision_at(place))
        held = self.owner.find(place)
        if held is None:
            raise MissingKeyError(f"{place} is not there")
        return held.value

    def scan(self, step_name: str | None) -> list[str]:
        """Return the keys of a scope as the transaction sees it."""
        self._check()
        table = self.owner.tables.get(step_name, {})
        self._scans.setdefault(step_name, (set(table), self.owner.revision))
        for key, held in table.items():
            self._reads.setdefault((step_name, key), held.revision)
        keys = dict.fromkeys(table)
        for (where, key), write in self.writes.items():
            if where == step_name:
                keys.pop(key, None) if write is None else keys.setdefault(key)
        return list(keys)

    def commit(self) -> int:
        """Carry out all writes, or none; return the owner's revision."""
        if not self.writes:
            return self.owner.revision
        self._check()
        owner = self.owner
        changes: dict[Place, Put | None] = {
            place: None for place, write in self.writes.items() if write is None
        }
        for place, write in self.writes.items():
            if write is not None:
                held = owner.find(place)
                expires = owner.expiry(write.ttl)
                if write.keeps_expiry and held is not None:
                    expires = held.expires
                changes[place] = Put(write.value, expires)
        return owner.carry_out(changes)

    def replace(self, place: Place, value: JsonValue) -> None:
        """Write a value derived from the one that was read; its expiry stays."""
        earlier = self.writes.get(place)
        self.writes[place] = Write(
            value=value,
            ttl=None if earlier is None else earlier.ttl,
            keeps_expiry=earlier.keeps_expiry if earlier else place not in self.writes,
        )

    def _check(self) -> None:
        if self.must_conflict:
            raise ConflictError("something that was read has changed")


class TransactionScopeModel(MutableMapping[str, JsonValue]):
    """One scope in a transaction: every call of `TransactionScope`, by its name."""

    def __init__(self, transaction: TransactionModel, scope: StateScope) -> None:
        """Make a view."""
        self._transaction = transaction
        self._step_name = scope.step_name

    def set(self, key: str, value: JsonValue, *, ttl: float | None = None) -> None:
        """Bind `key` to `value`; forget any expiry it had."""
        self._transaction.writes[self._place(key)] = Write(value=value, ttl=ttl)

    def delete(self, key: str) -> bool:
        """Remove `key`; return whether it is there."""
        there = key in self
        if there:
            self._transaction.writes[self._place(key)] = None
        return there

    def increment(self, key: str, by: float = 1, *, initial: float = 0) -> float:
        """Add to a number; return the sum."""
        total = added(self.get(key, initial), by)
        self._transaction.replace(self._place(key), total)
        return total

    def append(self, key: str, *items: JsonValue) -> None:
        """Add to the end of a list."""
        longer = extended(self.get(key, []), items)
        self._transaction.replace(self._place(key), longer)

    def merge(self, key: str, patch: JsonValue) -> JsonValue:
        """Apply a JSON Merge Patch; return the result."""
        merged = merged_patch(self.get(key), patch)
        self._transaction.replace(self._place(key), merged)
        return merged

    def clear(self) -> None:
        """Remove every key of the scope."""
        for key in list(self):
            self._transaction.writes[self._place(key)] = None

    def __getitem__(self, key: str) -> JsonValue:
        """Return one value."""
        return self._transaction.read(self._place(key))

    def __setitem__(self, key: str, value: JsonValue) -> None:
        """Bind `key` to `value`."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove `key`, which has to be there."""
        if not self.delete(key):
            raise MissingKeyError(f"{key!r} is not there")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._transaction.scan(self._step_name))

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._transaction.scan(self._step_name))

    def _place(self, key: str) -> Place:
        return self._step_name, key
