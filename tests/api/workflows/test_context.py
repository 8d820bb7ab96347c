"""What a step is given, in every place of a flow."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from stateward import JsonValue, StateManager, UsageError
from stateward.actors.core.values import pack
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Conditional,
    Loop,
    Outputs,
    Parallel,
    Retry,
    Sequential,
    StepContext,
    branch,
    step,
)
from tests.threads import WAIT, Gate, eventually

Seen = dict[str, tuple[JsonValue, ...]]


def noting(seen: Seen) -> Callable[[StepContext], JsonValue]:
    """Return the function of a step that notes what it was given, by its path."""

    def note(ctx: StepContext) -> JsonValue:
        given = (ctx.workflow_id, ctx.step_name, ctx.attempt, ctx.iteration, ctx.item)
        seen[ctx.path] = given
        return ctx.path

    return note


def test_context_says_where_the_step_is(manager: StateManager) -> None:
    """Path, name, iteration and item follow from the place in the flow."""
    seen: Seen = {}
    a, b = (step(name=name)(noting(seen)) for name in "ab")
    flow = Sequential(
        "f",
        a,
        Parallel("p", a, b),
        Conditional("c", branch(lambda _: True, a)),
        Loop("outer", Loop("inner", b, over=["x", "y"]), a, over=[1, 2]),
    )
    manager.run(flow, "w").raise_for_failure()
    outside = ("w", "a", 1, None, None)
    assert seen == {
        "a": outside,
        "p/a": outside,
        "p/b": ("w", "b", 1, None, None),
        "c/a": outside,
        "outer[0]/inner[0]/b": ("w", "b", 1, 0, "x"),
        "outer[0]/inner[1]/b": ("w", "b", 1, 1, "y"),
        "outer[0]/a": ("w", "a", 1, 0, 1),
        "outer[1]/inner[0]/b": ("w", "b", 1, 0, "x"),
        "outer[1]/inner[1]/b": ("w", "b", 1, 1, "y"),
        "outer[1]/a": ("w", "a", 1, 1, 2),
    }


def test_context_counts_attempts(manager: StateManager) -> None:
    """The first attempt is number 1."""
    numbers: list[int] = []

    @step(retry=Retry(attempts=3, backoff=0))
    def third_time(ctx: StepContext) -> None:
        numbers.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ZeroDivisionError

    assert manager.run(Sequential("f", third_time), "w").ok
    assert numbers == [1, 2, 3]


def test_context_names_the_scope_of_the_step_by_its_path(
    manager: StateManager,
) -> None:
    """Steps of one name in different places do not share a scope."""

    def write(ctx: StepContext) -> None:
        ctx.step_state["path"] = ctx.path
        ctx.state[ctx.path] = True

    a = step(name="a")(write)
    flow = Sequential("f", a, Parallel("p", a), Loop("l", a, over=[1, 2]))
    manager.run(flow, "w").raise_for_failure()
    state = manager.workflow_state("w")
    paths = {"a", "p/a", "l[0]/a", "l[1]/a"}
    assert set(state.steps()) == set(state) == paths
    assert {path: state.step(path)["path"] for path in paths} == {
        it: it for it in paths
    }


def test_context_gives_private_copies(manager: StateManager) -> None:
    """What a step does to its input, item or outputs is seen by no other step."""

    def meddle(ctx: StepContext) -> JsonValue:
        values: list[Any] = [ctx.input, ctx.item]
        if "a" in ctx.outputs:
            values.append(ctx.outputs["a"])
        for value in values:
            assert value == [1]
            value.append(2)
        return [1]

    a, b = (step(name=name)(meddle) for name in "ab")
    flow = Loop("l", a, b, over=[[1], [1]])
    manager.run(Sequential("f", flow), "w", input=[1]).raise_for_failure()


def test_context_has_no_input_where_none_was_given(manager: StateManager) -> None:
    """It is `None`, as if that had been given."""
    given = step(name="s")(lambda ctx: [ctx.input])
    assert manager.run(Sequential("f", given), "w").output == [None]


def test_outputs_are_those_of_nodes_that_have_ended(manager: StateManager) -> None:
    """Steps and whole workflows are there, by path, and nothing that is to come."""
    seen: list[dict[str, JsonValue]] = []

    def look(ctx: StepContext) -> JsonValue:
        seen.append(dict(ctx.outputs))
        assert len(ctx.outputs) == len(seen[-1])
        return ctx.step_name

    a, b, c = (step(name=name)(look) for name in "abc")
    flow = Sequential("f", a, Parallel("p", b), Loop("l", b, over=[1]), c)
    manager.run(flow, "w").raise_for_failure()
    after_p = {"a": "a", "p/b": "b", "p": {"b": "b"}}
    assert seen == [
        {},
        {"a": "a"},
        after_p,
        {**after_p, "l[0]/b": "b", "l": ["b"]},
    ]


OUTPUTS = {
    "": "whole",
    "a": "a",
    "b": "b",
    "p/a": "p/a",
    "p/q/a": "p/q/a",
    "l[0]/a": "l[0]/a",
    "l[1]/c": "l[1]/c",
}


@pytest.mark.parametrize(
    ("path", "name", "found"),
    [
        ("x", "a", "a"),
        ("p/x", "a", "p/a"),
        ("p/x", "b", "b"),
        ("p/x", "q/a", "p/q/a"),
        ("p/q/x", "a", "p/q/a"),
        ("p/q/x", "b", "b"),
        ("p/q/r/x", "a", "p/q/a"),
        ("l[0]/x", "a", "l[0]/a"),
        ("l[1]/x", "a", "a"),
        ("l[1]/x", "c", "l[1]/c"),
        ("l[1]/x", "l[0]/a", "l[0]/a"),
        ("p/q/x", "p/a", "p/a"),
    ],
)
def test_outputs_are_found_by_the_nearest_name(
    path: str, name: str, found: str
) -> None:
    """Siblings come first, then those further out; a path works from everywhere."""
    outputs = Outputs({key: pack(value) for key, value in OUTPUTS.items()}, path)
    assert outputs[name] == found
    assert name in outputs


@pytest.mark.parametrize(
    ("path", "name"), [("x", "c"), ("l[0]/x", "c"), ("p/x", "r"), ("x", "q/a")]
)
def test_outputs_of_what_has_not_ended_are_missing(path: str, name: str) -> None:
    """There is an error, and no `None` that could be taken for an output."""
    outputs = Outputs({key: pack(value) for key, value in OUTPUTS.items()}, path)
    with pytest.raises(KeyError, match=name):
        outputs[name]
    assert name not in outputs
    assert outputs.get(name, 7) == 7


def test_outputs_are_shown_with_their_paths() -> None:
    """The output of the whole flow, which has no path, is not one of them."""
    outputs = Outputs({"": pack(1), "a": pack([2])}, "b")
    assert (list(outputs), len(outputs)) == (["a"], 1)
    assert repr(outputs) == "Outputs({'a': [2]})"


def test_cancelled_is_true_once_nobody_waits(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """A function that asks can end early when its attempt was given up."""
    gate, seen = Gate(), []

    @step(timeout=5)
    def asks(ctx: StepContext) -> None:
        seen.append(ctx.cancelled)
        gate(None)
        seen.append(ctx.cancelled)

    run = manager.start(Sequential("f", asks), "w")
    gate.wait_until_entered()
    clock.advance(5)
    run.result(WAIT)
    gate.open()
    eventually(lambda: len(seen) == 2, "the function goes on")
    assert seen == [False, True]


def test_logger_says_which_step_it_was(
    manager: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Each record has workflow, path and attempt as fields of its own."""

    @step
    def logs(ctx: StepContext) -> None:
        ctx.logger.info("rows: %d", 3)

    with caplog.at_level(logging.INFO, "stateward.steps"):
        manager.run(Parallel("p", logs), "w").raise_for_failure()
    (record,) = [it for it in caplog.records if it.name == "stateward.steps"]
    assert record.getMessage() == "rows: 3"
    fields = vars(record)
    assert fields["workflow_id"] == "w"
    assert fields["step_path"] == "logs"
    assert fields["attempt"] == 1


def test_break_loop_ends_the_innermost_loop(manager: StateManager) -> None:
    """The rest of the iteration is left out, and the loop around it goes on."""
    seen: list[str] = []

    def inner(ctx: StepContext) -> JsonValue:
        seen.append(ctx.path)
        if ctx.iteration == 1:
            ctx.break_loop()
            seen.append("still here")
        return ctx.iteration

    def rest(ctx: StepContext) -> JsonValue:
        seen.append(ctx.path)
        return ctx.outputs["a"]

    a, b = step(name="a")(inner), step(name="b")(rest)
    flow = Loop("o", Loop("i", a, b, over=range(5)), over=range(2))
    assert manager.run(Sequential("f", flow), "w").output == [[0, 1], [0, 1]]
    once = ["o[0]/i[0]/a", "o[0]/i[0]/b", "o[0]/i[1]/a", "still here"]
    assert seen == once + [path.replace("o[0]", "o[1]") for path in once]


@pytest.mark.parametrize("atomic", [False, True])
def test_break_loop_is_refused_outside_of_loops(
    manager: StateManager, atomic: bool
) -> None:
    """There is nothing to break out of; the step may go on."""

    def breaks(ctx: StepContext) -> None:
        with pytest.raises(UsageError, match="is in no loop"):
            ctx.break_loop()

    flow = Sequential("f", step(name="s", atomic=atomic)(breaks))
    manager.run(flow, "w").raise_for_failure()
