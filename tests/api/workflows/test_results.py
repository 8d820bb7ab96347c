from typing import Any

import pytest

from stateward import RecordedError, RunFailedError, StateManager
from stateward.testing import SimulatedClock
from stateward.workflows import Parallel, Sequential, Skip, Status, StepContext, step
from stateward.workflows.records import Record
from stateward.workflows.results import result_of

HEADER: Record = {
    "flow": "f",
    "status": "completed",
    "started": 5.0,
    "seconds": 1.5,
    "input": {"a": [1]},
    "output": [2],
}


def result(**steps: Record) -> Any:
    """Return the result of a run with such steps."""
    records = {f"node:{path}": record for path, record in steps.items()}
    return result_of("w", {"run": HEADER, **records}, {})


def good(_: StepContext) -> list[int]:
    """Return something."""
    return [1]


def bad(_: StepContext) -> None:
    """Fail."""
    raise ValueError("no")


def test_result_tells_what_is_recorded() -> None:
    """Every field of the run's record and of its steps is found again."""
    run = result(a={"status": "completed", "output": 1, "attempts": 2, "seconds": 0.5})
    assert (run.workflow_id, run.flow, run.status) == ("w", "f", Status.COMPLETED)
    assert (run.started, run.seconds) == (5.0, 1.5)
    assert (run.input, run.output) == ({"a": [1]}, [2])
    (step_result,) = run.steps
    assert (step_result.path, step_result.status) == ("a", Status.COMPLETED)
    assert (step_result.attempts, step_result.seconds) == (2, 0.5)
    assert (step_result.output, step_result.error) == (1, None)


def test_result_leaves_out_answers() -> None:
    """A choice that is recorded is no step that ended."""
    assert result(c={"chosen": ["a"]}).steps == ()


def test_result_hands_out_copies() -> None:
    """What a caller does to an output changes no result."""
    run = result(a={"status": "completed", "output": [1]})
    for _ in range(2):
        found = [run.output, run.input["a"], run.outputs["a"], run.steps[0].output]
        assert found == [[2], [1], [1], [1]]
        for each in found:
            each.append(9)


def test_result_cannot_be_changed() -> None:
    """A result is a value."""
    run = result()
    with pytest.raises(AttributeError):
        run.status = Status.FAILED
    with pytest.raises(TypeError):
        run.failures["a"] = ValueError()


def test_result_outputs_are_of_what_has_one() -> None:
    """Completed and skipped steps have an output, failed and running ones not."""
    error = {"type": "E", "message": "m"}
    run = result(
        a={"status": "completed"},
        b={"status": "skipped", "output": 2, "error": error},
        c={"status": "failed", "error": error},
        d={"status": "cancelled"},
        e={"status": "retrying", "error": error},
    )
    assert dict(run.outputs) == {"a": None, "b": 2}
    assert len(run.outputs) == 2
    assert repr(run.outputs) == "StepOutputs({'a': None, 'b': 2})"
    with pytest.raises(KeyError):
        run.outputs["c"]
    assert list(run.failures) == ["b", "c", "e"]


@pytest.mark.parametrize("status", list(Status))
def test_result_is_ok_when_it_is_completed(status: Status) -> None:
    """Failures that were forgiven are no reason to raise; anything else is."""
    run = result_of("w", {"run": {**HEADER, "status": str(status)}}, {})
    ok = status in {Status.COMPLETED, Status.COMPLETED_WITH_FAILURES}
    assert run.ok is ok
    if ok:
        run.raise_for_failure()
    else:
        with pytest.raises(RunFailedError, match=f"run of 'w' is {status}") as caught:
            run.raise_for_failure()
        assert caught.value.context == {"workflow_id": "w", "status": str(status)}


def test_result_raises_from_its_first_failure(manager: StateManager) -> None:
    """The exception itself is the cause, as long as it is in this process."""
    run = manager.run(Sequential("f", good, bad), "w")
    with pytest.raises(RunFailedError, match="no") as caught:
        run.raise_for_failure()
    assert caught.value.__cause__ is run.failures["bad"]
    assert type(run.failures["bad"]) is ValueError


def test_result_read_again_has_recorded_errors(manager: StateManager) -> None:
    """What is left of an exception in the records is its type and message."""
    manager.run(Sequential("f", good, bad), "w")
    again = manager.run_state("w")
    assert again is not None
    error = again.failures["bad"]
    assert type(error) is RecordedError
    assert error.context == {"type": "ValueError", "text": "no"}


def test_result_is_shown_as_a_table(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """A row for each step, in columns, under a line for the run."""
    slow = step(name="slow")(lambda _: clock.advance(1.25))
    flow = Parallel(
        "f",
        Sequential("row", slow, good),
        step(name="skipped", on_error=Skip())(bad),
        max_concurrency=1,
    )
    lines = str(manager.run(flow, "w")).splitlines()
    assert lines[0] == "f of w: completed in 1.25 s"
    rows = [line.split(maxsplit=4) for line in lines[1:]]
    assert rows == [
        ["step", "status", "attempts", "seconds", "output or error"],
        ["row/slow", "completed", "1", "1.250", "None"],
        ["row/good", "completed", "1", "0.000", "[1]"],
        ["skipped", "skipped", "1", "0.000", "ValueError('no')"],
    ]
    column = lines[1].index("output")
    assert [line[column - 1] for line in lines[1:]] == [" "] * 4
    assert lines[2][column:] == "None"


def test_result_table_names_the_flow_itself() -> None:
    """A failure of the whole flow is shown under its name."""
    error = {"type": "E", "message": "m"}
    run = result_of(
        "w", {"run": HEADER, "node:": {"status": "failed", "error": error}}, {}
    )
    assert str(run).splitlines()[2].split()[:2] == ["f", "failed"]
