"""The store: what was committed comes back, or an error says why not."""

import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from stateward import (
    CommitFailedError,
    CorruptStoreError,
    StateManager,
    StoreError,
    StoreFormatError,
    StorePoisonedError,
    WorkflowScope,
)
from stateward.actors.core.ports import Rows
from stateward.actors.store import opening
from stateward.actors.store.about import FORMAT_NAME, PROGRESS_NAME
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import head_name
from stateward.actors.store.opening import open_store
from stateward.actors.store.records import guard, unguard
from stateward.actors.store.urls import StoreUrl, parse_url
from stateward.testing import SimulatedClock
from tests.actors.store.stores import (
    ENGINES,
    Place,
    content,
    copy_store,
    fill,
    remove_store,
    scopes,
)


@pytest.fixture(params=ENGINES)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SimulatedClock
) -> Place:
    """Return a store of each engine that nobody has made yet."""
    return Place(folder=tmp_path, engine=request.param, clock=clock)


@pytest.fixture
def sqlite_place(tmp_path: Path, clock: SimulatedClock) -> Place:
    """Return a SQLite store that nobody has made yet."""
    return Place(folder=tmp_path, engine="sqlite", clock=clock)


def test_store_reopened_holds_what_was_written(place: Place) -> None:
    """Values, revisions, times and expiries of every scope are as before."""
    with place.open() as manager:
        fill(manager, place.clock)
        before = {scope: content(manager, scope) for scope in scopes()}
        run = manager.run_state("run")
        ids = manager.workflow_ids(), manager.run_ids()
    for _ in range(2):
        with place.open() as manager:
            assert sorted(manager.workflow_ids()) == sorted(ids[0])
            assert manager.run_ids() == ids[1] == ["run"]
            assert {scope: content(manager, scope) for scope in scopes()} == before
            assert manager.run_state("run") == run
            assert manager.workflow_state("w3").steps() == ["s", "s2"]


def test_store_reopened_goes_on_with_the_next_revision(place: Place) -> None:
    """The first write after reopening has the revision after the last one before."""
    place.write(a=1, b=2, c=3)
    with place.open() as manager:
        assert manager.workflow_state("w").set("a", 4) == 4


def test_store_keeps_expired_keys_expired(place: Place) -> None:
    """A key that expired while the store was closed is gone once it is opened."""
    with place.open() as manager:
        state = manager.workflow_state("w")
        state.set("short", 1, ttl=10)
        state.set("long", 1, ttl=20)
    place.clock.advance(10)
    with place.open() as manager:
        state = manager.workflow_state("w")
        assert dict(state) == {"long": 1}
        entry = state.entry("long")
        assert entry is not None
        assert entry.expires == 1_000_020.0
        place.clock.advance(10)
        assert dict(state) == {}
    with place.open() as manager:
        assert dict(manager.workflow_state("w")) == {}


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 2_000_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Return the wall clock that the library reads."""
    wall = Wall()
    monkeypatch.setattr(time, "time", wall.time)
    return wall


@pytest.mark.parametrize("noticed_by", ["write", "close"])
def test_store_keeps_expired_keys_expired_when_the_clock_is_set_back(
    sqlite_place: Place, wall: Wall, noticed_by: str
) -> None:
    """A wall clock that is wrong after a restart revives nothing."""
    url = sqlite_place.url
    with StateManager(url) as manager:
        manager.workflow_state("w").set("token", 1, ttl=100)
    wall.now += 200
    with StateManager(url) as manager:
        assert "token" not in manager.workflow_state("w")
        if noticed_by == "write":
            manager.workflow_state("other")["a"] = 1
    wall.now -= 1000
    with StateManager(url) as manager:
        assert "token" not in manager.workflow_state("w")
        assert manager.engine.clock.epoch(manager.engine.clock.now()) >= wall.now + 1000


def test_store_time_never_goes_back(sqlite_place: Place, wall: Wall) -> None:
    """The time of the newest commit is never before that of an earlier one."""
    sqlite_place.write(a=1)
    wall.now -= 50
    sqlite_place.write(a=2)
    with closing(open_store(parse_url(sqlite_place.url))) as store:
        assert store.time == wall.now + 50


@pytest.mark.parametrize("whose", ["w", "other"])
def test_store_goes_on_above_the_revisions_of_what_was_dropped(
    place: Place, whose: str
) -> None:
    """No revision is given out again for an id that comes back."""
    with place.open() as manager:
        state = manager.workflow_state("w")
        for value in range(7):
            state["a"] = value
        manager.drop_workflow("w")
        last = 7
    with place.rows() as journal:
        assert journal.get(head_name(WorkflowScope("w"))) is None
    for _ in range(2):
        with place.open() as manager:
            revision = manager.workflow_state(whose).set("a", 1)
            assert revision > last
            last = revision
            manager.drop_workflow(whose)


@pytest.mark.parametrize("name", [FORMAT_NAME, PROGRESS_NAME])
@pytest.mark.parametrize("how", ["cut", "empty", "missing"])
def test_store_damaged_in_its_own_records_is_refused(
    place: Place, name: bytes, how: str
) -> None:
    """What a store says of itself is checked before anything else."""
    place.write(a=1)
    record = place.row(name)
    place.change({name: {"cut": record[:-1], "empty": b"", "missing": None}[how]})
    kind = StoreFormatError if (name, how) == (FORMAT_NAME, "missing") else None
    with pytest.raises(kind or CorruptStoreError) as caught:
        place.open()
    assert str(place.path) in str(caught.value)
    place.change({name: record})
    with place.open() as manager:
        assert manager.workflow_state("w")["a"] == 1


def test_store_of_a_newer_format_is_refused(place: Place) -> None:
    """A format this version does not know is refused, and nothing is changed."""
    place.write(a=1)
    about = orjson.loads(unguard(FORMAT_NAME, place.row(FORMAT_NAME)))
    newer = guard(FORMAT_NAME, orjson.dumps(about | {"format": 3}))
    place.change({FORMAT_NAME: newer})
    with pytest.raises(StoreFormatError, match=r"has format 3; .* knows 2") as caught:
        place.open()
    assert str(place.path) in str(caught.value)
    assert place.row(FORMAT_NAME) == newer


@pytest.mark.parametrize("name", [b"\x00a", b"\x02wa\0kb", b"x", b"\xff\xff\xff"])
def test_store_of_foreign_records_is_refused(place: Place, name: bytes) -> None:
    """Records of something else are not taken for a new store."""
    place.change({name: b"1"})
    with pytest.raises(StoreFormatError, match="no store of"):
        place.open()
    with place.rows() as journal:
        assert list(journal.scan(b"", b"\xff" * 9)) == [(name, b"1")]


def test_store_of_another_program_is_refused(sqlite_place: Place) -> None:
    """A database of another program is left as it was."""
    with closing(sqlite3.connect(sqlite_place.path)) as connection:
        connection.execute("CREATE TABLE rows (name, record)")
        connection.commit()
    before = sqlite_place.path.read_bytes()
    with pytest.raises(StoreFormatError, match="another program"):
        sqlite_place.open()
    assert sqlite_place.path.read_bytes() == before


def test_store_behind_its_mark_is_refused(place: Place) -> None:
    """A store that lost acknowledged commits says which, and how to go on."""
    with StateManager(place.url) as manager:
        manager.workflow_state("w")["a"] = 1
    older = place.folder / "older"
    copy_store(place.path, older)
    with StateManager(place.url) as manager:
        for value in range(4):
            manager.workflow_state("w")["a"] = value
    remove_store(place.path)
    older.rename(place.path)
    with pytest.raises(CorruptStoreError) as caught:
        place.open()
    message = str(caught.value)
    assert "is at commit 1, commit 5 had been acknowledged" in message
    assert str(place.mark) in message
    place.mark.unlink()
    with place.open() as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1}


def test_store_without_its_mark_opens(place: Place) -> None:
    """A mark that is gone, older or of another store refuses nothing."""
    with StateManager(place.url) as manager:
        manager.workflow_state("w")["a"] = 1
    for content_of_mark in (None, b"", b"noise", bytes(64)):
        place.mark.unlink()
        if content_of_mark is not None:
            place.mark.write_bytes(content_of_mark)
        with StateManager(place.url) as manager:
            assert manager.workflow_state("w")["a"] == 1


def test_store_emptied_beside_its_mark_is_refused(sqlite_place: Place) -> None:
    """A store that is there and holds nothing is not taken for a new one."""
    with StateManager(sqlite_place.url) as manager:
        manager.workflow_state("w")["a"] = 1
    with sqlite_place.rows() as journal:
        names = [name for name, _ in journal.scan(b"", b"\xff")]
        journal.commit(dict.fromkeys(names), sync=True)
    with pytest.raises(CorruptStoreError, match="holds nothing") as caught:
        sqlite_place.open()
    assert str(sqlite_place.mark) in str(caught.value)


def test_store_removed_without_its_mark_is_made_anew(place: Place) -> None:
    """Where there is no store any more, a mark that was left hinders nobody."""
    with StateManager(place.url) as manager:
        manager.workflow_state("w")["a"] = 1
    remove_store(place.path)
    for value in (2, 3):
        with StateManager(place.url) as manager:
            assert dict(manager.workflow_state("w")) == ({} if value == 2 else {"a": 2})
            manager.workflow_state("w")["a"] = value


def test_store_whose_mark_cannot_be_opened_is_refused(place: Place) -> None:
    """A mark in the way is an error of the store, which is let go of."""
    place.write(a=1)
    place.mark.unlink(missing_ok=True)
    place.mark.mkdir()
    with pytest.raises(StoreError, match=r"state\.mark"):
        place.open()
    place.mark.rmdir()
    with place.open() as manager:
        assert manager.workflow_state("w")["a"] == 1


def test_store_opened_for_reading_changes_nothing(place: Place) -> None:
    """A reader needs neither the lock nor a mark, and makes neither."""
    place.write(a=1)
    place.mark.unlink()
    url = parse_url(place.url)
    with closing(open_store(url, read_only=True)) as store:
        assert [usage[0] for usage in store.usages()] == [WorkflowScope("w")]
    assert not place.mark.exists()


class FaultyJournal(MemoryJournal):
    """A journal in memory that fails when it is told to."""

    error: BaseException | None = None
    """What the next commit raises."""
    written: bool = False
    """Whether it does so after it has written."""

    def commit(self, rows: Rows, *, sync: bool) -> None:
        error, self.error = self.error, None
        if error is None or self.written:
            super().commit(rows, sync=sync)
        if error is not None:
            raise error


@dataclass(slots=True)  # tidy: each opening puts another journal in its place
class Faulty:
    """A store in memory, which can be reopened."""

    journal: FaultyJournal
    url: str

    def open(self) -> StateManager:
        return StateManager(self.url)

    def reopen(
        self, url: StoreUrl, *, read_only: bool, must_exist: bool
    ) -> FaultyJournal:
        assert (url.text, read_only, must_exist) == (self.url, False, False)
        rows = self.journal.killed().scan(b"", b"\xff")
        self.journal = FaultyJournal(rows)
        return self.journal


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Return a store in memory whose commits fail when they are told to."""
    faulty = Faulty(FaultyJournal(), f"sqlite:///{tmp_path}/state")
    monkeypatch.setattr(opening, "open_journal", faulty.reopen)
    return faulty


def test_store_goes_on_after_a_commit_without_effect(
    faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit that wrote nothing takes nothing along; the next one counts."""
    caplog.set_level(logging.CRITICAL)
    with faulty.open() as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        faulty.journal.error = CommitFailedError("told to", effect="none")
        with pytest.raises(CommitFailedError, match="told to") as caught:
            state["a"] = 2
        assert caught.value.effect == "none"
        assert dict(state) == {"a": 1}
        state["b"] = 3
        assert manager.global_state().set("x", 1) == 1
    with faulty.open() as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1, "b": 3}
        assert manager.workflow_state("w").revision == 2
        assert manager.global_state()["x"] == 1


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize(
    "error", [CommitFailedError("told to", effect="unknown"), OSError("told to")]
)
def test_store_is_poisoned_by_a_commit_of_unknown_effect(
    faulty: Faulty,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    *,
    written: bool,
) -> None:
    """Until it is reopened the store takes no writes; reads go on."""
    caplog.set_level(logging.CRITICAL)
    with faulty.open() as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        faulty.journal.error, faulty.journal.written = error, written
        with pytest.raises(CommitFailedError, match="told to") as caught:
            state["a"] = 2
        assert caught.value.effect == "unknown"
        for other in (state, manager.global_state()):
            with pytest.raises(StorePoisonedError, match="until it is reopened"):
                other["b"] = 3
        assert dict(state) == {"a": 1}
        assert dict(manager.global_state()) == {}
    with faulty.open() as manager:
        state = manager.workflow_state("w")
        assert dict(state) == {"a": 2 if written else 1}
        state["b"] = 3
        assert manager.global_state().set("x", 1) == 1
    with faulty.open() as manager:
        assert manager.workflow_state("w")["b"] == 3
