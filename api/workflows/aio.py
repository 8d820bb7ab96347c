"""Runs for asyncio: begun in a loop, awaited there, their `async` steps run in it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from stateward.actors.core.values import JsonValue
from stateward.resumption import UNSET
from stateward.workflows.flows import Nodes
from stateward.workflows.plan import StepEvent
from stateward.workflows.results import RunResult
from stateward.workflows.runs import Run, Runs
from stateward.workflows.strategies import Access
from stateward.workflows.unfinished import begin_all, cancel_all

T = TypeVar("T")

_CANCELLED: Final = "the task that awaited it was cancelled"


class AsyncRuns:
    """What `StateManager.aio` is: each method does what its namesake there does.

    Concurrency: Any running loop. Plain steps run in threads and never block it.

    Example:
        >>> import asyncio
        >>> from stateward import StateManager
        >>> from stateward.workflows import Sequential, step
        >>> @step
        ... async def greet(ctx):
        ...     await ctx.state.aio.set("greeted", ctx.input)
        ...     return f"Hello, {ctx.input}!"
        >>> async def main():
        ...     async with StateManager() as manager:
        ...         flow = Sequential("hello", greet)
        ...         return await manager.aio.run(flow, "w", input="world")
        >>> asyncio.run(main()).output
        'Hello, world!'
    """

    __slots__ = ("_runs",)

    def __init__(self, runs: Runs) -> None:
        """Wrap the runs of a manager."""
        self._runs = runs

    async def run(
        self,
        flow: Nodes,
        workflow_id: str,
        *,
        input: JsonValue = UNSET,  # noqa: A002  # as of `StateManager.run`
        access: Access | None = None,
        restart: bool = False,
        on_event: Callable[[StepEvent], None] | None = None,
    ) -> RunResult:
        """Run a flow for a workflow, and return how that ended.

        Cancelling the task that awaits this cancels the run.
        """
        run = await self.start(
            flow,
            workflow_id,
            input=input,
            access=access,
            restart=restart,
            on_event=on_event,
        )
        return await _result_of(run)

    async def start(
        self,
        flow: Nodes,
        workflow_id: str,
        *,
        input: JsonValue = UNSET,  # noqa: A002  # as of `StateManager.run`
        access: Access | None = None,
        restart: bool = False,
        on_event: Callable[[StepEvent], None] | None = None,
    ) -> Run:
        """As `run`, but do not wait: the `Run` returned can be awaited."""
        loop = asyncio.get_running_loop()
        return await _begin(
            lambda: self._runs.start(
                flow,
                workflow_id,
                input_=input,
                access=access,
                restart=restart,
                on_event=on_event,
                loop=loop,
            ),
            _cancel,
        )

    async def resume(
        self,
        flow: Nodes,
        workflow_id: str,
        *,
        access: Access | None = None,
        on_event: Callable[[StepEvent], None] | None = None,
    ) -> RunResult:
        """Go on with a run that is recorded, and return how that ended.

        Cancelling the task that awaits this cancels the run.

        Raises:
            MissingKeyError: Nothing is recorded of a run of this id. Effect: none.
        """
        loop = asyncio.get_running_loop()
        run = await _begin(
            lambda: self._runs.start(
                flow,
                workflow_id,
                access=access,
                on_event=on_event,
                loop=loop,
                must_exist=True,
            ),
            _cancel,
        )
        return await _result_of(run)

    async def resume_all(
        self,
        flows: "Iterable[Nodes] | Nodes",
        *,
        access: Access | None = None,
        on_event: Callable[[StepEvent], None] | None = None,
    ) -> dict[str, RunResult]:
        """Go on with every run that is not completed; return how each ended, by id.

        Cancelling the task that awaits this cancels the runs.

        Raises:
            StateError: Progress of a run could not be recorded; all others have ended.
        """
        loop = asyncio.get_running_loop()
        begun = await _begin(
            lambda: begin_all(
                self._runs, flows, access=access, on_event=on_event, loop=loop
            ),
            lambda begun: cancel_all(begun.values(), _CANCELLED),
        )
        # ORDER: a cancellation that comes now never reaches who waits for one run.
        waiting = asyncio.gather(
            *(_result_of(run) for run in begun.values()), return_exceptions=True
        )
        ended = await _or_cancel(
            waiting, lambda: cancel_all(begun.values(), _CANCELLED)
        )
        results: dict[str, RunResult] = {}
        for workflow_id, result in zip(begun, ended, strict=True):
            if isinstance(result, BaseException):
                raise result
            results[workflow_id] = result
        return results

    async def cancel(
        self, workflow_id: str, reason: str = "the run was cancelled"
    ) -> bool:
        """Cancel the run of a workflow; return whether there was one under way."""
        return await asyncio.to_thread(self._runs.cancel, workflow_id, reason)


async def _or_cancel(waiting: Awaitable[T], cancel: Callable[[], None]) -> T:
    """Await something; call `cancel`, in a thread, if the task is cancelled instead."""
    try:
        return await waiting
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        # Nor does a second cancellation keep it from that.
        await asyncio.shield(loop.run_in_executor(None, cancel))
        raise


async def _begin(begin: Callable[[], T], cancel: Callable[[T], None]) -> T:
    """Begin runs in a thread; if the task is cancelled meanwhile, cancel them."""
    begun: list[T] = []
    given_up: list[bool] = []

    def work() -> T:
        runs = begin()
        # RACE: each side says what it did before it looks at the other, so one of
        # them sees both, also when the task is cancelled with the result on its way.
        begun.append(runs)
        if given_up:
            cancel(runs)
        return runs

    def give_up() -> None:
        given_up.append(True)
        for runs in begun:
            cancel(runs)

    return await _or_cancel(asyncio.to_thread(work), give_up)


async def _result_of(run: Run) -> RunResult:
    """Await a run; cancelling the task that does cancels it."""
    return await _or_cancel(run.future, partial(_cancel, run))


def _cancel(run: Run) -> None:
    run.cancel(_CANCELLED)
