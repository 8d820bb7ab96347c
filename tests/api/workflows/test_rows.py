import threading
from collections.abc import Callable
from typing import Any

import pytest

from stateward import ConditionError, StateManager, StepTimeoutError
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Retry,
    Sequential,
    Skip,
    Status,
    Step,
    StepContext,
    branch,
    step,
)
from stateward.workflows.shape import shape_of
from tests.support import ManualDispatcher
from tests.threads import WAIT

NO_WAIT = Retry(attempts=2, backoff=0)


def says(name: str) -> Step:
    """Return a step that returns its name."""
    return step(name=name)(lambda _: name)


def fails(name: str, **options: Any) -> Step:
    """Return a step that always fails."""

    def fail(_: StepContext) -> None:
        raise ValueError(name)

    return step(name=name, **options)(fail)


def key(name: str) -> Callable[[Any], object]:
    """Return a condition: that the state holds something true at `name`."""
    return lambda state: state.get(name)


# -- Sequential


def test_sequential_output_is_that_of_its_last_step(manager: StateManager) -> None:
    """Steps run in their order, each finding the outputs of those before."""
    seen = step(name="c")(lambda ctx: [*ctx.outputs.values(), "c"])
    result = manager.run(Sequential("f", says("a"), says("b"), seen), "w")
    assert result.output == ["a", "b", "c"]
    assert [each.path for each in result.steps] == ["a", "b", "c"]


def test_sequential_fails_fast_by_default(manager: StateManager) -> None:
    """What follows a failed step is not run."""
    result = manager.run(Sequential("f", says("a"), fails("b"), says("c")), "w")
    assert result.status is Status.FAILED
    assert list(result.failures) == ["b"]
    assert list(result.outputs) == ["a"]
    assert result.output is None


def test_sequential_continues_after_failures(manager: StateManager) -> None:
    """With `continue` a failure is noted, and the next step is run."""
    flow = Sequential("f", fails("a"), says("b"), fails("c"), on_error="continue")
    result = manager.run(flow, "w")
    assert result.status is Status.COMPLETED_WITH_FAILURES
    assert list(result.failures) == ["a", "c"]
    assert dict(result.outputs) == {"b": "b"}


def test_sequential_skips_what_it_is_told_to(manager: StateManager) -> None:
    """A skipped step has the output it was given, and the run is completed."""
    flow = Sequential(
        "f",
        fails("a"),
        step(name="b")(lambda ctx: ctx.outputs["a"]),
        on_error=Skip("instead"),
    )
    result = manager.run(flow, "w")
    assert (result.status, result.output) == (Status.COMPLETED, "instead")
    assert result.steps[0].status is Status.SKIPPED


def test_skip_leaves_other_exceptions_alone(manager: StateManager) -> None:
    """An exception that `on` does not name fails the step."""
    skip = Skip(on=(KeyError,))
    assert manager.run(fails("a", on_error=skip), "w").status is Status.FAILED
    flow = Sequential("f", fails("a"), says("b"), on_error=skip)
    assert manager.run(flow, "x").status is Status.FAILED
    mended = flow.using(on_error=Skip(on=(LookupError, ValueError)))
    assert manager.run(mended, "y").output == "b"


@pytest.mark.parametrize("own", ["fail", Skip(on=(KeyError,))])
def test_step_strategy_overrides_that_around_it(
    manager: StateManager, own: Any
) -> None:
    """A step that says how it fails does not heed the workflow around it."""
    flow = Sequential("f", fails("a", on_error=own), says("b"), on_error="continue")
    result = manager.run(flow, "w")
    assert (result.status, list(result.outputs)) == (Status.FAILED, [])
    forgiving = Sequential("f", fails("a", on_error="continue"), says("b"))
    assert manager.run(forgiving, "x").output == "b"


def test_strategies_are_inherited_through_any_kind(manager: StateManager) -> None:
    """Options of the outermost workflow reach the steps of the innermost."""
    flow = Sequential(
        "f",
        Parallel("p", Loop("l", fails("a"), says("b"), over=[1])),
        on_error="continue",
        retry=NO_WAIT,
    )
    result = manager.run(flow, "w")
    assert result.output == {"l": ["b"]}
    assert [(each.path, each.attempts) for each in result.steps] == [
        ("p/l[0]/a", 2),
        ("p/l[0]/b", 1),
    ]


def test_nested_workflow_overrides_strategies(manager: StateManager) -> None:
    """The nearest workflow that says something decides for the steps in it."""
    inner = Sequential("i", fails("a"), says("b"), on_error="fail", retry=NO_WAIT)
    flow = Sequential(
        "f", inner, says("c"), on_error="continue", retry=Retry(attempts=5, backoff=0)
    )
    result = manager.run(flow, "w")
    assert result.status is Status.COMPLETED_WITH_FAILURES
    assert dict(result.outputs) == {"c": "c"}
    assert result.steps[0].attempts == 2


def test_flow_nested_deeply_is_run(manager: StateManager) -> None:
    """A step 3,000 workflows down is run, found by its path, and not run again."""
    flow: Sequential = Sequential("s", says("a"))
    for _ in range(2_999):
        flow = Sequential("s", flow)
    path = "s/" * 2_999 + "a"
    result = manager.run(flow, "w")
    assert (result.output, dict(result.outputs)) == ("a", {path: "a"})
    assert shape_of(flow) != shape_of(Sequential("s", flow))
    assert manager.run(flow, "w").steps == result.steps


# -- Parallel


def test_parallel_output_is_by_name(manager: StateManager) -> None:
    """Outputs come in the order of the branches, whichever ended first."""
    first = threading.Event()

    def slow(_: StepContext) -> str:
        assert first.wait(WAIT)
        return "slow"

    quick = step(name="quick")(lambda _: first.set())
    result = manager.run(Parallel("f", slow, quick), "w")
    assert result.output == {"slow": "slow", "quick": None}
    assert isinstance(result.output, dict)
    assert list(result.output) == ["slow", "quick"]


def test_parallel_branches_run_at_the_same_time(manager: StateManager) -> None:
    """Branches that wait for each other all come through."""
    together = threading.Barrier(8)
    branches = [
        step(name=f"b{number}")(lambda _: together.wait(WAIT) >= 0)
        for number in range(8)
    ]
    assert manager.run(Parallel("f", *branches), "w").ok
    assert manager.run(Parallel("f", *branches, max_concurrency=8), "x").ok


@pytest.mark.parametrize("most", [1, 3])
def test_parallel_never_runs_more_than_it_may(manager: StateManager, most: int) -> None:
    """`max_concurrency` bounds how many branches run, and lets so many run."""
    lock, running, peaks = threading.Lock(), [0], list[int]()
    together = threading.Barrier(most)

    def work(_: StepContext) -> None:
        with lock:
            running[0] += 1
            peaks.append(running[0])
        together.wait(WAIT)
        with lock:
            running[0] -= 1

    branches = [step(name=f"b{number}")(work) for number in range(6)]
    flow = Parallel("f", *branches, max_concurrency=most)
    assert manager.run(flow, "w").ok
    assert max(peaks) == most


def test_parallel_fail_fast_gives_up_the_others(manager: StateManager) -> None:
    """The first failure ends the branches that run and those that wait."""
    let_go, begun, contexts = threading.Event(), threading.Event(), list[StepContext]()

    def slow(ctx: StepContext) -> None:
        contexts.append(ctx)
        begun.set()
        assert let_go.wait(WAIT)

    def fail(_: StepContext) -> None:
        assert begun.wait(WAIT)
        raise ValueError

    flow = Parallel("f", slow, fail, says("late"), max_concurrency=2)
    result = manager.run(flow, "w")
    assert contexts[0].cancelled
    let_go.set()
    assert result.status is Status.FAILED
    statuses = {each.path: each.status for each in result.steps}
    assert statuses == {"fail": Status.FAILED, "slow": Status.CANCELLED}


def test_parallel_without_fail_fast_waits_for_all(manager: StateManager) -> None:
    """Every branch is run before the failure of one fails the workflow."""
    flow = Parallel(
        "f", fails("a"), says("b"), fails("c"), max_concurrency=1, fail_fast=False
    )
    result = manager.run(flow, "w")
    assert result.status is Status.FAILED
    assert dict(result.outputs) == {"b": "b"}
    assert list(result.failures) == ["a", "c"]


@pytest.mark.parametrize("make", [fails, lambda name: Sequential(name, fails("s"))])
def test_parallel_forgives_optional_branches(
    manager: StateManager, make: Callable[[str], Any]
) -> None:
    """The failure of an optional branch is noted, and its output is missing."""
    flow = Parallel("f", make("a"), says("b"), optional=["a"])
    result = manager.run(flow, "w")
    assert result.status is Status.COMPLETED_WITH_FAILURES
    assert result.output == {"a": None, "b": "b"}
    assert all(type(it) is ValueError for it in result.failures.values())
    assert "a" in result.failures
    needed = flow.using(optional=["b"])
    assert manager.run(needed, "x").status is Status.FAILED


def test_workflow_timeout_is_over_all_of_it(
    paused: StateManager, clock: SimulatedClock, dispatcher: ManualDispatcher
) -> None:
    """A workflow that takes too long fails, and gives up what is left of it."""
    flow = Sequential(
        "f",
        Parallel("p", fails("a"), says("b"), timeout=5, fail_fast=False),
        retry=Retry(attempts=9, backoff=3, factor=1, jitter=0),
    )
    run = paused.start(flow, "w")
    dispatcher.run()
    for _ in range(2):
        assert not run.done()
        clock.advance(2.5)
        dispatcher.run()
    result = run.result(WAIT)
    assert result.status is Status.FAILED
    assert isinstance(result.failures["p"], StepTimeoutError)
    assert dict(result.outputs) == {"p/b": "b"}
    assert {each.path: each.attempts for each in result.steps}["p/a"] == 2


# -- Conditional


def test_conditional_runs_the_first_that_matches(manager: StateManager) -> None:
    """Branches are looked at in their order, and one is run."""
    manager.workflow_state("w").update({"b": 1, "c": 1})
    flow = Conditional(
        "f",
        branch(key("a"), says("a")),
        branch(key("b"), says("b")),
        branch(key("c"), says("c")),
        otherwise=says("d"),
    )
    result = manager.run(flow, "w")
    assert (result.output, dict(result.outputs)) == ("b", {"b": "b"})
    assert manager.run(flow, "x").output == "d"


def test_conditional_runs_all_that_match(manager: StateManager) -> None:
    """With `match="all"` the output is by name, and `otherwise` is for none."""
    manager.workflow_state("w").update({"a": 1, "c": [0]})
    flow = Conditional(
        "f",
        *(branch(key(name), says(name)) for name in "abc"),
        otherwise=says("d"),
        match="all",
    )
    assert manager.run(flow, "w").output == {"a": "a", "c": "c"}
    assert manager.run(flow, "x").output == {"d": "d"}
    assert manager.run(flow.using(otherwise=None), "y").output == {}


def test_conditional_is_completed_where_nothing_matches(manager: StateManager) -> None:
    """Without `otherwise` nothing is run, and the output is `None`."""
    result = manager.run(Conditional("f", branch(key("a"), says("a"))), "w")
    assert (result.status, result.output) == (Status.COMPLETED, None)
    assert dict(result.outputs) == {}


def test_conditional_keeps_to_what_it_chose(manager: StateManager) -> None:
    """A run that is continued takes the branch it took, whatever holds by now."""
    flow = Conditional("f", branch(key("a"), fails("a")), otherwise=says("b"))
    manager.workflow_state("w").set("a", 1)
    assert manager.run(flow, "w").status is Status.FAILED
    manager.workflow_state("w").set("a", 0)
    mended = Conditional("f", branch(key("a"), says("a")), otherwise=says("b"))
    assert manager.run(mended, "w").output == "a"


def test_conditional_fails_if_a_condition_raises(manager: StateManager) -> None:
    """The failure is that of the workflow, whose strategy applies to it."""
    broken = Conditional("c", branch(lambda state: state["none"], says("a")))
    result = manager.run(Sequential("f", broken, says("b")), "w")
    assert isinstance(result.failures["c"], ConditionError)
    assert result.status is Status.FAILED
    forgiving = Sequential("f", broken, says("b"), on_error="continue")
    assert manager.run(forgiving, "x").status is Status.COMPLETED_WITH_FAILURES


def test_condition_cannot_write(manager: StateManager) -> None:
    """Conditions only read: one that writes fails its workflow."""
    flow = Conditional("f", branch(lambda state: state.set("a", 1), says("a")))
    result = manager.run(flow, "w")
    assert result.status is Status.FAILED
    assert "only read" in str(result.failures[""])
    assert "a" not in manager.workflow_state("w")
