import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from stateward import StateManager
from stateward.testing import StepPlan, flow_of
from stateward.testing.plans import Kind, Plan
from stateward.testing.strategies import workflow_trees
from stateward.workflows import Status

ANY = settings(  # What is found need not be made small, and is the same each time.
    max_examples=2000, derandomize=True, phases=[Phase.generate]
)


def leaves(plan: Plan) -> list[StepPlan]:
    """Return the steps of a plan."""
    if isinstance(plan, StepPlan):
        return [plan]
    return [leaf for step in plan.steps for leaf in leaves(step)]


def kinds(plan: Plan) -> set[Kind]:
    """Return the kinds of workflow in a plan."""
    if isinstance(plan, StepPlan):
        return set()
    return {plan.kind}.union(*map(kinds, plan.steps))


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(plan=workflow_trees(max_steps=5))
def test_trees_can_be_run(plan: Plan) -> None:
    """Each plan becomes a flow that comes to an end, and is done by one run or more."""
    with StateManager() as manager:
        result = manager.run(flow_of(plan), "w")
        assert result.status is not Status.RUNNING
        assert len({leaf.name for leaf in leaves(plan)}) == len(leaves(plan))


@pytest.mark.slow
@given(plan=workflow_trees(max_steps=4, atomic=True, fail_fast=False))
def test_trees_keep_to_what_is_asked_for(plan: Plan) -> None:
    """Atomic steps only, no timeouts, no delays, and nothing that hangs."""
    for leaf in leaves(plan):
        assert leaf.atomic
        assert leaf.timeout is None
        assert "hang" not in leaf.acts
        assert leaf.retry is None or leaf.retry.backoff == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sequential", "parallel", "conditional", "loop"])
def test_trees_are_of_every_kind(kind: Kind) -> None:
    """Each of the four kinds comes up inside another one."""
    found = find(
        workflow_trees(),
        lambda plan: kind in kinds(plan) and len(kinds(plan)) > 1,
        settings=ANY,
    )
    assert kind in kinds(found)


@pytest.mark.slow
def test_trees_fail_and_try_again() -> None:
    """Failures, retries and timeouts come up where they are asked for."""
    find(
        workflow_trees(backoff=1, timeouts=True),
        lambda plan: any(
            leaf.acts[0] == "boom"
            and leaf.retry is not None
            and leaf.retry.backoff == 1
            for leaf in leaves(plan)
        ),
        settings=ANY,
    )
    find(
        workflow_trees(timeouts=True), lambda plan: leaves(plan)[0].timeout is not None
    )
