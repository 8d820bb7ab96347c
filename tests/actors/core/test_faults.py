import pytest

from stateward import StateManager
from stateward.actors.core import faults


def test_hit_runs_what_is_armed_at_the_point() -> None:
    """An armed action runs each time its point is reached, and only there."""
    hits: list[str] = []
    with faults.arm("owner.decided", lambda: hits.append("decided")):
        faults.hit("owner.decided")
        faults.hit("owner.settled")
        faults.hit("owner.decided")
    assert hits == ["decided", "decided"]


def test_hit_is_inert_after_the_block() -> None:
    """Nothing stays armed, even if the block raised."""
    hits: list[str] = []
    with pytest.raises(ZeroDivisionError), faults.arm("worker.task", hits.clear):
        raise ZeroDivisionError
    assert faults.armed == {}
    faults.hit("worker.task")


def test_arm_refuses_a_name_that_is_no_point() -> None:
    """A misspelt point is a mistake in the test, not a fault that never comes."""
    with pytest.raises(KeyError), faults.arm("owner.decide", lambda: None):
        pass
    assert faults.armed == {}


def test_points_are_reached_in_the_order_of_a_command(manager: StateManager) -> None:
    """One write passes activation, decision, staging, publication and settling."""
    met: list[str] = []
    points = (
        "supervisor.activate",
        "owner.decided",
        "state.staged",
        "state.published",
        "owner.settled",
    )
    with (
        faults.arm(points[0], lambda: met.append(points[0])),
        faults.arm(points[1], lambda: met.append(points[1])),
        faults.arm(points[2], lambda: met.append(points[2])),
        faults.arm(points[3], lambda: met.append(points[3])),
        faults.arm(points[4], lambda: met.append(points[4])),
    ):
        manager.workflow_state("w").set("k", 1)
    assert tuple(met) == points
    assert set(points) < faults.POINTS
