"""The model of one owner: plain dictionaries, limits, expiry, one command at a time.

See `models` for what stands on it.
"""

# ruff: noqa: S101  # what is asserted is the promise that tests check

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import orjson

from stateward import (
    ByteCountError,
    DepthError,
    Entry,
    InvalidValueError,
    JsonValue,
    KeyCountError,
    KeyTooLongError,
    LimitError,
    Limits,
    StateScope,
    ValueTooLargeError,
)
from stateward.testing.likeness import levels

Place: TypeAlias = tuple[str | None, str]
"""Step name, `None` for the owner's own scope, and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One entry."""

    value: JsonValue
    revision: int
    created: float
    updated: float
    expires: float | None

    def is_alive(self, now: float) -> bool:
        """Return whether it can still be seen."""
        return self.expires is None or self.expires > now


@dataclass(frozen=True, slots=True)
class Put:
    """What one entry is to become."""

    value: JsonValue
    expires: float | None


Changes: TypeAlias = Mapping[Place, Put | None]
"""What one command does: entries to put and, with `None`, to remove."""
Find: TypeAlias = Callable[[str | None, str], "Entry | Held | None"]
"""Returns the entry at a place, as somebody else knows it."""
Tables: TypeAlias = dict[str | None, dict[str, Held]]
"""Entries by step name and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What an owner knows of everything outside it."""

    now: Callable[[], float]
    """Seconds since the epoch."""
    limits: Limits
    """Of every owner without limits of its own."""
    revision_of: "Callable[[OwnerModel], int]"
    """Is asked for the revision of each command that changes something."""


class OwnerModel:
    """What one owner holds: its own scope and those of its steps."""

    def __init__(self, world: World, scope: StateScope) -> None:
        """Begin with nothing."""
        self.scope = scope
        self.limits: Limits | None = None
        """What it may hold, if that is not what the others may."""
        self.tables: Tables = {None: {}}
        """A step without entries is not there."""
        self.revision = 0
        """The highest there has been."""
        self.touched: dict[str | None, int] = {}
        """By step name, the revision of the last command that changed its scope."""
        self._world = world

    @property
    def keys(self) -> int:
        """How many keys it holds."""
        return _keys(self.tables)

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of its keys plus encoded bytes of its values."""
        return _size_bytes(self.tables)

    def find(self, place: Place) -> Held | None:
        """Return one entry."""
        step_name, key = place
        return self.tables.get(step_name, {}).get(key)

    def revision_at(self, place: Place) -> int:
        """Return the revision of one entry; 0 if it is absent."""
        held = self.find(place)
        return 0 if held is None else held.revision

    def expiry(self, ttl: float | None) -> float | None:
        """Return when an entry set now expires."""
        ttl = self._limits.default_ttl if ttl is None else ttl
        return None if ttl is None else self._world.now() + ttl

    def expire(self) -> None:
        """Forget what has expired."""
        now = self._world.now()
        for step_name, table in self.tables.items():
            for key in [key for key, held in table.items() if not held.is_alive(now)]:
                del table[key]
                self.touched[step_name] = self.revision + 1
        self._forget_empty_steps()

    def observe(self, revision: int) -> None:
        """Note that the owner is at `revision`: removing what expired raises it."""
        self.revision = max(self.revision, revision)

    def adopt(self, revision: int, find: "Find") -> None:
        """Take over revisions and times, which `find` knows; the values stay.

        Raises:
            AssertionError: An entry is not there.
        """
        self.revision = revision
        self.touched = {name: min(at, revision) for name, at in self.touched.items()}
        for step_name, table in self.tables.items():
            for key, held in table.items():
                entry = find(step_name, key)
                assert entry is not None, f"{key!r} is not in {self.scope} {step_name}"
                table[key] = replace(
                    held,
                    revision=entry.revision,
                    created=entry.created,
                    updated=entry.updated,
                )

    def drop(self) -> bool:
        """Forget everything; return whether there was anything."""
        held = self.keys > 0
        self.tables = {None: {}}
        return held

    def carry_out(self, changes: Changes) -> int:
        """Make all changes as one command, or none; return the owner's revision.

        Raises:
            LimitError: A limit would be passed; nothing has changed.
        """
        for place, put in changes.items():
            if put is not None:
                self._check_put(place, put.value)
        tables, changed = self._after(changes)
        if changed:
            self._check_totals(tables)
            self._publish(tables, changed)
        return self.revision

    def _after(self, changes: Changes) -> tuple[Tables, set[Place]]:
        """Return what there would be, and which entries would have changed."""
        now, changed = self._world.now(), set()
        tables = {name: dict(table) for name, table in self.tables.items()}
        for place, put in changes.items():
            step_name, key = place
            old = self.find(place)
            if put is not None:
                changed.add(place)
                tables.setdefault(step_name, {})[key] = Held(
                    value=put.value,
                    revision=0,
                    created=now if old is None else old.created,
                    updated=now,
                    expires=put.expires,
                )
            elif old is not None:
                changed.add(place)
                del tables[step_name][key]
        return tables, changed

    def _publish(self, tables: Tables, changed: set[Place]) -> None:
        """Let `tables` be what is held, at the revision this command has got."""
        revision = self._world.revision_of(self)
        assert revision > self.revision, f"{revision} after {self.revision}"
        for step_name, key in changed:
            self.touched[step_name] = revision
            if key in tables[step_name]:
                held = tables[step_name][key]
                tables[step_name][key] = replace(held, revision=revision)
        self.tables, self.revision = tables, revision
        self._forget_empty_steps()

    def _check_put(self, place: Place, value: JsonValue) -> None:
        """Raise `LimitError` for what can be said of one entry alone."""
        step_name, key = place
        if step_name is not None and step_name not in self.tables:
            self._check(KeyTooLongError, "max_key_bytes", _text_size(step_name))
        self._check(ValueTooLargeError, "max_value_bytes", _value_size(value))
        self._check(DepthError, "max_depth", levels(value))
        if self.find(place) is None:
            self._check(KeyTooLongError, "max_key_bytes", _text_size(key))

    def _check_totals(self, tables: Tables) -> None:
        """Raise `LimitError` if too much is held; less than before is never too much.

        A limit that was lowered leaves what is there, and lets it shrink.
        """
        if _keys(tables) > self.keys:
            self._check(KeyCountError, "max_keys", _keys(tables))
        if _size_bytes(tables) > self.size_bytes:
            self._check(ByteCountError, "max_bytes", _size_bytes(tables))

    def _check(self, error: type[LimitError], name: str, actual: int) -> None:
        """Raise `error` if `actual` is over the limit `name`."""
        allowance = getattr(self._limits, name)
        if allowance is not None and actual > allowance:
            raise error(
                f"{name} is {allowance}, not {actual}",
                limit=name,
                allowance=allowance,
                actual=actual,
            )

    @property
    def _limits(self) -> Limits:
        return self.limits or self._world.limits

    def _forget_empty_steps(self) -> None:
        for step_name in [name for name, table in self.tables.items() if not table]:
            if step_name is not None:
                del self.tables[step_name]


def _keys(tables: Tables) -> int:
    return sum(map(len, tables.values()))


def _size_bytes(tables: Tables) -> int:
    return sum(
        _text_size(key) + _value_size(held.value)
        for table in tables.values()
        for key, held in table.items()
    )


def _text_size(text: str) -> int:
    return len(text.encode())


def _value_size(value: JsonValue) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError as error:
        raise InvalidValueError(f"{value!r} cannot be stored") from error
