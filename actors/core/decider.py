"""Decisions: the newest state and a command give an event, or a refusal.

Pure: a decision reads, it changes nothing, and it needs no clock but the `now` it is
given. Expired entries have been removed before; what a table holds here is alive.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from stateward.actors.core.cells import DELETED, Cell
from stateward.actors.core.errors import (
    ByteCountError,
    ConflictError,
    DepthError,
    InvalidValueError,
    KeyCountError,
    MissingKeyError,
    ValueTooLargeError,
    WrongTypeError,
)
from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    IncrementState,
    MergeState,
    Message,
    PopItemState,
    PopState,
    SetDefaultState,
    SetState,
    UpdateState,
)
from stateward.actors.core.scopes import check_key, utf8_bytes
from stateward.actors.core.state import Event, OwnerState, Table
from stateward.actors.core.values import (
    Document,
    JsonValue,
    Packed,
    extend,
    merge_patch,
    pack,
    unpack,
)

_KEEP: Final = -1.0
"""In place of a ttl: the entry keeps the expiry it has."""


def decide(state: OwnerState, command: Message, now: float) -> Event:
    """Return the event `command` causes; raise a `StateError` to refuse it.

    Args:
        state: The newest state, with nothing expired in it.
        command: Any command that needs no code of the sender to decide.
        now: Seconds since the epoch.
    """
    return DECISIONS[type(command)](state, command, now)


def replace(
    state: OwnerState, command: Message, key: str, value: JsonValue, now: float
) -> Event:
    """Return the event that gives `key` a new value and lets its expiry be."""
    return _replace(state, command, key, *pack(value), now)


def _set(state: OwnerState, command: SetState, now: float) -> Event:
    event = Event(state)
    table = _table(state, event, command.scope.step_name)
    key = command.key
    old = table.get(key)
    if command.expected is not None:
        _check_expected(key, old, command.expected)
    _put(state, event, table, key, old, command.value, command.size, command.ttl, now)
    _check_totals(state, event)
    event.reply = event.revision
    return event


def _set_default(state: OwnerState, command: SetDefaultState, now: float) -> Event:
    old = state.table(command.scope.step_name).get(command.key)
    if old is None:
        event = _replace(
            state, command, command.key, command.value, command.size, now
        )
        event.reply = unpack(command.value)
    else:
        event = Event(state)
        event.reply = unpack(old.value)
    return event


def _update(state: OwnerState, command: UpdateState, now: float) -> Event:
    event = Event(state)
    table = _table(state, event, command.scope.step_name)
    for key, value, size in command.items:
        _put(state, event, table, key, table.get(key), value, size, None, now)
    _check_totals(state, event)
    event.reply = event.revision if event.changes else state.latest
    return event


def _delete(state: OwnerState, command: DeleteState, now: float) -> Event:
    event = Event(state)
    table = state.table(command.scope.step_name)
    old = table.get(command.key)
    if command.expected is not None:
        _check_expected(command.key, old, command.expected)
    if old is not None:
        _remove(event, table, command.key, old)
    event.reply = old is not None
    return event


def _delete_many(state: OwnerState, command: DeleteManyState, now: float) -> Event:
    event = Event(state)
    table = state.table(command.scope.step_name)
    for key in command.keys:
        old = table.get(key)
        if old is not None:
            _remove(event, table, key, old)
    event.reply = len(event.changes)
    return event


def _clear(state: OwnerState, command: ClearState, now: float) -> Event:
    event = Event(state)
    table = state.table(command.scope.step_name)
    for key, old in table.items():
        _remove(event, table, key, old)
    event.reply = len(event.changes)
    return event


def _pop(state: OwnerState, command: PopState, now: float) -> Event:
    event = Event(state)
    table = state.table(command.scope.step_name)
    old = table.get(command.key)
    if old is None:
        raise missing(command, command.key)
    _remove(event, table, command.key, old)
    event.reply = unpack(old.value)
    return event


def _pop_item(state: OwnerState, command: PopItemState, now: float) -> Event:
    event = Event(state)
    table = state.table(command.scope.step_name)
    if not table:
        raise MissingKeyError(f"{command.scope} holds nothing")
    key = next(reversed(table))
    old = table[key]
    _remove(event, table, key, old)
    event.reply = (key, unpack(old.value))
    return event


def _increment(state: OwnerState, command: IncrementState, now: float) -> Event:
    old = state.table(command.scope.step_name).get(command.key)
    start = command.initial if old is None else old.value
    if type(start) is not int and type(start) is not float:
        raise WrongTypeError(
            f"{command.key!r} holds {_kind(start)}, which cannot be incremented",
            key=command.key,
        )
    total = start + command.by
    if type(total) is float and not isfinite(total):
        raise InvalidValueError(f"{start!r} + {command.by!r} is not a finite number")
    event = _replace(state, command, command.key, *pack(total), now)
    event.reply = total
    return event


def _append(state: OwnerState, command: AppendState, now: float) -> Event:
    old = state.table(command.scope.step_name).get(command.key)
    existing = Document(b"[]", 1) if old is None else old.value
    if type(existing) is not Document or not existing.data.startswith(b"["):
        raise WrongTypeError(
            f"{command.key!r} holds {_kind(existing)}, not a list", key=command.key
        )
    merged = extend(existing, command.items)
    return _replace(state, command, command.key, merged, len(merged.data), now)


def _merge(state: OwnerState, command: MergeState, now: float) -> Event:
    old = state.table(command.scope.step_name).get(command.key)
    target = None if old is None else unpack(old.value)
    merged = merge_patch(target, unpack(command.patch))
    event = replace(state, command, command.key, merged, now)
    event.reply = merged
    return event


def _commit(state: OwnerState, command: CommitTransaction, now: float) -> Event:
    for step_name, key, revision in command.reads:
        _check_expected(key, state.table(step_name).get(key), revision)
    for step_name, revision in command.scans:
        if state.table(step_name).revision > revision:
            raise ConflictError(
                f"the keys of {step_name or command.scope} changed after revision "
                f"{revision}, when the transaction read them all",
                expected=revision,
            )
    event = Event(state)
    for step_name, key in command.removals:
        table = state.table(step_name)
        old = table.get(key)
        if old is not None:
            _remove(event, table, key, old)
    for step_name, key, value, size, ttl in command.writes:
        table = _table(state, event, step_name)
        _put(state, event, table, key, table.get(key), value, size, ttl, now)
    _check_totals(state, event)
    event.reply = event.revision if event.changes else state.latest
    return event


def expiry_of(state: OwnerState, table: Table, key: str) -> Event:
    """Return the event that removes one entry whose time has come."""
    event = Event(state)
    _remove(event, table, key, table[key])
    return event


DECISIONS: Final[dict[type[Message], Callable[[OwnerState, Any, float], Event]]] = {
    AppendState: _append,
    ClearState: _clear,
    CommitTransaction: _commit,
    DeleteManyState: _delete_many,
    DeleteState: _delete,
    IncrementState: _increment,
    MergeState: _merge,
    PopItemState: _pop_item,
    PopState: _pop,
    SetDefaultState: _set_default,
    SetState: _set,
    UpdateState: _update,
}
"""What decides each command."""


def missing(command: Message, key: str) -> MissingKeyError:
    """Return the error for a `key` that is not there."""
    return MissingKeyError(f"{key!r} is not in {command.scope}", key=key)


def _replace(
    state: OwnerState, command: Message, key: str, value: Packed, size: int, now: float
) -> Event:
    event = Event(state)
    table = _table(state, event, command.scope.step_name)
    old = table.get(key)
    ttl = None if old is None else _KEEP
    _put(state, event, table, key, old, value, size, ttl, now)
    _check_totals(state, event)
    event.reply = event.revision
    return event


def _table(state: OwnerState, event: Event, step_name: str | None) -> Table:
    """Return the table to write to, opening one for a step that has none."""
    if step_name is None:
        return state.own
    if state.steps is not None:
        table = state.steps.get(step_name)
        if table is not None:
            return table
    if event.opened is None:
        event.opened = {}
    table = event.opened.get(step_name)
    if table is None:
        state.limits.check_key_bytes(step_name)
        table = event.opened[step_name] = Table(state, step_name)
    return table


def _put(
    state: OwnerState,
    event: Event,
    table: Table,
    key: str,
    old: Cell | None,
    value: Packed,
    size: int,
    ttl: float | None,
    now: float,
) -> None:
    """Add to `event` that `key` gets a new value."""
    limits = state.limits
    if limits.max_value_bytes is not None and size > limits.max_value_bytes:
        raise ValueTooLargeError(
            f"value of {key!r} takes {size} bytes, "
            f"max_value_bytes is {limits.max_value_bytes}",
            limit="max_value_bytes",
            allowance=limits.max_value_bytes,
            actual=size,
        )
    if type(value) is Document and value.depth > limits.max_depth:
        raise DepthError(
            f"value of {key!r} nests {value.depth} levels, "
            f"max_depth is {limits.max_depth}",
            limit="max_depth",
            allowance=limits.max_depth,
            actual=value.depth,
        )
    created = now
    if old is None:
        check_key(key)
        limits.check_key_bytes(key)
        event.keys += 1
        event.size += size + utf8_bytes(key)
    else:
        created = old.created
        event.size += size - old.size
    if ttl is None:
        ttl = limits.default_ttl
        expires = None if ttl is None else now + ttl
    elif ttl == _KEEP:
        expires = None if old is None else old.expires
    else:
        expires = now + ttl
    cell = Cell(value, size, event.revision, created, now, expires)
    event.changes.append((table, key, cell))


def _remove(event: Event, table: Table, key: str, old: Cell) -> None:
    """Add to `event` that `key` goes."""
    event.keys -= 1
    event.size -= old.size + utf8_bytes(key)
    gone = Cell(None, 0, event.revision, old.created, old.updated, DELETED)
    event.changes.append((table, key, gone))


def _check_totals(state: OwnerState, event: Event) -> None:
    """Raise a `LimitError` if the owner would grow past what it may hold."""
    limits = state.limits
    if limits.max_keys is not None and event.keys > max(limits.max_keys, state.keys):
        raise KeyCountError(
            f"{state.scope} would hold {event.keys} keys, "
            f"max_keys is {limits.max_keys}",
            limit="max_keys",
            allowance=limits.max_keys,
            actual=event.keys,
        )
    if limits.max_bytes is not None and event.size > max(limits.max_bytes, state.size):
        raise ByteCountError(
            f"{state.scope} would hold {event.size} bytes, "
            f"max_bytes is {limits.max_bytes}",
            limit="max_bytes",
            allowance=limits.max_bytes,
            actual=event.size,
        )


def _check_expected(key: str, cell: Cell | None, expected: int) -> None:
    """Raise `ConflictError` unless `key` is still at revision `expected`."""
    actual = 0 if cell is None else cell.revision
    if actual != expected:
        raise ConflictError(
            f"{key!r} is at revision {actual}, not {expected}"
            if actual and expected
            else f"{key!r} is {'there' if actual else 'absent'} at revision "
            f"{actual}, expected {expected}",
            key=key,
            expected=expected,
            actual=actual,
        )


def _kind(packed: Packed) -> str:
    """Name the JSON type of a packed value."""
    if type(packed) is Document:
        return "a list" if packed.data.startswith(b"[") else "an object"
    return "null" if packed is None else f"a {type(packed).__name__}"
