"""The usual write, written out: an existing entry gets another value and that is all.

It does what `SetState`, `decider` and `OwnerState.carry_out` do, in one function and
with one object: the handle makes the new version itself, and the owner puts it in its
place. A write to memory is held to six times a `dict` behind an `RLock`; a message of
its own, and the calls between deciding, staging and settling, would cost it six more.
Whatever is not usual (a new key, an expiry, a limit in sight, an armed fault point) is
left to them.
"""

from collections.abc import Callable
from typing import Any

from stateward.actors.core.cells import Cell
from stateward.actors.core.faults import armed
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.turns import TurnActor


class Overwriter(TurnActor):
    """An actor that overwrites entries of its state, and serves all else elsewhere."""

    state: OwnerState
    now: Callable[[], float]
    """What time it is, in seconds of the owner's clock."""

    def serve(self, message: Any) -> Any:
        """Carry out any other command and return its reply."""
        raise NotImplementedError

    def take_turn(self, message: Any) -> Any:
        """Carry out one command and return its reply.

        A `Cell` with its table, key, value, size and depth set is put in its place and
        answered with the revision; with `None`, and no effect, if that is not usual.
        """
        if type(message) is not Cell:
            return self.serve(message)
        cell, state = message, self.state
        table, key, size, limits = cell.table, cell.key, cell.size, state.limits
        old = table.get(key)
        clock = self.now  # A call of an attribute costs more than one of a local.
        now = clock()
        if (
            old is None
            or table.state is not state
            or state.pending is not None
            or state.next_expiry <= now
            or armed
        ):
            return None
        total = state.size + size - old.size
        if (
            limits.default_ttl is not None
            or size > limits.value_bytes
            or (total > limits.total_bytes and size > old.size)
            or cell.depth > limits.max_depth
        ):
            return None
        revision = state.latest + 1
        cell.revision = revision
        cell.created = old.created
        cell.updated = state.used = now
        cell.direct = cell.depth == 0
        cell.expires = cell.frozen = None
        cell.previous = old
        # ORDER: as in `OwnerState`: what to recover from, then stage, publish, settle.
        state.pending = cell
        state.latest = table.revision = revision
        table[key] = cell
        state.revision = revision
        cell.previous = None
        state.size = total
        state.settled = revision
        state.pending = None
        return revision
