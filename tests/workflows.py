"""A workflow that holds something, and what there is to know of it afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from stateward import JsonValue, StateManager, WorkflowState
from stateward.actors.core.scopes import utf8_bytes
from stateward.actors.core.state import RETIRED
from tests.threads import in_thread

Contents = tuple[dict[str, JsonValue], dict[str, JsonValue]]
"""What a workflow and its step `s` hold."""


def fill(state: WorkflowState) -> None:
    """Write what the tests begin with."""
    state.update({"a": 1, "b": 2, "c": [1, 2], "d": 4, "n": 0})
    state.step("s").set("x", 1)
    state.set("late", 5, ttl=50)


@contextmanager
def filled() -> Iterator[WorkflowState]:
    """Return a workflow that holds something and whose owner is active."""
    with StateManager(ask_timeout=5) as manager:
        state = manager.workflow_state("w")
        fill(state)
        yield state


def contents(state: WorkflowState) -> Contents:
    """Return what the workflow and its step `s` hold, by a new handle."""
    fresh = state.manager.workflow_state(state.workflow_id)
    return dict(fresh), dict(fresh.step("s"))


def check_usable(
    state: WorkflowState, allowed: tuple[Contents, ...], place: str
) -> None:
    """Check contents and accounting, and that another thread can write at once."""
    found = contents(state)
    assert found in allowed, place
    other = state.manager.workflow_state(state.workflow_id)
    in_thread(other.set, "probe", 1)
    in_thread(other.delete, "probe")
    assert contents(state) == found, place
    stats = state.manager.stats()
    assert (stats.keys, stats.size_bytes) == recount(state.manager), place


def recount(manager: StateManager) -> tuple[int, int]:
    """Return keys and bytes of everything there is, counted one by one."""
    sizes = [
        utf8_bytes(key) + cell.size
        for state in manager.engine.directory.states.values()
        if state.revision != RETIRED
        for _, table in state.tables()
        for key, cell in table.items()
    ]
    return len(sizes), sum(sizes)
