"""Files: what every engine does with files besides its own format.

What is made, be it a backup, a store or an export, is written under a name of its own,
synced, and then given the name that was asked for: whoever finds that finds it whole.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from stateward.actors.core.errors import StoreError
from stateward.actors.store.marks import FileMark

WAL: Final = "-wal"
SHM: Final = "-shm"
LOGS: Final = (WAL, "-journal", ".redo")
"""What the names of the logs that SQLite and we keep beside a store end with."""
MARK: Final = ".mark"
BESIDE: Final = ("", MARK, ".lock", ".redo", WAL, SHM)
"""What the names of the files of a store end with."""
Identity = tuple[int, int]
"""Device and inode: two files with the same name differ in it."""


def identity(path: str) -> Identity | None:
    """Return which file `path` leads to now; `None` if it leads to none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # once per commit, and Path costs more
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_folder(path: str) -> None:
    """Raise `StoreError` unless the folder that is to hold `path` is there."""
    folder = Path(path).parent
    try:
        if folder.is_dir():
            return
        found = "is no folder" if folder.exists() else "is not there"
    except OSError as error:  # its name is too long, say
        raise StoreError(f"cannot keep {path}: {error}", path=path) from error
    raise StoreError(f"cannot keep {path}: {folder} {found}", path=path)


def sync_file(path: Path) -> None:
    """Have the disk keep what is in a file."""
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the disk keep which files are in a folder; Windows needs no telling."""
    if os.name != "nt":
        sync_file(path)


def size_bytes(path: Path) -> int:
    """Return how large a file is; 0 if there is none, as when it was just removed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def write_backup(target: str, write: Callable[[str], None]) -> None:
    """Have `write` make a file or folder, and give it the name `target` once whole.

    Raises:
        StoreError: There is something at `target`, or it cannot be written.
    """
    # A backup is the same store as what it is made of: its commits count as that one's.
    with made_whole(target, beside=(*LOGS, MARK)) as part:
        write(str(part))


@contextmanager
def made_whole(path: str, *, beside: Sequence[str] = ()) -> Iterator[Path]:
    """Lend a name for a file or folder that is found at `path` once the block ends.

    The name is nobody else's, so what a process that was killed has left under another
    one is in nobody's way.

    Args:
        path: Where nothing is yet.
        beside: What names end with under which nothing may be either.

    Raises:
        StoreError: There is something, or it cannot be written.
    """
    if "\0" in path:
        raise StoreError(f"cannot write {path!r}: it has a NUL in it", path=path)
    try:
        wanted = Path(path).absolute()
        refuse_existing(wanted, beside)
        check_folder(str(wanted))
        part = wanted.with_name(f"{wanted.name}.{uuid4().hex[:12]}.part")
        try:
            yield part
            sync_all(part)
            refuse_existing(wanted, beside)
            if beside:
                clear_left(wanted)
            give_name(part, wanted)
            sync_folder(wanted.parent)
        finally:
            for end in BESIDE:
                remove(Path(f"{part}{end}"))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write {path}: {error}", path=path) from error


def refuse_existing(path: Path, beside: Sequence[str]) -> None:
    """Raise `StoreError` if there is anything at `path`, or that would be read with it.

    A log that an earlier store of the name left would be taken for a part of this one,
    and its mark tell of commits that this one has not.
    """
    for end in ("", *beside):
        each = Path(f"{path}{end}")
        if os.path.lexists(each) and not is_nothing(each, end):
            whose = ", left by an earlier store" if end else ""
            raise StoreError(
                f"there is something at {each} already{whose}", path=str(each)
            )


def is_nothing(left: Path, end: str) -> bool:
    """Return whether what an earlier store has left beside itself is of no account."""
    # Whoever has only looked into a store has made a mark that says nothing, and may
    # have left an empty log, which SQLite removes only for who writes.
    if end == MARK:
        return not FileMark(str(left), read_only=True).newest
    return end == WAL and is_plain(left) and not size_bytes(left)


def is_plain(path: Path) -> bool:
    """Return whether a file is at `path`, and not a link to one."""
    return path.is_file() and not path.is_symlink()


def clear_left(path: Path) -> None:
    """Remove the empty log, and its index, that an earlier SQLite store has left."""
    # RACE: nothing is at `path`, so they are nobody's. Whoever makes a store there just
    # now would have to open it as well, between two lines, to lose them.
    for end in (WAL, SHM):
        left = Path(f"{path}{end}")
        if is_plain(left):
            left.unlink(missing_ok=True)


def give_name(part: Path, wanted: Path) -> None:
    """Have what is at `part` be found at `wanted`, and replace nothing there.

    Raises:
        StoreError: There is something.
    """
    try:
        if os.name == "nt" or part.is_dir():
            # RACE: an empty folder that was made meanwhile is replaced, elsewhere than
            # on Windows, and nothing else is.
            part.rename(wanted)
        else:
            link(part, wanted)
    except OSError:
        refuse_existing(wanted, ())
        raise


def link(part: Path, wanted: Path) -> None:
    """Give a file a second name; its first one, where a file can have only one."""
    try:
        wanted.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # LIMIT: on such a disk a file that was made just now is replaced.
        refuse_existing(wanted, ())
        part.rename(wanted)


def sync_all(path: Path) -> None:
    """Have the disk keep a file, or a folder and the files in it."""
    if not path.is_dir():
        sync_file(path)
        return
    for each in path.iterdir():
        sync_file(each)
    sync_folder(path)


def remove(path: Path) -> None:
    """Remove a file or folder of ours if it is there; left behind, it does no harm."""
    if os.path.isdir(path):  # noqa: PTH112  # raises nothing
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
