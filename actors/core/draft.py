"""Drafts: an event being put together, entry by entry, and held to the limits."""

from typing import Any, TypeAlias

from stateward.actors.core.cells import DELETED, Cell, Table
from stateward.actors.core.errors import (
    ByteCountError,
    DepthError,
    KeyCountError,
    ValueTooLargeError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import check_key, utf8_bytes
from stateward.actors.core.state import NOWHERE, Event, OwnerState
from stateward.actors.core.values import Packing

Decision: TypeAlias = tuple[Event | None, Any]
"""The event, `None` if nothing changes, and the reply."""


class Draft:
    """An event being put together; dropped if it turns out to pass a limit."""

    __slots__ = (
        "changes",
        "keys",
        "now",
        "opened",
        "revision",
        "size",
        "state",
        "totals",
    )

    def __init__(self, state: OwnerState, now: float) -> None:
        """Begin with what `state` has staged."""
        self.state = state
        self.now = now
        self.revision = state.latest + 1
        self.changes: list[Cell] = []
        self.totals = self.keys, self.size = state.totals()
        """Keys and size before this event."""
        self.opened: dict[str, Table] | None = None

    def table(self, step_name: str | None) -> Table:
        """Return the table to write to, opening one for a step that has none."""
        table = self.state.table(step_name)
        if table is not NOWHERE or step_name is None:
            return table
        self.opened = self.opened or {}
        if step_name not in self.opened:
            opened = Table(self.state, step_name)
            if not opened.hidden:
                self.state.limits.check_key_bytes(step_name)
            self.opened[step_name] = opened
        return self.opened[step_name]

    def put(
        self,
        table: Table,
        key: str,
        old: Cell | None,
        packing: Packing,
        expires: float | None,
    ) -> None:
        """Give `key`, which now has the version `old`, a new value."""
        if table.hidden:
            self._change(table, key, old, packing, None)
            return
        limits = self.state.limits
        _, size, depth = packing
        if size > limits.value_bytes:
            raise ValueTooLargeError(
                f"value of {key!r} takes {size} bytes, "
                f"max_value_bytes is {limits.max_value_bytes}",
                limit="max_value_bytes",
                allowance=limits.max_value_bytes,
                actual=size,
            )
        if depth > limits.max_depth:
            raise DepthError(
                f"value of {key!r} nests {depth} levels, "
                f"max_depth is {limits.max_depth}",
                limit="max_depth",
                allowance=limits.max_depth,
                actual=depth,
            )
        if old is None:
            check_key(key)
            limits.check_key_bytes(key)
            self.keys += 1
            self.size += size + utf8_bytes(key)
        else:
            self.size += size - old.size
        self._change(table, key, old, packing, expires)

    def remove(self, table: Table, key: str) -> None:
        """Remove `key` if it is there."""
        old = table.newest(key)
        if old is not None:
            if not table.hidden:
                self.keys -= 1
                self.size -= old.size + utf8_bytes(key)
            self._change(table, key, old, (None, 0, 0), DELETED)

    def _change(
        self,
        table: Table,
        key: str,
        old: Cell | None,
        packing: Packing,
        expires: float | None,
    ) -> None:
        cell = Cell()
        cell.table = table
        cell.key = key
        cell.value, cell.size, cell.depth = packing
        cell.direct = expires is None and cell.depth == 0
        cell.frozen = None
        cell.revision = self.revision
        cell.created = self.now if old is None else old.created
        cell.updated = self.now
        cell.expires = expires
        self.changes.append(cell)

    def accept(self, reply: object) -> Decision:
        """Return the decision; raise `LimitError` if the owner would outgrow a limit.

        An owner that is over a limit already, because it was lowered, may shrink.
        """
        state, limits = self.state, self.state.limits
        keys, size = self.totals
        if limits.max_keys is not None and self.keys > max(limits.max_keys, keys):
            raise KeyCountError(
                f"{state.scope} would hold {self.keys} keys, "
                f"max_keys is {limits.max_keys}",
                limit="max_keys",
                allowance=limits.max_keys,
                actual=self.keys,
            )
        if self.size > max(limits.total_bytes, size):
            raise ByteCountError(
                f"{state.scope} would hold {self.size} bytes, "
                f"max_bytes is {limits.max_bytes}",
                limit="max_bytes",
                allowance=limits.max_bytes,
                actual=self.size,
            )
        event = (self.revision, self.changes, self.keys, self.size, self.opened)
        return event if self.changes else None, reply


def expiry(limits: Limits, ttl: float | None, now: float) -> float | None:
    """Return when an entry set with `ttl` expires."""
    if ttl is None:
        ttl = limits.default_ttl
    return None if ttl is None else now + ttl
