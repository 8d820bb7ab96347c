import pytest

from stateward import StateManager, UsageError
from stateward.testing import StepPlan, TreePlan, flow_of
from stateward.testing.plans import Act, Below, BoomError, Kind, Reached
from stateward.workflows import Retry, Status, StepContext

OK = StepPlan(name="a", acts=("ok",))
THEN = StepPlan(name="b", acts=("ok",))


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("sequential", ["b", 1, "a"]),
        ("parallel", {"a": ["a", 1, None], "b": ["b", 1, None]}),
    ],
)
def test_flow_is_of_the_kind_that_is_planned(kind: Kind, output: object) -> None:
    """Steps in a row know what came before, and others do not."""
    plan = TreePlan(kind=kind, name="flow", steps=(OK, THEN))
    with StateManager() as manager:
        result = manager.run(flow_of(plan), "w")
        assert result.output == output
        assert manager.workflow_state("w") == {"did a": 1, "did b": 1}


def test_choice_and_loop_ask_what_was_counted() -> None:
    """Conditions see how often a step was carried out."""
    loop = TreePlan(
        kind="loop", name="loop", steps=(OK,), options={"until": Reached("a", 3)}
    )
    choice = TreePlan(
        kind="conditional",
        name="choice",
        steps=(OK, THEN),
        conditions=(Below("a", 3),),
    )
    plan = TreePlan(kind="sequential", name="flow", steps=(loop, choice))
    with StateManager() as manager:
        assert manager.run(flow_of(plan), "w").ok
        assert manager.workflow_state("w") == {"did a": 3, "did b": 1}


def test_attempts_end_as_planned() -> None:
    """Each attempt has its own end, and the last one stays."""
    plan = StepPlan(name="a", acts=("boom", "bang", "ok"), retry=Retry(attempts=3))
    assert [plan.act(attempt) for attempt in (1, 2, 3, 4)] == [
        *("boom", "bang", "ok", "ok")
    ]
    fails = TreePlan(
        kind="sequential", name="flow", steps=(StepPlan(name="a", acts=("boom",)),)
    )
    with StateManager() as manager:
        result = manager.run(flow_of(fails), "w")
        assert isinstance(result.failures["a"], BoomError)


def test_loop_is_broken_as_planned() -> None:
    """A step that breaks ends the loop around it, after its own attempt."""
    plan = TreePlan(
        kind="loop",
        name="loop",
        steps=(StepPlan(name="a", acts=("break",)),),
        options={"over": range(5)},
    )
    with StateManager() as manager:
        assert manager.run(flow_of(plan), "w").ok
        assert manager.workflow_state("w") == {"did a": 1}


def test_steps_do_what_the_user_says() -> None:
    """With a function of one's own, the flow is of one's own code."""

    def do(plan: StepPlan, ctx: StepContext, before: str | None) -> str:
        return f"{plan.name} at {ctx.path} after {before}"

    plan = TreePlan(kind="sequential", name="flow", steps=(OK, THEN))
    with StateManager() as manager:
        assert manager.run(flow_of(plan, do), "w").output == "b at b after a"


def test_hanging_needs_a_function_of_ones_own() -> None:
    """What is planned to hang fails instead of hanging."""
    act: Act = "hang"
    plan = TreePlan(
        kind="sequential", name="flow", steps=(StepPlan(name="a", acts=(act,)),)
    )
    with StateManager() as manager:
        result = manager.run(flow_of(plan), "w")
        assert result.status is Status.FAILED
        assert isinstance(result.failures["a"], UsageError)
