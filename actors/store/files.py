"""Files: what every engine does with files besides its own format.

A backup is written under a name of its own, synced, and then given the name that was
asked for: whoever finds that name finds a whole backup.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stateward.actors.core.errors import StoreError

LOGS: Final = ("-wal", "-journal", ".redo")
"""What the names of the logs that SQLite and we keep beside a store end with."""
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
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "is not there"
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
    wanted = Path(target).absolute()
    check_folder(str(wanted))
    refuse_existing(wanted)
    part = wanted.with_name(f"{wanted.name}.{os.getpid()}.part")
    remove(part)
    try:
        write(str(part))
        sync_all(part)
        # LIMIT: a file made by somebody else between these two lines is replaced.
        refuse_existing(wanted)
        part.rename(wanted)
        sync_folder(wanted.parent)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write {wanted}: {error}", path=target) from error
    finally:
        remove(part)


def refuse_existing(path: Path) -> None:
    """Raise `StoreError` if there is anything at `path`, or that would be read with it.

    A log that an earlier store of the name left would be taken for a part of this one.
    """
    for each in (path, *(path.with_name(path.name + end) for end in LOGS)):
        if os.path.lexists(each):
            raise StoreError(f"there is something at {each} already", path=str(each))


def sync_all(path: Path) -> None:
    """Have the disk keep a file, or a folder and the files in it."""
    if not path.is_dir():
        sync_file(path)
        return
    for each in path.iterdir():
        sync_file(each)
    sync_folder(path)


def remove(path: Path) -> None:
    """Remove a file or folder of ours if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
