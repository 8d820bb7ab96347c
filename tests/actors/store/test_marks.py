"""Marks: the newest commit that was acknowledged, whatever became of one slot."""

import errno
import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from stateward import StateError, StateManager, StoreError, StoreFullError
from stateward.actors.store.marks import SIZE, FileMark

OURS: Final = b"a" * 16
FOREIGN: Final = b"b" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the mark is."""
    return tmp_path / "state.db.mark"


@contextmanager
def opened(path: Path, store_id: bytes = OURS) -> Iterator[FileMark]:
    """Open the mark, and close it at the end."""
    with closing(FileMark(str(path))) as mark:
        mark.choose(store_id)
        yield mark


def write(path: Path, *commits: int, store_id: bytes = OURS) -> None:
    """Advance a mark through `commits`."""
    with opened(path, store_id) as mark:
        for commit in commits:
            mark.advance(commit)


def read(path: Path, store_id: bytes = OURS) -> int:
    """Return the commit a mark tells."""
    with closing(FileMark(str(path), read_only=True)) as mark:
        return mark.choose(store_id)


def test_mark_tells_the_newest_commit(path: Path) -> None:
    """A mark tells how far it was advanced, at once and after each reopening."""
    assert read(path) == 0
    for commit in (1, 2, 3, 7, 8, (1 << 63)):
        write(path, commit)
        assert read(path) == commit
    assert path.stat().st_size <= 64


@pytest.mark.parametrize("there", [0, 28, 32, 60])
def test_mark_takes_its_space_when_it_is_opened(path: Path, there: int) -> None:
    """No commit finds that there is none left; what is noted already stays."""
    write(path, 2)
    before = path.read_bytes()
    path.write_bytes(before[:there])
    with opened(path):
        assert path.stat().st_size == SIZE
    assert path.read_bytes() == before[:there].ljust(SIZE, b"\0")
    assert read(path) == (2 if there else 0)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EIO, StoreError),
    ],
)
@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_store_whose_mark_has_no_space_is_not_opened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    number: int,
    kind: type[StateError],
) -> None:
    """It is told before anything is written; with space there is a store."""
    url = f"{scheme}:///{tmp_path}/state"

    def refuse(*_: object) -> int:
        raise OSError(number, "told to")

    with monkeypatch.context() as patch:
        patch.setattr("stateward.actors.store.marks.os.pwrite", refuse)
        with pytest.raises(kind, match=r"state\.mark.*told to") as told:
            StateManager(url)
        assert told.value.effect == "none"
    with StateManager(url) as manager:
        manager.global_state()["a"] = 1


def test_mark_writes_its_slots_in_turn(path: Path) -> None:
    """One commit does not touch what the commit before it wrote."""
    write(path, 1, 2)
    before = path.read_bytes()
    write(path, 3)
    after = path.read_bytes()
    assert after[:32] == before[:32]
    assert after[32:] != before[32:]


@pytest.mark.parametrize("newest", [4, 5])
def test_mark_with_a_torn_slot_tells_the_commit_before(path: Path, newest: int) -> None:
    """Whatever byte of the newest slot is wrong, the older slot still counts."""
    write(path, newest - 1, newest)
    whole = path.read_bytes()
    start = 32 * (newest % 2)
    for index in range(start, start + 28):
        torn = bytearray(whole)
        torn[index] ^= 0x41
        path.write_bytes(torn)
        assert read(path) == newest - 1


@pytest.mark.parametrize("length", range(60))
def test_mark_cut_short_tells_an_older_commit(path: Path, length: int) -> None:
    """A file that was cut never tells more than was acknowledged, and never fails."""
    write(path, 2, 3)
    path.write_bytes(path.read_bytes()[:length])
    assert read(path) == (2 if length >= 28 else 0)


@pytest.mark.parametrize("content", [b"", b"x", bytes(64), b"\xff" * 64, b"z" * 1000])
def test_mark_of_noise_tells_nothing(path: Path, content: bytes) -> None:
    """A file that is no mark counts for nothing, and can become one."""
    path.write_bytes(content)
    assert read(path) == 0
    write(path, 5)
    assert read(path) == 5


def test_mark_of_another_store_tells_nothing(path: Path) -> None:
    """Slots of another store do not count, and give way one by one."""
    write(path, 100, 101, store_id=FOREIGN)
    assert read(path) == 0
    write(path, 1)
    assert (read(path), read(path, FOREIGN)) == (1, 100)
    write(path, 2)
    assert (read(path), read(path, FOREIGN)) == (2, 0)


def test_mark_takes_the_larger_slot(path: Path) -> None:
    """The order in which slots lie says nothing, their numbers do."""
    for first, second in itertools.permutations((2, 9)):
        path.unlink(missing_ok=True)
        write(path, first, second)
        assert read(path) == 9


def test_mark_put_back_tells_the_older_commit(path: Path) -> None:
    """An older copy of the file tells an older commit, and is gone on from."""
    write(path, 6, 7)
    older = path.read_bytes()
    write(path, 8, 9)
    path.write_bytes(older)
    assert read(path) == 7
    write(path, 10)
    assert read(path) == 10


def test_mark_is_left_alone_by_a_reader(path: Path) -> None:
    """Opened for reading only, a mark makes no file and changes none."""
    with closing(FileMark(str(path), read_only=True)) as mark:
        mark.choose(OURS)
        mark.advance(3)
        assert not path.exists()
    write(path, 4)
    before = path.read_bytes()
    with closing(FileMark(str(path), read_only=True)) as mark:
        mark.choose(OURS)
        mark.advance(9)
    assert path.read_bytes() == before


def test_mark_closes_once(path: Path) -> None:
    """Closing again is harmless, and a closed mark writes nothing."""
    with opened(path) as mark:
        mark.close()
        mark.close()
        mark.advance(3)
    assert read(path) == 0
