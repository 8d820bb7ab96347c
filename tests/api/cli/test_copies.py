"""`stateward backup`, `restore` and `copy`: stores made of other stores."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stateward import StateManager, StoreError
from stateward.actors.core.scopes import WorkflowScope
from stateward.actors.store.opening import open_store
from stateward.actors.store.store import DurableStore
from stateward.actors.store.transfers import ROWS
from stateward.actors.store.urls import parse_url
from stateward.cli import copies, exports
from stateward.cli.bars import Report
from stateward.offline import backup_store, check_store
from tests.api.cli.processes import (
    SCHEMES,
    beside,
    damage,
    exported,
    fill,
    held,
    leftovers,
    url,
)
from tests.commands import invoke

__all__ = ["url"]

KEY = bytes(range(32))


def test_backup_holds_what_was_there_at_one_moment(url: str, tmp_path: Path) -> None:
    """It is made while the store is open, and writes after it are not in it."""
    fill(url)
    with StateManager(url) as manager:
        manager.workflow_state("w1")["late"] = True
        then = exported(url)
        done = invoke(None, "backup", str(tmp_path / "backup"), "--store", url)
        manager.workflow_state("w1")["later"] = True
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert exported(beside(url, "backup")) == then
    assert check_store(beside(url, "backup")) == []
    assert leftovers(tmp_path) == []


def test_transfers_show_how_far_they_are(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar of each command is told how much of how much is done."""
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def noted(what: str, **_: bool) -> Iterator[Report]:
        yield lambda done, total: told.append((what, done, total))

    for module in (copies, exports):
        monkeypatch.setattr(module, "bar", noted)
    fill(url)
    file = tmp_path / "file"
    file.write_bytes(exported(url))
    size = file.stat().st_size
    for last, *command in (
        (("backing up", 4, 4), "backup", str(tmp_path / "backup"), "--store", url),
        (("restoring", 4, 4), "restore", beside(url, "backup"), beside(url, "again")),
        (("importing", size, size), "import", str(file), "--store", beside(url, "new")),
    ):
        assert invoke(None, *command).exit_code == 0
        assert told[-1] == last


@pytest.mark.slow
def test_backup_of_more_than_one_commit_is_whole(url: str, tmp_path: Path) -> None:
    """A store of more records than are written at once is copied to the last one."""
    with StateManager(url) as manager:
        manager.workflow_state("w").update({f"k{n}": n for n in range(2 * ROWS + 1)})
    backup_store(url, str(tmp_path / "backup"))
    assert exported(beside(url, "backup")) == exported(url)


def test_backup_of_a_sealed_store_is_sealed(url: str, tmp_path: Path) -> None:
    """The key of the store opens it, and nothing is readable without."""
    fill(url, key=KEY)
    backup_store(url, str(tmp_path / "backup"), key=KEY)
    assert exported(beside(url, "backup"), key=KEY) == exported(url, key=KEY)
    with pytest.raises(StoreError, match="is sealed"):
        exported(beside(url, "backup"))


def test_backup_does_not_replace_anything(url: str, tmp_path: Path) -> None:
    """What is at the path stays, and the exit code is 1."""
    fill(url)
    (tmp_path / "backup").write_text("mine")
    done = invoke(None, "backup", str(tmp_path / "backup"), "--store", url)
    assert done.exit_code == 1
    assert "there is something at" in done.stderr
    assert (tmp_path / "backup").read_text() == "mine"


def test_backup_is_written_to_a_path(url: str, tmp_path: Path) -> None:
    """A URL in its place is refused with 2, and no folder is made of its scheme."""
    fill(url)
    before = sorted(tmp_path.iterdir())
    done = invoke(None, "backup", beside(url, "backup"), "--store", url)
    assert done.exit_code == 2
    assert "is a URL" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_backup_of_a_damaged_store_is_refused(url: str, tmp_path: Path) -> None:
    """The damage is told, and nothing is at the path that passes for a backup."""
    fill(url)
    damage(url)
    done = invoke(None, "backup", str(tmp_path / "backup"), "--store", url)
    assert done.exit_code == 1
    assert f"{url} is damaged: " in done.stderr
    assert "w0" in done.stderr
    assert not (tmp_path / "backup").exists()
    assert leftovers(tmp_path) == []


def leave(store: DurableStore) -> None:
    """Have one workflow be in another store."""
    store.depart(WorkflowScope("w0"), "sqlite:///x")


def arrive(store: DurableStore) -> None:
    """Be what another store is being moved to."""
    store.ledger.note(origin="00")


@pytest.mark.parametrize("half", [leave, arrive])
def test_backup_of_half_a_move_is_refused(
    half: Callable[[DurableStore], None], url: str, tmp_path: Path
) -> None:
    """A store that lacks what another has is of no use alone."""
    fill(url)
    with closing(open_store(parse_url(url))) as store:
        half(store)
    with pytest.raises(StoreError, match="moved to"):
        backup_store(url, str(tmp_path / "backup"))
    assert not (tmp_path / "backup").exists()


@pytest.mark.slow
def test_restore_puts_a_backup_in_place(url: str, tmp_path: Path) -> None:
    """The store is as it was when the backup was made, which stays as it is."""
    fill(url)
    then = exported(url)
    backup, target = beside(url, "backup"), beside(url, "again")
    backup_store(url, str(tmp_path / "backup"))
    done = invoke(None, "restore", backup, target)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert exported(target) == exported(backup) == then
    with StateManager(target) as manager:
        manager.workflow_state("w0").increment("n")
    assert exported(backup) == then


def test_restore_refuses_what_it_cannot_do(url: str, tmp_path: Path) -> None:
    """Another engine is misuse; a store that is there, or no backup, is refused."""
    fill(url)
    (other,) = {"sqlite", "rocksdb"} - {url.partition(":")[0]}
    for target, code, message in (
        (f"{other}:///{tmp_path}/other", 2, "another engine's"),
        (url, 1, "there is something at"),
        ("memory://", 2, "memory:// keeps nothing"),
    ):
        done = invoke(None, "restore", url, target)
        assert (done.exit_code, done.stdout) == (code, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    done = invoke(None, "restore", beside(url, "none"), beside(url, "target"))
    assert done.exit_code == 1
    assert done.stderr == f"Error: there is no store at {beside(url, 'none')}\n"
    assert not (tmp_path / "target").exists()


def test_restore_of_a_damaged_backup_is_refused(url: str, tmp_path: Path) -> None:
    """The damage is named, and nothing is put in place."""
    fill(url)
    damage(url)
    done = invoke(None, "restore", url, beside(url, "target"))
    assert done.exit_code == 1
    assert f"{url} is damaged" in done.stderr
    assert not (tmp_path / "target").exists()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_copy_holds_the_same_on_any_engine(
    scheme: str, url: str, tmp_path: Path
) -> None:
    """From either engine to either, sealed with a key or not, and it tells how much."""
    fill(url)
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)
    plain, sealed = (f"{scheme}:///{tmp_path}/{name}" for name in ("plain", "sealed"))
    done = invoke(None, "copy", url, plain)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "copied 4 owners\n", "")
    assert exported(plain) == exported(url)
    done = invoke(None, "copy", url, sealed, "--target-key-file", str(key_file))
    assert done.exit_code == 0, done.stderr
    assert exported(sealed, key=KEY) == exported(url)
    done = invoke(None, "copy", sealed, beside(url, "p2"), "--key-file", str(key_file))
    assert done.exit_code == 0, done.stderr
    assert exported(beside(url, "p2")) == exported(url)


def test_copy_of_a_mistyped_store_leaves_nothing(url: str, tmp_path: Path) -> None:
    """Neither a store nor a lock is made at the source or the target."""
    done = invoke(None, "copy", url, beside(url, "target"))
    assert done.exit_code == 1
    assert done.stderr == f"Error: there is no store at {url}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_copies_of_a_store_that_another_process_has_open(
    url: str, tmp_path: Path
) -> None:
    """A copy is refused with the process named; a backup is made beside it."""
    fill(url)
    with held(url) as pid:
        done = invoke(None, "copy", url, beside(url, "target"))
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: process {pid} has ")
        assert not (tmp_path / "target").exists()
        done = invoke(None, "backup", str(tmp_path / "backup"), "--store", url)
        assert done.exit_code == 0, done.stderr
    assert exported(beside(url, "backup")) == exported(url)
