"""Every error there is can be met, says what a caller needs, and travels."""

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

import stateward
from stateward import Limits, ScopedState, StateError, StateManager, WorkflowScope
from stateward.actors.core import faults
from stateward.messages import SetState
from stateward.workflows import Loop, Sequential, StepContext, step
from tests.support import ManualDispatcher, repickled


def fail() -> None:
    """Be the bug of a handler."""
    raise ZeroDivisionError


def failing(manager: StateManager) -> None:
    """Meet a bug in the owner."""
    with faults.arm("owner.decided", fail):
        manager.workflow_state("w").set("new", 1)


def quarantined(manager: StateManager) -> None:
    """Write to a scope that has failed three times."""
    for _ in range(3):
        with pytest.raises(stateward.OwnerFailedError):
            failing(manager)
    manager.workflow_state("w").set("new", 1)


def closed(manager: StateManager) -> None:
    """Write after the end."""
    manager.close()
    manager.workflow_state("w").set("new", 1)


def stale(manager: StateManager) -> None:
    """Commit what has been overtaken."""
    state = manager.workflow_state("w")
    with state.transaction() as tx:
        tx["b"] = tx["a"]
        state["a"] = 2


def limited(**limits: int) -> Callable[[StateManager], object]:
    """Return a call that passes some limit."""

    def call(manager: StateManager) -> None:
        manager.set_limits("w", Limits(**limits))
        manager.workflow_state("w").update({"key": [["value"]], "other": 1})

    return call


def w(manager: StateManager) -> Any:
    """Return the workflow that holds 1 under `a`, for calls that type checkers bar."""
    return manager.workflow_state("w")


def broken(_: StepContext) -> None:
    """Fail, as a step."""
    raise ZeroDivisionError


def in_a_step(function: Callable[[StepContext], object]) -> Callable[..., object]:
    """Return a call that runs `function` as a step, and raises what it failed with."""

    def call(it: StateManager) -> None:
        (error,) = it.run(step(name="s")(function), "r").failures.values()
        raise error

    return call


def in_a_loop(until: Callable[[object], object]) -> Callable[..., object]:
    """Return a call that runs a loop of one iteration, and raises its failure."""

    def call(it: StateManager) -> None:
        body = step(name="s")(lambda _: None)
        flow = Loop("l", body, until=until, max_iterations=1)
        (error,) = it.run(flow, "r").failures.values()
        raise error

    return call


def run_again_changed(it: StateManager) -> None:
    """Run a workflow with one flow, then with another."""
    it.run(broken, "r")
    it.run(Sequential("other", broken), "r")


def run_inside_itself(it: StateManager) -> None:
    """Run a workflow in one of its own steps."""
    in_a_step(lambda _: it.run(broken, "r").ok)(it)


def use_a_handle_after_its_step(it: StateManager) -> None:
    """Write through the handle of a step that has ended."""
    kept: list[ScopedState] = []
    it.run(step(name="s")(lambda ctx: kept.append(ctx.state)), "r")
    kept[0].set("late", 1)


CALLS: Final[dict[str, Callable[[StateManager], object]]] = {
    "InvalidKeyError": lambda it: w(it).set("", 1),
    "InvalidScopeError": lambda it: it.workflow_state(""),
    "InvalidValueError": lambda it: w(it).set("a", {1}),
    "InvalidStoreError": lambda _: StateManager("nosuch://"),
    "UsageError": lambda it: w(it).set("a", 1, ttl=-1),
    "WrongTypeError": lambda it: w(it).append("a", 1),
    "ReentrantCallError": lambda it: w(it).modify("a", lambda _: w(it).set("b", 1)),
    "ClosedError": closed,
    "MissingKeyError": lambda it: w(it)["no"],
    "ConflictError": stale,
    "ValueTooLargeError": limited(max_value_bytes=3),
    "KeyTooLongError": limited(max_key_bytes=2),
    "DepthError": limited(max_depth=1),
    "KeyCountError": limited(max_keys=1),
    "ByteCountError": limited(max_bytes=5),
    "OwnerFailedError": failing,
    "QuarantinedError": quarantined,
    "InvalidFlowError": lambda _: Sequential("empty"),
    "FlowChangedError": run_again_changed,
    "AlreadyRunningError": run_inside_itself,
    "RunFailedError": lambda it: it.run(broken, "r").raise_for_failure(),
    "AccessDeniedError": in_a_step(lambda ctx: ctx.state.drop()),
    "StepRevokedError": use_a_handle_after_its_step,
    "InvalidOutputError": in_a_step(lambda _: {1}),
    "ConditionError": in_a_loop(lambda _: 1 / 0),
    "IterationLimitError": in_a_loop(lambda _: False),
}
"""For each kind a call that raises it, on a manager whose workflow `w` holds `a`."""

ELSEWHERE: Final = frozenset(
    {
        "StateError",  # the root
        "LimitError",  # a parent
        "UnavailableError",  # a parent
        "MailboxFullError",  # below
        "AskTimeoutError",  # below
        "OwnerStoppedError",  # below
        "ForkedError",  # with the runtime
        "RecordedError",  # stands for others; with the results of runs
        "RunLostError",  # with the runs
        "StepTimeoutError",  # whose effect is unknown; with the runs
        "StoreError",  # with the stores, as all that follow
        "StoreLockedError",
        "StoreFormatError",
        "CorruptStoreError",
        "WrongKeyError",
        "MigrationError",
        "CommitFailedError",
        "StoreFullError",
        "StorePoisonedError",
        "InvariantError",  # a bug
    }
)


@pytest.fixture
def served(manager: StateManager) -> StateManager:
    """Return a manager whose workflow `w` holds 1 under `a`."""
    manager.workflow_state("w")["a"] = 1
    return manager


def test_every_error_is_met() -> None:
    """No kind of error is exported that no call raises."""
    kinds = {name for name in stateward.__all__ if name.endswith("Error")}
    assert kinds == set(CALLS) | ELSEWHERE


@pytest.mark.parametrize(("name", "call"), CALLS.items(), ids=list(CALLS))
def test_error_says_its_kind_and_effect_and_travels(
    served: StateManager, name: str, call: Callable[[StateManager], object]
) -> None:
    """Each is of its very kind, had no effect, and comes back whole from a pickle."""
    with pytest.raises(StateError) as caught:
        call(served)
    error = caught.value
    assert type(error) is getattr(stateward, name)
    assert error.effect == "none"
    travels(error)


def test_mailbox_error_travels(
    paused: StateManager, dispatcher: ManualDispatcher
) -> None:
    """A full mailbox says how full it would have been."""
    paused.set_limits("w", Limits(max_pending=1))
    message = SetState(WorkflowScope("w"), "a", 1)
    paused.supervisor.ask(message)
    paused.supervisor.tell(message)
    owner = paused.engine.owner(WorkflowScope("w"))
    owner.tell(message)
    with pytest.raises(stateward.MailboxFullError) as caught:
        owner.tell(message)
    assert (caught.value.allowance, caught.value.actual) == (1, 2)
    travels(caught.value)
    dispatcher.run()


def test_stopped_error_travels(served: StateManager) -> None:
    """Who holds on to an owner that was let go is told so."""
    owner = served.engine.owner(WorkflowScope("w"))
    served.passivate(WorkflowScope("w"))
    with pytest.raises(stateward.OwnerStoppedError) as caught:
        owner.ask(SetState(WorkflowScope("w"), "a", 2))
    assert caught.value.effect == "none"
    travels(caught.value)


@pytest.mark.slow
def test_timeout_error_travels() -> None:
    """A message dropped at its deadline had no effect, one under way may have."""
    begun, gate = threading.Event(), threading.Event()

    def block(_: object) -> int:
        begun.set()
        assert gate.wait(30)
        return 1

    errors: list[StateError] = []
    with StateManager(ask_timeout=0.2) as manager:
        state = manager.workflow_state("w")
        thread = threading.Thread(target=state.modify, args=("a", block))
        thread.start()
        assert begun.wait(30)
        with pytest.raises(TimeoutError) as caught:
            state.set("b", 1)
        gate.set()
        thread.join()
        assert dict(state) == {"a": 1}
        error = caught.value
        assert isinstance(error, stateward.AskTimeoutError)
        assert error.effect == "none"
        errors.append(error)
    travels(errors[0])


def travels(error: StateError) -> None:
    """Check that `error` comes back from another process as it is."""
    same = repickled(error)
    assert type(same) is type(error)
    assert (str(same), same.args) == (str(error), error.args)
    assert (same.effect, same.context) == (error.effect, error.context)
