"""What every journal on disk does, beside the contract: disks, processes, folders."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from stateward.actors.core.errors import StoreError, StoreFullError
from stateward.actors.core.ports import Journal
from stateward.actors.store.rocksdb import RocksJournal
from stateward.actors.store.sqlite import SqliteJournal
from tests.actors.store.disks import killed_source, remount, small_disk
from tests.threads import run_script

Engine: TypeAlias = type[RocksJournal] | type[SqliteJournal]


@pytest.fixture(params=[RocksJournal, SqliteJournal], ids=["rocksdb", "sqlite"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return a kind of journal."""
    kind: Engine = request.param
    return kind


def test_full_disk_changes_nothing_and_ends(engine: Engine, tmp_path: Path) -> None:
    """What does not fit is refused without effect; with space commits go on."""
    with small_disk(tmp_path / "disk") as disk:
        with closing(engine(str(disk / "store"))) as journal:
            kept = fill(journal)
            assert list(journal.scan(b"", b"z")) == kept
            remount(disk, "size=40m")
            journal.commit({b"more": b"1"}, sync=True)
            assert journal.get(b"more") == b"1"
        with closing(engine(str(disk / "store"))) as journal:
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


def test_read_only_journal_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    """What is open for reading takes no commit."""
    path = str(tmp_path / "store")
    with closing(engine(path)) as journal:
        journal.commit({b"a": b"1"}, sync=True)
    with closing(engine(path, read_only=True)) as journal:
        with pytest.raises(StoreError, match="open for reading"):
            journal.commit({b"a": b"2"}, sync=True)
        with pytest.raises(StoreError, match="open for reading"):
            journal.compact()
        assert list(journal.scan(b"", b"z")) == [(b"a", b"1")]


@pytest.mark.parametrize("options", [{"must_exist": True}, {"read_only": True}])
def test_missing_store_is_told(
    engine: Engine, tmp_path: Path, options: dict[str, bool]
) -> None:
    """A store that must be there is not made."""
    with pytest.raises(StoreError, match="no store at"):
        engine(str(tmp_path / "store"), **options)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_told(engine: Engine, tmp_path: Path) -> None:
    """The folder of a store is not made."""
    with pytest.raises(StoreError, match="none is not there"):
        engine(str(tmp_path / "none" / "store"))
    assert list(tmp_path.iterdir()) == []


def test_backup_into_no_folder_is_told(engine: Engine, tmp_path: Path) -> None:
    """A backup that cannot be written leaves nothing."""
    with closing(engine(str(tmp_path / "store"))) as journal:
        with pytest.raises(StoreError, match="none is not there"):
            journal.backup(str(tmp_path / "none" / "copy"))
        journal.backup(str(tmp_path / "copy"))
    left = [path.name for path in tmp_path.iterdir()]
    assert not [name for name in left if name.endswith(".part")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_killed_process_loses_nothing(engine: Engine, tmp_path: Path) -> None:
    """What was committed without a sync outlives the process."""
    path = str(tmp_path / "store")
    source = killed_source(engine, path)
    done = subprocess.run([sys.executable, "-c", source], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(engine(path)) as journal:
        assert len(list(journal.scan(b"", b"z"))) == 200


FORKED = """
import os, signal, sys, warnings
from stateward import ForkedError
from {module} import {kind} as Engine
warnings.simplefilter("ignore", DeprecationWarning)
journal = Engine({path!r})
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
def test_forked_child_uses_nothing(engine: Engine, tmp_path: Path) -> None:
    """A child is refused, ends as it likes, and leaves its parent's store alone."""
    place = {"module": engine.__module__, "kind": engine.__name__}
    run_script(FORKED.format(path=str(tmp_path / "store"), **place))
