import pytest

from stateward import GlobalScope, Limits
from stateward.actors.core import reader
from stateward.actors.core.cells import DELETED, NEVER, Cell, Table
from stateward.actors.core.messages import SetState, UpdateState
from stateward.actors.core.scopes import RUN_STEP
from stateward.actors.core.state import OwnerState
from tests.actors.core.ledger import SCOPE, do, new_state


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


def test_view_is_read_only_and_made_once() -> None:
    """All who look at a container share one frozen form; a scalar is itself."""
    state = new_state()
    do(state, UpdateState(SCOPE, {"list": [{"a": []}], "text": "a"}))
    shared = state.own["list"].view()
    assert shared == ({"a": ()},)
    assert state.own["list"].view() is shared
    assert state.own["text"].view() is state.own["text"].value


def test_thaw_gives_a_private_copy() -> None:
    """What one reader does to a value is seen by no other."""
    state = new_state()
    do(state, SetState(SCOPE, "list", [[1]]))
    mine = state.own["list"].thaw()
    assert isinstance(mine, list)
    mine.append(2)
    assert state.own["list"].thaw() == [[1]]


def cell_of(state: OwnerState, revision: int, expires: float | None) -> Cell:
    """Return a version of `k` in the own table of `state`."""
    cell = Cell()
    cell.table, cell.key, cell.value, cell.size = state.own, "k", None, 4
    cell.revision, cell.expires, cell.previous = revision, expires, None
    cell.direct = expires is None
    cell.created = cell.updated = 0.0
    return cell


@pytest.mark.parametrize("step_name", [None, "s", "run", "\0", RUN_STEP + "s"])
def test_table_is_hidden_for_records_of_runs_alone(step_name: str | None) -> None:
    """Only the table that no caller can name is outside of limits and accounting."""
    assert not Table(new_state(), step_name).hidden
    assert Table(new_state(), RUN_STEP).hidden
