from stateward import GlobalScope, Limits
from stateward.actors.core import reader
from stateward.actors.core.cells import DELETED, NEVER, Cell, Table
from stateward.actors.core.state import OwnerState


def test_table_is_untouched_when_made() -> None:
    """A new table belongs to its state, holds nothing, and no command changed it."""
    state = OwnerState(GlobalScope(), Limits(), 7, 0.0)
    table = Table(state, "step")
    assert (dict(table), table.state, table.step_name) == ({}, state, "step")
    assert table.revision == 0


def test_deleted_is_expired_at_any_time() -> None:
    """A cell that stands for a deletion is dead, even at the beginning of time."""
    state = OwnerState(GlobalScope(), Limits(), 1, 0.0)
    state.own["k"] = cell_of(state, revision=1, expires=DELETED)
    state.next_expiry = DELETED
    assert reader.find(state, None, "k", -1e308) is None
    assert reader.find_all(state, None, None, -1e308) == (1, {})


def test_never_is_above_every_revision() -> None:
    """A version that was taken back is seen at no revision an owner can reach."""
    state = OwnerState(GlobalScope(), Limits(), 1 << 64, 0.0)
    before = cell_of(state, revision=1, expires=None)
    taken_back = cell_of(state, revision=NEVER, expires=None)
    taken_back.previous = before
    state.own["k"] = taken_back
    assert reader.find(state, None, "k", 0.0) is before


def cell_of(state: OwnerState, revision: int, expires: float | None) -> Cell:
    """Return a version of `k` in the own table of `state`."""
    cell = Cell()
    cell.table, cell.key, cell.value, cell.size = state.own, "k", None, 4
    cell.revision, cell.expires, cell.previous = revision, expires, None
    cell.direct = expires is None
    cell.created = cell.updated = 0.0
    return cell
