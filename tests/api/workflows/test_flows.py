from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from stateward import InvalidFlowError, StateManager
from stateward.workflows import (
    Branch,
    Conditional,
    First,
    Loop,
    Parallel,
    Retry,
    Sequential,
    Skip,
    branch,
    step,
)
from stateward.workflows.flows import Node, as_flow


def a(_: Any) -> str:
    """Return its name."""
    return "a"


def b(_: Any) -> str:
    """Return its name."""
    return "b"


def always(_: Any) -> bool:
    """Hold."""
    return True


async def later(_: Any) -> bool:
    """Hold, but not at once."""
    return True


KINDS: dict[str, Callable[..., Node]] = {
    "Sequential": Sequential,
    "Parallel": Parallel,
    "Conditional": lambda name, *steps, **options: Conditional(
        name, *(branch(always, each) for each in steps), **options
    ),
    "Loop": lambda name, *steps, **options: Loop(name, *steps, over=[1], **options),
}

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=list(KINDS))


@each_kind
def test_flow_makes_steps_of_functions(make: Callable[..., Any]) -> None:
    """A function in a flow is a step with its name and no options."""
    flow = make("f", a, step(name="c", timeout=3)(b))
    assert [(each.name, each.timeout) for each in flow.steps] == [("a", None), ("c", 3)]
    assert (flow.retry, flow.on_error, flow.timeout) == (None, None, None)


@each_kind
def test_flow_is_equal_to_one_made_alike(make: Callable[..., Any]) -> None:
    """Flows are values: compared by what they are made of, and not to be changed."""
    flow = make("f", a, b)
    assert flow == make("f", a, b)
    assert flow != make("f", b, a)
    with pytest.raises(AttributeError):
        flow.name = "g"


@each_kind
def test_flow_using_returns_another_flow(make: Callable[..., Any]) -> None:
    """A copy has the options that were named, and the others as they were."""
    flow = make("f", a, b, timeout=3, retry=Retry(attempts=2))
    other = flow.using(name="g", timeout=None, on_error="continue")
    assert (other.name, other.timeout, other.on_error) == ("g", None, "continue")
    assert (other.retry, other.steps) == (flow.retry, flow.steps)
    assert type(other) is type(flow)
    assert flow.using() == flow


@each_kind
def test_flow_refuses_an_unknown_option(make: Callable[..., Any]) -> None:
    """An option that this kind does not have is refused, first and later."""
    with pytest.raises(TypeError, match="retries"):
        make("f", a, retries=3)
    with pytest.raises(InvalidFlowError, match="has no option 'retries'; it has"):
        make("f", a).using(retries=3)


@each_kind
def test_flow_refuses_to_be_empty(make: Callable[..., Any]) -> None:
    """A workflow without steps is a mistake."""
    with pytest.raises(InvalidFlowError, match=r"'f' has no (steps|branches)"):
        make("f")


@each_kind
def test_flow_refuses_two_steps_of_one_name(make: Callable[..., Any]) -> None:
    """The error names the step and the way to rename it."""
    with pytest.raises(InvalidFlowError, match=r"two steps called 'a'.*using"):
        make("f", a, b, a)
    with pytest.raises(InvalidFlowError, match="two steps called 'a'"):
        make("f", a, Sequential("a", b))
    assert make("f", a, Sequential("g", a))


@each_kind
@pytest.mark.parametrize("name", ["", "a/b", "f[0]", "]", "a\0", "\ud800", 1, None])
def test_flow_refuses_a_name_no_path_can_hold(
    make: Callable[..., Any], name: Any
) -> None:
    """A name that would make paths ambiguous is refused, first and later."""
    with pytest.raises(InvalidFlowError, match="workflow name"):
        make(name, a)
    with pytest.raises(InvalidFlowError, match="workflow name"):
        make("f", a).using(name=name)


@each_kind
@pytest.mark.parametrize("part", [dict, StateManager, None, 3, "a", [a], deque()])
def test_flow_refuses_what_is_no_step(make: Callable[..., Any], part: Any) -> None:
    """Classes, lists of steps and values are no steps."""
    with pytest.raises(InvalidFlowError, match="neither a step nor a workflow"):
        make("f", a, part)


@each_kind
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry", 3),
        ("on_error", "ignore"),
        ("on_error", Retry()),
        ("timeout", 0),
        ("timeout", -3),
        ("timeout", "1"),
        ("timeout", True),
    ],
)
def test_flow_refuses_an_option_that_makes_no_sense(
    make: Callable[..., Any], option: str, value: Any
) -> None:
    """The error names the option and the workflow."""
    with pytest.raises(InvalidFlowError, match=f"{option} of [a-z]+ 'f' is "):
        make("f", a, **{option: value})
    with pytest.raises(InvalidFlowError, match=f"{option} of [a-z]+ 'f' is "):
        make("f", a).using(**{option: value})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_concurrency": 0}, "max_concurrency of 'f' is 0"),
        ({"max_concurrency": -2}, "max_concurrency of 'f' is -2"),
        ({"max_concurrency": 1.5}, "max_concurrency of 'f' is 1.5"),
        ({"fail_fast": 1}, "fail_fast is 1, not a bool"),
        ({"fail_fast": "no"}, "fail_fast is 'no'"),
        ({"optional": "a"}, "optional is the string 'a', not names"),
        ({"optional": ["a", "c"]}, "'f' has no branch 'c'"),
        ({"optional": 3}, "optional"),
        ({"optional": [["a"]]}, "optional"),
        ({"optional": [3, "c"]}, "'f' has no branch"),
    ],
)
def test_parallel_refuses_what_makes_no_sense(options: Any, reason: str) -> None:
    """Each option of `Parallel` is checked when the flow is made."""
    with pytest.raises(InvalidFlowError, match=reason):
        Parallel("f", a, b, **options)


def test_conditional_refuses_what_is_no_branch() -> None:
    """A condition and a step have to be put together by `branch`."""
    with pytest.raises(InvalidFlowError, match=r"is not made by branch\(\.\.\.\)"):
        Conditional("f", a)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidFlowError, match=r"is not made by branch\(\.\.\.\)"):
        Conditional("f", (always, a))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidFlowError, match="'f' has no branches"):
        Conditional("f", otherwise=a)
    with pytest.raises(InvalidFlowError, match="match is 'any', not 'first' or 'all'"):
        Conditional("f", branch(always, a), match="any")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidFlowError, match="two steps called 'a'"):
        Conditional("f", branch(always, a), otherwise=a)
    with pytest.raises(InvalidFlowError, match="neither a step nor a workflow"):
        Conditional("f", branch(always, a), otherwise=3)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("condition", "reason"),
    [(True, "cannot be called"), ("x", "cannot be called"), (later, "is async")],
)
def test_condition_is_a_plain_function(condition: Any, reason: str) -> None:
    """A value, or a function that has to be awaited, is no condition."""
    with pytest.raises(InvalidFlowError, match=reason):
        branch(condition, a)
    with pytest.raises(InvalidFlowError, match=reason):
        Loop("f", a, while_=condition)
    with pytest.raises(InvalidFlowError, match=reason):
        Loop("f", a, until=condition)


def test_branch_cannot_get_round_its_checks() -> None:
    """A `Branch` made directly holds what `branch` would have checked."""
    with pytest.raises(InvalidFlowError, match="is async"):
        Conditional("f", Branch(later, step(a)))
    with pytest.raises(InvalidFlowError, match="neither a step nor a workflow"):
        Conditional("f", Branch(always, 3))  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "neither over nor while_ nor until"),
        ({"while_": always, "until": always}, "while_ and until; one is enough"),
        ({"over": "abc"}, "over of loop 'f' is 'abc', not items"),
        ({"over": b"abc"}, "over of loop 'f'"),
        ({"over": {"a": 1}}, "not items"),
        ({"over": 3}, "over of loop 'f' is 3, not items"),
        ({"over": [1, {2}]}, r"over of loop 'f': .*\[1\]"),
        ({"over": [object()]}, "over of loop 'f': "),
        ({"over": [float("nan")]}, "over of loop 'f': "),
        ({"over": later}, "is async"),
        ({"over": [1], "max_iterations": 0}, "max_iterations of loop 'f' is 0"),
        ({"over": [1], "max_iterations": -1}, "max_iterations of loop 'f' is -1"),
        ({"over": [1], "max_iterations": "3"}, "max_iterations of loop 'f' is '3'"),
        ({"over": [1], "on_limit": "raise"}, "on_limit is 'raise', not fail or stop"),
        ({"over": [1], "collect": "some"}, "collect is 'some', not 'all'"),
        ({"over": [1], "collect": First}, "collect is "),
        ({"over": [1], "collect": 3}, "collect is 3"),
        ({"over": [1], "delay": -1}, "delay of loop 'f' is -1"),
        ({"over": [1], "delay": "1"}, "delay of loop 'f' is '1'"),
        ({"over": [1], "delay": float("inf")}, "delay of loop 'f' is inf"),
    ],
)
def test_loop_refuses_what_makes_no_sense(options: Any, reason: str) -> None:
    """Each option of `Loop` is checked when the flow is made."""
    with pytest.raises(InvalidFlowError, match=reason):
        Loop("f", a, **options)


@pytest.mark.parametrize(
    ("over", "items"),
    [
        ([1, 2], (1, 2)),
        ((1, 2), (1, 2)),
        (deque("ab"), ("a", "b")),
        (iter([None, {"a": [1]}]), (None, {"a": [1]})),
        ([], ()),
        (range(3), range(3)),
        (always, always),
    ],
)
def test_loop_takes_any_collection(over: Any, items: Any) -> None:
    """Items are taken once, when the flow is made; a range stays a range."""
    assert Loop("f", a, over=over).over == items


def test_loop_keeps_a_copy_of_its_items() -> None:
    """A list that is changed afterwards does not change the flow."""
    items = [1]
    flow = Loop("f", a, over=items)
    items.append(2)
    assert flow.over == (1,)


def test_loop_using_can_change_what_it_goes_over() -> None:
    """Each option of a loop can be changed in a copy."""
    flow = Loop("f", a, over=[1], collect=First(1), delay=2, max_iterations=3)
    other = flow.using(over=None, until=always, on_limit="stop")
    assert (other.over, other.until, other.on_limit) == (None, always, "stop")
    assert (other.collect, other.delay, other.max_iterations) == (First(1), 2, 3)


def test_flow_of_a_function_is_a_step(manager: StateManager) -> None:
    """A single function can be run, under its own name."""
    flow = Sequential("f", a)
    assert as_flow(flow) is flow
    assert as_flow(a) == step(a)
    assert manager.run(a, "w").outputs == {"a": "a"}
    assert manager.run(step(name="s", on_error=Skip())(b), "x").outputs == {"s": "b"}


@pytest.mark.parametrize("flow", [None, "f", 3, dict, [a], Sequential, lambda: None])
def test_run_refuses_what_is_no_flow(manager: StateManager, flow: Any) -> None:
    """What is not a flow is refused before anything is run or recorded."""
    with pytest.raises(InvalidFlowError):
        manager.run(flow, "w")
    assert manager.run_ids() == []
    assert manager.run_state("w") is None
