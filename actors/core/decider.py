"""Decisions: the newest state and a command give an event, or a refusal.

Pure: a decision reads, it changes nothing, and it needs no clock but the `now` it is
given. Expired entries have been removed before; the newest version of an entry in a
table, which may be staged only, is alive or a deletion.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, cast

from stateward.actors.core.cells import Cell, Table
from stateward.actors.core.draft import Decision, Draft, expiry
from stateward.actors.core.errors import (
    ConflictError,
    InvalidValueError,
    MissingKeyError,
    WrongTypeError,
)
from stateward.actors.core.messages import (
    KEPT,
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
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.core.values import (
    JsonValue,
    Packed,
    Packing,
    extend,
    merge_patch,
    pack,
    unpack,
)


def decide(state: OwnerState, command: Message, now: float) -> Decision:
    """Return the event `command` causes; raise a `StateError` to refuse it.

    Args:
        state: The newest state, with nothing expired in it.
        command: Any command that needs no code of the sender to decide.
        now: Seconds of the owner's clock.
    """
    return DECISIONS[type(command)](state, command, now)


def replace(
    state: OwnerState, command: Message, key: str, value: JsonValue, now: float
) -> Decision:
    """Return the event that gives `key` a new value and lets its expiry be."""
    return _replace(state, command, key, pack(value), now, value)


def _set(state: OwnerState, command: SetState, now: float) -> Decision:
    draft = Draft(state, now)
    table = draft.table(command.scope.step_name)
    old = table.newest(command.key)
    if command.expected is not None:
        _check_expected(command.key, old, command.expected)
    expires = expiry(state.limits, command.ttl, now)
    draft.put(table, command.key, old, command.packing, expires)
    return draft.accept(draft.revision)


def _set_default(state: OwnerState, command: SetDefaultState, now: float) -> Decision:
    old = state.table(command.scope.step_name).newest(command.key)
    if old is not None:
        return None, unpack(old.value)
    reply = unpack(command.packing[0])
    return _replace(state, command, command.key, command.packing, now, reply)


def _update(state: OwnerState, command: UpdateState, now: float) -> Decision:
    draft = Draft(state, now)
    table = draft.table(command.scope.step_name)
    expires = expiry(state.limits, None, now)
    for key, packing in command.items:
        draft.put(table, key, table.newest(key), packing, expires)
    return draft.accept(draft.revision if command.items else state.latest)


def _delete(state: OwnerState, command: DeleteState, now: float) -> Decision:
    draft = Draft(state, now)
    table = state.table(command.scope.step_name)
    old = table.newest(command.key)
    if command.expected is not None:
        _check_expected(command.key, old, command.expected)
    draft.remove(table, command.key)
    return draft.accept(old is not None)


def _delete_many(state: OwnerState, command: DeleteManyState, now: float) -> Decision:
    draft = Draft(state, now)
    table = state.table(command.scope.step_name)
    for key in command.keys:
        draft.remove(table, key)
    return draft.accept(len(draft.changes))


def _clear(state: OwnerState, command: ClearState, now: float) -> Decision:
    draft = Draft(state, now)
    table = state.table(command.scope.step_name)
    for key in table.names():
        draft.remove(table, key)
    return draft.accept(len(draft.changes))


def _pop(state: OwnerState, command: PopState, now: float) -> Decision:
    draft = Draft(state, now)
    table = state.table(command.scope.step_name)
    old = table.newest(command.key)
    if old is None:
        raise MissingKeyError(
            f"{command.key!r} is not in {command.scope}", key=command.key
        )
    draft.remove(table, command.key)
    return draft.accept(unpack(old.value))


def _pop_item(state: OwnerState, command: PopItemState, now: float) -> Decision:
    draft = Draft(state, now)
    table = state.table(command.scope.step_name)
    key = next((it for it in reversed(table) if table.newest(it)), None)
    if key is None:
        raise MissingKeyError(f"{command.scope} holds nothing")
    draft.remove(table, key)
    return draft.accept((key, unpack(table[key].value)))


def _increment(state: OwnerState, command: IncrementState, now: float) -> Decision:
    old = state.table(command.scope.step_name).newest(command.key)
    start = command.initial if old is None else old.value
    if type(start) is not int and type(start) is not float:
        raise WrongTypeError(
            f"{command.key!r} holds {_kind(start)}, which cannot be incremented",
            key=command.key,
        )
    total = start + command.by
    if type(total) is float and not isfinite(total):
        raise InvalidValueError(f"{start!r} + {command.by!r} is not a finite number")
    return _replace(state, command, command.key, pack(total), now, total)


def _append(state: OwnerState, command: AppendState, now: float) -> Decision:
    old = state.table(command.scope.step_name).newest(command.key)
    packing = command.items
    if old is not None:
        if type(old.value) is not bytes or not old.value.startswith(b"["):
            raise WrongTypeError(
                f"{command.key!r} holds {_kind(old.value)}, not a list", key=command.key
            )
        tail, _, depth = command.items
        longer = extend(old.value, cast("bytes", tail))
        packing = (longer, len(longer), max(old.depth, depth))
    reply = state.latest + 1
    return _replace(state, command, command.key, packing, now, reply)


def _merge(state: OwnerState, command: MergeState, now: float) -> Decision:
    old = state.table(command.scope.step_name).newest(command.key)
    target = None if old is None else unpack(old.value)
    merged = merge_patch(target, unpack(command.patch))
    return _replace(state, command, command.key, pack(merged), now, merged)


def _commit(state: OwnerState, command: CommitTransaction, now: float) -> Decision:
    for step_name, key, revision in command.reads:
        _check_expected(key, state.table(step_name).newest(key), revision)
    for step_name, revision in command.scans:
        if state.table(step_name).revision > revision:
            raise ConflictError(
                f"the keys of {step_name or command.scope} changed after revision "
                f"{revision}, when the transaction read them all",
                expected=revision,
            )
    draft = Draft(state, now)
    for step_name, key in command.removals:
        draft.remove(state.table(step_name), key)
    for step_name, key, packing, ttl in command.writes:
        table = draft.table(step_name)
        old = table.newest(key)
        if ttl == KEPT and old is not None:
            expires = old.expires
        else:
            expires = expiry(state.limits, ttl or None, now)
        draft.put(table, key, old, packing, expires)
    return draft.accept(draft.revision if draft.changes else state.latest)


def drop(state: OwnerState, now: float) -> Decision:
    """Return the event that removes all an owner holds, hidden records included."""
    draft = Draft(state, now)
    held = not state.is_empty()
    for _, table in state.tables():
        for key in table.names():
            draft.remove(table, key)
    return draft.accept(held)


def expiry_of(state: OwnerState, table: Table, key: str, now: float) -> Event | None:
    """Return the event that removes one entry whose time has come."""
    draft = Draft(state, now)
    draft.remove(table, key)
    return draft.accept(None)[0]


DECISIONS: Final[dict[type[Message], Callable[[OwnerState, Any, float], Decision]]] = {
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


def _replace(
    state: OwnerState,
    command: Message,
    key: str,
    packing: Packing,
    now: float,
    reply: object,
) -> Decision:
    """Return the event that gives `key` a new value and lets its expiry be."""
    draft = Draft(state, now)
    table = draft.table(command.scope.step_name)
    old = table.newest(key)
    expires = expiry(state.limits, None, now) if old is None else old.expires
    draft.put(table, key, old, packing, expires)
    return draft.accept(reply)


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
    if type(packed) is bytes:
        return "a list" if packed.startswith(b"[") else "an object"
    return "null" if packed is None else f"a {type(packed).__name__}"
