"""Managers that write buffered, whose commits can be held up, failed and looked at."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stateward import StateManager
from stateward.actors.core.ports import Journal, Rows
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.store import DurableStore
from stateward.moving import stores_of
from tests.threads import Gate, Job, eventually

PARTS: Final = ("", "-wal", "-journal", ".mark", ".redo")
"""What the names of the files and folders of a store end with; its lock stays."""


class Watched:
    """The journal of a manager, with something to be done before each commit.

    Fault points would do, but while one is armed the usual write takes another way.
    """

    def __init__(self, journal: Journal) -> None:
        """Stand in for `journal`."""
        self._journal = journal
        self.commits: list[bool] = []
        """Of each commit that was written, whether it was synced."""
        self.before: Callable[[], None] = lambda: None
        """Called before each commit."""

    def __getattr__(self, name: str) -> Any:
        """Return what the journal has."""
        return getattr(self._journal, name)

    def commit(self, rows: Rows, *, sync: bool) -> None:
        """Commit, if nothing comes before it."""
        self.before()
        self._journal.commit(rows, sync=sync)
        self.commits.append(sync)

    @contextmanager
    def held(self) -> Iterator[Gate]:
        """Hold every commit back until the gate is open, at the end at the latest."""
        gate = Gate()
        self.before = lambda: gate(None)
        try:
            yield gate
        finally:
            self.before = lambda: None
            gate.open()


class Rig:
    """A manager with an open log."""

    def __init__(self, url: str, ring: int | None, options: dict[str, Any]) -> None:
        """Open a manager, and write so much that the log is open.

        Args:
            url: Of its store.
            ring: Bytes of the log; `None` for what is usual.
            options: Of the manager.
        """
        self.path = Path(url.partition("://")[2])
        self.manager = StateManager(url, durability="buffered", **options)
        if ring is not None:
            self.redo._size = ring
        self.journal = Watched(self.store.ledger.journal)
        self.store.ledger.journal = self.journal
        self.manager.custom_state("rig")["is"] = "open"
        assert self.redo._open, "the first commit opens the log"

    @property
    def store(self) -> DurableStore:
        """The store of the manager."""
        (store,) = stores_of(self.manager.engine)
        return store

    @property
    def redo(self) -> RedoLog:
        """The log of the manager."""
        return self.store.redo

    def killed(self, name: str, *, logged: bool = True) -> Path:
        """Copy what the end of the process would leave now, while nothing commits.

        Args:
            name: Of the folder to make.
            logged: Whether to take the log along.

        Returns:
            Where the store is there.
        """
        folder = self.path.parent / name
        folder.mkdir()
        for part in PARTS if logged else PARTS[:-1]:
            source = self.path.with_name(self.path.name + part)
            if source.is_dir():
                shutil.copytree(source, folder / source.name)
            elif source.exists():
                shutil.copyfile(source, folder / source.name)
        return folder / self.path.name


@contextmanager
def rig(url: str, *, ring: int | None = None, **options: Any) -> Iterator[Rig]:
    """Return a `Rig`, closed at the end."""
    it = Rig(url, ring, options)
    with it.manager:
        yield it


class Counting:
    """Threads that count, buffered, and note what was acknowledged."""

    def __init__(self, manager: StateManager) -> None:
        """Begin to count."""
        self.told = {f"c{n}": 0 for n in range(8)}
        self._over = False
        names = list(self.told)
        self._jobs = [Job(self._count, manager, names[n::4]) for n in range(4)]

    def _count(self, manager: StateManager, names: list[str]) -> None:
        while not self._over:
            for name in names:
                state = manager.workflow_state(name)
                count = int(state.increment("n"))
                state["same"] = count
                self.told[name] = count

    def go_on(self) -> None:
        """Wait until each has counted on."""
        now = dict(self.told)
        eventually(lambda: all(self.told[it] > now[it] for it in now), "all counted on")

    def stop(self) -> None:
        """End, and raise what any thread has raised."""
        self._over = True
        for job in self._jobs:
            job.result()


FORK: Final = """
import io, os, signal, warnings
from stateward import ForkedError, StateManager
from stateward.offline import export_store
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
url = {url!r}

def in_child():
    for write in (lambda: state.set("a", -1), manager.close):
        try:
            write()
        except ForkedError:
            pass
    try:
        state.set("a", -1)
    except Exception:
        return
    os._exit(1)

ready, told = os.pipe()
writer = os.fork()
if writer == 0:
    manager = StateManager(url, durability="buffered")
    state = manager.workflow_state("w")
    for n in range(100):
        state["a"] = n
        if n % 25 == 24:
            if (child := os.fork()) == 0:
                in_child()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0, "a child has written"
    # A child that stays: it must not keep the store from being opened again.
    end, hold = os.pipe()
    if (left := os.fork()) == 0:
        in_child()
        os.write(told, b"ready")
        os.close(hold)
        os.read(end, 1)
        signal.alarm(20)
        signal.pause()
    state["a"] = 100
    os.read(ready, 5) == b"ready" or os._exit(1)
    os.write(told, str(left).encode())
    os.kill(os.getpid(), signal.SIGKILL)
assert os.waitpid(writer, 0)[1] == signal.SIGKILL
left = int(os.read(ready, 20))
try:
    lines = io.BytesIO()
    export_store(url, lines)
    assert b'"value":100,' in lines.getvalue(), "the child keeps the log locked"
    with StateManager(url, durability="buffered") as manager:
        assert manager.check() == []
        assert manager.workflow_state("w")["a"] == 100
        assert manager.workflow_state("w").set("a", 101) > 100
finally:
    os.kill(left, signal.SIGKILL)
"""
