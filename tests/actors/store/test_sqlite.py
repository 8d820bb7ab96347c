"""What SQLite alone can do, beside the contract of journals."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stateward import StateManager
from stateward.actors.core.errors import (
    CommitFailedError,
    CorruptStoreError,
    StoreError,
    StoreFormatError,
)
from stateward.actors.store import sqlite
from stateward.actors.store.sqlite import SqliteJournal
from stateward.offline import check_store
from tests.actors.store.disks import remount, small_disk


def test_read_only_folder_is_told(tmp_path: Path) -> None:
    """A folder that takes no writes holds no store to write to."""
    with small_disk(tmp_path / "disk", "40m") as disk:
        with closing(SqliteJournal(str(disk / "store"))) as journal:
            journal.commit({b"a": b"1"}, sync=True)
        remount(disk, "ro")
        with pytest.raises(StoreError, match="store"):
            SqliteJournal(str(disk / "store"))
        with pytest.raises(StoreError, match="new"):
            SqliteJournal(str(disk / "new"))
        with closing(SqliteJournal(str(disk / "store"), read_only=True)) as journal:
            assert journal.get(b"a") == b"1"


def test_removed_file_is_noticed(tmp_path: Path) -> None:
    """A commit into a file that nobody will find again fails, every time."""
    path = tmp_path / "store"
    with closing(SqliteJournal(str(path))) as journal:
        path.rename(tmp_path / "other")
        for sync in (True, False):
            with pytest.raises(CommitFailedError, match="removed or replaced") as told:
                journal.commit({b"a": b"1"}, sync=sync)
            assert told.value.effect == "none"


def test_replaced_file_is_noticed(tmp_path: Path) -> None:
    """Nor is another file of the same name taken for it, nor a WAL removed."""
    path = tmp_path / "store"
    with closing(SqliteJournal(str(path))) as journal:
        path.rename(tmp_path / "other")
        path.write_bytes(b"")
        with pytest.raises(CommitFailedError, match="removed or replaced"):
            journal.commit({}, sync=True)
        (tmp_path / "other").replace(path)
        journal.commit({b"a": b"1"}, sync=True)
        (tmp_path / "store-wal").unlink()
        with pytest.raises(CommitFailedError, match="removed or replaced"):
            journal.commit({b"a": b"2"}, sync=True)


def test_foreign_files_are_refused_and_left(tmp_path: Path) -> None:
    """What is no database, or another program's, is refused as it is."""
    path = tmp_path / "store"
    path.write_bytes(b"Dear diary" * 1000)
    with pytest.raises(StoreFormatError, match="no store"):
        SqliteJournal(str(path))
    assert path.read_bytes() == b"Dear diary" * 1000
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE diary (day)")
        before = path.read_bytes()
        with pytest.raises(StoreFormatError, match="another program"):
            SqliteJournal(str(path))
    assert path.read_bytes() == before
    with pytest.raises(StoreFormatError, match="no file"):
        SqliteJournal(str(tmp_path))


def test_damaged_file_is_told(tmp_path: Path) -> None:
    """Pages that make no sense are an error that names the file."""
    path = tmp_path / "store"
    with closing(SqliteJournal(str(path))) as journal:
        rows = {b"%04d" % number: b"x" * 400 for number in range(1000)}
        journal.commit(rows, sync=True)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xee" * (size - 8192))
    with (
        pytest.raises(CorruptStoreError, match="store is damaged"),
        closing(SqliteJournal(str(path))) as journal,
    ):
        list(journal.scan(b"", b"z"))


def test_checkpoints_keep_the_wal_small(tmp_path: Path) -> None:
    """The file beside the store does not grow with the number of commits."""
    with closing(SqliteJournal(str(tmp_path / "store"))) as journal:
        names = [b"%04d" % number for number in range(1000)]
        for turn in range(60):
            # Rows that are as they were would not be written.
            rows = dict.fromkeys(names, b"%03d" % turn * 130)
            journal.commit(rows, sync=False)
        assert (tmp_path / "store-wal").stat().st_size < 12_000_000
        journal.commit(dict.fromkeys(names), sync=True)
        journal.compact()
        assert journal.size_bytes() < 100_000


def test_compact_ends_beside_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that nobody goes on with does not hold it up for ever."""
    monkeypatch.setattr("stateward.actors.store.sqlite.BUSY_MS", 10)
    with closing(SqliteJournal(str(tmp_path / "store"))) as journal:
        rows = {b"%04d" % number: b"x" for number in range(1000)}
        journal.commit(rows, sync=True)
        scan = journal.scan(b"", b"z")
        next(scan)
        journal.commit({b"0000": None}, sync=True)
        journal.compact()
        assert 1 + sum(1 for _ in scan) == 1000


def test_empty_sync_is_written_and_synced(tmp_path: Path) -> None:
    """A sync without rows is a commit of its own under FULL, which SQLite syncs."""
    with closing(SqliteJournal(str(tmp_path / "store"))) as journal:
        said: list[str] = []
        assert journal._writer is not None
        journal._writer.set_trace_callback(said.append)
        journal.commit({b"a": b"1"}, sync=False)
        journal.commit({}, sync=True)
        assert [word for word in said if "synchronous" in word] == [
            "PRAGMA synchronous = NORMAL",
            "PRAGMA synchronous = FULL",
        ]
        assert said[-3:-1] == ["BEGIN IMMEDIATE", sqlite.MARK]


def test_sync_of_rows_that_are_there_already_writes_something(tmp_path: Path) -> None:
    """SQLite syncs only what it wrote, and earlier commits wait for the sync."""
    path = tmp_path / "store"
    with (
        closing(SqliteJournal(str(path))) as journal,
        closing(sqlite3.connect(path)) as other,
    ):
        journal.commit({b"a": b"1"}, sync=False)
        (before,) = other.execute("SELECT syncs FROM marks").fetchone()
        journal.commit({b"a": b"1"}, sync=True)
        (after,) = other.execute("SELECT syncs FROM marks").fetchone()
    assert after == before + 1


@pytest.mark.parametrize("place", [36, 39, 54, 55])
def test_check_finds_damage_that_no_record_tells_of(tmp_path: Path, place: int) -> None:
    """A flip in what SQLite says of its pages is found before a write meets it."""
    url, path = f"sqlite:///{tmp_path / 'state'}", tmp_path / "state"
    with StateManager(url) as manager:
        for number in range(20):
            manager.workflow_state(f"{number}")["a"] = "a" * 999
        for number in range(9):
            manager.drop_workflow(f"{number}")
    assert check_store(url) == []
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    findings = check_store(url)
    assert findings
    assert all("the engine tells of damage" in it.problem for it in findings)
