"""Two stores in memory that a manager moves between, and what it moves."""

from pathlib import Path
from typing import Any

import pytest

from stateward import (
    StateManager,
)
from stateward.actors.runtime import moves
from stateward.actors.store import opening
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.urls import StoreUrl
from tests.journals import WatchedJournal


def url_of(scheme: str, folder: Path, name: str) -> str:
    """Return the URL of a store."""
    return "memory://" if scheme == "memory" else f"{scheme}:///{folder}/{name}"


class Disks:
    """Two stores in journals in memory, at the URLs `first` and `second`."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        rows: tuple[MemoryJournal, ...] = (),
    ) -> None:
        """Begin with what `rows` hold."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.first = f"sqlite:///{folder}/1"
        self.second = f"sqlite:///{folder}/2"
        kept = [dict(it._synced) for it in rows] or [{}, {}]
        self.journals = [WatchedJournal(it.items()) for it in kept]
        for journal, name in zip(self.journals, "12", strict=True):
            (folder / name).unlink(missing_ok=True)
            if journal.size_bytes():
                (folder / name).touch()
        self._patch = patch
        self.use()

    def use(self) -> None:
        """Have stores be opened here, also again after they were closed."""

        def journal_of(url: StoreUrl, **_: object) -> MemoryJournal:
            journal = self.journals[int(url.path[-1]) - 1]
            journal._closed = False
            return journal

        self._patch.setattr(opening, "open_journal", journal_of)

    def marks(self) -> list[bytes]:
        """Return the mark of each store."""
        paths = [self.folder / f"{name}.mark" for name in "12"]
        return [it.read_bytes() if it.exists() else b"" for it in paths]

    def after(self, journals: tuple[MemoryJournal, ...], marks: list[bytes]) -> "Disks":
        """Return what a crash left, at the same URLs."""
        for number, mark in zip("12", marks, strict=True):
            (self.folder / f"{number}.mark").write_bytes(mark)
        return Disks(self.folder, self._patch, journals)


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    """Return two empty disks; what moves is written ahead in slices of 3."""
    monkeypatch.setattr(moves, "SLICE", 3)
    return Disks(tmp_path / "d", monkeypatch)


def everything(manager: StateManager) -> dict[str, Any]:
    """Return all that is held."""
    found: dict[str, Any] = {"": dict(manager.global_state())}
    for name in sorted(manager.workflow_ids()):
        state = manager.workflow_state(name)
        found[name] = dict(state), {it: dict(state.step(it)) for it in state.steps()}
    return found


def fill(manager: StateManager) -> None:
    """Write something of every kind, small and large."""
    manager.global_state()["g"] = 1
    for n in range(4):
        state = manager.workflow_state(f"w{n}")
        state["n"] = 0
        state.step("s")["list"] = [n]
    manager.workflow_state("large").update({f"k{n}": n for n in range(10)})
