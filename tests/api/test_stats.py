from dataclasses import replace

from stateward import StateManager, WorkflowState
from stateward.stats import workflow_ids
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, step


def test_stats_count_keys_and_bytes_of_everything(manager: StateManager) -> None:
    """Keys are counted in UTF-8 and values as JSON, in every kind of scope."""
    manager.global_state()["a"] = 1
    manager.workflow_state("w")["\xe9"] = "x"
    manager.step_state("w", "s")["ab"] = [1, 2]
    manager.custom_state("c")["a"] = None
    stats = manager.stats()
    assert (stats.workflows, stats.keys, stats.owners) == (1, 4, 3)
    assert stats.size_bytes == (1 + 1) + (2 + 3) + (2 + 5) + (1 + 4)
    assert (stats.activations, stats.pending, stats.restarts) == (3, 0, 0)


def test_stats_leave_out_what_has_expired(
    paused: StateManager, clock: SimulatedClock
) -> None:
    """From its instant on an expired key is counted nowhere, though nobody swept."""
    state = paused.workflow_state("w")
    state["a"] = 1
    before = paused.stats()
    state.set("b", [1], ttl=5)
    state.step("s").set("c", 1, ttl=6)
    counted = []
    for seconds in (4.999, 0.001, 1):
        clock.advance(seconds)
        counted.append(paused.stats().keys)
    assert counted == [3, 2, 1]
    assert replace(paused.stats(), pending=0) == before


def test_stats_leave_out_what_was_dropped(
    manager: StateManager, state: WorkflowState
) -> None:
    """A workflow is out of the accounting as soon as the call that drops it ends."""
    state["a"] = 1
    state.step("s")["b"] = 1
    assert state.drop()
    stats = manager.stats()
    assert (stats.workflows, stats.keys, stats.size_bytes) == (0, 0, 0)


def test_stats_count_runs_as_workflows_and_not_their_records(
    manager: StateManager,
) -> None:
    """What the library keeps for itself takes nothing of what callers may hold."""
    assert manager.run(Sequential("f", step(name="s")(lambda _: 1)), "w").ok
    stats = manager.stats()
    assert (stats.workflows, stats.keys, stats.size_bytes) == (1, 0, 0)
    assert workflow_ids(manager.engine) == ["w"]
    assert manager.drop_workflow("w")
    assert manager.stats().workflows == 0
