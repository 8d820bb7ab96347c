"""What stays the same in a run, and what its workers tell its runner."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Protocol

from stateward.actors.core import faults
from stateward.actors.core.errors import (
    ConflictError,
    MailboxFullError,
    RunLostError,
    UnavailableError,
)
from stateward.actors.core.messages import CommitTransaction
from stateward.actors.core.scopes import WorkflowScope
from stateward.actors.core.values import Packing
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.fences import Fence, Fenced
from stateward.workflows.course import Course
from stateward.workflows.jobs import Attempt, Job, Outcome
from stateward.workflows.records import (
    RUN_KEY,
    Status,
    commit_of,
    header_revision,
)
from stateward.workflows.strategies import Access

COMMITS_MAX: Final = 3
"""How often a commit is sent that an owner which just restarted had no use for."""


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

    def commit(
        self,
        records: Sequence[tuple[str, Packing]],
        fence: Fence,
        base: CommitTransaction | None = None,
    ) -> None:
        """Record something, with what else is to be written, and end its fence.

        Args:
            records: Key and packed record of each.
            fence: Of the job that did it.
            base: What an atomic step has read and written.

        Raises:
            RunLostError: The records were dropped, or another runner has the run.
            StepRevokedError: The job was given up. Effect: none.
        """
        if faults.armed:
            faults.hit("run.commit")
        scope = WorkflowScope(self.workflow_id)
        command = commit_of(scope, self.header, records, base)
        message = Fenced(command, fence, "it has ended")
        for left in reversed(range(COMMITS_MAX)):
            try:
                self.engine.ask_owner(scope, message)
            except (UnavailableError, MailboxFullError) as error:
                if error.effect == "unknown" or not left:
                    raise
            except ConflictError as error:
                seen = header_revision(self.engine, self.workflow_id)
                if error.context.get("key") != RUN_KEY or seen == self.header:
                    raise
                raise RunLostError(
                    f"the run of {self.workflow_id!r} is lost: its records were "
                    "dropped or taken over",
                    workflow_id=self.workflow_id,
                ) from None
            else:
                break
        if faults.armed:
            faults.hit("run.committed")


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
