"""Fencing: what an attempt that was given up, or has ended, writes has no effect."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

from stateward import (
    StateManager,
    StepRevokedError,
    StepTimeoutError,
)
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Access,
    Parallel,
    Retry,
    Run,
    Sequential,
    Status,
    StepContext,
    step,
)
from tests.support import unchanged
from tests.threads import WAIT, Gate, eventually

EVERYWHERE: Final = Access(global_state="write", custom_state="write")


def transact(state: Any) -> None:
    """Write in a transaction."""
    with state.transaction() as tx:
        tx["a"] = 2


WRITES: Final[dict[str, Callable[[Any], object]]] = {
    "set": lambda state: state.set("a", 2),
    "update": lambda state: state.update({"a": 2}),
    "increment": lambda state: state.increment("a"),
    "delete": lambda state: state.delete("a"),
    "clear": lambda state: state.clear(),
    "modify": lambda state: state.modify("a", lambda _: 2),
    "transaction": transact,
    "transact": lambda state: state.transact(lambda tx: tx.set("a", 2)),
    "asyncio": lambda state: asyncio.run(state.aio.set("a", 2)),
    "modify for asyncio": lambda state: asyncio.run(state.aio.modify("a", lambda _: 2)),
}
SCOPES: Final[dict[str, Callable[[Any], Any]]] = {
    "workflow": lambda ctx: ctx.state,
    "step": lambda ctx: ctx.step_state,
    "sibling": lambda ctx: ctx.state.step("sibling"),
    "global": lambda ctx: ctx.state.global_state(),
    "custom": lambda ctx: ctx.state.custom_state("c"),
}


class Stuck:
    """A step that waits in a gate, and then goes on as if nothing had happened."""

    def __init__(self, act: Callable[[StepContext], object] = lambda _: None) -> None:
        """Do `act` once the gate is open."""
        self.gate = Gate()
        self.contexts: list[StepContext] = []
        self.raised: list[BaseException] = []
        self.over = threading.Event()
        self._act = act

    def __call__(self, ctx: StepContext) -> None:
        """Wait, act, and note what that raised."""
        self.contexts.append(ctx)
        self.gate(None)
        try:
            self._act(ctx)
        except BaseException as error:
            self.raised.append(error)
            raise
        finally:
            self.over.set()

    def start(self, manager: StateManager, **options: Any) -> Run:
        """Begin a run of this step alone, and wait until it is in the gate."""
        flow = Sequential("f", step(name="stuck", **options)(self))
        run = manager.start(flow, "w", access=EVERYWHERE)
        self.gate.wait_until_entered()
        return run

    def finish(self) -> list[BaseException]:
        """Open the gate, and return what the step met behind it."""
        self.gate.open()
        assert self.over.wait(WAIT)
        return self.raised


@pytest.fixture
def filled(manager: StateManager) -> StateManager:
    """Return a manager with the number 1 under `a` in every scope a step may reach."""
    state = manager.workflow_state("w")
    scopes = [state, state.step("stuck"), state.step("sibling")]
    for each in (*scopes, manager.global_state(), manager.custom_state("c")):
        each["a"] = 1
    return manager


def scope_of(manager: StateManager, name: str) -> Any:
    """Return the handle of a host for one of `SCOPES`."""
    state = manager.workflow_state("w")
    return {
        "workflow": state,
        "step": state.step("stuck"),
        "sibling": state.step("sibling"),
        "global": manager.global_state(),
        "custom": manager.custom_state("c"),
    }[name]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_attempt_that_timed_out_writes_nothing_any_more(
    filled: StateManager,
    clock: SimulatedClock,
    write: Callable[[Any], object],
    scope: str,
) -> None:
    """Every way of writing is refused, in every scope, and changes nothing."""
    stuck = Stuck(lambda ctx: write(SCOPES[scope](ctx)))
    run = stuck.start(filled, timeout=5)
    clock.advance(5)
    result = run.result(WAIT)
    assert result.steps[0].status is Status.TIMED_OUT
    assert type(result.failures["stuck"]) is StepTimeoutError
    with unchanged(scope_of(filled, scope), pending=False):  # a worker settles the step
        (error,) = stuck.finish()
    assert type(error) is StepRevokedError
    assert "longer than its 5 seconds" in str(error)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_attempt_that_was_cancelled_writes_nothing_any_more(
    filled: StateManager, write: Callable[[Any], object]
) -> None:
    """The reason it was cancelled for is what it is told."""
    stuck = Stuck(lambda ctx: write(ctx.state))
    run = stuck.start(filled)
    before = stuck.contexts[0].cancelled
    assert filled.cancel("w", "not needed any more")
    assert run.result(WAIT).status is Status.CANCELLED
    assert (before, stuck.contexts[0].cancelled) == (False, True)
    with unchanged(
        filled.workflow_state("w"), pending=False
    ):  # a worker settles the step
        (error,) = stuck.finish()
    assert type(error) is StepRevokedError
    assert "not needed any more" in str(error)


@pytest.mark.parametrize("scope", SCOPES)
def test_function_that_outlasts_its_attempt_modifies_nothing(
    filled: StateManager, clock: SimulatedClock, scope: str
) -> None:
    """A function given to `modify` is within the attempt, however far it has come."""
    gate, stuck = Gate(), Stuck(lambda ctx: SCOPES[scope](ctx).modify("a", gate))
    run = stuck.start(filled, timeout=5)
    stuck.gate.open()
    gate.wait_until_entered()
    clock.advance(5)
    eventually(lambda: stuck.contexts[0].cancelled, "the attempt is given up")
    gate.open()
    (error,) = stuck.finish()
    assert type(error) is StepRevokedError
    assert run.result(WAIT).steps[0].status is Status.TIMED_OUT
    found = scope_of(filled, scope)
    assert dict(found) == {"a": 1}


def test_attempt_that_was_given_up_still_reads(
    filled: StateManager, clock: SimulatedClock
) -> None:
    """Reading changes nothing, so a function may find its way to its end."""
    seen: list[object] = []
    stuck = Stuck(lambda ctx: seen.append(ctx.state["a"]))
    run = stuck.start(filled, timeout=5)
    clock.advance(5)
    run.result(WAIT)
    assert stuck.finish() == []
    assert seen == [1]
    state = filled.run_state("w")
    assert state is not None
    assert state.steps[0].status is Status.TIMED_OUT


def test_attempt_that_follows_a_timeout_is_the_only_one_that_writes(
    filled: StateManager, clock: SimulatedClock
) -> None:
    """The second attempt writes while the first, still running, cannot."""
    gate, refused = Gate(), threading.Event()

    @step(timeout=5, retry=Retry(attempts=2, backoff=0))
    def twice(ctx: StepContext) -> int:
        if ctx.attempt == 1:
            gate(None)
            try:
                ctx.state["a"] = "late"
            except StepRevokedError:
                refused.set()
        else:
            ctx.state["a"] = "in time"
        return ctx.attempt

    run = filled.start(Sequential("f", twice), "w")
    gate.wait_until_entered()
    clock.advance(5)
    result = run.result(WAIT)
    gate.open()
    assert refused.wait(WAIT)
    assert (result.output, result.steps[0].attempts) == (2, 2)
    assert filled.workflow_state("w")["a"] == "in time"


def test_branch_that_fails_revokes_the_others(filled: StateManager) -> None:
    """With `fail_fast`, what is cancelled beside it writes nothing any more."""
    stuck = Stuck(lambda ctx: ctx.state.set("a", 2))

    def fail(_: StepContext) -> None:
        stuck.gate.wait_until_entered()
        raise ZeroDivisionError

    flow = Parallel("p", step(name="stuck")(stuck), step(name="fail")(fail))
    assert filled.run(flow, "w").status is Status.FAILED
    (error,) = stuck.finish()
    assert type(error) is StepRevokedError
    assert filled.workflow_state("w")["a"] == 1


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("atomic", [False, True])
def test_handles_outlive_their_step_for_reading_alone(
    filled: StateManager, scope: str, atomic: bool
) -> None:
    """A handle that a step left somewhere is of no use to anybody once it has ended."""
    leaked: list[Any] = []

    @step(name="stuck", atomic=atomic)
    def leave(ctx: StepContext) -> None:
        leaked.append(SCOPES[scope](ctx))

    filled.run(Sequential("f", leave), "w", access=EVERYWHERE).raise_for_failure()
    with unchanged(scope_of(filled, scope)), pytest.raises(Exception) as caught:  # noqa: PT011  # which one, see below
        leaked[0]["a"] = 2
    assert caught.type.__name__ in {
        "StepRevokedError",
        "AccessDeniedError",
        "ClosedError",
    }
