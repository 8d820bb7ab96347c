"""Stores that tests fill, close, change behind the back of the library, and reopen."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stateward import (
    CustomScope,
    GlobalScope,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core.ports import Journal, Rows
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.names import entry_name, entry_range
from stateward.actors.store.urls import open_journal, parse_url
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, StepContext, step

ENGINES: Final = ("sqlite", "rocksdb")


@step
def greet(ctx: StepContext) -> str:
    """A step whose run is recorded."""
    ctx.state["greeted"] = True
    return f"Hello, {ctx.input}!"


FLOW: Final = Sequential("hello", greet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store of one engine that tests open, close and damage."""

    folder: Path
    engine: str
    clock: SimulatedClock

    @property
    def path(self) -> Path:
        return self.folder / "state"

    @property
    def mark(self) -> Path:
        return self.folder / "state.mark"

    @property
    def url(self) -> str:
        return f"{self.engine}:///{self.path}"

    def open(self) -> StateManager:
        return StateManager(self.url, durability="buffered", clock=self.clock)

    @contextmanager
    def rows(self) -> Iterator[Journal]:
        """Open the records themselves, while no manager has them open."""
        with closing(open_journal(parse_url(self.url))) as journal:
            yield journal

    def change(self, rows: Rows) -> None:
        """Change records behind the store's back."""
        with self.rows() as journal:
            journal.commit(rows, sync=True)

    def row(self, name: bytes) -> bytes:
        """Return a record that is there."""
        with self.rows() as journal:
            record = journal.get(name)
        assert record is not None
        return record

    def write(self, workflow_id: str = "w", **values: int) -> None:
        """Set some keys of a workflow, one after the other."""
        with self.open() as manager:
            for key, value in values.items():
                manager.workflow_state(workflow_id)[key] = value


def fill(manager: StateManager, clock: SimulatedClock) -> None:
    """Write something to scopes of each kind."""
    manager.global_state().update({"a": 1, "b": [1, {"c": None}]})
    for index in range(12):
        state = manager.workflow_state(f"w{index}")
        state["text"] = f"{index}-" * 300
        clock.advance(0.5)
        state.set("later", index, ttl=1e6 + index)
        state["text"] = f"{index}+" * (20 + 40 * index)
        state.step("s").update({"x": index, "y": [index] * 20})
        state.step("s2")["x"] = -index
        state["gone"] = 1
        del state["gone"]
    manager.custom_state("w1").increment("count", 5)
    manager.run(FLOW, "run", input="world")


def scopes() -> Iterator[StateScope]:
    """Yield the scopes that `fill` writes to."""
    yield GlobalScope()
    yield CustomScope("w1")
    yield WorkflowScope("run")
    yield StepScope("run", "hello")
    for index in range(12):
        yield WorkflowScope(f"w{index}")
        yield StepScope(f"w{index}", "s")
        yield StepScope(f"w{index}", "s2")


def content(manager: StateManager, scope: StateScope) -> object:
    """Return all there is to know of a scope."""
    state = manager.state(scope)
    return state.revision, {key: state.entry(key) for key in state}


A: Final = WorkflowScope("a")

B: Final = WorkflowScope("b")


def name_in(scope: OwnerScope, key: str, step_name: str | None = None) -> bytes:
    """Return the name of an entry."""
    return entry_name(entry_range(scope)[0], step_name, key)


def copy_store(source: Path, target: Path) -> None:
    """Copy a store that is closed."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def remove_store(path: Path) -> None:
    """Remove a store that is closed, but not what lies beside it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
