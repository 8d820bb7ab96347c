"""Plans of flows: what a random flow is made from, as data.

A plan says what every attempt of every step does, so that what must come out of a run
can be worked out without running anything. `flow_of` makes the flow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from stateward import JsonValue, UsageError
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Retry,
    Sequential,
    Skip,
    Step,
    StepContext,
    branch,
)
from stateward.workflows.flows import Node

Act: TypeAlias = Literal["ok", "boom", "bang", "hang", "break"]
"""What an attempt does in the end: return, raise, take for ever, break the loop."""
Anything: TypeAlias = Any  # type: ignore[explicit-any]  # each option has its own type
OnError: TypeAlias = Literal["fail", "continue"] | Skip
Kind: TypeAlias = Literal["sequential", "parallel", "conditional", "loop"]


class BoomError(Exception):
    """What some steps raise."""


class BangError(Exception):
    """What other steps raise."""


ERRORS: Final = {"boom": BoomError, "bang": BangError}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """A step, and what becomes of its attempts."""

    name: str
    acts: tuple[Act, ...]
    """Of the first attempt, the second and so on; the last one stays."""
    seconds: int = 0
    """How long each attempt takes."""
    retry: Retry | None = None
    on_error: OnError | None = None
    timeout: float | None = None
    atomic: bool = False

    def act(self, attempt: int) -> Act:
        """Return what an attempt does, 1 for the first."""
        return self.acts[min(attempt, len(self.acts)) - 1]


class StateLike(Protocol):
    """State to read."""

    def get(self, key: str, default: int, /) -> Anything:
        """Return a value, or `default`."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Condition: a step has counted so far."""

    step: str
    least: int

    def __call__(self, state: StateLike) -> bool:
        """Return whether it has."""
        return bool(state.get(f"did {self.step}", 0) >= self.least)


@dataclass(frozen=True, slots=True)
class Below:
    """Condition: a step has not counted so far."""

    step: str
    most: int

    def __call__(self, state: StateLike) -> bool:
        """Return whether it has not."""
        return bool(state.get(f"did {self.step}", 0) < self.most)


Asked: TypeAlias = Reached | Below


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePlan:
    """A workflow of any kind."""

    kind: Kind
    name: str
    steps: "tuple[Plan, ...]"
    conditions: tuple[Asked, ...] = ()
    """Of a conditional: one for each step, or one less if there is an `otherwise`."""
    options: "Mapping[str, Anything]" = field(default_factory=dict)
    """Of the workflow, as its class takes them."""

    def option(self, name: str, default: object = None) -> Anything:
        """Return an option."""
        return self.options.get(name, default)


Plan: TypeAlias = StepPlan | TreePlan


class Does(Protocol):
    """What a step does."""

    def __call__(
        self, plan: StepPlan, ctx: StepContext, before: str | None, /
    ) -> JsonValue:
        """Make one attempt as `plan` says; return the output.

        Args:
            plan: Of the step; conditions want its name counted, as `perform` does.
            ctx: Of the attempt.
            before: Name of the node that ends before the step begins, in a row.
        """
        ...


def perform(plan: StepPlan, ctx: StepContext, before: str | None, /) -> JsonValue:
    """Count in the workflow's state under `did NAME`, then do what is planned.

    Raises:
        BoomError: It is planned, as is `BangError`.
        UsageError: The attempt is to hang, which needs a clock.
    """
    ctx.state.increment(f"did {plan.name}")
    act = plan.act(ctx.attempt)
    if act == "hang":
        raise UsageError(f"step {plan.name!r} is to hang, which `perform` cannot")
    return finish(plan, ctx, [plan.name, ctx.attempt, before])


def finish(plan: StepPlan, ctx: StepContext, output: JsonValue) -> JsonValue:
    """End an attempt as is planned: raise, break the loop, or return `output`."""
    act = plan.act(ctx.attempt)
    if act in ERRORS:
        raise ERRORS[act](f"attempt {ctx.attempt}")
    if act == "break" and ctx.iteration is not None:
        ctx.break_loop()
    return output


def flow_of(plan: Plan, does: Does = perform, *, before: str | None = None) -> Node:
    """Return the flow of a plan.

    Args:
        plan: What `strategies.workflow_trees` has drawn.
        does: What its steps do; with a function of your own, random flows of your
            code. It need not look at `StepPlan.acts`.
        before: Name of the node that ends before this one begins.
    """
    if isinstance(plan, StepPlan):
        return Step(
            name=plan.name,
            function=lambda ctx: does(plan, ctx, before),
            retry=plan.retry,
            on_error=plan.on_error,
            timeout=plan.timeout,
            atomic=plan.atomic,
        )
    row = plan.kind in {"sequential", "loop"}
    steps = [
        flow_of(
            step, does, before=plan.steps[place - 1].name if row and place else None
        )
        for place, step in enumerate(plan.steps)
    ]
    match plan.kind:
        case "sequential":
            return Sequential(plan.name, *steps, **plan.options)
        case "parallel":
            return Parallel(plan.name, *steps, **plan.options)
        case "loop":
            return Loop(plan.name, *steps, **plan.options)
        case "conditional":
            branches = list(map(branch, plan.conditions, steps))
            otherwise = steps[-1] if len(steps) > len(branches) else None
            return Conditional(
                plan.name, *branches, otherwise=otherwise, **plan.options
            )
