import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from stateward.actors.core.errors import StoreError
from stateward.actors.store.files import (
    BESIDE,
    give_name,
    identity,
    made_whole,
    size_bytes,
    write_backup,
)


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


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_makers_of_one_name_are_in_nobodys_way(tmp_path: Path, kind: str) -> None:
    """Who ends first has the name, with all that it wrote; the other is refused."""
    target = tmp_path / "copy"

    def put(part: Path, text: str) -> None:
        if kind == "folder":
            part.mkdir(exist_ok=True)
            part /= "content"
        part.write_text(text)

    first, second = ExitStack(), ExitStack()
    put(first.enter_context(made_whole(str(target))), "whole")
    put(second.enter_context(made_whole(str(target))), "half")
    first.close()
    with pytest.raises(StoreError, match="something at"):
        second.close()
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "content" if kind == "folder" else target).read_text() == "whole"


def test_what_is_left_of_another_maker_stays(tmp_path: Path) -> None:
    """It is in nobody's way, and what lies beside one's own part goes with it."""
    left = tmp_path / f"copy.{os.getpid()}.part"
    left.write_text("Dear diary")
    with made_whole(str(tmp_path / "copy")) as part:
        for end in BESIDE:
            Path(f"{part}{end}").write_text("whole")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "copy", left]


@pytest.mark.parametrize("there", ["file", "folder", "link"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_giving_a_name_replaces_nothing(tmp_path: Path, kind: str, there: str) -> None:
    """It is the system that refuses, so nobody comes in between."""
    part, wanted = tmp_path / "part", tmp_path / "wanted"
    if there == "folder":
        wanted.mkdir()
        (wanted / "content").touch()
    elif there == "file":
        wanted.write_text("Dear diary")
    else:
        wanted.symlink_to(tmp_path / "nowhere")
    part.touch() if kind == "file" else part.mkdir()
    with pytest.raises(StoreError, match=r"something at .*wanted already"):
        give_name(part, wanted)
    assert part.exists()
    assert there != "file" or wanted.read_text() == "Dear diary"


def test_empty_log_of_an_earlier_store_is_removed(tmp_path: Path) -> None:
    """As SQLite leaves it where it only read; with the index that belongs to it."""
    target = tmp_path / "copy"
    log, index = tmp_path / "copy-wal", tmp_path / "copy-shm"
    log.touch()
    index.write_bytes(b"an index")
    with made_whole(str(target)) as part:
        part.touch()
    assert log.exists()
    target.unlink()
    write_backup(str(target), lambda part: Path(part).touch())
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["log", "link", "folder"])
def test_log_that_may_hold_something_is_refused(tmp_path: Path, kind: str) -> None:
    """Nothing is removed then, nor anything made."""
    log, index = tmp_path / "copy-wal", tmp_path / "copy-shm"
    index.touch()
    if kind == "log":
        log.write_bytes(b"1")
    elif kind == "link":
        log.symlink_to(index)
    else:
        log.mkdir()
    with pytest.raises(StoreError, match="copy-wal already, left by an earlier store"):
        write_backup(str(tmp_path / "copy"), lambda part: Path(part).touch())
    assert sorted(tmp_path.iterdir()) == [index, log]


def test_name_is_given_where_a_file_can_have_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk without links a file is renamed, and what is there still stays."""

    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "copy"
    with made_whole(str(target)) as part:
        part.write_text("whole")
    assert list(tmp_path.iterdir()) == [target]
    part.write_text("other")
    with pytest.raises(StoreError, match="something at"):
        give_name(part, target)
    assert target.read_text() == "whole"


@pytest.mark.parametrize("path", ["n" * 250, "n" * 300, "n" * 300 + "/x", "a\0b", "/"])
def test_name_that_nothing_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Too long, also with what is put after it, or with a NUL, or no name at all."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError), made_whole(path) as part:
        part.touch()
    assert list(tmp_path.iterdir()) == []


def test_folder_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be removed either, the first error is what is told."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    target = str(tmp_path / "copy")
    with pytest.raises(StoreError, match=r"cannot write .*copy: read-only"):
        write_backup(target, lambda part: Path(part).touch())


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
