"""Strategies for plans of flows of all kinds, nested, with all that can go wrong."""

from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from stateward.testing.plans import (
    Act,
    Anything,
    BangError,
    Below,
    BoomError,
    Kind,
    Plan,
    Reached,
)
from stateward.testing.plans import StepPlan as Leaf
from stateward.testing.plans import TreePlan as Tree
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What a plan has to do with time."""

    backoff: int
    timeouts: bool
    timed: bool


def retries(backoff: int) -> SearchStrategy[Retry | None]:
    """Return retries that wait so many seconds, if at all."""
    return st.none() | st.builds(
        Retry,
        attempts=st.integers(1, 3),
        backoff=st.sampled_from([0, 0, backoff]),
        jitter=st.just(0),
        on=ERRORS_ON,
    )


def strategies() -> SearchStrategy[Anything]:
    """Return what becomes of a node that fails."""
    skips = st.builds(Skip, st.sampled_from([None, {"n": 0}]), ERRORS_ON)
    return st.sampled_from([None, None, "fail", "continue"]) | skips


@st.composite
def leaves(draw: DrawFn, times: Times, *, atomic: bool) -> Plan:
    """Return a step; its name is given later."""
    acts = draw(st.lists(ACTS, min_size=1, max_size=3))
    timeout: float | None = None
    if times.timeouts and draw(st.integers(0, 4)) == 0:
        # Where other branches move the clock, who has a timeout waits for it.
        timeout = draw(st.sampled_from([0.5, 1.5]))
        acts = [draw(ACTS | HANG)] if times.timed else ["hang"]
    return Leaf(
        name="",
        acts=tuple(acts),
        seconds=draw(st.sampled_from([0, 0, 1, 2])) if times.timed else 0,
        retry=draw(retries(times.backoff)),
        on_error=draw(strategies()),
        timeout=timeout,
        atomic=atomic or draw(st.booleans()),
    )


@st.composite
def trees_of(
    draw: DrawFn, inside: SearchStrategy[Plan], times: Times, *, fail_fast: bool
) -> Plan:
    """Return a workflow whose steps are drawn from `inside`."""
    kind = draw(KINDS)
    steps = tuple(draw(st.lists(inside, min_size=1, max_size=3)))
    options: dict[str, Anything] = {
        "retry": draw(retries(times.backoff)),
        "on_error": draw(strategies()),
    }
    if times.timed and draw(st.integers(0, 3)) == 0:
        options["timeout"] = draw(st.sampled_from([0.25, 1.25, 3.25]))
    if kind == "parallel":
        most = st.just(1) if times.timed else st.sampled_from([None, None, 1, 2])
        options["max_concurrency"] = draw(most)
        options["fail_fast"] = fail_fast and draw(st.booleans())
    if kind == "parallel" or (kind == "loop" and draw(st.booleans())):
        options["_marks"] = draw(st.sets(st.integers(0, len(steps) - 1)))
    if kind == "conditional":
        options["match"] = draw(st.sampled_from(["first", "all"]))
        options["_otherwise"] = len(steps) > 1 and draw(st.booleans())
    if kind == "loop":
        options.update(draw(loops(timed=times.timed)))
    options["_least"] = draw(st.integers(0, 3))
    return Tree(kind=kind, name="", steps=steps, options=options)


@st.composite
def loops(draw: DrawFn, *, timed: bool) -> dict[str, Anything]:
    """Return options of a loop that ends."""
    options: dict[str, Anything] = {"collect": draw(COLLECT)}
    options["_ask"] = draw(st.sampled_from([None, "while_", "until"]))
    if options["_ask"] is None or draw(st.booleans()):
        options["over"] = draw(ITEMS)
    if options.get("over") is None or draw(st.booleans()):
        options["max_iterations"] = draw(st.integers(1, 3))
        options["on_limit"] = draw(st.sampled_from(["fail", "stop"]))
    if timed:
        options["delay"] = draw(st.sampled_from([0, 0, 1]))
    return options


def workflow_trees(
    *,
    max_steps: int = 8,
    atomic: bool = False,
    fail_fast: bool = True,
    backoff: int = 0,
    timeouts: bool = False,
    timed: bool = False,
) -> SearchStrategy[Plan]:
    """Return plans of flows: sequential, parallel, conditional and loops, nested.

    Their steps fail, are tried again, are skipped, and break loops. `flow_of` makes a
    flow of a plan, in which steps do what is planned or call a function of yours.

    Args:
        max_steps: Of how many steps a flow is made at most, about; >= 1.
        atomic: Whether all steps are; otherwise some.
        fail_fast: Whether a branch that fails may cancel the others.
        backoff: Seconds that some wait before they are tried again.
        timeouts: Whether some steps have a timeout and some of these hang, for which
            the steps need a function of your own.
        timed: Whether plans say how long steps and pauses take, and workflows have
            timeouts; then branches run one by one, so that it is known when each does
            what.
    """
    times = Times(backoff=backoff, timeouts=timeouts, timed=timed)
    drawn = st.recursive(
        leaves(times, atomic=atomic),
        lambda inside: trees_of(inside, times, fail_fast=fail_fast),
        max_leaves=max_steps,
    )
    return drawn.map(lambda plan: named(plan, count()))


def named(plan: Plan, numbers: Anything) -> Plan:
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
