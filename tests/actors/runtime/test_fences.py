"""Fences: whoever ends one first decides, and nothing takes effect afterwards."""

import threading
from collections.abc import Callable, Iterator

import pytest

from stateward import JsonValue, StepScope, WorkflowScope
from stateward.actors.core import faults
from stateward.actors.core.errors import (
    KeyCountError,
    OwnerFailedError,
    StepRevokedError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import (
    CommitTransaction,
    DeleteState,
    GetState,
    IncrementState,
    Message,
    ModifyState,
    PopState,
    SetState,
    UpdateState,
)
from stateward.actors.core.values import pack
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.fences import Fence, Fenced
from stateward.testing import SimulatedClock
from tests.threads import Gate, Job

SCOPE = WorkflowScope("w")
STEP = StepScope("w", "s")


@pytest.fixture
def engine(clock: SimulatedClock) -> Iterator[Engine]:
    """Return an engine whose workflow `w` holds the number 1 under `a`."""
    engine = Engine(
        limits=Limits(max_keys=2),
        clock=clock,
        dispatcher=None,
        idle_timeout=None,
        ask_timeout=30,
    )
    engine.ask_owner(SCOPE, SetState(SCOPE, "a", 1))
    yield engine
    engine.close()


def get(engine: Engine, key: str) -> JsonValue:
    """Return what `w` holds under `key`, as its owner says."""
    value: JsonValue = engine.ask_owner(SCOPE, GetState(SCOPE, key))
    return value


def modify(function: Callable[[object], JsonValue]) -> ModifyState:
    """Return the command that applies `function` to `a`."""
    return ModifyState(SCOPE, "a", function)


COMMANDS: tuple[Message, ...] = (
    SetState(SCOPE, "a", 2),
    SetState(STEP, "a", 2),
    UpdateState(SCOPE, {"a": 2}),
    IncrementState(SCOPE, "a", 1),
    DeleteState(SCOPE, "a"),
    PopState(SCOPE, "a"),
    modify(lambda _: 2),
    CommitTransaction(
        SCOPE,
        reads=(),
        scans=(),
        writes=((None, "a", pack(2), None),),
        removals=(),
    ),
)


def test_fence_ends_once() -> None:
    """Of all who end it, exactly one did, and its reason is kept."""
    fence = Fence()
    fence.check()
    ended = [fence.end("too slow"), fence.end("cancelled")]
    assert ended == [True, False]
    assert fence.reason == "too slow"
    with pytest.raises(StepRevokedError, match="too slow"):
        fence.check()


def test_fence_is_ended_by_one_of_many_threads() -> None:
    """However many threads end it at once, one is told that it did."""
    fence, start = Fence(), threading.Barrier(8)

    def end(number: int) -> bool:
        start.wait(30)
        return fence.end(str(number))

    jobs = [Job(end, number) for number in range(8)]
    ended = [job.result() for job in jobs]
    assert ended.count(True) == 1
    assert fence.reason == str(ended.index(True))


def test_fenced_goes_where_its_command_goes() -> None:
    """It has the scope of the command, and says whether that calls foreign code."""
    plain = Fenced(SetState(STEP, "a", 1), Fence())
    assert (plain.scope, plain.runs_foreign_code) == (STEP, False)
    assert Fenced(modify(lambda _: 1), Fence()).runs_foreign_code


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: type(it).__name__)
def test_fenced_command_does_what_the_command_does(
    engine: Engine, command: Message
) -> None:
    """While the fence stands, it makes no difference."""
    fence, state = Fence(), engine.state(SCOPE)
    assert state is not None
    before = state.revision
    engine.ask_owner(SCOPE, Fenced(command, fence))
    assert state.revision == before + 1
    assert fence.reason is None
    assert not fence.lock.locked()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: type(it).__name__)
def test_fenced_command_is_refused_when_the_fence_has_ended(
    engine: Engine, command: Message
) -> None:
    """Nothing is changed, no revision is taken, no step is opened."""
    fence = Fence()
    fence.end("cancelled")
    state = engine.state(SCOPE)
    assert state is not None
    before = state.revision, state.keys, state.size
    with pytest.raises(StepRevokedError, match="cancelled"):
        engine.ask_owner(SCOPE, Fenced(command, fence))
    assert (state.revision, state.keys, state.size) == before
    assert get(engine, "a") == 1
    assert not state.steps


def test_fenced_function_is_not_even_called_after_the_end(engine: Engine) -> None:
    """A function of a caller is code that has no business to run any more."""
    fence, called = Fence(), []
    fence.end("cancelled")
    with pytest.raises(StepRevokedError):
        engine.ask_owner(SCOPE, Fenced(modify(lambda _: called.append(1)), fence))
    assert called == []


def test_fence_that_ends_while_a_function_runs_refuses_its_outcome(
    engine: Engine,
) -> None:
    """Ending waits for no function of a caller, and what that returns is dropped."""
    fence, gate = Fence(), Gate()
    command = modify(lambda _: gate(7))
    job = Job(engine.ask_owner, SCOPE, Fenced(command, fence))
    gate.wait_until_entered()
    assert fence.end("too slow")
    gate.open()
    with pytest.raises(StepRevokedError, match="too slow"):
        job.result()
    assert get(engine, "a") == 1


def test_fence_cannot_end_in_the_middle_of_a_command(engine: Engine) -> None:
    """Whoever ends it waits until a command under way has happened."""
    fence = Fence()
    ends: list[Job[[str], bool]] = []

    def end_meanwhile() -> None:
        assert fence.lock.locked()
        ends.append(Job(fence.end, "too late"))

    with faults.arm("state.staged", end_meanwhile):
        engine.ask_owner(SCOPE, Fenced(SetState(SCOPE, "a", 2), fence))
    assert ends[0].result()
    assert get(engine, "a") == 2


def test_fence_ends_with_the_command_that_says_so(engine: Engine) -> None:
    """The last command of an attempt and the end of its fence are one."""
    fence = Fence()
    engine.ask_owner(SCOPE, Fenced(SetState(SCOPE, "a", 2), fence, "it has ended"))
    assert fence.reason == "it has ended"
    assert not fence.end("cancelled")
    with pytest.raises(StepRevokedError, match="it has ended"):
        engine.ask_owner(SCOPE, Fenced(SetState(SCOPE, "a", 3), fence))
    assert get(engine, "a") == 2


def test_fence_stands_when_the_last_command_is_refused(engine: Engine) -> None:
    """What did not happen ended nothing."""
    fence = Fence()
    too_many = UpdateState(SCOPE, {"b": 1, "c": 1})
    with pytest.raises(KeyCountError):
        engine.ask_owner(SCOPE, Fenced(too_many, fence, "it has ended"))
    assert fence.reason is None
    engine.ask_owner(SCOPE, Fenced(SetState(SCOPE, "b", 1), fence, "it has ended"))
    assert fence.reason == "it has ended"


@pytest.mark.parametrize("point", ["state.staged", "state.published"])
def test_fence_is_released_when_the_owner_fails(engine: Engine, point: str) -> None:
    """A bug in the middle of a command leaves no lock held, and no end unsaid."""
    fence = Fence()

    def fail() -> None:
        raise ZeroDivisionError

    with faults.arm(point, fail), pytest.raises(OwnerFailedError) as caught:
        engine.ask_owner(SCOPE, Fenced(SetState(SCOPE, "a", 2), fence))
    assert not fence.lock.locked()
    happened = point == "state.published"
    assert caught.value.effect == ("unknown" if happened else "none")
    assert get(engine, "a") == (2 if happened else 1)
    assert fence.end("cancelled")
