"""The usual write, written out: an existing entry gets another value and that is all.

It does what `SetState`, `decider` and `OwnerState.carry_out` do, in one function and
with one object: the handle makes the new version itself, and the owner puts it in its
place. A write to memory is held to six times a `dict` behind an `RLock`; a message of
its own, and the calls between deciding, staging and settling, would cost it six more.
Whatever is not usual (a new key, an expiry, a limit in sight, an armed fault point) is
left to them.
"""

from stateward.actors.core.cells import Cell
from stateward.actors.core.faults import armed
from stateward.actors.core.state import OwnerState


def overwrite(state: OwnerState, cell: Cell, now: float) -> int | None:
    """Put `cell` in its place and return the revision, or `None` if it is not usual.

    Args:
        state: The newest state, with nothing expired in it.
        cell: Its table, key, value, size and depth are set; nobody else has it.
        now: Seconds since the epoch.
    """
    table = cell.table
    key = cell.key
    old = table.get(key)
    if old is None or table.state is not state or armed:
        return None
    size, limits = cell.size, state.limits
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
    cell.updated = now
    cell.direct = cell.depth == 0
    cell.expires = cell.frozen = None
    cell.previous = old
    # ORDER: as in `OwnerState`: what to recover from, then stage, publish, settle.
    state.pending = cell
    state.latest = revision
    table[key] = cell
    state.revision = revision
    cell.previous = None
    table.revision = revision
    state.size = total
    state.settled = revision
    state.pending = None
    return revision
