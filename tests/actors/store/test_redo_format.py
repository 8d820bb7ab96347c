"""The format of the redo log: what was written once can be read for ever."""

import pytest

from stateward import CorruptStoreError
from stateward.actors.store.batches import Change, Overwrite
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.redo_format import HEAD, START, about_log, read_log
from stateward.testing.faulty import MemoryRegion

ID = bytes(range(16))
GOLDEN = (
    "00000000000000004c0000007c4be1c6a500090000000000000004000000000000000200"
    "000000000000140000000000000001000000020000000600000007000000636f6e74656e"
    "74027761006b6b06000000ffffffff027761006b6c5d000000000000002e00000084100c"
    "aea501090000000000000005000000000000001500000000000000000000000000f83f00"
    "06000000027761006b6b3132"
)
"""The beginning of a ring of 256 bytes, as the version wrote it that brought it."""
CHANGES = (
    Change(4, 2, 20, 1, [(b"\x02wa\0kk", b"content", 0), (b"\x02wa\0kl", None, 0)], 9),
    Overwrite(5, 21, 1.5, 0, b"\x02wa\0kk", b"12", 9),
)


def golden(region: MemoryRegion) -> bytes:
    """Return a whole file that holds what was written once."""
    about = about_log(ID, region.boot, 256)
    return about.ljust(START, b"\0") + bytes.fromhex(GOLDEN).ljust(256, b"\0")


def test_log_of_this_format_is_read() -> None:
    """Bytes of the first version give the commands they were made of."""
    region = MemoryRegion()
    found = list(read_log(golden(region), region, ID, 0, 9))
    assert tuple(change for change, _ in found) == CHANGES
    assert found[-1][1] == len(bytes.fromhex(GOLDEN))


def test_log_is_read_from_where_the_journal_ends() -> None:
    """What the journal has is passed by, and the rest is in its place."""
    region = MemoryRegion()
    (_, first), (_, second) = read_log(golden(region), region, ID, 0, 9)
    assert list(read_log(golden(region), region, ID, first, 9)) == [
        (CHANGES[1], second)
    ]
    assert list(read_log(golden(region), region, ID, second, 9)) == []


def test_log_of_another_size_is_read_from_its_next_round() -> None:
    """What the journal has may end where no head fits into a ring of this size."""
    region = MemoryRegion()
    empty = about_log(ID, region.boot, 256).ljust(START + 256, b"\0")
    assert list(read_log(empty, region, ID, 256 - 9, 9)) == []
    log = RedoLog(region, size=256)
    log.prepare(ID, 512 - 9)
    assert log._write(b"body") == 512 + HEAD + 4


def test_log_says_where_it_is_and_what_to_do() -> None:
    """An error names the file, and how to go on without it."""
    region = MemoryRegion()
    with pytest.raises(CorruptStoreError, match=r"the log may hold .*, remove it"):
        list(read_log(golden(region)[:-1], region, ID, 0, 9))
