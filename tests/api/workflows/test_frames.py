import pytest

from stateward import StateManager, StepTimeoutError
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Loop,
    Parallel,
    Retry,
    Sequential,
    Skip,
    Status,
    Step,
    StepContext,
    step,
)
from stateward.workflows.course import Course
from stateward.workflows.flows import Node
from stateward.workflows.frames import NO_RETRY, Frame
from tests.support import ManualDispatcher
from tests.threads import WAIT, eventually

TWICE = Retry(attempts=2, backoff=0)


def failing(times: int, error: type[Exception] = ValueError) -> Step:
    """Return a step `s` that fails so often, then says which attempt it is."""

    def fail(ctx: StepContext) -> int:
        if ctx.attempt <= times:
            raise error(ctx.attempt)
        return ctx.attempt

    return step(name="s")(fail)


def framed(flow: Node) -> Frame:
    """Return the frame of the one step of a flow that has begun."""
    course = Course(flow, {})
    course.begin(0.0)
    (job,) = course.take()
    return job.frame


def test_frame_inherits_from_the_nearest_that_says_something() -> None:
    """What a step does not say is said by the workflows around it."""
    plain, own = framed(Sequential("f", failing(0))), Skip(1)
    assert (plain.retry, plain.policy) == (NO_RETRY, "fail")
    outer = Sequential(
        "f", Parallel("p", Loop("l", failing(0), over=[1])), retry=TWICE, on_error=own
    )
    assert (framed(outer).retry, framed(outer).policy) == (TWICE, own)
    inner = Parallel("p", failing(0), retry=NO_RETRY, on_error="fail")
    nested = Sequential("f", inner, retry=TWICE, on_error=own)
    assert (framed(nested).retry, framed(nested).policy) == (NO_RETRY, "fail")
    step_says = failing(0).using(retry=NO_RETRY, on_error="continue")
    nested = Sequential("f", step_says, retry=TWICE, on_error=own)
    assert (framed(nested).retry, framed(nested).policy) == (NO_RETRY, "continue")


def test_frame_knows_the_loop_around_it() -> None:
    """A step belongs to the innermost loop, through workflows of other kinds."""
    frame = framed(Loop("o", Loop("i", Parallel("p", failing(0)), over=[1]), over=[1]))
    assert frame.path == "[0]/i[0]/p/s"
    assert frame.loop is not None
    assert (frame.loop.node.name, frame.iteration) == ("i", 0)
    assert framed(Sequential("f", failing(0))).loop is None


def test_frame_is_over_with_what_is_around_it() -> None:
    """When a workflow ends, so does all that is in it."""
    frame = framed(Sequential("f", Sequential("g", failing(0))))
    around = frame.parent
    assert around is not None
    assert around.parent is not None
    assert frame.is_within(around.parent)
    assert not around.is_within(frame)
    assert not frame.is_over()
    around.parent.over = True
    assert frame.is_over()


def test_retry_ends_with_the_first_success(manager: StateManager) -> None:
    """A step is tried again until it succeeds, and no more."""
    retry = Retry(attempts=5, backoff=0)
    result = manager.run(failing(2).using(retry=retry), "w")
    assert (result.status, result.output) == (Status.COMPLETED, 3)
    assert result.steps[0].attempts == 3
    assert dict(result.failures) == {}


def test_retry_ends_with_its_attempts(manager: StateManager) -> None:
    """The failure of the last attempt is that of the step."""
    result = manager.run(failing(9).using(retry=TWICE), "w")
    assert (result.status, result.steps[0].attempts) == (Status.FAILED, 2)
    assert result.failures["s"].args == (2,)


def test_retry_is_for_its_exceptions_alone(manager: StateManager) -> None:
    """A failure that `on` does not name is not tried again."""
    retry = Retry(attempts=3, backoff=0, on=(OSError,))
    assert manager.run(failing(1).using(retry=retry), "w").steps[0].attempts == 1
    subclass = failing(1, ConnectionError).using(retry=retry)
    assert manager.run(subclass, "x").output == 2


def test_retry_comes_before_the_strategy(manager: StateManager) -> None:
    """Only a step that has no attempts left is skipped."""
    skipped = failing(9).using(retry=TWICE, on_error=Skip("none"))
    result = manager.run(skipped, "w")
    assert (result.output, result.steps[0].attempts) == ("none", 2)
    assert manager.run(skipped.using(function=failing(1).function), "x").output == 2


def test_retry_waits_longer_each_time(
    paused: StateManager, clock: SimulatedClock, dispatcher: ManualDispatcher
) -> None:
    """Attempts come after the delays of `Retry`, in which no thread waits."""
    moments: list[float] = []

    def fail(_: StepContext) -> None:
        moments.append(clock.now())
        raise ValueError

    retry = Retry(attempts=4, backoff=1, factor=3, max_delay=5, jitter=0)
    start = clock.now()
    run = paused.start(step(name="s", retry=retry)(fail), "w")
    dispatcher.run()
    progress = paused.run_state("w")
    assert progress is not None
    assert progress.steps[0].status is Status.RETRYING
    for _ in range(9):
        clock.advance(1)
        dispatcher.run()
    assert run.result(WAIT).status is Status.FAILED
    assert [moment - start for moment in moments] == [0, 1, 4, 9]


def test_retry_delay_is_jittered_by_workflow(
    paused: StateManager, clock: SimulatedClock, dispatcher: ManualDispatcher
) -> None:
    """Workflows that failed at the same time do not come back at the same time."""
    retry = Retry(attempts=2, backoff=8, jitter=0.5)
    moments: dict[str, float] = {}

    def fail(ctx: StepContext) -> None:
        moments[ctx.workflow_id] = clock.now()
        if ctx.attempt == 1:
            raise ValueError

    start = clock.now()
    flow = step(name="s", retry=retry)(fail)
    runs = [paused.start(flow, f"w{number}") for number in range(5)]
    dispatcher.run()
    for _ in range(1200):
        clock.advance(0.01)
        dispatcher.run()
    assert all(run.result(WAIT).ok for run in runs)
    for name, moment in moments.items():
        assert moment - start == pytest.approx(retry.delay(1, f"{name}/s"), abs=0.02)
    assert len(set(moments.values())) == 5


def test_attempts_are_counted_over_runs(manager: StateManager) -> None:
    """A run that is begun again gives a failed step all its attempts anew."""
    flow = Sequential("f", failing(2), retry=TWICE)
    assert manager.run(flow, "w").status is Status.FAILED
    assert manager.run(flow, "w").steps[0].attempts == 2


def overdue(ctx: StepContext, clock: SimulatedClock) -> None:
    """Take five seconds, and wait until that was noticed."""
    clock.advance(5)
    eventually(lambda: ctx.cancelled, "the attempt is given up")


def test_step_timeout_is_that_of_one_attempt(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """An attempt that takes too long is given up, and may be followed by another."""
    contexts: list[StepContext] = []

    def slow(ctx: StepContext) -> str:
        contexts.append(ctx)
        if ctx.attempt < 3:
            overdue(ctx, clock)
        else:
            clock.advance(4)
        return "in time"

    flow = step(name="s", timeout=5, retry=Retry(attempts=3, backoff=0))(slow)
    result = manager.run(flow, "w")
    assert (result.output, result.steps[0].attempts) == ("in time", 3)
    assert [ctx.attempt for ctx in contexts] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "status", "attempts"),
    [
        ({}, Status.FAILED, 1),
        ({"on_error": "continue"}, Status.COMPLETED_WITH_FAILURES, 1),
        ({"on_error": Skip(1, on=(StepTimeoutError,))}, Status.COMPLETED, 1),
        ({"retry": Retry(attempts=2, backoff=0, on=(OSError,))}, Status.FAILED, 2),
        ({"retry": Retry(attempts=2, on=(KeyError,))}, Status.FAILED, 1),
    ],
)
def test_step_timeout_is_a_failure(
    manager: StateManager,
    clock: SimulatedClock,
    options: dict[str, object],
    status: Status,
    attempts: int,
) -> None:
    """Retries and strategies apply to a `StepTimeoutError` as to any failure."""
    slow = step(name="s", timeout=5)(lambda ctx: overdue(ctx, clock))
    result = manager.run(Sequential("f", slow.using(**options)), "w")
    assert (result.status, result.steps[0].attempts) == (status, attempts)
    assert isinstance(result.failures["s"], StepTimeoutError)
    assert "'s' took longer than its 5 seconds" in str(result.failures["s"])


def test_strategy_of_a_step_alone_is_heeded(manager: StateManager) -> None:
    """A step that is the whole flow is skipped, or noted, as it says."""
    skipped = manager.run(failing(9).using(on_error=Skip([1])), "w")
    assert (skipped.status, skipped.output) == (Status.COMPLETED, [1])
    noted = manager.run(failing(9).using(on_error="continue"), "x")
    assert (noted.status, noted.output) == (Status.COMPLETED_WITH_FAILURES, None)
    assert manager.run(failing(9), "y").status is Status.FAILED
