"""Atomic steps: what they write and that they have ended become true as one."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from stateward import (
    AccessDeniedError,
    JsonValue,
    KeyCountError,
    Limits,
    MissingKeyError,
    OwnerFailedError,
    StateManager,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.workflows import (
    Access,
    Parallel,
    Retry,
    Sequential,
    Status,
    StepContext,
    step,
)


def test_atomic_step_commits_its_writes_with_its_end(
    manager: StateManager, state: WorkflowState
) -> None:
    """Writes and record share one revision, and nothing is seen before."""
    seen: list[JsonValue] = []

    @step(atomic=True)
    def both(ctx: StepContext) -> str:
        before = state.revision
        ctx.state["a"] = 1
        ctx.step_state["b"] = 2
        ctx.state.step("other")["c"] = 3
        ctx.state.delete("gone")
        seen.extend([dict(state), before, state.revision])
        return "done"

    state["gone"] = 1
    result = manager.run(Sequential("f", both), "w")
    assert result.output == "done"
    assert seen == [{"gone": 1}, 2, 2]
    assert dict(state) == {"a": 1}
    assert dict(state.step("both")) == {"b": 2}
    assert dict(state.step("other")) == {"c": 3}
    entries = [state.entry("a"), state.step("both").entry("b")]
    assert [entry and entry.revision for entry in entries] == [3, 3]


def test_atomic_step_writes_nothing_when_it_raises(
    manager: StateManager, state: WorkflowState
) -> None:
    """Each attempt begins with what is committed, and leaves nothing behind."""

    @step(atomic=True, retry=Retry(attempts=3, backoff=0))
    def third_time(ctx: StepContext) -> JsonValue:
        assert "a" not in ctx.state
        ctx.state["a"] = ctx.attempt
        ctx.state.increment("n")
        if ctx.attempt < 3:
            raise ZeroDivisionError
        return ctx.state["n"]

    result = manager.run(Sequential("f", third_time), "w")
    assert (result.output, result.steps[0].attempts) == (1, 3)
    assert dict(state) == {"a": 3, "n": 1}


def test_atomic_step_that_fails_for_good_leaves_no_trace(
    manager: StateManager, state: WorkflowState
) -> None:
    """Its record says that it failed, and no key says that it was there."""

    @step(atomic=True)
    def fails(ctx: StepContext) -> None:
        ctx.state["a"] = 1
        raise ZeroDivisionError

    result = manager.run(Sequential("f", fails), "w")
    assert result.status is Status.FAILED
    assert dict(state) == {}
    assert state.steps() == []


def test_atomic_step_is_run_again_after_a_conflict(
    manager: StateManager, state: WorkflowState
) -> None:
    """What it read has changed, so its outcome is dropped; the attempt is the same."""
    calls: list[int] = []
    state["n"] = 1

    @step(atomic=True)
    def double(ctx: StepContext) -> JsonValue:
        n = ctx.state["n"]
        assert isinstance(n, int)
        if not calls:
            state["n"] = 10
        calls.append(ctx.attempt)
        ctx.state["n"] = 2 * n
        return n

    result = manager.run(Sequential("f", double), "w")
    assert (result.output, state["n"]) == (10, 20)
    assert calls == [1, 1]
    assert result.steps[0].attempts == 1


def test_atomic_step_that_reads_two_revisions_is_run_again(
    manager: StateManager, state: WorkflowState
) -> None:
    """A conflict that shows while the function runs is no failure either."""
    state.update({"a": 1, "b": 1})
    calls: list[int] = []

    @step(atomic=True)
    def compare(ctx: StepContext) -> bool:
        calls.append(1)
        a = ctx.state["a"]
        if len(calls) == 1:
            state.update({"a": 2, "b": 2})
        return a == ctx.state["b"]

    result = manager.run(Sequential("f", compare), "w")
    assert result.output is True
    assert len(calls) == 2


def test_atomic_steps_side_by_side_lose_no_increment(
    manager: StateManager, state: WorkflowState
) -> None:
    """Reading, adding and writing by hand is safe, however many do it at once."""

    def add(ctx: StepContext) -> None:
        n = ctx.state.get("n", 0)
        assert isinstance(n, int)
        ctx.state["n"] = n + 1

    branches = [step(name=f"s{i}", atomic=True)(add) for i in range(12)]
    manager.run(Parallel("p", *branches, max_concurrency=4), "w").raise_for_failure()
    assert state["n"] == 12


def test_atomic_step_reads_its_own_writes(manager: StateManager) -> None:
    """Every way of reading shows what it has written so far."""

    @step(atomic=True)
    def reads(ctx: StepContext) -> None:
        state: Any = ctx.state
        state["a"] = [1]
        state.append("a", 2)
        assert state["a"] == [1, 2]
        assert state.increment("n", 2) == 2
        assert state.modify("n", lambda n: n + 1) == 3
        assert state.get_many(["a", "n", "gone"]) == {"a": [1, 2], "n": 3}
        assert state.view("a")[0] == 1
        assert state.merge("m", {"x": {"y": 1}}) == {"x": {"y": 1}}
        assert sorted(state) == ["a", "m", "n"]
        assert state.delete_many(["m", "gone"]) == 1
        assert "m" not in state
        with pytest.raises(MissingKeyError):
            state["m"]
        state.step("reads")["own"] = 1
        assert ctx.step_state["own"] == 1
        assert state.step("none").get("own") is None
        assert state.workflow_id == ctx.state.workflow_id == "w"
        assert state.steps() == []

    manager.run(Sequential("f", reads), "w").raise_for_failure()
    assert dict(manager.workflow_state("w")) == {"a": [1, 2], "n": 3}


def test_atomic_step_may_write_to_no_other_owner(manager: StateManager) -> None:
    """Global and custom state can be read; writing them could not be taken back."""
    manager.global_state()["k"] = 1
    manager.custom_state("c")["k"] = 2
    access = Access(global_state="write", custom_state="write")

    @step(atomic=True)
    def reads(ctx: StepContext) -> JsonValue:
        shared, custom = ctx.state.global_state(), ctx.state.custom_state("c")
        for scope in (shared, custom):
            with pytest.raises(AccessDeniedError, match="commits to its workflow"):
                scope["k"] = 3
            with pytest.raises(AccessDeniedError):
                scope.modify("k", lambda _: 3)
        return [shared["k"], custom["k"]]

    result = manager.run(Sequential("f", reads), "w", access=access)
    result.raise_for_failure()
    assert result.output == [1, 2]
    assert manager.global_state()["k"] == 1


def test_atomic_step_is_held_to_the_access_of_the_run(manager: StateManager) -> None:
    """What cannot be read by others cannot be read here."""

    @step(atomic=True)
    def reads(ctx: StepContext) -> JsonValue:
        return ctx.state.custom_state("c").get("k")

    result = manager.run(Sequential("f", reads), "w")
    assert type(result.failures["reads"]) is AccessDeniedError


def test_atomic_step_beyond_a_limit_fails_and_writes_nothing(
    manager: StateManager, state: WorkflowState
) -> None:
    """The refusal is the step's failure; it can be tried again once there is room."""
    manager.set_limits("w", Limits(max_keys=2))
    state["a"] = 1

    @step(atomic=True)
    def three(ctx: StepContext) -> None:
        ctx.state["a"] = 2
        ctx.state["b"] = 1
        ctx.step_state["c"] = 1

    flow = Sequential("f", three)
    result = manager.run(flow, "w")
    assert type(result.failures["three"]) is KeyCountError
    assert result.status is Status.FAILED
    assert dict(state) == {"a": 1}
    assert state.steps() == []
    manager.set_limits("w", Limits(max_keys=3))
    assert manager.run(flow, "w").ok
    assert dict(state) == {"a": 2, "b": 1}


@pytest.mark.parametrize("point", ["run.commit", "run.committed"])
def test_atomic_step_is_whole_after_a_crash(
    manager: StateManager, state: WorkflowState, point: str
) -> None:
    """Wherever the runner is dropped, writes and record are both there or neither."""
    calls: list[int] = []

    @step(atomic=True)
    def once(ctx: StepContext) -> None:
        calls.append(1)
        ctx.state.increment("n")

    def drop() -> None:
        raise ZeroDivisionError

    flow = Sequential("f", once)
    with faults.arm(point, drop), pytest.raises(ZeroDivisionError):
        manager.run(flow, "w")
    committed = point == "run.committed"
    assert state.get("n", 0) == (1 if committed else 0)
    recorded = manager.run_state("w")
    assert recorded is not None
    assert [it.status for it in recorded.steps] == [Status.COMPLETED] * committed
    assert manager.run(flow, "w").ok
    assert state["n"] == 1
    assert len(calls) == (1 if committed else 2)


@pytest.mark.parametrize(
    ("point", "outcome"),
    [
        ("state.staged", nullcontext()),  # it had no effect, and is sent again
        ("state.published", pytest.raises(OwnerFailedError)),
    ],
)
def test_atomic_step_is_whole_when_the_owner_fails(
    manager: StateManager,
    state: WorkflowState,
    point: str,
    outcome: AbstractContextManager[object],
) -> None:
    """An owner broken off in the middle of the commit publishes all of it or none."""
    failing: list[bool] = []

    def fail() -> None:
        if failing:
            failing.clear()
            raise ZeroDivisionError

    @step(atomic=True)
    def once(ctx: StepContext) -> None:
        ctx.state.increment("n")
        ctx.step_state["x"] = 1
        failing.append(True)

    flow = Sequential("f", once)
    with faults.arm(point, fail), outcome:
        assert manager.run(flow, "w").ok
    assert manager.run(flow, "w").ok
    assert state["n"] == 1
    assert state.step("once")["x"] == 1
