"""`stateward runs`: which workflows have been run, and how far."""

import json

import pytest

from stateward import JsonValue, StateManager
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, StepContext, step
from tests.commands import invoke


@step(name="load")
def load(_: StepContext) -> JsonValue:
    """Succeed."""
    return 1


@step(name="check")
def check(_: StepContext) -> JsonValue:
    """Fail."""
    raise ValueError("not right")


@pytest.fixture
def runs(manager: StateManager, clock: SimulatedClock) -> StateManager:
    """Return a manager of three runs, two of them begun in the same second."""
    manager.run(Sequential("old", load), "z")
    clock.advance(60)
    manager.run(Sequential("fails", load, check), "b")
    manager.run(Sequential("good", load), "a")
    return manager


def test_runs_are_listed_newest_first_as_json(runs: StateManager) -> None:
    """Each comes with its steps counted by status; those of one time go by id."""
    done = invoke(runs, "runs", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == [
        {
            "workflow_id": "a",
            "flow": "good",
            "status": "completed",
            "steps": {"completed": 1},
            "started": 1_000_060.0,
            "seconds": 0.0,
        },
        {
            "workflow_id": "b",
            "flow": "fails",
            "status": "failed",
            "steps": {"completed": 1, "failed": 1},
            "started": 1_000_060.0,
            "seconds": 0.0,
        },
        {
            "workflow_id": "z",
            "flow": "old",
            "status": "completed",
            "steps": {"completed": 1},
            "started": 1_000_000.0,
            "seconds": 0.0,
        },
    ]


def test_runs_are_listed_as_a_table(runs: StateManager) -> None:
    """For people there is a header, one line for each run, and times in UTC."""
    done = invoke(runs, "runs")
    assert done.exit_code == 0
    header, *rows = done.stdout.splitlines()
    assert header.split() == [
        "workflow",
        "flow",
        "status",
        "steps",
        "started",
        "seconds",
    ]
    assert [" ".join(row.split()) for row in rows] == [
        "a good completed 1 completed 1970-01-12 13:47:40Z",
        "b fails failed 1 completed, 1 failed 1970-01-12 13:47:40Z",
        "z old completed 1 completed 1970-01-12 13:46:40Z",
    ]


def test_runs_of_an_empty_store_are_an_empty_list(manager: StateManager) -> None:
    """No runs are no error: an empty list as JSON, a header alone for people."""
    done = invoke(manager, "runs", "--json")
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    done = invoke(manager, "runs")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1


def test_runs_under_way_show_how_far_they_are(manager: StateManager) -> None:
    """A run lists itself as running, with the steps that have finished."""
    seen: list[str] = []

    @step(name="look")
    def look(_: StepContext) -> JsonValue:
        seen.append(invoke(manager, "runs", "--json").stdout)
        return None

    assert manager.run(Sequential("f", load, look), "w").ok
    (listed,) = json.loads(seen[0])
    assert (listed["workflow_id"], listed["status"]) == ("w", "running")
    assert listed["steps"]["completed"] == 1
