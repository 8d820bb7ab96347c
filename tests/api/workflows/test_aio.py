"""Runs for asyncio: awaited in a loop that they never block."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stateward import (
    AlreadyRunningError,
    FlowChangedError,
    MissingKeyError,
    StateManager,
)
from stateward.workflows import (
    Access,
    Parallel,
    Sequential,
    Status,
    StepContext,
    StepEvent,
    step,
)
from tests.threads import WAIT, Gate, eventually


def test_run_is_awaited(manager: StateManager) -> None:
    """It returns what its namesake of the manager returns, by the same record."""

    @step
    async def soon(ctx: StepContext) -> str:
        await ctx.state.aio.set("a", 1)
        return f"soon {ctx.input}"

    @step
    def plain(ctx: StepContext) -> object:
        return [ctx.outputs["soon"], ctx.state["a"]]

    async def main() -> None:
        flow = Sequential("f", soon, plain)
        result = await manager.aio.run(flow, "w", input=7)
        assert result.output == ["soon 7", 1]
        assert manager.run_state("w") == result
        assert await manager.aio.run(flow, "w") == result
        with pytest.raises(FlowChangedError):
            await manager.aio.run(flow, "w", input=8)
        again = await manager.aio.run(flow, "w", input=8, restart=True)
        assert again.outputs["soon"] == "soon 8"

    asyncio.run(main())


def test_asynchronous_steps_run_in_the_loop_of_the_caller(
    manager: StateManager,
) -> None:
    """They can use what belongs to that loop; plain ones run in other threads."""
    threads: dict[str, int] = {}
    futures: list[asyncio.Future[str]] = []

    @step
    async def soon(_: StepContext) -> None:
        threads["soon"] = threading.get_ident()
        futures[0].set_result("from a step")

    @step
    def plain(_: StepContext) -> None:
        threads["plain"] = threading.get_ident()

    async def main() -> None:
        futures.append(asyncio.get_running_loop().create_future())
        (await manager.aio.run(Parallel("p", soon, plain), "w")).raise_for_failure()
        assert await futures[0] == "from a step"

    asyncio.run(main())
    assert threads["soon"] == threading.get_ident() != threads["plain"]


def test_loop_is_not_blocked_by_plain_steps(manager: StateManager) -> None:
    """While a step waits for the loop, the loop goes on, and opens its gate."""
    gate = Gate()

    async def main() -> None:
        flow = Sequential("f", step(name="s")(lambda _: gate(1)))
        run = await manager.aio.start(flow, "w")
        await asyncio.to_thread(gate.wait_until_entered)
        assert not run.done()
        gate.open()
        assert (await run).output == 1
        assert (await run).output == 1

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_cancelling_the_task_that_waits_cancels_the_run(
    manager: StateManager, asynchronous: bool
) -> None:
    """The run is not left to go on, and its record says so."""
    gate, entering = Gate(), threading.Event()

    def is_cancelled() -> bool:
        state = manager.run_state("w")
        return state is not None and state.status is Status.CANCELLED

    def plain(_: StepContext) -> None:
        entering.set()
        gate(None)

    async def soon(_: StepContext) -> None:
        entering.set()
        await asyncio.Event().wait()

    flow = Sequential("f", step(name="s")(soon if asynchronous else plain))

    async def main() -> None:
        task = asyncio.create_task(manager.aio.run(flow, "w"))
        assert await asyncio.to_thread(entering.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(eventually, is_cancelled, "the run is cancelled")

    asyncio.run(main())
    gate.open()


def test_run_is_cancelled_by_id(manager: StateManager) -> None:
    """Whoever awaits it gets the result, and is not cancelled itself."""
    waiting = asyncio.Event()

    async def soon(_: StepContext) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def main() -> None:
        flow = Sequential("f", step(name="s")(soon))
        run = await manager.aio.start(flow, "w")
        await waiting.wait()
        with pytest.raises(AlreadyRunningError):
            await manager.aio.run(flow, "w")
        assert await manager.aio.cancel("w", "enough")
        assert (await run).status is Status.CANCELLED
        assert not await manager.aio.cancel("w")
        assert not await manager.aio.cancel("other")

    asyncio.run(main())


def test_many_runs_share_one_loop(manager: StateManager) -> None:
    """Runs of different workflows wait for each other's steps without a thread each."""
    count = 50
    barrier = asyncio.Barrier(count)

    async def meet(ctx: StepContext) -> str:
        await barrier.wait()
        return ctx.workflow_id

    async def main() -> None:
        flow = Sequential("f", step(name="s")(meet))
        ids = [f"w{i}" for i in range(count)]
        results = await asyncio.gather(*(manager.aio.run(flow, it) for it in ids))
        assert [it.output for it in results] == ids

    asyncio.run(main())


def test_options_are_those_of_the_manager(manager: StateManager) -> None:
    """Access and events work as they do there."""
    events: list[StepEvent] = []

    @step
    async def shared(ctx: StepContext) -> None:
        await ctx.state.custom_state("c").aio.set("k", 1)

    async def main() -> None:
        flow = Sequential("f", shared)
        refused = await manager.aio.run(flow, "w")
        assert refused.status is Status.FAILED
        access = Access(custom_state="write")
        result = await manager.aio.run(flow, "w", access=access, on_event=events.append)
        result.raise_for_failure()

    asyncio.run(main())
    assert manager.custom_state("c")["k"] == 1
    assert [it.status for it in events] == [Status.RUNNING, Status.COMPLETED]


def test_failures_are_the_exceptions_themselves(manager: StateManager) -> None:
    """What an asynchronous step raised is found in the result, unchanged."""
    error = ZeroDivisionError("by design")

    async def fail(_: StepContext) -> None:
        raise error

    async def main() -> None:
        result = await manager.aio.run(Sequential("f", step(name="s")(fail)), "w")
        assert result.failures["s"] is error

    asyncio.run(main())


async def value() -> int:
    """Return something."""
    return 5


def done_future() -> "asyncio.Future[int]":
    """Return a future that is done."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(5)
    return future


AWAITABLES: dict[str, Callable[[], Any]] = {
    "future": done_future,
    "task": lambda: asyncio.get_running_loop().create_task(value()),
}


@pytest.mark.parametrize("kind", AWAITABLES)
def test_step_may_return_anything_that_can_be_awaited(
    manager: StateManager, kind: str
) -> None:
    """A plain function that hands on a future of the loop is an asynchronous step."""

    async def main() -> None:
        given = AWAITABLES[kind]()
        flow = Sequential("f", step(name="s")(lambda _: given))
        assert (await manager.aio.run(flow, "w")).output == 5

    asyncio.run(main())


def test_resume_goes_on_in_the_loop_of_the_caller(manager: StateManager) -> None:
    """One by its id, then all; what is not recorded is not begun."""
    broken, threads = [True], set()

    async def s(ctx: StepContext) -> object:
        if broken:
            raise OSError("not now")
        threads.add(threading.get_ident())
        return ctx.input

    flow = Sequential("f", step(name="s")(s))

    async def main() -> None:
        for workflow_id in "abc":
            await manager.aio.run(flow, workflow_id, input=workflow_id)
        broken.clear()
        assert (await manager.aio.resume(flow, "a")).output == "a"
        results = await manager.aio.resume_all([flow])
        assert {key: it.output for key, it in results.items()} == {"b": "b", "c": "c"}
        assert await manager.aio.resume_all(flow) == {}
        with pytest.raises(MissingKeyError):
            await manager.aio.resume(flow, "d")

    asyncio.run(main())
    assert threads == {threading.get_ident()}
