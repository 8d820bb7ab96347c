import importlib
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import JsonValue, StateManager, WorkflowState
from stateward.actors.core import faults
from stateward.transactions import TransactionScope
from stateward.workflows import RunResult, Status

SCRIPT: Final = Path(__file__).resolve().parents[2] / "docs/examples/folder_index.py"

sys.path.insert(0, str(SCRIPT.parent))  # as it is for whoever runs the script
example: Final[Any] = importlib.import_module("folder_index")


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
def manager() -> Iterator[StateManager]:
    """Yield what runs the example's flow."""
    with StateManager(limits=example.LIMITS) as manager:
        yield manager


@pytest.fixture
def flow(manager: StateManager) -> WorkflowState:
    """Return the state of the example's workflow."""
    return manager.workflow_state(example.WORKFLOW_ID)


def index(
    manager: StateManager,
    folder: Path,
    *,
    workers: int = 4,
) -> RunResult:
    """Index the files of `folder`, or go on with it."""
    given: JsonValue = {"folder": str(folder), "limit": None}
    return manager.run(example.flow_of(workers), example.WORKFLOW_ID, input=given)


class Held:
    """Counts files like the example, but interrupts the main thread at one of them."""

    name = ""

    def __init__(self) -> None:
        self.real = example.count_file
        self.released = threading.Event()

    def __call__(self, path: Path, encoding: str) -> Any:
        """Count a file, once whoever waits for the run has been interrupted."""
        if path.name == self.name and not self.released.is_set():
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            assert self.released.wait(timeout=30)
        return self.real(path, encoding)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Yield what counts files from now on, and release it in the end."""
    held = Held()
    monkeypatch.setattr(example, "count_file", held)
    yield held
    held.released.set()


def test_index_has_the_known_counts(
    manager: StateManager, flow: WorkflowState, folder: Path
) -> None:
    """The state holds exactly what is in a small folder."""
    index(manager, folder)
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


def test_index_keeps_a_step_for_each_file(
    manager: StateManager, flow: WorkflowState, folder: Path
) -> None:
    """Every file has a step that says how it ended and what it held."""
    index(manager, folder)
    assert {name: flow.step(name)["status"] for name in flow.steps()} == {
        "one.txt": "indexed",
        "empty.py": "indexed",
        "inner/two.TXT": "indexed",
        "inner/old.txt": "indexed",
        "inner/image.png": "binary",
    }
    assert flow.step("one.txt")["words"] == 3
    assert flow.step("one.txt").get("seconds") is not None


@pytest.mark.slow
def test_branches_lose_nothing_when_many_share_the_work(
    manager: StateManager, flow: WorkflowState, tmp_path: Path
) -> None:
    """Eight branches index each of a thousand files exactly once."""
    for number in range(1000):
        (tmp_path / f"{number}.{number % 3}").write_text("word " * (number % 7))
    index(manager, tmp_path, workers=8)
    found = example.read_index(flow)
    expected = example.count_in_turn(tmp_path, *example.list_files(tmp_path, None))
    assert example.differences(found, expected) == []
    assert flow["queue:done"] == flow["queue:files"] == len(flow.steps()) == 1000
    assert flow["queue:start"] == flow["queue:end"]


def test_index_goes_on_when_a_file_cannot_be_read(
    manager: StateManager,
    flow: WorkflowState,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that has gone is an error of its own, and the others are indexed."""
    listed = ["gone.txt", "one.txt"]
    monkeypatch.setattr(example, "list_files", lambda *_: (listed, []))
    index(manager, folder)
    found = example.read_index(flow)
    assert (found["files"], found["words"]) == (1, 3)
    assert found["errors"] == [["gone.txt", "No such file or directory"]]
    assert flow.step("gone.txt")["status"] == "unreadable"


def everything(flow: WorkflowState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all that a workflow and its steps hold, but for seconds."""
    steps = {name: dict(flow.step(name)) for name in flow.steps()}
    for step in steps.values():
        del step["seconds"]
    return dict(flow), steps


def test_index_holds_the_same_whoever_did_it(folder: Path) -> None:
    """One branch and eight leave the same state."""
    for number in range(300):
        (folder / f"{number}.txt").write_bytes(b"word \xff" * (number % 3))
    states = []
    for workers in (1, 8):
        with StateManager(limits=example.LIMITS) as manager:
            index(manager, folder, workers=workers)
            states.append(everything(manager.workflow_state(example.WORKFLOW_ID)))
    assert states[0] == states[1]


class LostError(Exception):
    """The runner is gone."""


@pytest.mark.parametrize("point", ["run.commit", "run.committed"])
def test_index_is_the_same_when_the_runner_is_lost_again_and_again(
    manager: StateManager, flow: WorkflowState, folder: Path, point: str
) -> None:
    """Lost at every third commit and continued, the run ends as an undisturbed one."""
    with StateManager(limits=example.LIMITS) as undisturbed:
        index(undisturbed, folder, workers=2)
        expected = everything(undisturbed.workflow_state(example.WORKFLOW_ID))
    hits, losses = itertools.count(1), 0

    def lose() -> None:
        if next(hits) % 3 == 0:
            raise LostError

    with faults.arm(point, lose):
        while True:
            try:
                index(manager, folder, workers=2)
                break
            except LostError:
                losses += 1
    assert losses > 3
    assert everything(flow) == expected


def test_index_goes_on_where_it_was_interrupted(
    manager: StateManager,
    flow: WorkflowState,
    tmp_path: Path,
    held: Held,
) -> None:
    """After Ctrl-C the same run finishes the rest, and counts no file twice."""
    for number in range(300):
        (tmp_path / str(number)).write_bytes(b"word \xff" * (number % 3))
    held.name = "150"
    with pytest.raises(KeyboardInterrupt):
        index(manager, tmp_path)
    state = manager.run_state(example.WORKFLOW_ID)
    assert state is not None
    assert state.status is Status.CANCELLED
    assert flow["queue:files"] == 300
    assert flow.step("150")["status"] == "claimed"

    held.released.set()
    assert index(manager, tmp_path).status is Status.COMPLETED
    expected = example.count_in_turn(tmp_path, *example.list_files(tmp_path, None))
    assert example.differences(example.read_index(flow), expected) == []
    assert {flow.step(name)["status"] for name in flow.steps()} == {"indexed"}


def test_main_ends_at_once_when_interrupted(
    folder: Path, capsys: pytest.CaptureFixture[str], held: Held
) -> None:
    """Ctrl-C ends the command with status 130, though a branch is at work."""
    held.name = "one.txt"
    assert example.main([str(folder)]) == 130
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "folder_index: interrupted\n")


def test_main_shows_the_index_and_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run, the totals and what the check says are shown."""
    assert example.main([str(folder)]) == 0
    shown = capsys.readouterr().out
    steps = {line.split()[0]: line.split()[-1] for line in shown.splitlines() if line}
    assert steps["discover"] == "5"
    assert steps["rounds[0]/retry/put_back"] == "1"
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
    real = TransactionScope.increment

    def forgetful(scope: TransactionScope, key: str, by: float = 1) -> float:
        return real(scope, key, by - 1 if (key, by) == ("words", 5) else by)

    monkeypatch.setattr(TransactionScope, "increment", forgetful)
    assert example.main([str(folder), "--quiet"]) == 1
    complaint = capsys.readouterr().err
    assert "words: 6 in the state, 7 expected" in complaint


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
    monkeypatch.setattr("os.walk", lambda *_, **__: walked)
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
