"""Resuming: what a manager does about runs that an earlier process left unfinished."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stateward.workflows.flows import Nodes
    from stateward.workflows.plan import StepEvent
    from stateward.workflows.results import RunResult
    from stateward.workflows.runs import Runs
    from stateward.workflows.strategies import Access

UNSET: Final[Any] = object()
"""Stands for an input that was not given."""


class Resumption:
    """The part of `StateManager` that takes runs up again."""

    if TYPE_CHECKING:

        @property
        def runs(self) -> Runs:
            """The runs of the manager."""
            ...

    def resume(
        self,
        flow: "Nodes",
        workflow_id: str,
        *,
        access: "Access | None" = None,
        on_event: "Callable[[StepEvent], None] | None" = None,
    ) -> "RunResult":
        """Go on with a run that is recorded, and return how that ended.

        As `run` without an input, but never begins a run that is not there.

        Raises:
            MissingKeyError: Nothing is recorded of a run of this id. Effect: none.
            FlowChangedError: The run was begun with another flow. Effect: none.
            StateError: Whatever else `run` raises.

        Concurrency: Any thread. Interrupting the wait cancels the run.

        Example:
            >>> from stateward import StateManager
            >>> from stateward.workflows import Sequential, step
            >>> @step
            ... def pay(ctx):
            ...     if ctx.state.increment("calls") == 1:
            ...         raise OSError("the bank does not answer")
            ...     return "paid"
            >>> with StateManager() as manager:
            ...     failed = manager.run(Sequential("order", pay), "order-123")
            ...     manager.resume(Sequential("order", pay), "order-123").output
            'paid'
        """
        run = self.runs.start(
            flow, workflow_id, access=access, on_event=on_event, must_exist=True
        )
        return run.wait()

    def resume_all(
        self,
        flows: "Iterable[Nodes] | Nodes",
        *,
        access: "Access | None" = None,
        on_event: "Callable[[StepEvent], None] | None" = None,
    ) -> "dict[str, RunResult]":
        """Go on with every run that is not completed; return how each ended, by id.

        For the start of a process: what was under way when the last one ended goes on,
        and so does what had failed or was cancelled. All runs are begun before any is
        waited for. Left alone, logged and not in the answer are runs of a flow that is
        not among `flows` or has changed, and those under way.

        Args:
            flows: One flow or many; a run's is found by its name.
            access: As of `run`, for each of them.
            on_event: As of `run`, for each of them.

        Raises:
            InvalidFlowError: One of `flows` makes no sense. Effect: none.
            UsageError: Two of `flows` have the same name. Effect: none.
            StateError: Progress of a run could not be recorded; all others have ended.

        Concurrency: Any thread. Interrupting the wait cancels the runs.
        Cost: O(workflows in the store), beyond what the runs take.

        Example:
            >>> from stateward import StateManager
            >>> from stateward.workflows import Sequential, step
            >>> @step
            ... def pay(ctx):
            ...     if ctx.state.increment("calls") == 1:
            ...         raise OSError("the bank does not answer")
            ...     return "paid"
            >>> with StateManager() as manager:
            ...     failed = manager.run(Sequential("order", pay), "order-123")
            ...     manager.resume_all([Sequential("order", pay)])["order-123"].output
            'paid'
        """
        # Not at the top: a host without workflows need not load it.
        from stateward.workflows.unfinished import begin_all, wait_for

        return wait_for(begin_all(self.runs, flows, access=access, on_event=on_event))
