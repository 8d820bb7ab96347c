"""Workflows: steps in a row, side by side, by choice and in loops, that share state.

A flow is a value made of functions; `StateManager.run` runs it for a workflow id, hands
every step the state, and records through the workflow's owner what has been done. Run
again, it continues where it stopped.

Example:
    >>> from stateward import StateManager
    >>> from stateward.workflows import Sequential, step
    >>> @step
    ... def load(ctx):
    ...     ctx.state.set("rows", 3)
    ...     return ctx.input["sku"]
    >>> @step(atomic=True)
    ... def count(ctx):
    ...     return ctx.state.increment("rows", ctx.outputs["load"])
    >>> with StateManager() as manager:
    ...     result = manager.run(
    ...         Sequential("checkout", load, count),
    ...         workflow_id="order-123",
    ...         input={"sku": 7},
    ...     )
    >>> result.status, result.output
    (<Status.COMPLETED: 'completed'>, 10)

May import everything below the public face and the face itself; is imported by the
manager when the first flow is run.
"""

from stateward.workflows.context import Outputs, StepContext
from stateward.workflows.flows import (
    Branch,
    Conditional,
    Loop,
    Parallel,
    Sequential,
    branch,
)
from stateward.workflows.plan import StepEvent
from stateward.workflows.records import Status
from stateward.workflows.results import RunResult, StepResult
from stateward.workflows.runs import Run
from stateward.workflows.steps import Step, step
from stateward.workflows.strategies import Access, First, Last, Retry, Skip
from stateward.workflows.threads import JOBS_MAX

__all__ = [
    "JOBS_MAX",
    "Access",
    "Branch",
    "Conditional",
    "First",
    "Last",
    "Loop",
    "Outputs",
    "Parallel",
    "Retry",
    "Run",
    "RunResult",
    "Sequential",
    "Skip",
    "Status",
    "Step",
    "StepContext",
    "StepEvent",
    "StepResult",
    "branch",
    "step",
]
