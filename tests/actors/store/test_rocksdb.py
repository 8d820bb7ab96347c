"""What RocksDB alone can do, beside the contract of journals."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stateward.actors.core.errors import (
    CommitFailedError,
    CorruptStoreError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
)
from stateward.actors.core.ports import Journal
from stateward.actors.store.rocksdb import RocksJournal
from tests.actors.store.disks import remount, small_disk
from tests.threads import run_script


def test_full_disk_changes_nothing_and_ends(tmp_path: Path) -> None:
    """What does not fit is refused without effect; with space commits go on."""
    with small_disk(tmp_path / "disk") as disk:
        with closing(RocksJournal(str(disk / "store"))) as journal:
            kept = fill(journal)
            assert list(journal.scan(b"", b"z")) == kept
            remount(disk, "size=40m")
            journal.commit({b"more": b"1"}, sync=True)
            assert journal.get(b"more") == b"1"
        with closing(RocksJournal(str(disk / "store"))) as journal:
            assert list(journal.scan(b"", b"z")) == [*kept, (b"more", b"1")]


def fill(journal: Journal) -> list[tuple[bytes, bytes]]:
    """Commit until the disk is full; return what was acknowledged."""
    kept: list[tuple[bytes, bytes]] = []
    for number in range(1000):
        row = (b"%04d" % number, number.to_bytes(4, "big") * 5000)
        try:
            journal.commit(dict([row]), sync=True)
        except StoreFullError:
            # The effect of the next one is looked at; the disk is as full as before.
            with pytest.raises(StoreFullError) as told:
                journal.commit(dict([row]), sync=True)
            assert told.value.effect == "none"
            return kept
        kept.append(row)
    raise AssertionError("the disk was never full")


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


def test_read_only_journal_changes_nothing(tmp_path: Path) -> None:
    """What is open for reading takes no commit."""
    path = str(tmp_path / "store")
    with closing(RocksJournal(path)) as journal:
        journal.commit({b"a": b"1"}, sync=True)
    with closing(RocksJournal(path, read_only=True)) as journal:
        with pytest.raises(StoreError, match="open for reading"):
            journal.commit({b"a": b"2"}, sync=True)
        with pytest.raises(StoreError, match="open for reading"):
            journal.compact()
        assert list(journal.scan(b"", b"z")) == [(b"a", b"1")]


@pytest.mark.parametrize("options", [{"must_exist": True}, {"read_only": True}])
def test_missing_store_is_told(tmp_path: Path, options: dict[str, bool]) -> None:
    """A store that must be there is not made."""
    with pytest.raises(StoreError, match="no store at"):
        RocksJournal(str(tmp_path / "store"), **options)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_told(tmp_path: Path) -> None:
    """The folder of a store is not made."""
    with pytest.raises(StoreError, match="none is not there"):
        RocksJournal(str(tmp_path / "none" / "store"))
    assert list(tmp_path.iterdir()) == []


def test_backup_into_no_folder_is_told(tmp_path: Path) -> None:
    """A backup that cannot be written leaves nothing."""
    with closing(RocksJournal(str(tmp_path / "store"))) as journal:
        with pytest.raises(StoreError, match="none is not there"):
            journal.backup(str(tmp_path / "none" / "copy"))
        journal.backup(str(tmp_path / "copy"))
    left = [path.name for path in tmp_path.iterdir()]
    assert not [name for name in left if name.endswith(".part")]


KILLED = """
import os, signal
from stateward.actors.store.rocksdb import RocksJournal
journal = RocksJournal({path!r})
for number in range(200):
    journal.commit({{b"%03d" % number: b"1"}}, sync=number == 100)
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_killed_process_loses_nothing(tmp_path: Path) -> None:
    """What was committed without a sync outlives the process."""
    path = str(tmp_path / "store")
    source = KILLED.format(path=path)
    done = subprocess.run([sys.executable, "-c", source], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(RocksJournal(path)) as journal:
        assert len(list(journal.scan(b"", b"z"))) == 200


FORKED = """
import os, signal, sys, warnings
from stateward import ForkedError
from stateward.actors.store.rocksdb import RocksJournal
warnings.simplefilter("ignore", DeprecationWarning)
journal = RocksJournal({path!r})
journal.commit({{b"a": b"1"}}, sync=True)
pid = os.fork()
if not pid:
    signal.alarm(20)
    for act in (
        lambda: journal.get(b"a"),
        lambda: list(journal.scan(b"", b"z")),
        lambda: journal.commit({{b"a": b"2"}}, sync=True),
        lambda: journal.backup({path!r} + "2"),
        journal.compact,
    ):
        try:
            act()
        except ForkedError:
            continue
        os._exit(1)
    journal.close()
    del journal
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
journal.commit({{b"b": b"2"}}, sync=True)
assert list(journal.scan(b"", b"z")) == [(b"a", b"1"), (b"b", b"2")]
journal.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_uses_nothing(tmp_path: Path) -> None:
    """A child is refused, ends as it likes, and leaves its parent's store alone."""
    run_script(FORKED.format(path=str(tmp_path / "store")))


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


def test_damaged_log_is_told(tmp_path: Path) -> None:
    """A log damaged before its end is refused when the store is opened."""
    path = tmp_path / "store"
    source = KILLED.format(path=str(path))
    subprocess.run([sys.executable, "-c", source], check=False)
    log = max(path.glob("*.log"), key=lambda each: each.stat().st_size)
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.write(b"\xee" * 3)
    with pytest.raises(CorruptStoreError, match="store is damaged"):
        RocksJournal(str(path))


def test_logs_are_few(tmp_path: Path) -> None:
    """Opening again and again does not fill the folder with the engine's chatter."""
    path = tmp_path / "store"
    for _ in range(6):
        RocksJournal(str(path)).close()
    assert len(list(path.glob("LOG*"))) <= 2
    assert len(list(path.glob("OPTIONS*"))) <= 2
