"""Regions: what is written to mapped memory is in the file, whoever is gone since."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stateward import CorruptStoreError, StoreError
from stateward.actors.store import regions
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.redo_format import START
from stateward.actors.store.regions import FileRegion, boot_id
from tests.actors.store.disks import small_disk
from tests.actors.store.logs import RING, Logger, some

SIZE = 3 * 4096
CHILD = """
import sys
from stateward.actors.store.regions import FileRegion
region = FileRegion({path!r})
memory = region.map({size})
memory[100:104] = b"left"
memory[{size} - 1] = 7
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where nothing is yet."""
    return tmp_path / "s.redo"


@pytest.fixture
def region(path: Path) -> Iterator[FileRegion]:
    """Return a region, closed at the end."""
    made = FileRegion(str(path))
    yield made
    made.close()


def look(path: Path, *, anyway: bool = False) -> bytes | None:
    """Return what somebody else reads there."""
    return FileRegion(str(path)).read(anyway=anyway)


def test_region_holds_what_was_written_to_its_memory(
    region: FileRegion, path: Path
) -> None:
    """It is zeros at first, and then what was stored, once it is closed as well."""
    memory = region.map(SIZE)
    assert path.read_bytes() == bytes(SIZE)
    memory[5:8] = b"abc"
    expected = bytes(5) + b"abc" + bytes(SIZE - 8)
    assert path.read_bytes() == expected
    region.sync()
    for _ in range(2):
        region.close()
        assert look(path) == region.read(anyway=False) == expected


def test_region_is_private(region: FileRegion, path: Path) -> None:
    """Nobody but its user may read the file."""
    region.map(SIZE)
    assert path.stat().st_mode & 0o777 == 0o600


def test_region_takes_all_its_space_at_once(region: FileRegion, path: Path) -> None:
    """Memory that is mapped never lacks the space that it is to be written to."""
    region.map(SIZE)
    assert path.stat().st_blocks * 512 >= SIZE


def test_region_is_made_anew(region: FileRegion, path: Path) -> None:
    """Whatever was there is gone, and whoever had that open keeps it."""
    path.write_bytes(b"x" * 2 * SIZE)
    with path.open("rb") as old:
        region.map(SIZE)
        assert path.read_bytes() == bytes(SIZE)
        assert old.read() == b"x" * 2 * SIZE


def test_region_in_use_is_nothing_to_others(region: FileRegion, path: Path) -> None:
    """What somebody has mapped is not read, but by who has the store for himself."""
    region.map(SIZE)[0] = 1
    assert look(path) is None
    assert look(path, anyway=True) == b"\1" + bytes(SIZE - 1)
    region.close()
    assert look(path) == b"\1" + bytes(SIZE - 1)


def test_region_that_is_not_there_is_nothing(path: Path) -> None:
    """Neither is an empty file, nor is either an error."""
    assert look(path) is look(path, anyway=True) is None
    path.touch()
    assert look(path) is look(path, anyway=True) is None


def test_region_removed_is_not_there(region: FileRegion, path: Path) -> None:
    """Removing works while it is mapped, and twice."""
    region.map(SIZE)
    for _ in range(2):
        region.remove()
        assert not path.exists()
    region.map(SIZE)
    assert path.exists()


def test_region_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The error is one of the store and says where; nothing is left open."""
    path = tmp_path / "missing" / "s.redo"
    region = FileRegion(str(path))
    before = descriptors()
    with pytest.raises(StoreError, match="cannot make") as caught:
        region.map(SIZE)
    assert caught.value.context["path"] == str(path)
    assert str(path) in str(caught.value)
    assert descriptors() == before
    region.sync()
    region.close()
    assert look(path) is None


def test_region_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A folder in its place, say, is not nothing."""
    with pytest.raises(StoreError, match="cannot read") as caught:
        look(tmp_path)
    assert caught.value.context["path"] == str(tmp_path)


def descriptors() -> int:
    """Return how many files this process has open."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


@pytest.mark.slow
def test_region_without_space_is_an_error(tmp_path: Path) -> None:
    """A full disk is found out when it is mapped, and what is there holds nothing."""
    with small_disk(tmp_path / "disk", "64k") as folder:
        region = FileRegion(str(folder / "s.redo"))
        before = descriptors()
        with pytest.raises(StoreError, match="cannot make"):
            region.map(1 << 20)
        assert descriptors() == before
        assert not any(look(folder / "s.redo") or b"")
        region.map(1 << 14)
        region.close()


@pytest.mark.slow
def test_region_outlives_its_process(path: Path) -> None:
    """What was stored is there after a kill, and nobody has it in use any more."""
    script = CHILD.format(path=str(path), size=SIZE)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        assert look(path) is None, "another process has it mapped"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    content = look(path)
    assert content is not None
    assert (len(content), content[100:104], content[-1]) == (SIZE, b"left", 7)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_region_is_in_use_by_its_own_process_alone(
    region: FileRegion, path: Path
) -> None:
    """A child leaves the lock to its parent, and so does not outlive that in it."""
    region.map(SIZE)[0] = 1
    ready, leave = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(ready[1], b"x")
            os.read(leave[0], 1)
        finally:
            os._exit(0)
    try:
        assert os.read(ready[0], 1) == b"x"
        assert look(path) is None
        region.close()
        assert look(path) is not None
    finally:
        os.write(leave[1], b"x")
        os.waitpid(pid, 0)
        for end in (*ready, *leave):
            os.close(end)


def test_boot_id_is_the_same_until_the_machine_starts_again() -> None:
    """It is 16 bytes, the same for every region of every process."""
    assert len(boot_id()) == 16
    command = (
        "from stateward.actors.store import regions; print(regions.boot_id().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == boot_id().hex()
    assert FileRegion("anywhere").boot == boot_id()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01234567-89ab-cdef-0123-456789abcdef\n", "0123456789abcdef" * 2),
        ("what is this?", "00" * 16),
        (None, "00" * 16),
    ],
)
def test_boot_id_is_zeros_if_it_cannot_be_told(
    text: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the system says, without the dashes, or nothing that could be it."""
    if text is not None:
        (tmp_path / "boot_id").write_text(text, encoding="ascii")
    monkeypatch.setattr(regions, "_BOOT", tmp_path / "boot_id")
    assert boot_id().hex() == expected


# --------------------------------------------------------- the log in a file


def test_log_that_was_never_prepared_holds_nothing(tmp_path: Path) -> None:
    """Neither no file, nor an empty one, nor one of zeros is an error."""
    path = tmp_path / "s.redo"
    for content in (None, b"", bytes(START + RING)):
        if content is not None:
            path.write_bytes(content)
        found = RedoLog(FileRegion(str(path))).read(b"i" * 16, 5, 0, alone=True)
        assert list(found) == []
    nowhere = RedoLog(None)
    assert list(nowhere.read(b"i" * 16, 5, 0, alone=True)) == []
    assert nowhere.end == 5


def test_error_of_a_file_names_it(tmp_path: Path) -> None:
    """Whoever wants to go on without the log is told what to remove."""
    path = tmp_path / "s.redo"
    logger = Logger()
    some(logger)
    path.write_bytes(logger.image()[:-1])
    with pytest.raises(CorruptStoreError, match="remove it") as caught:
        list(RedoLog(FileRegion(str(path))).read(logger.id, 0, 0, alone=True))
    assert str(path) in str(caught.value)
    assert caught.value.context["path"] == str(path)


@pytest.mark.parametrize("left", [0, 1])
def test_log_that_is_closed_stays_while_it_is_needed(left: int, tmp_path: Path) -> None:
    """The file goes with the last of what was logged, and no earlier."""
    path = tmp_path / "s.redo"
    logger = Logger(FileRegion(str(path)))
    expected = some(logger)
    logger.settle(len(expected) - left)
    assert path.exists()
    for _ in range(2):
        logger.redo.close()
        assert path.exists() is (left == 1)
    if left:
        found = RedoLog(FileRegion(str(path)))
        kept = list(found.read(logger.id, logger.start, 0, alone=True))
        assert kept == expected[-1:]


def test_log_that_is_removed_is_gone(tmp_path: Path) -> None:
    """What the journal has is removed, and an absence of it is no error."""
    path = tmp_path / "s.redo"
    path.write_bytes(b"some")
    for log in (RedoLog(FileRegion(str(path))), RedoLog(None)):
        log.remove()
        log.remove()
    assert not path.exists()


def test_log_without_space_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that cannot be made is said to be missing, once, and nothing is logged."""
    logger = Logger(FileRegion(str(tmp_path / "missing" / "s.redo")))
    logger.redo.prepare(logger.id, 0)
    assert [it.getMessage() for it in caplog.records] == [
        "No log: buffered writes are slower"
    ]
    assert caplog.records[0].levelname == "WARNING"
    assert not logger.put(logger.owner(), x=1)
    logger.redo.remove()
    logger.redo.close()
