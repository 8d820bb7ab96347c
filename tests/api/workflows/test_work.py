import threading
from collections.abc import Callable
from typing import cast

import pytest

from stateward import (
    ConflictError,
    InvalidOutputError,
    JsonValue,
    Limits,
    StateManager,
)
from stateward.workflows import Parallel, Sequential, Status, StepContext, step
from stateward.workflows.atomic import CONFLICTS_MAX


def returning(output: JsonValue) -> Callable[[StepContext], JsonValue]:
    """Return a function of a step that returns `output`."""
    return lambda _: output


def test_outputs_are_held_to_limits(manager: StateManager) -> None:
    """An output beyond the workflow's limits fails its step, which says why."""
    manager.workflow_state("w")["k"] = 1
    manager.set_limits("w", Limits(max_value_bytes=10, max_depth=1))
    outputs: list[JsonValue] = ["long enough", [[1]]]
    for output in outputs:
        flow = Sequential("f", step(name="s")(returning(output)))
        result = manager.run(flow, "w", restart=True)
        assert result.status is Status.FAILED
        assert type(result.failures["s"]) is InvalidOutputError
        assert "max_value_bytes is 10, max_depth is 1" in str(result.failures["s"])


def test_output_that_is_no_json_names_its_place(manager: StateManager) -> None:
    """What cannot be recorded fails the step, not the runner."""
    flow = Sequential("f", step(name="s")(lambda _: {"a": [1, {2}]}))
    error = manager.run(flow, "w").failures["s"]
    assert type(error) is InvalidOutputError
    assert "value['a'][1] is of type set" in str(error)


def test_conflicts_without_end_fail_the_step(manager: StateManager) -> None:
    """An atomic step whose reads never hold is tried so often and no more."""
    state = manager.workflow_state("w")
    calls: list[int] = []

    @step(atomic=True)
    def never_in_time(ctx: StepContext) -> None:
        calls.append(ctx.attempt)
        ctx.state.get("contended")
        state.increment("contended")
        ctx.state["mine"] = True

    result = manager.run(Sequential("f", never_in_time), "w")
    assert type(result.failures["never_in_time"]) is ConflictError
    assert calls == [1] * CONFLICTS_MAX
    assert "mine" not in state


@pytest.mark.parametrize("attempts", [1, 3])
def test_conflict_runs_an_atomic_step_again(
    manager: StateManager, attempts: int
) -> None:
    """What it read has changed until it is run once more; then all is written."""
    state = manager.workflow_state("w")
    calls: list[int] = []

    @step(atomic=True)
    def add(ctx: StepContext) -> int:
        calls.append(ctx.attempt)
        if len(calls) < attempts:
            ctx.state.get("n")
            state.increment("n")
        return int(ctx.state.increment("n"))

    assert manager.run(Sequential("f", add), "w").output == attempts
    assert calls == [1] * attempts


def test_conflicts_of_many_branches_all_end(manager: StateManager) -> None:
    """Branches that read and write one key all get their turn, however many."""
    state = manager.workflow_state("w")
    together = threading.Barrier(8)
    begun: list[None] = []

    @step(atomic=True)
    def add(ctx: StepContext) -> None:
        count = ctx.state.get("n", 0)
        begun.append(None)
        if len(begun) <= 8:
            together.wait(30)
        ctx.state["n"] = cast("int", count) + 1

    branches = [add.using(name=f"b{number}") for number in range(64)]
    assert manager.run(Parallel("p", *branches), "w").ok
    assert state["n"] == 64
