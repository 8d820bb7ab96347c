"""Runs by workflow id: one at a time, continued where they stopped, and ended."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stateward import (
    AlreadyRunningError,
    AskTimeoutError,
    ClosedError,
    FlowChangedError,
    InvalidValueError,
    JsonValue,
    RecordedError,
    StateManager,
    UsageError,
)
from stateward.testing import SimulatedClock
from stateward.workflows import (
    JOBS_MAX,
    Loop,
    Parallel,
    Sequential,
    Status,
    Step,
    StepContext,
    step,
)
from tests.threads import WAIT, Gate, Job, eventually


class Flow:
    """Three steps that note their calls; the second does what it is told."""

    def __init__(self) -> None:
        """Begin with steps that all succeed."""
        self.calls: list[str] = []
        self.second: Callable[[StepContext], JsonValue] = lambda _: 2
        self.flow = Sequential("f", *map(self.step, ("first", "second", "third")))

    def step(self, name: str) -> Step:
        """Return a step that notes that it was called."""

        def call(ctx: StepContext) -> JsonValue:
            self.calls.append(ctx.path)
            return self.second(ctx) if name == "second" else name

        return step(name=name)(call)


@pytest.fixture
def it() -> Flow:
    """Return a flow of three steps."""
    return Flow()


def fail(_: StepContext) -> JsonValue:
    """Fail."""
    raise ZeroDivisionError("by design")


@pytest.fixture
def held(manager: StateManager, it: Flow) -> Iterator[Gate]:
    """Return a gate in which the second step of a run of `w` waits."""
    gate = Gate()
    it.second = lambda _: gate(2)
    run = manager.start(it.flow, "w", input={"n": 1})
    gate.wait_until_entered()
    yield gate
    gate.open()
    run.result(WAIT)


def test_live_run_lets_no_other_begin(
    manager: StateManager, it: Flow, held: Gate
) -> None:
    """A second run of the id is refused, by whatever flow; another id is free."""
    for flow in (it.flow, Sequential("g", step(name="s")(lambda _: 1))):
        for restart in (False, True):
            with pytest.raises(AlreadyRunningError) as caught:
                manager.run(flow, "w", restart=restart)
            assert caught.value.context == {"workflow_id": "w"}
    assert not held.is_open()
    other = Flow()
    assert manager.run(other.flow, "other").ok
    held.open()
    eventually(lambda: bool((r := manager.run_state("w")) and r.ok), "the run ends")
    assert it.calls == ["first", "second", "third"]


@pytest.mark.usefixtures("held")
def test_run_state_shows_a_run_under_way(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """What has finished is there while the rest is under way."""
    clock.advance(7)
    state = manager.run_state("w")
    assert state is not None
    assert (state.status, state.flow, state.input) == (Status.RUNNING, "f", {"n": 1})
    assert dict(state.outputs) == {"first": "first"}
    assert (state.output, state.ok, state.seconds) == (None, False, 0)
    assert state.started == clock.now() - 7
    assert manager.run_ids() == ["w"]


def test_run_state_shows_a_run_that_is_over(manager: StateManager, it: Flow) -> None:
    """It equals the result; of an id that was never run there is nothing."""
    result = manager.run(it.flow, "w", input=[1])
    assert manager.run_state("w") == result
    assert manager.run_state("other") is None
    assert manager.run_ids() == ["w"]
    assert manager.workflow_ids() == ["w"]


def test_finished_run_is_not_run_again(manager: StateManager, it: Flow) -> None:
    """Running it once more gives the same result, and calls nothing."""
    result = manager.run(it.flow, "w")
    assert manager.run(it.flow, "w") == result
    run = manager.start(it.flow, "w")
    assert run.done()
    assert not run.cancel()
    assert it.calls == ["first", "second", "third"]


def test_failed_run_continues_after_what_has_finished(
    manager: StateManager, it: Flow
) -> None:
    """The step that failed is called again, those before it are not."""
    it.second = fail
    failed = manager.run(it.flow, "w", input=5)
    assert failed.status is Status.FAILED
    assert str(failed.failures["second"]) == "by design"
    recorded = manager.run_state("w")
    assert recorded is not None
    assert type(recorded.failures["second"]) is RecordedError
    assert str(recorded.failures["second"]) == "ZeroDivisionError: by design"
    it.second = lambda ctx: [ctx.input, ctx.outputs["first"]]
    result = manager.run(it.flow, "w")
    assert (result.status, result.input) == (Status.COMPLETED, 5)
    assert result.outputs["second"] == [5, "first"]
    assert it.calls == ["first", "second", "second", "third"]


def test_cancelled_run_continues_after_what_has_finished(
    manager: StateManager, it: Flow
) -> None:
    """Cancelling by id from another thread ends it; running it again goes on."""
    gate = Gate()
    it.second = lambda _: gate(2)
    waiting = Job(manager.run, it.flow, "w")
    gate.wait_until_entered()
    assert Job(manager.cancel, "w", "enough").result()
    assert waiting.result().status is Status.CANCELLED
    assert not manager.cancel("w")
    assert not manager.cancel("other")
    it.second = lambda _: 3
    result = manager.run(it.flow, "w")
    gate.open()
    assert (result.status, result.outputs["second"]) == (Status.COMPLETED, 3)
    assert it.calls == ["first", "second", "second", "third"]


def test_loop_continues_in_its_iteration(manager: StateManager) -> None:
    """Iterations that have finished are not repeated, nor steps within one."""
    calls: list[str] = []
    broken = [True]

    def call(ctx: StepContext) -> JsonValue:
        calls.append(ctx.path)
        if ctx.path == "l[1]/b" and broken and broken.pop():
            raise ZeroDivisionError
        return ctx.item

    flow = Loop("l", step(name="a")(call), step(name="b")(call), over=[1, 2, 3])
    assert not manager.run(Sequential("f", flow), "w").ok
    assert manager.run(Sequential("f", flow), "w").output == [1, 2, 3]
    first = ["l[0]/a", "l[0]/b", "l[1]/a", "l[1]/b"]
    assert calls == [*first, "l[1]/b", "l[2]/a", "l[2]/b"]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (Sequential("g", Flow().step("first")), "begun with flow 'f', not 'g'"),
        (Sequential("f", Flow().step("new")), "has no step 'first' any more"),
        (
            Sequential("f", *map(Flow().step, ("first", "second", "third", "fourth"))),
            "has changed since the run was begun",
        ),
    ],
)
def test_changed_flow_is_refused(
    manager: StateManager, it: Flow, flow: Sequential, message: str
) -> None:
    """What is recorded would not fit it; the run stays as it was."""
    it.second = fail
    manager.run(it.flow, "w")
    before = str(manager.run_state("w"))
    with pytest.raises(FlowChangedError, match=message):
        manager.run(flow, "w")
    assert str(manager.run_state("w")) == before
    assert manager.run(flow, "w", restart=True).flow == flow.name
    assert it.calls == ["first", "second"]


def test_changed_input_is_refused(manager: StateManager, it: Flow) -> None:
    """Half of a run cannot have had another input; the same one may be repeated."""
    it.second = fail
    manager.run(it.flow, "w", input={"a": 1})
    with pytest.raises(FlowChangedError, match="begun with the input"):
        manager.run(it.flow, "w", input={"a": 2})
    with pytest.raises(FlowChangedError):
        manager.run(it.flow, "w", input=None)
    it.second = lambda ctx: ctx.input
    assert manager.run(it.flow, "w", input={"a": 1}).outputs["second"] == {"a": 1}


def test_restart_begins_anew_and_keeps_the_state(
    manager: StateManager, it: Flow
) -> None:
    """Records are forgotten, keys are not; the input may be another."""
    it.second = lambda ctx: ctx.state.increment("n")
    assert manager.run(it.flow, "w", input=1).outputs["second"] == 1
    result = manager.run(it.flow, "w", input=2, restart=True)
    assert (result.outputs["second"], result.input) == (2, 2)
    assert it.calls == 2 * ["first", "second", "third"]


def test_run_refuses_what_it_cannot_begin(manager: StateManager, it: Flow) -> None:
    """A bad argument is refused before anything is recorded."""
    bad: Any = object()
    with pytest.raises(InvalidValueError):
        manager.run(it.flow, "w", input=bad)
    with pytest.raises(UsageError):
        manager.run(it.flow, "")
    with pytest.raises(UsageError):
        manager.run(bad, "w")
    with pytest.raises(UsageError, match="on_event is 1"):
        manager.run(it.flow, "w", on_event=1)  # type: ignore[arg-type]  # on purpose
    assert (manager.run_ids(), it.calls) == ([], [])
    assert manager.run(it.flow, "w").ok


def test_result_is_waited_for_no_longer_than_told(
    manager: StateManager, it: Flow
) -> None:
    """A run that is not over in time goes on."""
    gate = Gate()
    it.second = lambda _: gate(2)
    run = manager.start(it.flow, "w")
    gate.wait_until_entered()
    with pytest.raises(AskTimeoutError, match="not over") as caught:
        run.result(0)
    assert caught.value.effect == "unknown"
    assert repr(run) == "<Run of 'w'>"
    gate.open()
    assert run.result(WAIT).ok


def test_run_is_cancelled_when_its_manager_is_closed(it: Flow) -> None:
    """Whoever waits is told, and no thread is left but for a stuck step's."""
    gate = Gate()
    it.second = lambda _: gate(2)
    manager = StateManager()
    waiting = Job(manager.run, it.flow, "w")
    gate.wait_until_entered()
    manager.close()
    assert waiting.result().status is Status.CANCELLED
    left = [
        it.name for it in threading.enumerate() if it.name.startswith("stateward-step")
    ]
    assert left == ["stateward-step-1"]
    gate.open()
    for call in (manager.run, manager.start):
        with pytest.raises(ClosedError):
            call(it.flow, "w2")
    assert it.calls == ["first", "second"]


def test_interrupt_while_waiting_cancels_the_run(
    manager: StateManager, it: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on to the caller once the run has ended."""
    from stateward.workflows.runs import Run

    wait, gate = Run.result, Gate()
    it.second = lambda _: gate(2)
    interrupts = [KeyboardInterrupt]

    def interrupted(run: Run, timeout: float | None = None) -> object:
        if interrupts:
            gate.wait_until_entered()
            raise interrupts.pop()
        return wait(run, timeout)

    monkeypatch.setattr(Run, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        manager.run(it.flow, "w")
    gate.open()
    state = manager.run_state("w")
    assert state is not None
    assert state.status is Status.CANCELLED
    assert it.calls == ["first", "second"]


def test_steps_that_are_stuck_do_not_starve_others(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """More attempts than there are threads may be given up; others still run."""
    gates = [Gate() for _ in range(JOBS_MAX)]

    def stuck(gate: Gate) -> Callable[[StepContext], JsonValue]:
        return lambda _: gate(None)

    branches = [
        step(name=f"s{i}", timeout=5)(stuck(gate)) for i, gate in enumerate(gates)
    ]
    run = manager.start(Parallel("p", *branches, fail_fast=False), "w")
    for gate in gates:
        gate.wait_until_entered()
    beside = Flow()
    waiting = manager.start(beside.flow, "other")
    assert beside.calls == []
    clock.advance(5)
    statuses = {it.status for it in run.result(WAIT).steps if it.path}
    assert statuses == {Status.TIMED_OUT}
    assert waiting.result(WAIT).ok
    for gate in gates:
        gate.open()


def test_wider_flow_is_given_the_threads_it_asks_for(manager: StateManager) -> None:
    """`max_concurrency` counts although all threads there are wait for its steps."""
    count = 4
    held = [Gate() for _ in range(JOBS_MAX)]

    def wait(gate: Gate) -> Callable[[StepContext], JsonValue]:
        return lambda _: gate(None)

    branches = [step(name=f"s{i}")(wait(gate)) for i, gate in enumerate(held)]
    first = manager.start(Parallel("p", *branches), "w")
    for gate in held:
        gate.wait_until_entered()
    more = [step(name=f"s{i}")(lambda _: None) for i in range(count)]
    wider = Parallel("p", *more, max_concurrency=JOBS_MAX + count)
    assert manager.run(wider, "wide").ok
    for gate in held:
        gate.open()
    assert first.result(WAIT).ok


def test_run_goes_on_when_its_owner_is_passivated(
    manager: StateManager, it: Flow
) -> None:
    """The record survives, although the workflow may hold no key at all."""

    def passivate(ctx: StepContext) -> JsonValue:
        assert manager.passivate(manager.workflow_state("w").scope)
        assert manager.run_ids() == manager.workflow_ids() == ["w"]
        ctx.state["after"] = 1
        return 2

    it.second = passivate
    assert manager.run(it.flow, "w").ok
    assert manager.passivate(manager.workflow_state("w").scope)
    manager.workflow_state("w").clear()
    manager.passivate(manager.workflow_state("w").scope)
    assert manager.run(it.flow, "w").output == "third"
    assert it.calls == ["first", "second", "third"]


def test_dropped_workflow_has_no_run(manager: StateManager, it: Flow) -> None:
    """A workflow of which only a run is known can be dropped, and begins anew."""
    manager.run(it.flow, "w")
    assert list(manager.workflow_state("w")) == []
    assert manager.drop_workflow("w")
    assert (manager.run_ids(), manager.workflow_ids()) == ([], [])
    assert manager.run_state("w") is None
    assert manager.run(it.flow, "w").ok
    assert it.calls == 2 * ["first", "second", "third"]
