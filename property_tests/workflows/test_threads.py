"""Runs on real threads: nothing is lost, and nothing comes after `cancel`."""

import threading
from collections.abc import Callable

from property_tests.stress.rounds import Round, stress
from stateward.workflows import Loop, Parallel, Status, Step, StepContext
from stateward.workflows.flows import Node

CALLS = 250
TURNS = 10
WAIT_SECONDS = 30.0


def add(ctx: StepContext) -> None:
    """Count what nobody may lose."""
    for _ in range(CALLS):
        ctx.state.increment("plain")


async def add_soon(ctx: StepContext) -> None:
    """Count the same from the event loop."""
    for _ in range(CALLS):
        await ctx.state.aio.increment("plain")


def add_once(ctx: StepContext) -> None:
    """Count with the step's own record."""
    ctx.state.increment("atomic")


@stress(ci=3)
def test_parallel_branches_lose_no_increment(it: Round) -> None:
    """Thousands of increments of plain, `async` and atomic steps are all there."""
    atomic = Step(name="add", function=add_once, atomic=True)
    branches: list[Node] = [
        *(Step(name=f"plain{place}", function=add) for place in range(4)),
        *(Step(name=f"async{place}", function=add_soon) for place in range(2)),
        *(Loop(f"atomic{place}", atomic, over=range(TURNS)) for place in range(3)),
    ]
    result = it.manager.run(Parallel("p", *branches), it.workflow.workflow_id)
    assert result.status is Status.COMPLETED, str(result)
    assert it.workflow["plain"] == 6 * CALLS
    assert it.workflow["atomic"] == 3 * TURNS


def endless(written: threading.Semaphore) -> Callable[[StepContext], None]:
    """Return a function that writes until it is refused."""

    def work(ctx: StepContext) -> None:
        while True:
            ctx.state.increment("n")
            ctx.step_state.increment("n")
            written.release()

    return work


# Seen to fail when giving up a job does not end its fence.
@stress(ci=30)
def test_cancel_is_the_end_of_all_writes(it: Round) -> None:
    """Once `cancel` has returned in another thread, no branch changes anything."""
    written = threading.Semaphore(0)
    names = ("a", "b", "c")
    steps = [Step(name=name, function=endless(written)) for name in names]
    run = it.manager.start(Parallel("p", *steps), it.workflow.workflow_id)
    for _ in range(it.chance.randrange(12)):
        assert written.acquire(timeout=WAIT_SECONDS)
    assert it.manager.cancel(it.workflow.workflow_id)

    def contents() -> list[object]:
        own = [it.workflow.step(name).get("n") for name in names]
        return [it.workflow.get("n"), *own]

    before = contents()
    assert run.result(WAIT_SECONDS).status is Status.CANCELLED
    for _ in range(20):
        assert contents() == before
