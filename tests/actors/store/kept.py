"""Stores in memory, opened as `open_store` does it, and all there is to know of one."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import CustomScope, StateManager, WorkflowScope
from stateward.actors.core.cells import Cell
from stateward.actors.core.limits import Limits
from stateward.actors.core.reader import versions
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import OwnerState
from stateward.actors.store import opening
from stateward.actors.store.exports import export_lines
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.opening import open_store
from stateward.actors.store.store import DurableStore
from stateward.actors.store.urls import parse_url
from stateward.testing import SimulatedClock
from tests.actors.store.stores import A, B
from tests.journals import Disk

RATES: Final = CustomScope("rates")
OLD, NEW, OTHER = b"1" * 32, b"2" * 32, b"3" * 32
"""Keys."""
EVERYTHING: Final = b"", b"\xff" * 16
"""The bounds of all names."""


def write_some(manager: StateManager) -> None:
    """Write to three owners, one of them with steps."""
    for scope in (A, B):
        state = manager.workflow_state(scope.workflow_id)
        state["one"] = 1
        state["list"] = [scope.workflow_id, {"x": 1.5}]
        state.set("later", "kept", ttl=1e9)
        state.step("s")["one"] = "step"
    manager.custom_state("rates")["eur"] = 1.0825


def journal_of(
    folder: Path,
    write: Callable[[StateManager], None] = write_some,
    **options: Any,
) -> MemoryJournal:
    """Return a journal in which a manager, closed now, has committed something."""
    disk = Disk(Path(tempfile.mkdtemp(dir=folder)), MemoryJournal())
    with disk.manager(clock=SimulatedClock(), **options) as manager:
        write(manager)
    return disk.journal.killed()


@contextmanager
def opened(
    journal: MemoryJournal, folder: Path, **options: Any
) -> Iterator[DurableStore]:
    """Lend the store in a journal, in a folder of its own, so beside no mark."""
    url = parse_url(f"sqlite:///{tempfile.mkdtemp(dir=folder)}/s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_journal", lambda *_, **__: journal)
        store = open_store(url, **options)
    with closing(store):
        yield store


def rows_of(journal: MemoryJournal) -> dict[bytes, bytes]:
    """Return every row."""
    return dict(journal.scan(*EVERYTHING))


def exported(store: DurableStore) -> list[bytes]:
    """Return all that a store holds, but for what it says of itself."""
    return list(export_lines(store))


def loaded(store: DurableStore, scope: OwnerScope) -> OwnerState:
    """Return the state of an owner as it is stored."""
    state = OwnerState(scope, Limits(), 0, 0.0)
    store.load(state)
    return state


def cells(state: OwnerState) -> list[Cell]:
    """Return every entry of an owner, those of runs included."""
    return list(versions(state, state.revision))


def workflow(number: int) -> WorkflowScope:
    """Return one of many workflows."""
    return WorkflowScope(f"w{number}")
