"""Cancelling a task of asyncio: no run that it began is left to go on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stateward import StateManager
from stateward.workflows import Sequential, Status, StepContext, step
from stateward.workflows.aio import _result_of
from stateward.workflows.runs import Run, Runs
from tests.threads import WAIT, Gate, eventually


def wait_until_cancelled(manager: StateManager, *workflow_ids: str) -> None:
    """Wait until the runs of these are recorded as cancelled."""

    def are_cancelled() -> bool:
        states = [manager.run_state(it) for it in workflow_ids]
        return all(it is not None and it.status is Status.CANCELLED for it in states)

    eventually(are_cancelled, "the runs are cancelled")


def test_cancelling_the_task_that_resumes_all_cancels_the_runs(
    manager: StateManager,
) -> None:
    """None is left to go on, and the record of each says so."""
    broken = [True]
    entered = asyncio.Barrier(3)

    async def s(_: StepContext) -> None:
        if broken:
            raise OSError("not now")
        await entered.wait()
        await asyncio.Event().wait()

    flow = Sequential("f", step(name="s")(s))

    async def main() -> None:
        for workflow_id in "ab":
            await manager.aio.run(flow, workflow_id)
        broken.clear()
        task = asyncio.create_task(manager.aio.resume_all(flow))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until_cancelled, manager, "a", "b")

    asyncio.run(main())


@pytest.mark.parametrize("method", ["run", "start", "resume", "resume_all"])
def test_cancelling_while_runs_are_being_begun_cancels_them(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whoever is cancelled before it knew of a run leaves none to go on."""
    broken, begun = [True], Gate()

    async def s(_: StepContext) -> None:
        if broken:
            raise OSError("not now")
        await asyncio.Event().wait()

    flow = Sequential("f", step(name="s")(s))
    original = Runs.start

    def start(*args: Any, **kwargs: Any) -> Run:
        run = original(*args, **kwargs)
        return run if broken else begun(run)

    monkeypatch.setattr(Runs, "start", start)

    async def main() -> None:
        await manager.aio.run(flow, "w")
        broken.clear()
        begin: dict[str, Any] = {
            "run": lambda: manager.aio.run(flow, "w", restart=True),
            "start": lambda: manager.aio.start(flow, "w", restart=True),
            "resume": lambda: manager.aio.resume(flow, "w"),
            "resume_all": lambda: manager.aio.resume_all(flow),
        }
        task = asyncio.ensure_future(begin[method]())
        await asyncio.to_thread(begun.wait_until_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        begun.open()
        await asyncio.to_thread(wait_until_cancelled, manager, "w")

    asyncio.run(main())


def test_cancelling_with_runs_begun_and_not_known_of_cancels_them(
    manager: StateManager,
) -> None:
    """Nor is one left whose beginning was on its way to the loop."""

    async def s(_: StepContext) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        worker = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(worker)
        task = asyncio.create_task(
            manager.aio.run(Sequential("f", step(name="s")(s)), "w")
        )
        await asyncio.sleep(0)
        # The loop is held until the only worker is past it: the result is on its way.
        worker.submit(str).result(WAIT)
        assert manager.run_state("w") is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until_cancelled, manager, "w")

    asyncio.run(main())


def test_second_cancellation_does_not_keep_the_run_going(
    manager: StateManager,
) -> None:
    """A timeout cancels its task, and the end of the loop does once more."""

    async def s(_: StepContext) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        worker, held = ThreadPoolExecutor(1), Gate()
        asyncio.get_running_loop().set_default_executor(worker)
        run = await manager.aio.start(Sequential("f", step(name="s")(s)), "w")
        task = asyncio.create_task(_result_of(run))
        await asyncio.sleep(0)
        busy = worker.submit(held, None)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        held.open()
        busy.result(WAIT)
        await asyncio.to_thread(wait_until_cancelled, manager, "w")

    asyncio.run(main())


def test_cancelling_before_the_runs_are_waited_for_cancels_them(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline may come when all runs have begun and no task waits for one yet."""
    broken = [True]

    async def s(_: StepContext) -> None:
        if broken:
            raise OSError("not now")
        await asyncio.Event().wait()

    flow = Sequential("f", step(name="s")(s))
    original = asyncio.gather

    def gather(*awaitables: Any, **options: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        return original(*awaitables, **options)

    async def main() -> None:
        for workflow_id in "ab":
            await manager.aio.run(flow, workflow_id)
        broken.clear()
        monkeypatch.setattr(asyncio, "gather", gather)
        with pytest.raises(asyncio.CancelledError):
            await manager.aio.resume_all(flow)
        monkeypatch.undo()
        await asyncio.to_thread(wait_until_cancelled, manager, "a", "b")

    asyncio.run(main())
