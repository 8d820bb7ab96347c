"""Strategies for plans of flows of all kinds, nested, with all that can go wrong."""

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from property_tests.workflows.plans import (
    Act,
    BangError,
    Below,
    BoomError,
    Kind,
    Plan,
    Reached,
)
from property_tests.workflows.plans import StepPlan as Leaf
from property_tests.workflows.plans import TreePlan as Tree
from stateward.workflows import First, Last, Retry, Skip

ACTS: Final[SearchStrategy[Act]] = st.sampled_from(
    ("ok", "ok", "boom", "bang", "break")
)
HANG: Final[SearchStrategy[Act]] = st.just("hang")
KINDS: Final[SearchStrategy[Kind]] = st.sampled_from(
    ("sequential", "parallel", "conditional", "loop")
)
ERRORS_ON: Final = st.sampled_from(
    [(Exception,), (BoomError,), (BangError,), (TimeoutError,)]
)
COLLECT: Final = st.sampled_from(["all", "last", "none", First(1), Last(1), First(2)])
ITEMS: Final = st.one_of(
    st.lists(st.sampled_from([0, "a", None, [1]]), max_size=3).map(tuple),
    st.integers(0, 3).map(range),
)


def retries() -> SearchStrategy[Retry | None]:
    """Return retries whose delays are whole seconds."""
    return st.none() | st.builds(
        Retry,
        attempts=st.integers(1, 3),
        backoff=st.sampled_from([0, 0, 1]),
        jitter=st.just(0),
        on=ERRORS_ON,
    )


def strategies() -> SearchStrategy[Any]:
    """Return what becomes of a node that fails."""
    skips = st.builds(Skip, st.sampled_from([None, {"n": 0}]), ERRORS_ON)
    return st.sampled_from([None, None, "fail", "continue"]) | skips


@st.composite
def leaves(draw: DrawFn, *, timed: bool, atomic: bool) -> Plan:
    """Return a step; its name is given later."""
    acts = draw(st.lists(ACTS, min_size=1, max_size=3))
    timeout: float | None = None
    if draw(st.integers(0, 4)) == 0:
        # Where other branches move the clock, who has a timeout waits for it.
        timeout = draw(st.sampled_from([0.5, 1.5]))
        acts = [draw(ACTS | HANG)] if timed else ["hang"]
    return Leaf(
        name="",
        acts=tuple(acts),
        seconds=draw(st.sampled_from([0, 0, 1, 2])) if timed else 0,
        retry=draw(retries()),
        on_error=draw(strategies()),
        timeout=timeout,
        atomic=atomic or draw(st.booleans()),
    )


@st.composite
def trees_of(
    draw: DrawFn, inside: SearchStrategy[Plan], *, timed: bool, fast: bool
) -> Plan:
    """Return a workflow whose steps are drawn from `inside`."""
    kind = draw(KINDS)
    steps = tuple(draw(st.lists(inside, min_size=1, max_size=3)))
    options: dict[str, Any] = {"retry": draw(retries()), "on_error": draw(strategies())}
    if timed and draw(st.integers(0, 3)) == 0:
        options["timeout"] = draw(st.sampled_from([0.25, 1.25, 3.25]))
    if kind == "parallel":
        most = st.just(1) if timed else st.sampled_from([None, None, 1, 2])
        options["max_concurrency"] = draw(most)
        options["fail_fast"] = fast and draw(st.booleans())
    if kind == "parallel" or (kind == "loop" and draw(st.booleans())):
        options["_marks"] = draw(st.sets(st.integers(0, len(steps) - 1)))
    if kind == "conditional":
        options["match"] = draw(st.sampled_from(["first", "all"]))
        options["_otherwise"] = len(steps) > 1 and draw(st.booleans())
    if kind == "loop":
        options.update(draw(loops(timed=timed)))
    options["_least"] = draw(st.integers(0, 3))
    return Tree(kind=kind, name="", steps=steps, options=options)


@st.composite
def loops(draw: DrawFn, *, timed: bool) -> dict[str, Any]:
    """Return options of a loop that ends."""
    options: dict[str, Any] = {"collect": draw(COLLECT)}
    options["_ask"] = draw(st.sampled_from([None, "while_", "until"]))
    if options["_ask"] is None or draw(st.booleans()):
        options["over"] = draw(ITEMS)
    if options.get("over") is None or draw(st.booleans()):
        options["max_iterations"] = draw(st.integers(1, 3))
        options["on_limit"] = draw(st.sampled_from(["fail", "stop"]))
    if timed:
        options["delay"] = draw(st.sampled_from([0, 0, 1]))
    return options


def plans(
    *,
    timed: bool = False,
    atomic: bool = False,
    fast: bool = True,
    size: int = 8,
) -> SearchStrategy[Plan]:
    """Return flows.

    Args:
        timed: Whether steps and pauses take time, and workflows have timeouts; then
            branches run one by one, so that it is known when each does what.
        atomic: Whether all steps are.
        fast: Whether a branch that fails may cancel the others.
        size: Of how many steps there are at most.
    """
    drawn = st.recursive(
        leaves(timed=timed, atomic=atomic),
        lambda inside: trees_of(inside, timed=timed, fast=fast),
        max_leaves=size,
    )
    return drawn.map(lambda plan: named(plan, iter(range(1000))))


def named(plan: Plan, numbers: Any) -> Plan:
    """Return a plan with a name for each node, and conditions on what is in it."""
    if isinstance(plan, Leaf):
        return replace(plan, name=f"s{next(numbers)}")
    steps = tuple(named(step, numbers) for step in plan.steps)
    name = f"{plan.kind[0]}{next(numbers)}"
    options = {key: it for key, it in plan.options.items() if key[0] != "_"}
    least, step = plan.option("_least"), first_leaf(steps[0])
    conditions: tuple[Reached, ...] = ()
    if plan.kind == "parallel":
        options["optional"] = [steps[place].name for place in plan.option("_marks")]
    if plan.kind == "conditional":
        count = len(steps) - plan.option("_otherwise")
        conditions = tuple(
            Reached(first_leaf(steps[place]).name, (least + place) % 3)
            for place in range(count)
        )
    match plan.option("_ask"):
        case "while_":
            options["while_"] = Below(step.name, least)
        case "until":
            options["until"] = Reached(step.name, least)
    return replace(plan, name=name, steps=steps, conditions=conditions, options=options)


def first_leaf(plan: Plan) -> Plan:
    """Return the first step in a plan."""
    while isinstance(plan, Tree):
        plan = plan.steps[0]
    return plan
