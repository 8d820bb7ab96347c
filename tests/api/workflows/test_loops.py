from collections.abc import Callable
from typing import Any

import pytest

from stateward import ConditionError, IterationLimitError, StateManager, UsageError
from stateward.testing import SimulatedClock
from stateward.workflows import (
    First,
    Last,
    Loop,
    Parallel,
    RunResult,
    Sequential,
    Status,
    StepContext,
    step,
)
from tests.support import ManualDispatcher
from tests.threads import WAIT


def item(ctx: StepContext) -> Any:
    """Return what the iteration is for."""
    return ctx.item


def iteration(ctx: StepContext) -> Any:
    """Return the number of the iteration."""
    return ctx.iteration


def count(ctx: StepContext) -> Any:
    """Count in the state, and return how often."""
    return ctx.state.increment("n")


def below(number: int) -> Callable[[Any], object]:
    """Return a condition: that it was counted less often."""
    return lambda state: state.get("n", 0) < number


def at_least(number: int) -> Callable[[Any], object]:
    """Return a condition: that it was counted so often."""
    return lambda state: state.get("n", 0) >= number


def paths(result: RunResult) -> list[str]:
    """Return the paths of all that is recorded."""
    return [each.path for each in result.steps]


@pytest.mark.parametrize(
    ("over", "items"),
    [
        (["a", None, {"b": [1]}], ["a", None, {"b": [1]}]),
        (range(4, 0, -2), [4, 2]),
        ([], []),
        (range(0), []),
        (sorted, ["a", "b"]),
        (lambda state: range(state["a"]), [0, 1, 2]),
        (lambda state: (name for name in ("x", "y")), ["x", "y"]),  # noqa: ARG005  # made anew
    ],
)
def test_loop_runs_once_for_each_item(
    manager: StateManager, over: Any, items: list[Any]
) -> None:
    """Items come from a collection, a range, or a function of the state."""
    manager.workflow_state("w").update({"b": 1, "a": 3})
    result = manager.run(Loop("l", item, over=over), "w")
    assert (result.status, result.output) == (Status.COMPLETED, items)


def test_loop_runs_while_its_condition_holds(manager: StateManager) -> None:
    """`while_` is looked at before each iteration, also before the first."""
    flow = Loop("l", count, while_=below(3))
    assert manager.run(flow, "w").output == [1, 2, 3]
    manager.workflow_state("x").set("n", 5)
    assert manager.run(flow, "x").output == []


def test_loop_runs_until_its_condition_holds(manager: StateManager) -> None:
    """`until` is looked at after each iteration, so there is at least one."""
    flow = Loop("l", count, until=at_least(3))
    assert manager.run(flow, "w").output == [1, 2, 3]
    manager.workflow_state("x").set("n", 5)
    assert manager.run(flow, "x").output == [6]


@pytest.mark.parametrize(
    "options", [{"while_": below(2)}, {"until": at_least(2)}, {"max_iterations": 2}]
)
def test_loop_over_items_can_end_early(
    manager: StateManager, options: dict[str, Any]
) -> None:
    """Items and a condition together end with whichever ends first."""
    flow = Loop("l", count, over=range(5), on_limit="stop", **options)
    assert manager.run(flow, "w").output == [1, 2]
    shorter = flow.using(over=range(1))
    assert manager.run(shorter, "x").output == [1]


def test_loop_fails_at_its_limit(manager: StateManager) -> None:
    """A loop that is not over after `max_iterations` fails, what it did being kept."""
    flow = Loop("l", count, until=at_least(9), max_iterations=3)
    result = manager.run(Sequential("f", flow), "w")
    assert result.status is Status.FAILED
    error = result.failures["l"]
    assert isinstance(error, IterationLimitError)
    assert "'l' is not over after 3 iterations" in str(error)
    assert manager.workflow_state("w")["n"] == 3


@pytest.mark.parametrize("options", [{"while_": below(9)}, {"until": at_least(9)}])
def test_loop_stops_at_its_limit_if_it_may(
    manager: StateManager, options: dict[str, Any]
) -> None:
    """With `on_limit="stop"` the limit is an end like any other."""
    flow = Loop("l", count, max_iterations=3, on_limit="stop", **options)
    assert manager.run(flow, "w").output == [1, 2, 3]


def test_loop_limit_allows_as_many_as_it_says(manager: StateManager) -> None:
    """A loop that is over just at its limit has not reached it."""
    flow = Loop("l", item, over=range(3), max_iterations=3)
    assert manager.run(flow, "w").ok
    until = Loop("l", count, until=at_least(3), max_iterations=3)
    assert manager.run(until, "x").ok


@pytest.mark.parametrize(
    ("collect", "output"),
    [
        ("all", [0, 1, 2, 3]),
        ("last", 3),
        ("none", None),
        (First(1), [0]),
        (First(9), [0, 1, 2, 3]),
        (Last(2), [2, 3]),
        (Last(9), [0, 1, 2, 3]),
    ],
)
def test_loop_collects_what_it_is_told_to(
    manager: StateManager, collect: Any, output: Any
) -> None:
    """The output is all outputs, the first, the last, or none."""
    flow = Loop("l", iteration, over=range(4), collect=collect)
    assert manager.run(flow, "w").output == output


def test_loop_output_is_that_of_the_last_step_in_it(manager: StateManager) -> None:
    """One iteration runs its steps in a row, and begins with no output."""
    flow = Loop("l", item, iteration, over=["a", "b"])
    result = manager.run(flow, "w")
    assert result.output == [0, 1]
    assert paths(result) == ["[0]/item", "[0]/iteration", "[1]/item", "[1]/iteration"]


def breaking(ctx: StepContext) -> Any:
    """Break out of the second iteration."""
    if ctx.iteration == 1:
        ctx.break_loop()
    return ctx.iteration


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (breaking, [0, 1]),
        (Sequential("s", Sequential("t", breaking, item), item), ["a", 1]),
        (Parallel("p", breaking), [{"breaking": 0}, {"breaking": 1}]),
        (Parallel("p", Sequential("s", breaking)), [{"s": 0}, {"s": 1}]),
    ],
)
def test_break_ends_the_loop_from_any_depth(
    manager: StateManager, body: Any, output: Any
) -> None:
    """The rest of the iteration is left out, and its output counts."""
    late = step(name="late")(item)
    flow = Loop("l", body, late, over=["a", "b", "c"])
    result = manager.run(flow, "w")
    assert result.output == ["a", output[1]]
    assert "[1]/late" not in result.outputs
    alone = Loop("l", body, over=["a", "b", "c"])
    assert manager.run(alone, "x").output == output


def test_break_leaves_loops_further_out_alone(manager: StateManager) -> None:
    """Only the innermost loop around the step ends."""
    inner = Loop("i", breaking, over=range(5))
    result = manager.run(Loop("o", inner, over=range(2)), "w")
    assert result.output == [[0, 1], [0, 1]]


def test_break_outside_of_a_loop_is_refused(manager: StateManager) -> None:
    """A step that is in no loop has none to break out of."""

    def lost(ctx: StepContext) -> None:
        ctx.break_loop()

    result = manager.run(Sequential("f", lost), "w")
    assert isinstance(result.failures["lost"], UsageError)


def test_nested_loops_have_unambiguous_paths(manager: StateManager) -> None:
    """Each iteration of each loop around a step is in its path."""
    where = step(name="x")(lambda ctx: [ctx.path, ctx.item, ctx.iteration])
    flow = Sequential(
        "f", Loop("outer", Loop("inner", where, over=["a", "b"]), over=range(2))
    )
    result = manager.run(flow, "w")
    assert paths(result) == [
        f"outer[{outer}]/inner[{inner}]/x" for outer in (0, 1) for inner in (0, 1)
    ]
    assert result.outputs["outer[1]/inner[0]/x"] == ["outer[1]/inner[0]/x", "a", 0]


def test_loop_delays_all_but_the_first_iteration(
    paused: StateManager, clock: SimulatedClock, dispatcher: ManualDispatcher
) -> None:
    """Between two iterations pass `delay` seconds, and none after the last."""
    begun: list[float] = []
    note = step(name="s")(lambda _: begun.append(clock.now()))
    run = paused.start(Loop("l", note, over=range(3), delay=5), "w")
    start = clock.now()
    dispatcher.run()
    for seconds in (4, 1, 5):
        assert not run.done()
        clock.advance(seconds)
        dispatcher.run()
    assert run.result(WAIT).seconds == 10
    assert [moment - start for moment in begun] == [0, 5, 10]


def test_loop_goes_on_after_its_last_iteration(manager: StateManager) -> None:
    """A loop that is run again repeats no iteration, nor asks again what is over."""
    fails = [True]

    def work(ctx: StepContext) -> Any:
        if ctx.iteration == 2 and fails:
            raise ValueError
        return ctx.state.increment("n")

    asked: list[int] = []

    def items(_: Any) -> list[str]:
        asked.append(1)
        return ["a", "b", "c"][: 3 if fails else 1]

    flow = Loop("l", work, item, over=items)
    assert manager.run(flow, "w").status is Status.FAILED
    fails.clear()
    result = manager.run(flow, "w")
    assert (result.output, asked) == (["a", "b", "c"], [1])
    assert manager.workflow_state("w")["n"] == 3


@pytest.mark.parametrize("options", [{"while_": below(4)}, {"until": at_least(4)}])
def test_loop_does_not_ask_again_what_was_answered(
    manager: StateManager, options: dict[str, Any]
) -> None:
    """Answers are recorded, so that an iteration that began is not taken back."""
    fails = [True]

    def work(ctx: StepContext) -> Any:
        if ctx.iteration == 2 and fails:
            ctx.state.set("n", 9)
            raise ValueError
        return ctx.state.increment("n")

    flow = Loop("l", work, **options)
    assert manager.run(flow, "w").status is Status.FAILED
    fails.clear()
    assert manager.run(flow, "w").output == [1, 2, 10]


@pytest.mark.parametrize("found", ["abc", b"abc", {"a": 1}, None, 3, [{1}], [1.0, {}]])
def test_loop_fails_if_its_items_are_nonsense(
    manager: StateManager, found: Any
) -> None:
    """What a function returns is checked as what is given outright."""
    result = manager.run(Sequential("f", Loop("l", item, over=lambda _: found)), "w")
    assert result.ok is (found == [1.0, {}])
    if not result.ok:
        assert isinstance(result.failures["l"], ConditionError)
        assert "over of 'l'" in str(result.failures["l"])


@pytest.mark.parametrize("option", ["over", "while_", "until"])
def test_loop_fails_if_a_condition_raises(manager: StateManager, option: str) -> None:
    """The error names the loop, and is chained from what was raised."""
    options: dict[str, Any] = {option: lambda state: state["none"]}
    result = manager.run(Sequential("f", Loop("l", item, **options)), "w")
    error = result.failures["l"]
    assert isinstance(error, ConditionError)
    assert isinstance(error.__cause__, KeyError)
    assert "'l' raised" in str(error)
