import asyncio
import threading
from collections.abc import Callable

import pytest

from stateward import ClosedError, StateManager
from stateward.actors.core.ports import Task
from stateward.workflows import JOBS_MAX, Parallel, Sequential, StepContext, step
from stateward.workflows.threads import Threads
from tests.support import ManualDispatcher

SECONDS = 30.0


class Job:
    """A task that does one thing."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.run = action


def test_pool_is_made_once_and_refused_when_closed() -> None:
    """Every run shares one pool, and none is made after the end."""
    threads = Threads(None)
    pool = threads.pool(1)
    assert threads.pool(2) is pool
    threads.close()
    threads.close()
    with pytest.raises(ClosedError):
        threads.pool(1)


def test_pool_is_the_dispatcher_where_the_host_has_one() -> None:
    """A host that says who runs next says so for steps as well."""
    dispatcher = ManualDispatcher()
    threads = Threads(dispatcher)
    assert threads.pool(JOBS_MAX + 1) is dispatcher
    threads.close()


def test_pool_grows_to_what_a_flow_asks_for(manager: StateManager) -> None:
    """Branches that wait for each other all run at once if they may."""
    width = JOBS_MAX + 8
    meeting = threading.Barrier(width)

    def meet(_: StepContext) -> None:
        meeting.wait(SECONDS)

    branches = [step(name=f"b{number}")(meet) for number in range(width)]
    flow = Parallel("meet", *branches, max_concurrency=width)
    assert manager.run(flow, "w").ok


def test_pool_outlives_steps_that_never_end(manager: StateManager) -> None:
    """As many stuck steps as there are threads do not keep others from running."""
    over = threading.Event()
    begun = threading.Semaphore(0)

    def hang(_: StepContext) -> None:
        begun.release()
        over.wait(SECONDS)

    branches = [step(name=f"b{number}")(hang) for number in range(JOBS_MAX)]
    run = manager.start(Parallel("stuck", *branches), "w")
    for _ in range(JOBS_MAX):
        assert begun.acquire(timeout=SECONDS)
    assert run.cancel()
    assert not run.result(SECONDS).ok
    try:
        assert manager.start(lambda_step(), "v").result(SECONDS).output == 1
    finally:
        over.set()


def lambda_step() -> Sequential:
    """Return a flow of one step that returns 1."""
    return Sequential("one", step(name="s")(lambda _: 1))


def test_loop_is_made_once_and_ends_with_its_tasks() -> None:
    """What is left in the loop is cancelled when the threads are closed."""
    threads = Threads(None)
    loop = threads.loop()
    assert threads.loop() is loop
    cancelled = threading.Event()
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    asyncio.run_coroutine_threadsafe(wait(), loop)
    assert begun.wait(SECONDS)
    threads.close()
    assert cancelled.is_set()
    assert loop.is_closed()
    threads.close()


def test_abandon_ends_threads_without_waiting() -> None:
    """A manager that was forgotten leaves no thread behind."""
    threads = Threads(None)
    ran = threading.Event()
    task: Task = Job(ran.set)
    threads.pool(1).submit(task)
    loop = threads.loop()
    assert ran.wait(SECONDS)
    named = [it for it in threading.enumerate() if it.name == "stateward-loop"]
    threads.abandon()
    for thread in named:
        thread.join(SECONDS)
    assert loop.is_closed()
    threads.abandon()
