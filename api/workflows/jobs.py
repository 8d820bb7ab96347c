"""Jobs: what a run has workers do, and what they tell of it."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from stateward.actors.core.values import Packing
from stateward.actors.runtime.fences import Fence
from stateward.workflows.records import Status, Verdict

if TYPE_CHECKING:
    from stateward.workflows.frames import Frame, StepFrame


class Job:
    """Something a worker is to do for a node."""

    __slots__ = ("awaited", "fence", "frame", "given_up", "tried")

    def __init__(self, frame: "Frame") -> None:
        """Make a job of `frame`."""
        self.frame = frame
        self.fence = Fence()
        """Ended when the job is given up, or has been carried out."""
        self.given_up = False
        """Whether nobody waits for its end any more."""
        self.awaited: Future[object] | None = None
        """What it waits for, if its function is `async`."""
        self.tried = 0
        """Attempts of the step if it records that another one follows; 0 if not."""


class Attempt(Job):
    """Call the function of a step."""

    __slots__ = ("number",)

    frame: "StepFrame"  # type: ignore[mutable-override]  # of nothing else

    def __init__(self, frame: "StepFrame", number: int) -> None:
        """Make attempt `number`, 1 for the first."""
        super().__init__(frame)
        self.number = number


class Settle(Job):
    """Record an attempt that was given up."""

    __slots__ = ("error", "number")

    frame: "StepFrame"  # type: ignore[mutable-override]  # of nothing else

    def __init__(self, attempt: Attempt, error: BaseException) -> None:
        """Say which attempt, and why."""
        super().__init__(attempt.frame)
        self.number = attempt.number
        self.error = error


class Question(Job):
    """Evaluate what a workflow wants to know of the state, and record the answer."""

    __slots__ = ()


class Note(Job):
    """Record that a workflow failed and what is around it goes on."""

    __slots__ = ("verdict",)

    def __init__(self, frame: "Frame", verdict: Verdict) -> None:
        """Say how it ended."""
        super().__init__(frame)
        self.verdict = verdict


class End(Job):
    """Record that the run is over, with all that is not recorded yet."""

    __slots__ = ("records", "status")

    def __init__(
        self, frame: "Frame", status: Status, records: Mapping[str, Packing]
    ) -> None:
        """Say how it ended."""
        super().__init__(frame)
        self.status = status
        self.records = records


@dataclass(frozen=True, slots=True)
class Again:
    """The step is to be tried again."""

    delay: float
    """Seconds."""
    number: int
    """Of the attempt that follows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `Question` found out."""

    value: object


Outcome: TypeAlias = Verdict | Again | Answer
