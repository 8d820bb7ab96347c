"""What RocksDB alone can do, beside the contract of journals."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rocksdict import Rdict

from stateward.actors.core.errors import (
    CommitFailedError,
    CorruptStoreError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
)
from stateward.actors.store import rocksdb
from stateward.actors.store.rocksdb import RocksJournal
from tests.actors.store.disks import remount, small_disk
from tests.threads import eventually


def test_read_only_folder_is_told(tmp_path: Path) -> None:
    """A folder that takes no writes holds no store to write to."""
    with small_disk(tmp_path / "disk", "40m") as disk:
        with closing(RocksJournal(str(disk / "store"))) as journal:
            journal.commit({b"a": b"1"}, sync=True)
        remount(disk, "ro")
        with pytest.raises(StoreError, match="store"):
            RocksJournal(str(disk / "store"))
        with pytest.raises(StoreError, match="new"):
            RocksJournal(str(disk / "new"))
        with pytest.raises(StoreError, match="Read-only"):
            RocksJournal(str(disk / "store"), read_only=True)


def test_removed_folder_is_noticed(tmp_path: Path) -> None:
    """A commit into a folder that nobody will find again fails, every time."""
    path = tmp_path / "store"
    with closing(RocksJournal(str(path))) as journal:
        path.rename(tmp_path / "other")
        for _ in range(2):
            with pytest.raises(CommitFailedError, match="removed or replaced") as told:
                journal.commit({b"a": b"1"}, sync=True)
            assert told.value.effect == "none"
        (tmp_path / "other").rename(path)
        journal.commit({b"a": b"1"}, sync=True)
        (path / "CURRENT").rename(path / "away")
        with pytest.raises(CommitFailedError, match="removed or replaced"):
            journal.commit({b"a": b"1"}, sync=True)


def test_foreign_folders_are_refused_and_left(tmp_path: Path) -> None:
    """What is no store, or one of another layout, is refused as it is."""
    path = tmp_path / "store"
    path.write_text("Dear diary")
    with pytest.raises(StoreFormatError, match="no folder"):
        RocksJournal(str(path))
    with pytest.raises(StoreFormatError, match="none says it is a store"):
        RocksJournal(str(tmp_path))
    path.unlink()
    path.mkdir()
    (path / "STATEWARD").write_text("2")
    with pytest.raises(StoreFormatError, match="layout"):
        RocksJournal(str(path))
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["STATEWARD", "store"]


def test_reader_is_not_harmed_by_files_that_go(tmp_path: Path) -> None:
    """What a reader has begun with it reads, though another removes all its files."""
    path = tmp_path / "store"
    with closing(RocksJournal(str(path))) as journal:
        rows = dict(fill_tables(journal))
        with closing(RocksJournal(str(path), read_only=True)) as reader:
            before = set(path.glob("*.sst"))
            journal.compact()
            assert len(before) == TABLES
            assert not before & set(path.glob("*.sst"))
            assert dict(reader.scan(b"", b"z")) == rows
            assert all(reader.get(name) == row for name, row in rows.items())


TABLES = 19  # more than the engine opens at first, unless it is to open all


def fill_tables(journal: RocksJournal) -> Iterator[tuple[bytes, bytes]]:
    """Commit some rows, each to a table of its own; yield them."""
    journal._db.set_options({"disable_auto_compactions": "true"})
    for number in range(TABLES):
        row = (b"%02d" % number, bytes(100))
        journal.commit(dict([row]), sync=True)
        journal._db.flush()
        yield row


NO_TABLE = (
    "Corruption: Can't access /{0:06}.sst: IO error: No such file or directory: while "
    "stat a file for size: /s/{0:06}.sst: No such file or directory in file MANIFEST"
)
NO_LOG = "IO error: No such file or directory: While opening a file: /s/{0:06}.log"


class Raced:
    """Opens the engine, and has something else happen meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Stand in for the engine's own."""
        self.acts: list[Callable[[], object]] = []
        """What happens in each opening, before it is over."""
        self.count = 0
        patch.setattr(rocksdb, "Rdict", self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Open it."""
        number, self.count = self.count, self.count + 1
        db = Rdict(*arguments, **options)
        if number < len(self.acts):
            try:
                self.acts[number]()
            except BaseException:
                db.close()
                raise
        return db


def failing(text: str) -> Callable[[], object]:
    """Return what raises an error of the engine."""

    def act() -> None:
        raise Exception(text)  # noqa: TRY002  # as `rocksdict` does

    return act


def test_reader_begins_again_where_files_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opening that misses another file is one beside a writer, and no damage."""
    path = str(tmp_path / "store")
    with closing(RocksJournal(path)) as journal:
        journal.commit({b"a": b"1"}, sync=True)
        raced = Raced(monkeypatch)
        raced.acts = [
            failing(text.format(number))
            for number, text in enumerate((NO_TABLE, NO_LOG, NO_LOG, NO_TABLE, NO_LOG))
        ]
        with closing(RocksJournal(path, read_only=True)) as reader:
            assert reader.get(b"a") == b"1"
        assert raced.count == 6


def test_reader_begins_again_where_a_log_went_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a log that goes before it is looked for the engine tells nothing."""
    path = str(tmp_path / "store")
    with closing(RocksJournal(path)) as journal:
        journal.commit({b"a": b"1"}, sync=True)
        raced = Raced(monkeypatch)

        def logs() -> set[Path]:
            return set(Path(path).glob("*.log"))

        def turn() -> None:
            before = logs()
            journal.commit({b"a": b"2"}, sync=True)
            journal._db.flush()
            # The engine removes it in a thread of its own.
            eventually(lambda: not before & logs(), "the log is gone")

        raced.acts = [turn, turn]
        with closing(RocksJournal(path, read_only=True)) as reader:
            assert reader.get(b"a") == b"2"
        assert raced.count == 3
        raced.acts = [turn] * 99
        with pytest.raises(StoreLockedError, match="faster than it can be read"):
            RocksJournal(path, read_only=True)
        assert raced.count == 3 + rocksdb.OPENINGS


def test_reader_of_a_store_that_lacks_a_table_says_so(tmp_path: Path) -> None:
    """A table that nobody has replaced is missing for good, and that is damage."""
    path = tmp_path / "store"
    with closing(RocksJournal(str(path))) as journal:
        journal.commit({b"a": b"1"}, sync=True)
        journal.compact()
    (table,) = path.glob("*.sst")
    table.unlink()
    with pytest.raises(CorruptStoreError, match=table.name):
        RocksJournal(str(path), read_only=True)


@pytest.mark.parametrize("lost", [False, True])
def test_reader_of_many_tables_tells_of_one_that_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """Where not all can be open, a table that was replaced is no damage either."""
    monkeypatch.setattr(rocksdb, "READER_FILES", 0)
    path = tmp_path / "store"
    with closing(RocksJournal(str(path))) as journal:
        names = [name for name, _ in fill_tables(journal)]
        with closing(RocksJournal(str(path), read_only=True)) as reader:
            journal.compact()
            for table in path.glob("*.sst" if lost else "none"):
                table.unlink()
            error = CorruptStoreError if lost else StoreLockedError
            with pytest.raises(error):
                dict(reader.scan(b"", b"z"))
            with pytest.raises(error):
                [reader.get(name) for name in names]


def test_lost_current_is_no_new_store(tmp_path: Path) -> None:
    """A store that lost its file CURRENT is not begun anew."""
    path = tmp_path / "store"
    RocksJournal(str(path)).close()
    (path / "CURRENT").unlink()
    before = sorted(each.name for each in path.iterdir())
    with pytest.raises(CorruptStoreError, match="CURRENT"):
        RocksJournal(str(path))
    assert sorted(each.name for each in path.iterdir()) == before


def test_second_journal_is_refused(tmp_path: Path) -> None:
    """RocksDB's own lock is told as ours."""
    path = str(tmp_path / "store")
    with (
        closing(RocksJournal(path)),
        pytest.raises(StoreLockedError, match="open already"),
    ):
        RocksJournal(path)


def test_damaged_table_is_told_by_get_and_scan(tmp_path: Path) -> None:
    """Damage is an error, and never a scan that comes back short."""
    path = tmp_path / "store"
    rows = {b"%04d" % number: b"%d" % number * 100 for number in range(5000)}
    with closing(RocksJournal(str(path))) as journal:
        journal.commit(rows, sync=True)
        journal.compact()
    (table,) = path.glob("*.sst")
    with table.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xee" * 8)
    with closing(RocksJournal(str(path))) as journal:
        with pytest.raises(CorruptStoreError, match="store is damaged"):
            list(journal.scan(b"", b"z"))
        with pytest.raises(CorruptStoreError, match="store is damaged"):
            [journal.get(name) for name in rows]


LONG = """
import os
from stateward.actors.store.rocksdb import RocksJournal
journal = RocksJournal({path!r})
for number in range(200):
    journal.commit({{b"%03d" % number: bytes([number]) * 1000}}, sync=False)
os._exit(0)
"""
"""Leaves a log of several blocks: behind damage the rest of a block is lost anyway."""


def test_damaged_log_counts_up_to_the_damage(tmp_path: Path) -> None:
    """A journal whose log is damaged holds the commits before, all and no others."""
    path = tmp_path / "store"
    source = LONG.format(path=str(path))
    subprocess.run([sys.executable, "-c", source], check=True)
    log = max(path.glob("*.log"), key=lambda each: each.stat().st_size)
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.write(b"\xee" * 3)
    with closing(RocksJournal(str(path))) as journal:
        names = [name for name, _ in journal.scan(b"", b"z")]
    assert 50 < len(names) < 150
    assert names == [b"%03d" % number for number in range(len(names))]


def test_logs_are_few(tmp_path: Path) -> None:
    """Opening again and again does not fill the folder with the engine's chatter."""
    path = tmp_path / "store"
    for _ in range(6):
        RocksJournal(str(path)).close()
    assert len(list(path.glob("LOG*"))) <= 2
    assert len(list(path.glob("OPTIONS*"))) <= 2


@pytest.mark.parametrize("text", ["While fdatasync: /x: I/O error", "No space left"])
def test_sync_that_fails_leaves_open_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The commit is written by then, whatever it is that the disk lacks."""

    def fail(_: Rdict) -> None:
        raise Exception(text)  # noqa: TRY002  # as `rocksdict` raises it

    with closing(RocksJournal(str(tmp_path / "store"))) as journal:
        journal.commit({b"a": b"1"}, sync=True)
        with monkeypatch.context() as patched:
            patched.setattr(rocksdb, "sync_log", fail)
            journal.commit({b"b": b"2"}, sync=False)
            with pytest.raises(CommitFailedError) as caught:
                journal.commit({b"c": b"3"}, sync=True)
        assert caught.value.effect == "unknown"
        assert type(caught.value) is CommitFailedError
