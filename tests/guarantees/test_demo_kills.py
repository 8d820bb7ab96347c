"""The demo's flow on a store, killed again and again, ends as if nobody had touched it.

A child indexes a folder as `docs/examples/folder_index.py` does, but on a store, and
reports whenever it comes past a fault point of the engine. It is killed after a number
of reports that a seed chooses, so at any moment of its work; the next child goes on.
"""

import importlib
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import JsonValue, StateManager
from stateward.actors.core import faults
from stateward.workflows import Status
from tests.guarantees.test_kill import ROOT, child, report

EXAMPLES: Final = ROOT / "docs/examples"
sys.path.insert(0, str(EXAMPLES))  # as it is for whoever runs the script
example: Final[Any] = importlib.import_module("folder_index")

FILES: Final = 90
BATCH_FILES: Final = 4
"""Fewer than the demo claims at once, so that there are more steps to be killed in."""
WORKERS: Final = 3
SPREAD: Final = 8
"""An undisturbed run comes past about so many times the points between two kills."""
KILLS: Final = [5, pytest.param(100, marks=pytest.mark.soak)]


# ------------------------------------------------------------------- in the child


def index(url: str, folder: str) -> None:
    """Index a folder, or go on with it, and say so at the end."""
    vars(example)["BATCH_FILES"] = BATCH_FILES
    faults.armed.update({point: partial(report, point) for point in faults.POINTS})
    with StateManager(url, limits=example.LIMITS) as manager:
        run(manager, folder)
    report("done")


def run(manager: StateManager, folder: str) -> None:
    """Run the demo's flow to its end."""
    given: JsonValue = {"folder": folder, "limit": None}
    flow = example.flow_of(WORKERS)
    result = manager.run(flow, example.WORKFLOW_ID, input=given)
    assert result.status is Status.COMPLETED


# ------------------------------------------------------------------ in the parent


def killed_after(count: int | None, url: str, folder: Path) -> int | None:
    """Kill a child that indexes once it has reported `count` times.

    Returns:
        How often it reported before it was done; `None` if it was killed.
    """
    source = (
        "from tests.guarantees.test_demo_kills import index\n"
        f"index({url!r}, {str(folder)!r})"
    )
    lines: list[str] = []
    with child(source) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == count:
                process.kill()
    if lines[-1] == "done":
        return len(lines)
    assert count is not None, "the child ended by itself"
    assert len(lines) >= count, "the child ended by itself"
    return None


def left_by(manager: StateManager) -> dict[str, Any]:
    """Return all that a run has left, but for how long it took."""
    flow = manager.workflow_state(example.WORKFLOW_ID)
    steps = {name: dict(flow.step(name)) for name in sorted(flow.steps())}
    for step in steps.values():
        assert isinstance(step.pop("seconds"), float)
    return {"flow": dict(flow), "steps": steps}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of text files, some of which are not UTF-8."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        end = b"\xff" if number % 11 == 0 else b""
        text = b"word " * (number % 7) + b"\n" * (number % 5) + end
        (folder / f"{number}{os.extsep}txt").write_bytes(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
def test_demo_killed_at_random_ends_as_undisturbed(
    tmp_path: Path, folder: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed until it is done, each atomic step has taken effect exactly once."""
    monkeypatch.setattr(example, "BATCH_FILES", BATCH_FILES)
    with StateManager(limits=example.LIMITS) as manager:
        run(manager, str(folder))
        expected = left_by(manager)
    names, problems = example.list_files(folder, None)
    counted = example.count_in_turn(folder, names, problems)
    points = killed_after(None, f"sqlite:///{tmp_path}/whole", folder)
    assert points is not None

    chance = random.Random(f"demo {kills}")
    done = runs = 0
    while done < kills:
        url = f"sqlite:///{tmp_path}/state{runs}"
        runs += 1
        count: int | None = chance.randint(1, points // SPREAD)
        while killed_after(count, url, folder) is None:
            done += 1
            count = chance.randint(1, points // SPREAD) if done < kills else None
        with StateManager(url, limits=example.LIMITS) as manager:
            flow = manager.workflow_state(example.WORKFLOW_ID)
            found = example.read_index(flow)
            assert example.differences(found, counted) == [], f"run {runs}"
            assert left_by(manager) == expected, f"run {runs} after {done} kills"
    assert done == kills
    print(f"{done} kills in {runs} runs")
