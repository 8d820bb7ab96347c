"""What the steps of random flows do here: count, let others go on, let time pass."""

import json
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from stateward import JsonValue
from stateward.testing import Interleaver
from stateward.testing.plans import StepPlan, finish
from stateward.workflows import StepContext

TICK: Final = 0.25
"""Seconds; whatever takes time takes so many of these."""
HANG_TICKS: Final = 4000


@dataclass(slots=True)
class World:
    """What the functions of a flow work with, and what they are seen to do."""

    it: Interleaver
    calls: list[tuple[str, int]] = field(default_factory=list)
    """Path and attempt of each call of a function."""
    finished: set[str] = field(default_factory=set)
    """Paths of steps whose functions must not be called any more."""
    repeated: list[str] = field(default_factory=list)
    """Paths of those that were called all the same."""

    def does(self, plan: StepPlan, ctx: StepContext, before: str | None) -> JsonValue:
        """Make one attempt of a step."""
        self.calls.append((ctx.path, ctx.attempt))
        if ctx.path in self.finished:
            self.repeated.append(ctx.path)
        hangs = plan.act(ctx.attempt) == "hang"
        ctx.state.increment(f"did {plan.name}")
        ctx.step_state.increment("mine")
        if plan.timeout is None:
            self.it.pause()
            if ctx.cancelled:
                return None
        ctx.state.increment("total")
        for _ in range(HANG_TICKS if hangs else round(plan.seconds / TICK)):
            self.it.clock.advance(TICK)
            self.it.wait_for_others()
            if ctx.cancelled:
                return None
        saw = None if before is None else ctx.outputs.get(before, "nothing")
        output: JsonValue = [plan.name, ctx.attempt, ctx.iteration, ctx.item, seen(saw)]
        return finish(plan, ctx, output)


def seen(output: JsonValue) -> int:
    """Return a digest of an output, which a later step returns as part of its own."""
    return crc32(json.dumps(output, sort_keys=True).encode())
