"""Runs under way: what a step does, or fails to do, is contained in its run."""

import asyncio
import contextvars
import threading
from typing import Final

import pytest

from stateward import (
    OwnerFailedError,
    RunLostError,
    StateManager,
    StepRevokedError,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Retry,
    Sequential,
    Status,
    StepContext,
    StepEvent,
    step,
)
from tests.threads import WAIT


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_step_that_wants_to_leave_has_failed(
    manager: StateManager, kind: type[BaseException], asynchronous: bool
) -> None:
    """No exception of a step ends anything but the step."""

    def leave(_: StepContext) -> None:
        raise kind

    async def leave_soon(_: StepContext) -> None:
        raise kind

    leaving = step(name="s")(leave_soon if asynchronous else leave)
    result = manager.start(Sequential("f", leaving), "w").result(WAIT)
    assert result.status is Status.FAILED
    assert type(result.failures["s"]) is kind
    assert manager.start(Sequential("g", after, later), "w2").result(WAIT).ok


@step
def after(_: StepContext) -> None:
    """Show that plain steps are still run."""


@step
async def later(_: StepContext) -> None:
    """Show that asynchronous steps are still run."""


@pytest.mark.parametrize("ending", ["timeout", "cancel"])
def test_asynchronous_step_is_cancelled_when_it_is_given_up(
    manager: StateManager, clock: SimulatedClock, ending: str
) -> None:
    """Its task is told, and what it writes on its way out is refused."""
    waiting, over = threading.Event(), threading.Event()
    seen: list[type[BaseException]] = []

    async def wait(ctx: StepContext) -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            seen.append(type(cancelled))
            try:
                await ctx.state.aio.set("a", 1)
            except StepRevokedError as error:
                seen.append(type(error))
            raise
        finally:
            over.set()

    run = manager.start(Sequential("f", step(name="s", timeout=5)(wait)), "w")
    assert waiting.wait(WAIT)
    if ending == "timeout":
        clock.advance(5)
        assert run.result(WAIT).steps[0].status is Status.TIMED_OUT
    else:
        assert run.cancel()
        assert run.result(WAIT).status is Status.CANCELLED
    assert over.wait(WAIT)
    assert seen == [asyncio.CancelledError, StepRevokedError]
    assert "a" not in manager.workflow_state("w")


def test_run_is_lost_when_its_workflow_is_dropped(manager: StateManager) -> None:
    """What stood on records that are gone ends with an error, and writes none."""

    @step
    def drops(_: StepContext) -> None:
        assert manager.drop_workflow("w")

    def never(_: StepContext) -> None:
        raise AssertionError

    flow = Sequential("f", drops, step(name="never")(never))
    with pytest.raises(RunLostError, match="dropped"):
        manager.run(flow, "w")
    assert manager.run_state("w") is None
    assert manager.run_ids() == []
    assert manager.run(Sequential("g", after), "w").ok


def test_events_tell_what_comes_about(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """Each attempt is told of when it begins and when it ends, in order."""
    events: list[StepEvent] = []

    @step(retry=Retry(attempts=2, backoff=0))
    def second_time(ctx: StepContext) -> None:
        clock.advance(3)
        if ctx.attempt == 1:
            raise ZeroDivisionError

    manager.run(Sequential("f", second_time, after), "w", on_event=events.append)
    assert [(it.path, it.status, it.attempt, it.seconds) for it in events] == [
        ("second_time", Status.RUNNING, 1, 0.0),
        ("second_time", Status.RETRYING, 1, 3.0),
        ("second_time", Status.RUNNING, 2, 0.0),
        ("second_time", Status.COMPLETED, 2, 3.0),
        ("after", Status.RUNNING, 1, 0.0),
        ("after", Status.COMPLETED, 1, 0.0),
    ]
    assert type(events[1].error) is ZeroDivisionError
    assert {it.workflow_id for it in events} == {"w"}


def test_listener_that_fails_harms_nothing(
    manager: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is logged, and the run goes on."""

    def fail(_: StepEvent) -> None:
        raise ZeroDivisionError

    assert manager.run(Sequential("f", after, later), "w", on_event=fail).ok
    assert "on_event failed" in caplog.text


NAME: Final = contextvars.ContextVar("NAME", default="nobody")


def test_context_variables_reach_every_step(manager: StateManager) -> None:
    """Those of whoever began the run; what a step changes is for itself alone."""

    @step
    def plain(_: StepContext) -> str:
        name = NAME.get()
        NAME.set("changed")
        return name

    @step
    async def soon(_: StepContext) -> str:
        return NAME.get()

    token = NAME.set("somebody")
    try:
        result = manager.run(Sequential("f", plain, soon), "w")
    finally:
        NAME.reset(token)
    assert dict(result.outputs) == {"plain": "somebody", "soon": "somebody"}


def test_run_goes_on_when_the_owner_is_restarted(
    manager: StateManager, state: WorkflowState
) -> None:
    """A bug in somebody else's command costs the run nothing."""

    def fail() -> None:
        raise ZeroDivisionError

    @step
    def meanwhile(ctx: StepContext) -> None:
        ctx.state["before"] = 1
        with faults.arm("state.staged", fail), pytest.raises(OwnerFailedError):
            state["lost"] = 1
        ctx.state["after"] = 2

    result = manager.run(Sequential("f", meanwhile, after), "w")
    assert result.ok
    assert dict(state) == {"before": 1, "after": 2}
    assert manager.stats().restarts == 1
