"""Resuming: by id, and every run of an earlier process that is not completed."""

import logging
from pathlib import Path

import pytest

from stateward import (
    CommitFailedError,
    FlowChangedError,
    JsonValue,
    MissingKeyError,
    StateManager,
    UsageError,
    WorkflowState,
)
from stateward.workflows import Sequential, Status, StepContext, StepEvent, step
from stateward.workflows.runs import Run
from tests.support import refused
from tests.threads import Gate

BROKEN: set[str] = set()
"""Ids of the workflows whose second step fails."""


@step(name="first")
def first(ctx: StepContext) -> JsonValue:
    """Count the call."""
    return ctx.state.increment("first")


@step(name="second")
def second(ctx: StepContext) -> JsonValue:
    """Fail where it is to, else count the call."""
    if ctx.workflow_id in BROKEN:
        raise OSError("not now")
    return ctx.state.increment("second")


def flow(name: str = "f") -> Sequential:
    """Return a flow of both steps."""
    return Sequential(name, first, second)


@pytest.fixture
def failed(manager: StateManager) -> StateManager:
    """Return a manager of three runs: `a` and `b` have failed, `c` is completed."""
    BROKEN.update("ab")
    for workflow_id in "abc":
        manager.run(flow(), workflow_id, input=workflow_id)
    BROKEN.clear()
    return manager


def test_resume_goes_on_with_what_is_recorded(failed: StateManager) -> None:
    """The input is the recorded one, and what has finished is not repeated."""
    events: list[StepEvent] = []
    result = failed.resume(flow(), "a", on_event=events.append)
    assert (result.status, result.input) == (Status.COMPLETED, "a")
    assert dict(failed.workflow_state("a")) == {"first": 1, "second": 1}
    assert {event.path for event in events} == {"second"}
    assert failed.resume(flow(), "c") == failed.run_state("c")


def test_resume_never_begins_a_run(manager: StateManager, state: WorkflowState) -> None:
    """An id of which no run is recorded is an error, and stays free."""
    state["a"] = 1
    with refused(MissingKeyError, state, workflow_id="w"):
        manager.resume(flow(), "w")
    assert manager.run_ids() == []
    assert manager.run(flow(), "w").ok


def test_resume_refuses_another_flow(failed: StateManager) -> None:
    """What was recorded of one flow does not fit another."""
    with pytest.raises(FlowChangedError):
        failed.resume(flow("g"), "a")


def test_resume_all_goes_on_with_all_that_is_not_completed(
    failed: StateManager,
) -> None:
    """The answer has those alone; the completed one is not run again."""
    results = failed.resume_all(iter([flow("g"), flow()]))
    assert {key: it.status for key, it in results.items()} == {
        "a": Status.COMPLETED,
        "b": Status.COMPLETED,
    }
    for workflow_id in "abc":
        state = failed.workflow_state(workflow_id)
        assert dict(state) == {"first": 1, "second": 1}
    assert failed.resume_all(flow()) == {}


def test_resume_all_leaves_alone_what_it_has_no_flow_for(
    failed: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown and changed flows are logged; the others' runs go on."""
    BROKEN.add("d")
    failed.run(flow("other"), "d")
    BROKEN.clear()
    changed = Sequential("f", first)
    with caplog.at_level(logging.WARNING, "stateward.workflows"):
        assert list(failed.resume_all([changed, flow("other")])) == ["d"]
    told = sorted(it.message for it in caplog.records)
    assert [text.partition(" is left alone: ")[0] for text in told] == [
        "The run of 'a'",
        "The run of 'b'",
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "stateward.workflows"):
        assert failed.resume_all([]) == {}
    assert "its flow 'f' is not among those given" in caplog.text


def test_resume_all_leaves_alone_what_is_under_way(
    manager: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """A run of this process is not disturbed."""
    gate = Gate()
    held = Sequential("held", step(name="s")(lambda _: gate(1)))
    run = manager.start(held, "w")
    gate.wait_until_entered()
    assert manager.resume_all(held) == {}
    assert "is being run" in caplog.text
    gate.open()
    assert run.result().ok


def test_resume_all_begins_all_before_it_waits(manager: StateManager) -> None:
    """Runs that wait for each other come to an end."""
    gates = {"a": Gate(), "b": Gate()}
    broken = [True]

    @step(name="meet")
    def meet(ctx: StepContext) -> JsonValue:
        if broken:
            raise OSError("not now")
        mine, other = (gates[it] for it in ("ab" if ctx.workflow_id == "a" else "ba"))
        mine.open()
        return other(1)

    both = Sequential("both", meet)
    for workflow_id in gates:
        manager.run(both, workflow_id)
    broken.clear()
    assert all(it.ok for it in manager.resume_all(both).values())


def test_resume_all_refuses_what_makes_no_sense(failed: StateManager) -> None:
    """Two flows of one name, or what is no flow, and no run is begun."""
    with pytest.raises(UsageError, match="two flows are called 'f'"):
        failed.resume_all([flow(), flow()])
    for bad in (1, "f", [1]):
        with pytest.raises(UsageError):
            failed.resume_all(bad)  # type: ignore[arg-type]  # what is to be refused
    with pytest.raises(UsageError, match="on_event is 1"):
        failed.resume_all(flow(), on_event=1)  # type: ignore[arg-type]  # as above
    assert "second" not in failed.workflow_state("a")


def test_resume_all_raises_what_a_run_raised_after_all_have_ended(
    failed: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose progress could not be recorded hides no other's end."""
    wait = Run.result

    def result(run: Run, timeout: float | None = None) -> object:
        found = wait(run, timeout)
        if run.workflow_id == "a":
            raise CommitFailedError("no space")
        return found

    monkeypatch.setattr(Run, "result", result)
    with pytest.raises(CommitFailedError, match="no space"):
        failed.resume_all(flow())
    assert failed.workflow_state("b")["second"] == 1


def test_interrupt_of_resume_all_cancels_the_runs(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on to the caller, and no run is left under way."""
    gate, broken = Gate(), [True]

    @step(name="s")
    def wait(_: StepContext) -> JsonValue:
        if broken:
            raise OSError("not now")
        return gate(1)

    held = Sequential("held", wait)
    manager.run(held, "w")
    broken.clear()

    result, interrupts = Run.result, [KeyboardInterrupt()]

    def interrupted(run: Run, timeout: float | None = None) -> object:
        if interrupts:
            gate.wait_until_entered()
            raise interrupts.pop()
        return result(run, timeout)

    monkeypatch.setattr(Run, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        manager.resume_all(held)
    gate.open()
    assert not manager.cancel("w")
    state = manager.run_state("w")
    assert state is not None
    assert state.status is Status.CANCELLED


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_resume_all_finds_what_another_manager_left(
    tmp_path: Path, scheme: str
) -> None:
    """Runs come back from a store with their flow's name."""
    url = f"{scheme}:///{tmp_path}/state"
    BROKEN.add("a")
    with StateManager(url) as manager:
        manager.run(flow(), "a", input=[1])
    BROKEN.clear()
    with StateManager(url) as manager:
        (result,) = manager.resume_all(flow()).values()
        assert (result.workflow_id, result.input, result.ok) == ("a", [1], True)
        assert dict(manager.workflow_state("a")) == {"first": 1, "second": 1}
