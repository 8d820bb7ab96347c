"""Managers on a journal in memory, of which every commit can be looked at."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stateward import StateManager
from stateward.actors.core import faults
from stateward.actors.core.ports import Rows
from stateward.actors.store import opening
from stateward.actors.store.memory import MemoryJournal
from tests.threads import Gate


class WatchedJournal(MemoryJournal):
    """A `MemoryJournal` that notes its commits."""

    def __init__(self, rows: Any = ()) -> None:
        """Begin with `rows`."""
        super().__init__(rows)
        self.syncs: list[bool] = []
        """Whether each commit was synced."""
        self.sizes: list[int] = []
        """How many records each commit wrote."""
        self.before: Callable[[], None] = _nothing
        """Called before each commit."""

    def commit(self, rows: Rows, *, sync: bool) -> None:
        self.before()
        super().commit(rows, sync=sync)
        self.syncs.append(sync)
        self.sizes.append(len(rows))


def _nothing() -> None:
    pass


class Disk:
    """Where a manager keeps its journal: a folder for the lock and the mark."""

    def __init__(self, folder: Path, journal: MemoryJournal) -> None:
        """Hold `journal`."""
        self.folder = folder
        self.journal = journal

    @contextmanager
    def manager(self, **options: Any) -> Iterator[StateManager]:
        """Return a manager on the journal, closed at the end."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opening, "open_journal", lambda *_, **__: self.journal)
            manager = StateManager(f"sqlite:///{self.folder}/s", **options)
        with manager:
            yield manager

    def shoot(self, left: Callable[[], MemoryJournal], into: list["Disk"]) -> None:
        """Add to `into` what a crash now would leave."""
        into.append(self.after(str(len(into)), left()))

    def after(self, name: str, journal: MemoryJournal) -> "Disk":
        """Return another disk, with what a crash now would leave beside `journal`."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for beside in ("s.mark", "s.redo"):
            if (self.folder / beside).exists():
                shutil.copyfile(self.folder / beside, folder / beside)
        return Disk(folder, journal)


@contextmanager
def held_back() -> Iterator[Gate]:
    """Hold every commit back until the gate is open, at the end at the latest."""
    gate = Gate()
    with faults.arm("store.commit", lambda: gate(None)):
        try:
            yield gate
        finally:
            gate.open()
