import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from stateward import StateManager, WorkflowState

SCRIPT: Final = Path(__file__).resolve().parents[2] / "docs/examples/folder_index.py"


def load() -> ModuleType:
    """Return the example as a module, without running it."""
    spec = importlib.util.spec_from_file_location("folder_index", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


example: Final = load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four text files and some that are none."""
    (tmp_path / "inner" / "__pycache__").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "one.txt").write_text("one two\nthree\n", encoding="utf-8")
    (tmp_path / "empty.py").touch()
    (tmp_path / "inner" / "two.TXT").write_text("vier fünf", encoding="utf-8")
    (tmp_path / "inner" / "old.txt").write_bytes("sechs zw\u00f6lf".encode("latin-1"))
    (tmp_path / "inner" / "image.png").write_bytes(b"PNG\0\1\2")
    (tmp_path / "inner" / "__pycache__" / "left.txt").write_text("out")
    (tmp_path / ".hidden" / "left.txt").write_text("out")
    (tmp_path / "nowhere.txt").symlink_to("missing")
    return tmp_path


@pytest.fixture
def flow() -> Iterator[WorkflowState]:
    """Yield the state of a workflow."""
    with StateManager(limits=example.LIMITS) as manager:
        yield manager.workflow_state("folder-index")


def index(
    flow: WorkflowState,
    folder: Path,
    names: list[str] | None = None,
    *,
    workers: int = 4,
    report: Callable[[WorkflowState], None] = lambda _: None,
) -> None:
    """Index the files of `folder`, or only `names`."""
    found, problems = example.list_files(folder, None)
    found = found if names is None else names
    example.index_folder(flow, example.Job(folder, found, problems, workers, report))


def test_index_has_the_known_counts(flow: WorkflowState, folder: Path) -> None:
    """The state holds exactly what is in a small folder."""
    index(flow, folder)
    found = example.read_index(flow)
    (name, why) = found.pop("errors")[0]
    assert (name, "not utf-8" in why) == ("inner/old.txt", True)
    assert found == {
        "files": 4,
        "words": 7,
        "lines": 4,
        "size_bytes": 14 + 10 + 11,
        "binary": 1,
        "retried": 1,
        "suffix:.txt": 3,
        "suffix:.py": 1,
        "largest": [
            [14, "one.txt"],
            [11, "inner/old.txt"],
            [10, "inner/two.TXT"],
            [0, "empty.py"],
        ],
    }


def test_index_keeps_a_step_for_each_file(flow: WorkflowState, folder: Path) -> None:
    """Every file has a step that says how it ended and what it held."""
    index(flow, folder)
    assert {name: flow.step(name)["status"] for name in flow.steps()} == {
        "one.txt": "indexed",
        "empty.py": "indexed",
        "inner/two.TXT": "indexed",
        "inner/old.txt": "indexed",
        "inner/image.png": "binary",
    }
    assert flow.step("one.txt")["words"] == 3
    assert flow.step("one.txt").get("seconds") is not None


def test_branches_lose_nothing_when_many_share_the_work(
    flow: WorkflowState, tmp_path: Path
) -> None:
    """Eight branches index each of a thousand files exactly once."""
    for number in range(1000):
        (tmp_path / f"{number}.{number % 3}").write_text("word " * (number % 7))
    index(flow, tmp_path, workers=8)
    found = example.read_index(flow)
    expected = example.count_in_turn(tmp_path, *example.list_files(tmp_path, None))
    assert example.differences(found, expected) == []
    assert flow["queue:done"] == flow["queue:files"] == len(flow.steps()) == 1000
    assert flow["queue:start"] == flow["queue:end"]


def test_index_goes_on_when_a_file_cannot_be_read(
    flow: WorkflowState, folder: Path
) -> None:
    """A file that has gone is an error of its own, and the others are indexed."""
    index(flow, folder, ["gone.txt", "one.txt"])
    found = example.read_index(flow)
    assert (found["files"], found["words"]) == (1, 3)
    assert found["errors"] == [["gone.txt", "No such file or directory"]]
    assert flow.step("gone.txt")["status"] == "unreadable"


def test_branches_end_when_interrupted(
    flow: WorkflowState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C nothing is left that a branch could claim."""
    for number in range(2000):
        (tmp_path / str(number)).write_text("word")

    def interrupt(_: WorkflowState) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(example, "wait", lambda *_, **__: WaitedFor())
    with pytest.raises(KeyboardInterrupt):
        index(flow, tmp_path, report=interrupt)
    assert flow.transact(example.claim) is None


class WaitedFor:
    """What `wait` returns while a branch is running."""

    not_done = True


def test_main_shows_the_index_and_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary has the totals, and the check agrees."""
    assert example.main([str(folder)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "  words      7",
        "  size   35 B",
        "Steps, 1 of them tried again as Latin-1",
        "  one.txt        14 B",
        "The state agrees with a sequential count of 5 files.",
    ):
        assert line in shown.splitlines()


def test_main_skips_the_second_round_without_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of good files is read once, and no errors are shown."""
    (tmp_path / "good.txt").write_text("fine")
    assert example.main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "Steps, 0 of them tried again" in shown
    assert "Errors" not in shown


def test_main_prints_only_the_check_when_quiet(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--quiet` leaves one line, and `--limit` bounds the files."""
    assert example.main([str(folder), "--quiet", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert shown == "The state agrees with a sequential count of 2 files.\n"


def test_main_fails_when_an_update_was_lost(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A total that misses one file ends in status 1 and is named."""
    real = WorkflowState.increment

    def forgetful(flow: WorkflowState, key: str, by: float = 1) -> Any:
        return real(flow, key, 0 if (key, by) == ("words", 3) else by)

    monkeypatch.setattr(WorkflowState, "increment", forgetful)
    assert example.main([str(folder), "--quiet"]) == 1
    complaint = capsys.readouterr().err
    assert "words: 4 in the state, 7 expected" in complaint


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("empty", "no files to index"),
        ("missing", "No such file or directory"),
        ("file", "Not a directory"),
    ],
)
def test_main_refuses_what_is_no_folder_of_files(
    tmp_path: Path, name: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that cannot be indexed ends in status 2 and says why."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert example.main([str(tmp_path / name)]) == 2
    assert capsys.readouterr().err == f"folder_index: {tmp_path / name}: {complaint}\n"


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_main_refuses_a_number_of_workers_that_is_none(
    workers: str, tmp_path: Path
) -> None:
    """The number of branches is at least one."""
    with pytest.raises(SystemExit, match="2"):
        example.main([str(tmp_path), f"--workers={workers}"])


def test_listing_notes_a_name_that_is_not_unicode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name the state cannot hold is a problem that can be printed."""
    walked: list[tuple[str, list[str], list[str]]] = [
        (str(tmp_path), [], ["bad\udcff.txt"])
    ]
    monkeypatch.setattr(example.os, "walk", lambda *_, **__: walked)
    assert example.list_files(tmp_path, None) == (
        [],
        [["bad\\udcff.txt", "its name is not Unicode"]],
    )


@pytest.mark.slow
def test_script_indexes_the_standard_library() -> None:
    """Run as a user would, with nothing but the defaults, it succeeds."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert (run.stderr, run.returncode) == ("", 0)
    assert "The state agrees with a sequential count of" in run.stdout
