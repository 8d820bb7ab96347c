"""Messages: what a supervisor or an owner can be asked.

A command is an imperative and may be refused; a query changes nothing. Values are
checked and encoded where the message is made, so that a message shares nothing mutable
with its sender and a bad value is refused before anything is sent.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import ClassVar, Final, NewType, TypeAlias

from stateward.actors.core.errors import (
    InvalidValueError,
    UsageError,
    ValueTooLargeError,
    WrongTypeError,
)
from stateward.actors.core.limits import Limits, check_ttl
from stateward.actors.core.scopes import OwnerScope, StateScope, check_key, shown
from stateward.actors.core.values import JsonValue, Packing, pack

Revision = NewType("Revision", int)
"""Per owner, one more for each command that changed something, never used twice."""


class Message:
    """Anything addressed to a scope.

    Messages are slotted classes and not frozen dataclasses: one is made for every
    write, where a frozen dataclass costs 0.5 us more. Nobody changes one once made.
    """

    __slots__ = ("scope",)

    runs_foreign_code: ClassVar[bool] = False
    """Whether serving it calls a function of the sender, of unknown duration."""

    def __init__(self, scope: StateScope) -> None:
        """Address the message."""
        self.scope = scope

    def __repr__(self) -> str:
        """Show every field."""
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields())
        return f"{type(self).__name__}({fields})"

    def _fields(self) -> Iterable[str]:
        for kind in reversed(type(self).__mro__):
            yield from getattr(kind, "__slots__", ())


class GetState(Message):
    """Query: the value of `key`, a private copy, or `default`."""

    __slots__ = ("default", "key")

    def __init__(self, scope: StateScope, key: str, default: JsonValue = None) -> None:
        """Ask for one value."""
        check_key(key)
        self.scope = scope
        self.key = key
        self.default = default


class GetManyState(Message):
    """Query: the values of those `keys` that are there, from one revision."""

    __slots__ = ("keys",)

    def __init__(self, scope: StateScope, keys: Iterable[str]) -> None:
        """Ask for several values."""
        self.scope = scope
        self.keys = checked_keys(keys)


class GetSnapshot(Message):
    """Query: the whole scope at one revision."""

    __slots__ = ()


class SetState(Message):
    """Command: bind `key` to `value`; the reply is the new `Revision`."""

    __slots__ = ("expected", "key", "packing", "sync", "ttl")

    def __init__(
        self,
        scope: StateScope,
        key: str,
        value: JsonValue,
        ttl: float | None = None,
        expected: int | None = None,
        *,
        sync: bool = False,
    ) -> None:
        """Check and encode what is to be set."""
        if type(key) is not str:
            check_key(key)
        if ttl is not None:
            check_ttl(ttl)
        if expected is not None:
            check_expected(expected)
        self.scope = scope
        self.key = key
        self.packing = pack(value)
        self.ttl = ttl
        """Seconds."""
        self.expected = expected
        """Revision the key must still be at; 0 for absent; `None` skips the check."""
        self.sync = sync
        """Whether it is to outlive power loss, whatever the manager promises."""


class SetDefaultState(Message):
    """Command: bind `key` to `value` unless it is there; the reply is what is there."""

    __slots__ = ("key", "packing")

    def __init__(self, scope: StateScope, key: str, value: JsonValue) -> None:
        """Check and encode the default."""
        check_key(key)
        self.scope = scope
        self.key = key
        self.packing = pack(value)


class UpdateState(Message):
    """Command: bind every key of `values`, all or none; the reply is the `Revision`."""

    __slots__ = ("items",)

    def __init__(self, scope: StateScope, values: Mapping[str, JsonValue]) -> None:
        """Check and encode what is to be set."""
        self.scope = scope
        self.items = tuple(packed_items(values))


class DeleteState(Message):
    """Command: remove `key`; the reply says whether it was there."""

    __slots__ = ("expected", "key")

    def __init__(
        self, scope: StateScope, key: str, *, expected: int | None = None
    ) -> None:
        """Name what is to go."""
        check_key(key)
        if expected is not None:
            check_expected(expected)
        self.scope = scope
        self.key = key
        self.expected = expected


class DeleteManyState(Message):
    """Command: remove `keys`, all in one; the reply is how many were there."""

    __slots__ = ("keys",)

    def __init__(self, scope: StateScope, keys: Iterable[str]) -> None:
        """Name what is to go."""
        self.scope = scope
        self.keys = checked_keys(keys)


class ClearState(Message):
    """Command: remove every key of the scope itself; the reply is how many."""

    __slots__ = ()


class PopState(Message):
    """Command: remove `key`; the reply is its value, or `MissingKeyError`."""

    __slots__ = ("key",)

    def __init__(self, scope: StateScope, key: str) -> None:
        """Name what is to be taken."""
        check_key(key)
        self.scope = scope
        self.key = key


class PopItemState(Message):
    """Command: remove some entry; the reply is its key and value."""

    __slots__ = ()


class IncrementState(Message):
    """Command: add `by` to a number; the reply is the sum."""

    __slots__ = ("by", "initial", "key")

    def __init__(
        self, scope: StateScope, key: str, by: float = 1, *, initial: float = 0
    ) -> None:
        """Say how much, and where to begin if the key is absent."""
        if type(key) is not str:
            check_key(key)
        check_number(by, "by")
        check_number(initial, "initial")
        self.scope = scope
        self.key = key
        self.by = by
        self.initial = initial


class AppendState(Message):
    """Command: add `items` to the end of a list; the reply is the `Revision`."""

    __slots__ = ("items", "key")

    def __init__(self, scope: StateScope, key: str, items: Iterable[JsonValue]) -> None:
        """Check and encode what is to be added."""
        check_key(key)
        self.scope = scope
        self.key = key
        self.items = pack(list(items))


class MergeState(Message):
    """Command: apply a JSON Merge Patch (RFC 7396); the reply is the merged value."""

    __slots__ = ("key", "patch")

    def __init__(self, scope: StateScope, key: str, patch: JsonValue) -> None:
        """Check and encode the patch."""
        check_key(key)
        self.scope = scope
        self.key = key
        self.patch = pack(patch)[0]


class ModifyState(Message):
    """Command: replace a value by `function(value)`; the reply is what it returned."""

    __slots__ = ("default", "function", "key")

    runs_foreign_code = True

    def __init__(
        self,
        scope: StateScope,
        key: str,
        function: Callable[[JsonValue], JsonValue],
        *,
        default: JsonValue = None,
    ) -> None:
        """Say what to call, and with what if the key is absent."""
        check_key(key)
        if not callable(function):
            raise UsageError(f"{shown(function)} cannot be called")
        self.scope = scope
        self.key = key
        self.function = function
        self.default = pack(default)[0]


KEPT: Final = 0.0
"""As the ttl of a `Write`: an entry that is there expires when it would have."""
Write: TypeAlias = tuple[str | None, str, Packing, float | None]
"""Step name, key, packed value, ttl."""
Removal: TypeAlias = tuple[str | None, str]
"""Step name and key."""


class CommitTransaction(Message):
    """Command: what a transaction read and wrote; the reply is the `Revision`."""

    __slots__ = ("reads", "removals", "scans", "writes")

    def __init__(
        self,
        scope: OwnerScope,
        *,
        reads: tuple[tuple[str | None, str, int], ...],
        scans: tuple[tuple[str | None, int], ...],
        writes: tuple[Write, ...],
        removals: tuple[Removal, ...],
    ) -> None:
        """Collect the outcome of a transaction."""
        self.scope = scope
        self.reads = reads
        """Step name, key, and the revision it was read at; 0 for absent."""
        self.scans = scans
        """Step name, and the revision as of which all its keys were read."""
        self.writes = writes
        self.removals = removals


class ExpireState(Message):
    """Command, from a timer: remove what has expired."""

    __slots__ = ()


class DropState(Message):
    """Command: forget the owner with all its scopes; the reply says if it held keys."""

    __slots__ = ()


class SetLimits(Message):
    """Command: hold the owner of `scope` to other limits; `None` for the manager's."""

    __slots__ = ("limits",)

    def __init__(self, scope: OwnerScope, limits: Limits | None) -> None:
        """Say which limits."""
        if limits is not None and not isinstance(limits, Limits):
            raise UsageError(f"limits is {limits!r}, not Limits or None")
        self.scope = scope
        self.limits = limits


class Passivate(Message):
    """Command: let the owner's actor go; the reply says whether it went."""

    __slots__ = ("idle_since",)

    def __init__(self, scope: OwnerScope, *, idle_since: float = inf) -> None:
        """Address the owner of `scope`.

        Args:
            scope: Whose owner.
            idle_since: Seconds of the owner's clock; an owner used later stays.
        """
        self.scope = scope
        self.idle_since = idle_since


class Release(Message):
    """Command: take an owner out of quarantine; the reply says whether it was in."""

    __slots__ = ()


def check_number(number: object, what: str) -> None:
    """Raise an error unless `number` is one that could be stored."""
    if type(number) is not int and type(number) is not float:
        raise WrongTypeError(f"{what} is {shown(number)}, not an int or a float")
    pack(number)


def check_expected(expected: object) -> None:
    """Raise `UsageError` unless `expected` can be a revision."""
    if type(expected) is not int or expected < 0:
        raise UsageError(
            f"expected is {shown(expected)}, not a revision (an integer >= 0)"
        )


def checked_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Return `keys`, each once, in their order; raise if one cannot be a key."""
    if isinstance(keys, str):
        raise UsageError(f"keys is the string {keys[:40]!r}, not a collection of keys")
    keys = tuple(keys)
    for key in keys:
        check_key(key)
    return tuple(dict.fromkeys(keys))


def packed_items(
    values: Mapping[str, JsonValue],
) -> Iterable[tuple[str, Packing]]:
    """Yield key and packed value of every item; raise at the first bad one, named."""
    for key, value in values.items():
        check_key(key)
        try:
            packing = pack(value)
        except (InvalidValueError, ValueTooLargeError) as error:
            message = f"{key!r}: {error}"
            raise type(error)(message, key=key, **error.context) from None
        yield key, packing
