from collections.abc import Callable
from typing import Any

import pytest

from stateward import FlowChangedError, StateManager
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Sequential,
    StepContext,
    branch,
    step,
)
from stateward.workflows.flows import Node
from stateward.workflows.shape import shape_of, widest


def a(_: StepContext) -> None:
    """Do nothing."""


def b(_: StepContext) -> None:
    """Do nothing either."""


def always(_: Any) -> bool:
    """Hold."""
    return True


SHAPES: dict[str, Callable[[], Node]] = {
    "row": lambda: Sequential("f", a, b),
    "other order": lambda: Sequential("f", b, a),
    "other name": lambda: Sequential("g", a, b),
    "fewer": lambda: Sequential("f", a),
    "side by side": lambda: Parallel("f", a, b),
    "nested": lambda: Sequential("f", a, Sequential("g", b)),
    "nested elsewhere": lambda: Sequential("f", Sequential("g", a), b),
    "choice": lambda: Conditional("f", branch(always, a), branch(always, b)),
    "otherwise": lambda: Conditional("f", branch(always, a), otherwise=b),
    "all": lambda: Conditional("f", branch(always, a), branch(always, b), match="all"),
    "items": lambda: Loop("f", a, b, over=[1, 2]),
    "other items": lambda: Loop("f", a, b, over=[1, "2"]),
    "range": lambda: Loop("f", a, b, over=range(2)),
    "until": lambda: Loop("f", a, b, until=always),
    "names that run together": lambda: Sequential("f", step(name="a)(Step 1:b")(a)),
}


def test_shape_differs_where_steps_do() -> None:
    """No two flows are alike whose steps differ in number, order, name or place."""
    digests = {shape_of(make()) for make in SHAPES.values()}
    assert len(digests) == len(SHAPES)


@pytest.mark.parametrize("make", SHAPES.values(), ids=list(SHAPES))
def test_shape_is_the_same_each_time(make: Callable[[], Node]) -> None:
    """A flow that is made again, as after a restart, has the shape it had."""
    assert shape_of(make()) == shape_of(make())


def test_shape_leaves_out_what_may_be_mended() -> None:
    """Functions and options may change between two runs of a flow."""
    assert shape_of(Sequential("f", a)) == shape_of(
        Sequential("f", step(name="a", timeout=3, atomic=True)(b), timeout=60)
    )


def test_widest_is_found_at_any_depth() -> None:
    """The pool has to fit the widest branch of the flow, wherever it is."""
    inner = Parallel("p", a, b, max_concurrency=7)
    choice = Conditional("c", branch(always, b), otherwise=inner)
    assert widest(Loop("l", a, choice, over=[1])) == 7
    assert widest(Sequential("f", a, Parallel("p", b))) == 0


def test_change_is_named_where_it_can_be(manager: StateManager) -> None:
    """The error says which recorded step is gone, or what the flow was called."""
    body = Loop("l", a, over=[1])
    manager.run(Sequential("f", body, b), "w")
    with pytest.raises(FlowChangedError, match=r"no step 'l\[0\]/a' any more"):
        manager.run(Sequential("f", b), "w")
    with pytest.raises(FlowChangedError, match="begun with flow 'f', not 'g'"):
        manager.run(Sequential("g", body, b), "w")
    with pytest.raises(FlowChangedError, match="has changed since"):
        manager.run(Sequential("f", b, body), "w")
