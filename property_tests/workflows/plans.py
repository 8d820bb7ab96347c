"""Plans of flows: what a random flow is made from, and what its model reads.

A plan says what every attempt of every step does, so that what must come out of a run
can be worked out without running anything. `build` makes the flow.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from zlib import crc32

from property_tests.workflows.batons import Batons
from stateward import JsonValue
from stateward.testing import SimulatedClock
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

Act: TypeAlias = Literal["ok", "boom", "bang", "hang", "break"]
"""What an attempt does in the end: return, raise, take for ever, break the loop."""
OnError: TypeAlias = Literal["fail", "continue"] | Skip
Kind: TypeAlias = Literal["sequential", "parallel", "conditional", "loop"]

TICK: Final = 0.25
"""Seconds; whatever takes time takes so many of these."""


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


@dataclass(frozen=True, slots=True)
class Reached:
    """Condition: a step has counted so far."""

    step: str
    least: int

    def __call__(self, state: Any) -> bool:
        """Return whether it has."""
        return bool(state.get(f"did {self.step}", 0) >= self.least)


@dataclass(frozen=True, slots=True)
class Below:
    """Condition: a step has not counted so far."""

    step: str
    most: int

    def __call__(self, state: Any) -> bool:
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
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the workflow, as its class takes them."""

    def option(self, name: str, default: Any = None) -> Any:
        """Return an option."""
        return self.options.get(name, default)


Plan: TypeAlias = StepPlan | TreePlan


@dataclass(slots=True)
class World:
    """What the functions of a flow work with, and what they are seen to do."""

    clock: SimulatedClock
    batons: Batons
    calls: list[tuple[str, int]] = field(default_factory=list)
    """Path and attempt of each call of a function."""
    finished: set[str] = field(default_factory=set)
    """Paths of steps whose functions must not be called any more."""
    repeated: list[str] = field(default_factory=list)
    """Paths of those that were called all the same."""


def seen(output: JsonValue) -> int:
    """Return a digest of an output, which a later step returns as part of its own."""
    return crc32(json.dumps(output, sort_keys=True).encode())


def build(plan: Plan, world: World, before: str | None = None) -> Any:
    """Return the flow of a plan; `before` is the node that ends before it begins."""
    if isinstance(plan, StepPlan):
        return Step(
            name=plan.name,
            function=_function(plan, world, before),
            retry=plan.retry,
            on_error=plan.on_error,
            timeout=plan.timeout,
            atomic=plan.atomic,
        )
    row = plan.kind in {"sequential", "loop"}
    steps = [
        build(step, world, plan.steps[place - 1].name if row and place else None)
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


def _function(
    plan: StepPlan, world: World, before: str | None
) -> Callable[[StepContext], JsonValue]:
    def function(ctx: StepContext) -> JsonValue:
        world.calls.append((ctx.path, ctx.attempt))
        if ctx.path in world.finished:
            world.repeated.append(ctx.path)
        act = plan.act(ctx.attempt)
        ctx.state.increment(f"did {plan.name}")
        ctx.step_state.increment("mine")
        if plan.timeout is None:
            world.batons.pause()
            if ctx.cancelled:
                return None
        ctx.state.increment("total")
        ticks = 4000 if act == "hang" else round(plan.seconds / TICK)
        for _ in range(ticks):
            world.clock.advance(TICK)
            world.batons.wait_for_others()
            if ctx.cancelled:
                return None
        if act in ERRORS:
            raise ERRORS[act](f"attempt {ctx.attempt}")
        if act == "break" and ctx.iteration is not None:
            ctx.break_loop()
        saw = None if before is None else ctx.outputs.get(before, "nothing")
        return [plan.name, ctx.attempt, ctx.iteration, ctx.item, seen(saw)]

    return function
