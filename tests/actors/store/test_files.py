from pathlib import Path

import pytest

from stateward.actors.core.errors import StoreError
from stateward.actors.store.files import identity, size_bytes, write_backup


def test_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither the name asked for nor the one it was written under is left."""

    def write(part: str) -> None:
        Path(part).write_bytes(b"half")
        raise OSError("the disk is gone")

    with pytest.raises(StoreError, match="the disk is gone"):
        write_backup(str(tmp_path / "copy"), write)
    assert list(tmp_path.iterdir()) == []


def test_backup_replaces_nothing_made_meanwhile(tmp_path: Path) -> None:
    """What comes to be at the target while a backup is written stays."""
    target = tmp_path / "copy"

    def write(part: str) -> None:
        Path(part).write_bytes(b"whole")
        target.write_bytes(b"other")

    with pytest.raises(StoreError, match="something at"):
        write_backup(str(target), write)
    assert target.read_bytes() == b"other"
    assert list(tmp_path.iterdir()) == [target]


def test_identity_tells_files_apart(tmp_path: Path) -> None:
    """A file replaced under its name is another one; a missing one is none."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    other.write_bytes(b"1")
    before = identity(str(path))
    assert before is not None
    assert before == identity(str(path))
    other.replace(path)
    assert identity(str(path)) != before
    assert identity(str(other)) is None
    assert size_bytes(other) == 0
