"""The ledger: every commit counts, is marked once it is synced, and none is lost."""

import time
from dataclasses import replace
from typing import Final

import pytest

from stateward import (
    CommitFailedError,
    CorruptStoreError,
    StateError,
    StoreFormatError,
    StorePoisonedError,
)
from stateward.actors.core.ports import Rows
from stateward.actors.store.about import FORMAT_NAME, PROGRESS_NAME, Progress
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.records import DamagedError

NOW: Final = 2_000_000_000.0


class Journal(MemoryJournal):
    """A journal that tells its commits, and fails when it is told to."""

    def __init__(self, rows: Rows | None = None) -> None:
        """Begin with nothing to raise."""
        super().__init__((rows or {}).items())  # type: ignore[arg-type]  # no deletions
        self.error: BaseException | None = None
        self.said: list[str] = []

    def commit(self, rows: Rows, *, sync: bool) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        super().commit(rows, sync=sync)
        self.said.append("synced" if sync else "written")


class Mark:
    """A mark in memory, which tells its journal's listener what it notes."""

    path = "s.mark"

    def __init__(self, said: list[str], newest: int = 0, mine: int = 0) -> None:
        """Begin with what would be in the file."""
        self.newest, self.mine = newest, mine
        self._said = said
        self.closed = False

    def choose(self, store_id: bytes) -> int:
        assert len(store_id) == 16
        return self.mine

    def advance(self, commit: int) -> None:
        self._said.append(f"marked {commit}")

    def close(self) -> None:
        self.closed = True


class Wall:
    """A wall clock that somebody sets."""

    now: float = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Return the wall clock that the ledger reads."""
    wall = Wall()
    monkeypatch.setattr(time, "time", wall.time)
    return wall


@pytest.fixture
def journal() -> Journal:
    """Return a journal that holds nothing."""
    return Journal()


def opened(journal: Journal, newest: int = 0, mine: int = 0) -> Ledger:
    """Open the ledger in a journal."""
    return Ledger(journal, Mark(journal.said, newest, mine), "the store")


def test_ledger_that_is_new_outlives_power_loss(journal: Journal) -> None:
    """What a store is is synced before anything is written to it."""
    ledger = opened(journal)
    assert journal.said == ["synced"]
    again = Ledger(journal.crash(), Mark([]), "the store")
    assert (again.about, again.progress) == (ledger.about, Progress())
    assert ledger.about.id != opened(Journal()).about.id


def test_ledger_counts_every_commit(journal: Journal, wall: Wall) -> None:
    """Number, owners, floor and time are in the very commit, and never go back."""
    ledger = opened(journal)
    ledger.write({b"\x01a": b"1"}, sync=False, owners=2, floor=7)
    wall.now -= 10
    ledger.write({b"\x01a": None}, sync=True, owners=-1, floor=3)
    assert ledger.progress == Progress(2, 1, 7, NOW)
    wall.now += 11
    ledger.note(origin="memory")
    ledger.raise_floor(9, version=4)
    ledger.raise_floor(1, version=2)
    for left in (ledger, Ledger(journal.crash(), Mark([]), "the store")):
        assert left.progress == Progress(5, 1, 9, NOW + 1)
        assert left.about.origin == "memory"
        assert left.about.version == 4


def test_ledger_marks_what_is_synced_after_it_is(journal: Journal) -> None:
    """A commit is noted once it is synced, after all else, and not if it is not."""
    ledger = opened(journal)
    ledger.write({}, sync=False, then=lambda: journal.said.append("then"))
    ledger.write({}, sync=True, then=lambda: journal.said.append("then"))
    wanted = ["synced", "written", "then", "synced", "then", "marked 2"]
    assert journal.said == wanted


def test_ledger_behind_its_mark_is_refused(journal: Journal) -> None:
    """A store that lost an acknowledged commit is refused, one that is ahead is not."""
    opened(journal).write({}, sync=True)
    opened(journal, mine=1)
    with pytest.raises(CorruptStoreError, match=r"commit 1, commit 2 .* s\.mark"):
        opened(journal, mine=2)


def test_ledger_that_holds_nothing_is_refused_beside_a_mark(journal: Journal) -> None:
    """An emptied store is no new one, unless the caller says there was none."""
    with pytest.raises(CorruptStoreError, match=r"holds nothing, commit 3 .* s\.mark"):
        opened(journal, newest=3)
    assert journal.said == []
    Ledger(journal, Mark([], newest=3), "the store", anew=True)
    assert journal.said == ["synced"]


def test_ledger_of_foreign_records_is_refused() -> None:
    """A journal of something else is left as it was."""
    journal = Journal({b"\xffother": b"1"})
    with pytest.raises(StoreFormatError, match="no store of stateward"):
        opened(journal)
    assert journal.said == []


def test_ledger_without_its_progress_is_refused(journal: Journal) -> None:
    """A store that cannot tell how far it has come is damaged."""
    opened(journal)
    journal.commit({PROGRESS_NAME: None}, sync=True)
    with pytest.raises(CorruptStoreError, match="own records"):
        opened(journal)


def test_ledger_goes_on_after_a_commit_without_effect(journal: Journal) -> None:
    """A commit that wrote nothing leaves everything as before, and is tried again."""
    ledger = opened(journal)
    before = ledger.progress, ledger.about
    journal.error = CommitFailedError("full", effect="none")
    about = replace(ledger.about, version=3)
    with pytest.raises(CommitFailedError, match="full"):
        ledger.write({b"\x01a": b"1"}, sync=True, owners=1, floor=5, about=about)
    assert (ledger.progress, ledger.about) == before
    assert journal.said == ["synced"]
    ledger.write({}, sync=True)
    assert ledger.progress.commits == 1


@pytest.mark.parametrize(
    "error",
    [CommitFailedError("lost", effect="unknown"), OSError("lost"), KeyboardInterrupt()],
)
def test_ledger_is_poisoned_by_what_it_cannot_tell(
    journal: Journal, error: BaseException
) -> None:
    """After a commit of unknown effect none is taken; what is stored can be read."""
    ledger = opened(journal)
    ledger.write({b"\x01a": b"1"}, sync=True)
    journal.error = error
    with pytest.raises(type(error)):
        ledger.write({b"\x01a": b"2"}, sync=True)
    for _ in range(2):
        with pytest.raises(StorePoisonedError, match="until it is reopened: commit 2"):
            ledger.write({}, sync=True)
    assert journal.said == ["synced", "synced", "marked 1"]
    assert list(ledger.scan(b"\x01", b"\x02")) == [(b"\x01a", b"1")]
    ledger.close()
    assert journal.said == ["synced", "synced", "marked 1"]


def test_ledger_that_cannot_mark_is_poisoned(journal: Journal) -> None:
    """A commit that nobody could tell from a lost one is the last."""
    mark = Mark(journal.said)
    ledger = Ledger(journal, mark, "the store")

    def fail(commit: int) -> None:
        raise OSError(f"no mark {commit}")

    mark.advance = fail  # type: ignore[method-assign]  # what is to fail
    with pytest.raises(OSError, match="no mark 1"):
        ledger.write({}, sync=True)
    with pytest.raises(StorePoisonedError):
        ledger.write({}, sync=False)


def test_ledger_notes_the_time_when_it_is_closed(journal: Journal, wall: Wall) -> None:
    """What has expired until then stays so; all else is as before."""
    ledger = opened(journal)
    ledger.write({}, sync=True, owners=1, floor=2)
    wall.now += 60
    left = journal.killed()
    ledger.close()
    assert journal.said[-1] == "written"
    with pytest.raises(StateError, match="closed"):
        journal.get(FORMAT_NAME)
    ledger.close()
    again = Journal(dict(journal._rows))  # it is closed
    assert opened(again).progress == Progress(1, 1, 2, NOW + 60)
    reader = Ledger(left, Mark([]), "the store", read_only=True)
    before = dict(left.scan(b"", b"\xff"))
    reader.close()
    assert left._rows == before


def test_ledger_lets_go_of_everything(journal: Journal) -> None:
    """Journal and mark are closed, even if the time cannot be noted."""
    mark = Mark([])
    ledger = Ledger(journal, mark, "the store")
    journal.error = OSError("told to")
    with pytest.raises(OSError, match="told to"):
        ledger.close()
    assert mark.closed
    with pytest.raises(StateError, match="closed"):
        journal.get(b"a")


@pytest.mark.parametrize(
    "rows",
    [
        [(b"b", b"1"), (b"a", b"1")],
        [(b"b", b"1"), (b"b", b"1")],
        [(b"a", "text")],
        [("a", b"1")],
        [(b"a", None)],
    ],
)
def test_ledger_scan_refuses_what_is_no_record(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[bytes, bytes]]
) -> None:
    """Names out of order and what is no bytes are damage, where they come."""
    ledger = opened(journal)

    monkeypatch.setattr(journal, "scan", lambda *_: iter(rows))
    with pytest.raises(DamagedError, match="no record"):
        list(ledger.scan(b"", b"\xff"))
