"""Random flows against the sequential model: status, outputs, records and state."""

import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from property_tests.workflows.bench import Bench, bench, pausing, steps_of, told
from property_tests.workflows.sequel import Sequel, UnknowableError
from stateward.testing.plans import Plan
from stateward.testing.strategies import interleavings, workflow_trees
from stateward.workflows import RunResult, Status

CUT_SHORT = {Status.CANCELLED}
"""What a step may be left as when another branch failed."""

choices = interleavings(branches=8, max_choices=40)
timed_plans = workflow_trees(backoff=1, timeouts=True, timed=True)
plans = workflow_trees(backoff=1, timeouts=True)
patient = settings(suppress_health_check=[HealthCheck.too_slow])


def sequel_of(plan: Plan) -> Sequel:
    """Return what must come out of a flow; give up if that depends on the order."""
    try:
        return Sequel.of(plan)
    except UnknowableError:
        assume(False)
        raise


def check(it: Bench, result: RunResult, sequel: Sequel) -> None:
    """Compare result, record and state with the model."""
    event("certain" if sequel.certain else "uncertain")
    assert result.status in sequel.status
    assert told(it.recorded()) == told(result)
    assert result.output == (sequel.output if result.ok else None)
    steps, counts = steps_of(result), it.counts()
    for path in steps.keys() | sequel.steps.keys():
        found, expected = steps.get(path), sequel.steps.get(path)
        if path in sequel.maybe and (found is None or found[0] in CUT_SHORT):
            continue
        assert found == expected, path
    assert all(count <= sequel.counts[name] for name, count in counts.items())
    if sequel.certain:
        assert counts == sequel.counts
        assert it.mine() == sequel.mine


# Both seen to fail when a step is tried once more than `Retry.attempts` says.
@pytest.mark.slow
@patient
@given(plan=timed_plans)
def test_timed_flow_equals_its_model(plan: Plan) -> None:
    """A flow of steps that take time ends as the model says, at every path."""
    sequel = sequel_of(plan)
    with bench() as it:
        check(it, it.run(plan), sequel)


@pytest.mark.slow
@patient
@given(plan=plans, order=choices)
def test_flow_equals_its_model_in_any_order(plan: Plan, order: list[int]) -> None:
    """A flow ends as the model says in whatever order its branches go on."""
    sequel = sequel_of(plan)
    with bench(order) as it, pausing(it.batons):
        check(it, it.run(plan), sequel)
