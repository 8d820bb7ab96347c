"""`stateward export` and `import`: all that a store holds, as lines of JSON."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click
import pytest

from stateward import StateManager, StoreError, offline
from stateward.cli import exports
from stateward.cli.stores import Stores
from tests.api.cli.processes import (
    beside,
    command,
    damage,
    exported,
    fill,
    held,
    leftovers,
    url,
)
from tests.commands import invoke
from tests.threads import WAIT

__all__ = ["url"]


@pytest.mark.slow
def test_export_goes_out_and_in_again(url: str, tmp_path: Path) -> None:
    """Through a file or through pipes, the new store holds exactly the same."""
    fill(url)
    done = invoke(None, "export", "--store", url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout_bytes == exported(url)
    file = tmp_path / "state.jsonl"
    told = invoke(None, "export", str(file), "--store", url)
    assert file.read_bytes() == exported(url)
    assert told.stdout == f"wrote {len(file.read_text().splitlines())} lines\n"
    by_file, by_pipe = beside(url, "by-file"), beside(url, "by-pipe")
    told = invoke(None, "import", str(file), "--store", by_file)
    assert (told.exit_code, told.stdout) == (0, "imported 4 owners\n")
    told = invoke(None, "import", "-", "--store", by_pipe, input=done.stdout)
    assert (told.exit_code, told.stdout) == (0, "imported 4 owners\n")
    assert exported(by_file) == exported(by_pipe) == exported(url)


def test_export_does_not_replace_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is named in place of a file stays what it is, before any work."""
    url = f"sqlite:///{tmp_path}/state.db"
    fill(url)
    then = exported(url)
    monkeypatch.setattr(exports, "export_store", None)
    done = invoke(None, "export", str(tmp_path / "state.db"), "--store", url)
    assert done.exit_code == 1
    assert "there is something at" in done.stderr
    assert exported(url) == then


def test_export_has_its_name_once_it_is_whole(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is called otherwise, so that no half of one is found."""
    fill(url)
    seen: list[list[str]] = []
    export: Callable[..., int] = offline.export_store

    def look(url: str, file: IO[bytes], **options: Any) -> int:
        count = export(url, file, **options)
        seen.append([it.name for it in tmp_path.iterdir() if "jsonl" in it.name])
        return count

    monkeypatch.setattr(exports, "export_store", look)
    file = tmp_path / "state.jsonl"
    assert invoke(None, "export", str(file), "--store", url).exit_code == 0
    ((name,),) = seen
    assert name.startswith("state.jsonl.")
    assert name.endswith(".part")
    assert file.exists()
    assert leftovers(tmp_path) == []


def test_two_exports_to_one_file_are_made_apart(tmp_path: Path) -> None:
    """The first to end gives its own lines the name, and the second is refused."""
    file = tmp_path / "state.jsonl"
    first, second = ExitStack(), ExitStack()
    first.enter_context(exports.new_file(str(file), private=False)).write(b"whole")
    second.enter_context(exports.new_file(str(file), private=False))
    first.close()
    with pytest.raises(StoreError, match="something at"):
        second.close()
    assert file.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [file]


def test_export_of_a_damaged_store_leaves_nothing(url: str, tmp_path: Path) -> None:
    """The damage is told, the exit code is 1, and there is no half of an export."""
    fill(url)
    damage(url)
    done = invoke(None, "export", str(tmp_path / "out"), "--store", url)
    assert done.exit_code == 1
    assert f"{url} is damaged at " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def test_export_of_a_sealed_store_is_for_its_owner(url: str, tmp_path: Path) -> None:
    """What is readable in it is readable to nobody else."""
    fill(url, key=bytes(32))
    key, file = tmp_path / "key", tmp_path / "out"
    key.write_bytes(bytes(32))
    args = ("export", str(file), "--store", url, "--key-file", str(key))
    assert invoke(None, *args).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = beside(url, "new")
    args = ("import", str(file), "--store", new, "--key-file", str(key))
    assert invoke(None, *args).exit_code == 0
    assert exported(new, key=bytes(32)) == file.read_bytes()


def test_export_that_cannot_be_written_is_told(url: str, tmp_path: Path) -> None:
    """A folder that is not there is named in one line, without a traceback."""
    fill(url)
    file = tmp_path / "none" / "out"
    done = invoke(None, "export", str(file), "--store", url)
    assert done.exit_code == 1
    assert done.stderr == f"Error: cannot keep {file}: {file.parent} is not there\n"


@pytest.mark.parametrize(
    ("keep", "message"),
    [(slice(None, -1), "line "), (slice(1, None), "no export"), (slice(0, 0), "line ")],
    ids=["without-end", "without-beginning", "empty"],
)
def test_import_of_what_is_no_whole_export_is_refused(
    keep: slice, message: str, url: str, tmp_path: Path
) -> None:
    """It is misuse, the message says where, and nothing is at the URL."""
    fill(url)
    file = tmp_path / "cut.jsonl"
    file.write_bytes(b"".join(exported(url).splitlines(keepends=True)[keep]))
    done = invoke(None, "import", str(file), "--store", beside(url, "new"))
    assert done.exit_code == 2
    assert "cut.jsonl" in done.stderr
    assert message in done.stderr
    assert not done.stdout
    assert not (tmp_path / "new").exists()
    assert leftovers(tmp_path) == []


def test_import_does_not_go_into_a_store(url: str, tmp_path: Path) -> None:
    """A store that is there stays as it is; a file that is not there is misuse."""
    fill(url)
    then = exported(url)
    file = tmp_path / "state.jsonl"
    file.write_bytes(then)
    done = invoke(None, "import", str(file), "--store", url)
    assert done.exit_code == 1
    assert "there is something at" in done.stderr
    assert exported(url) == then
    done = invoke(None, "import", "none.jsonl", "--store", beside(url, "new"))
    assert done.exit_code == 2
    assert "none.jsonl" in done.stderr
    done = invoke(None, "import", str(file))
    assert done.exit_code == 2
    assert "memory:// keeps nothing" in done.stderr


@pytest.mark.slow
def test_export_goes_from_process_to_process(url: str) -> None:
    """What the real command writes while the store is open is read by another one."""
    fill(url)
    with held(url):
        done = command("export", "--store", url)
    assert (done.returncode, done.stderr) == (0, "")
    header, *_, end = map(json.loads, done.stdout.splitlines())
    assert header == {"stateward": "export", "format": 1, "floor": 0}
    assert end["end"] == len(done.stdout.splitlines()) - 2
    new = beside(url, "new")
    done = command("import", "-", "--store", new, text=done.stdout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported 4 owners\n", "")
    assert exported(new) == exported(url)


def test_export_to_a_closed_output_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `stateward export >&-`, where Python has no standard output at all."""
    fill(url)
    context = click.Context(exports.export, obj=Stores())
    monkeypatch.setattr(sys, "stdout", None)
    with context, pytest.raises(click.ClickException, match="output is closed") as told:
        context.invoke(exports.export, file="-", store=url)
    assert told.value.exit_code == 1


@pytest.mark.slow
def test_export_into_a_pipe_that_breaks_ends_quietly(url: str) -> None:
    """`stateward export | head -1` prints one line, and no traceback."""
    with StateManager(url) as manager:
        manager.workflow_state("w").update({f"k{n}": "x" * 1000 for n in range(500)})
    with subprocess.Popen(
        [sys.executable, "-m", "stateward.cli", "export", "--store", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"stateward":"export"')
        process.stdout.close()
        told = process.stderr.read()
        code = process.wait(WAIT)
    assert (code, told) == (1, b"")
