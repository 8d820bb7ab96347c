"""Taking up runs all at once; see `tests/api/test_resumption.py` for all it does."""

import pytest

from stateward import JsonValue, StateManager, UsageError
from stateward.workflows import Sequential, Status, StepContext, step
from stateward.workflows.runs import Run, Runs
from stateward.workflows.unfinished import begin_all, wait_for


@step(name="s")
def fail(_: StepContext) -> JsonValue:
    """Fail."""
    raise OSError("by design")


FLOW = Sequential("f", fail)


def test_begin_all_returns_what_can_be_waited_for(manager: StateManager) -> None:
    """Each is a run under way, and `wait_for` has its result under its id."""
    for workflow_id in ("a", "b"):
        manager.run(FLOW, workflow_id)
    begun = begin_all(manager.runs, FLOW)
    assert {key: run.workflow_id for key, run in begun.items()} == {"a": "a", "b": "b"}
    assert {it.status for it in wait_for(begun).values()} == {Status.FAILED}


def test_begin_all_cancels_what_it_has_begun_when_it_cannot_go_on(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is no reason to leave a run alone leaves none under way."""
    for workflow_id in ("a", "b"):
        manager.run(FLOW, workflow_id)
    start = Runs.start
    begun: list[Run] = []

    def second_fails(*args: object, **options: object) -> object:
        if begun:
            raise UsageError("by design")
        begun.append(start(*args, **options))  # type: ignore[arg-type]  # handed on
        return begun[0]

    monkeypatch.setattr(Runs, "start", second_fails)
    with pytest.raises(UsageError, match="by design"):
        begin_all(manager.runs, FLOW)
    assert begun[0].result().status in {Status.FAILED, Status.CANCELLED}
