"""What stays the same in a run, and what its workers tell its runner."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol

from stateward.actors.core.values import Packing
from stateward.actors.runtime.engine import Engine
from stateward.workflows.course import Course
from stateward.workflows.jobs import Attempt, Job, Outcome
from stateward.workflows.records import (
    Status,
)
from stateward.workflows.strategies import Access


class Pool(Protocol):
    """Where jobs are carried out."""

    @property
    def submit(self) -> Callable[[Any], None]:
        """Have a task run soon."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """Something that has come about in a run, for whoever watches it."""

    workflow_id: str
    path: str
    status: Status
    """`RUNNING` for an attempt that begins, `RETRYING` for one that another follows."""
    attempt: int
    seconds: float
    """How long the attempt took."""
    error: BaseException | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What stays the same in a run."""

    engine: Engine
    workflow_id: str
    header: int
    """Revision of the run's own record."""
    record: Mapping[str, Any]
    """That record."""
    input: Packing
    access: Access
    pool: Pool
    make_room: Callable[[], None]
    """To be called when jobs were given up that a thread may still be in."""
    loop: Callable[[], asyncio.AbstractEventLoop]
    """Where `async` steps run."""
    context: Context
    """Of whoever began the run; each step runs in a copy."""
    on_event: Callable[[StepEvent], None] | None
    over: Callable[[Course, BaseException | None], None]
    """Called once: the run has ended, or is lost."""


class Finished:
    """Signal: a job has ended. The reply is the next job for the same thread."""

    __slots__ = ("job", "outcome")

    def __init__(self, job: Job, outcome: Outcome) -> None:
        self.job = job
        self.outcome = outcome


class Started:
    """Signal: the function of an attempt is about to be called."""

    __slots__ = ("job",)

    def __init__(self, job: Attempt) -> None:
        self.job = job


class Abandon:
    """Command: let nothing of the run have an effect any more; its record stays."""

    __slots__ = ()
