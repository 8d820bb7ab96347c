"""Frames: where a run stands in each node of its flow that has begun and not ended."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from stateward.actors.core.errors import (
    StepTimeoutError,
)
from stateward.workflows.flows import (
    Node,
)
from stateward.workflows.jobs import Again, Attempt, Outcome
from stateward.workflows.records import (
    Record,
    Status,
    Verdict,
    verdict_of,
)
from stateward.workflows.steps import Step
from stateward.workflows.strategies import OnError, Retry, Skip

if TYPE_CHECKING:
    from stateward.workflows.course import Course
    from stateward.workflows.loops import LoopFrame

NO_RETRY: Final = Retry(attempts=1)
NOTED: Final = ("chosen", "items", "allowed", "ended")
"""What `note_of` puts into records."""


class Frame:
    """A node of the flow under way."""

    is_step: ClassVar[bool] = False

    def __init__(
        self, course: "Course", node: Node, parent: "Frame | None", path: str
    ) -> None:
        """Make the frame of `node`, which has yet to begin.

        Args:
            course: What it is part of.
            node: A step or a workflow.
            parent: Of the workflow around it; `None` for the whole flow.
            path: Of the node; empty for the whole flow.
        """
        self.course = course
        self.node = node
        self.parent = parent
        self.path = path
        self.over = False
        self.tried = 0
        """Attempts of a step that waits for the next one; 0 while it does not."""
        self.loop: LoopFrame | None = None if parent is None else parent.loop
        """The innermost loop around it."""
        self.iteration: int = -1 if parent is None else parent.iteration
        """Of that loop."""
        self.retry: Retry = node.retry or (NO_RETRY if parent is None else parent.retry)
        """Of the steps in it that have none of their own."""
        inherited: OnError = "fail" if parent is None else parent.on_error
        self.on_error: OnError = inherited if node.on_error is None else node.on_error
        """Likewise."""
        self.note: Record = {}
        """Answers that are recorded of it, and stay so if it fails."""

    def begin(self) -> None:
        """Set off, unless a record says how it ended."""
        if self.is_over():
            return  # What is around it ended in this very event.
        record = self.course.records.get(self.path)
        known = None if record is None else verdict_of(record, self.path)
        if known is not None:
            self.course.end(self, known)
            return
        timeout = self.node.timeout
        if timeout is not None and not self.is_step:

            def expire(_: float) -> None:
                self.course.expire_frame(self, timeout)

            self.course.at(self.course.now + timeout, self, expire)
        if record is not None and not self.is_step:
            self.note = {key: record[key] for key in NOTED if key in record}
            if "status" in record:
                self.course.forget_failure(self)
        self.set_off(record or {})

    def set_off(self, record: Record) -> None:
        """Begin, with what is recorded of an earlier beginning."""
        raise NotImplementedError

    def child_over(self, child: "Frame", verdict: Verdict) -> None:
        """Go on after a node in it has ended."""
        raise NotImplementedError

    def finished(self, outcome: Outcome) -> None:
        """Go on after a job of its own."""
        raise NotImplementedError

    def ask(self, state: Any) -> object:
        """Return what it wants to know of the state; a worker calls this."""
        raise NotImplementedError

    def note_of(self, answer: object) -> Record | None:
        """Return what to record of an answer; `None` for nothing."""
        raise NotImplementedError

    @property
    def policy(self) -> OnError:
        """What its failure does to the workflow around it."""
        if self.parent is None:
            return self.on_error if self.is_step else "fail"
        return self.parent.policy_of(self.node)

    def policy_of(self, child: Node) -> OnError:
        """Return what the failure of a node in it does."""
        own = child.on_error if isinstance(child, Step) else None
        return self.on_error if own is None else own

    def forgive(self, verdict: Verdict) -> Verdict:
        """Return how a node that failed ended, after its strategy."""
        policy, error = self.policy, verdict.error
        if isinstance(policy, Skip):
            if not isinstance(error, policy.on):
                return verdict
            return Verdict(
                status=Status.SKIPPED,
                packing=policy.packing(),
                error=error,
                origin=verdict.origin,
            )
        if policy == "fail":
            return verdict
        return Verdict(
            status=verdict.status, error=error, origin=verdict.origin, forgiven=True
        )

    def child(self, node: Node) -> "Frame":
        """Return the frame of a node in it."""
        path = f"{self.path}/{node.name}" if self.path else node.name
        return self.course.frame_of(node, self, path)

    def is_over(self) -> bool:
        """Return whether it, or anything around it, has ended."""
        frame: Frame | None = self
        while frame is not None:
            if frame.over:
                return True
            frame = frame.parent
        return False

    def is_within(self, other: "Frame") -> bool:
        """Return whether it is `other` or inside it."""
        frame: Frame | None = self
        while frame is not None and frame is not other:
            frame = frame.parent
        return frame is other

    def end(self, verdict: Verdict) -> None:
        """End, and let the workflow around it go on."""
        self.course.end(self, verdict)


class StepFrame(Frame):
    """A step: attempts, one after the other."""

    is_step = True

    @property
    def step(self) -> Step:
        """The step."""
        return self.node  # type: ignore[return-value]  # of nothing else

    def set_off(self, record: Record) -> None:
        """Begin with the first attempt, or after those that failed already."""
        retrying = record.get("status") == Status.RETRYING
        self._try(record["attempts"] + 1 if retrying else 1)

    def finished(self, outcome: Outcome) -> None:
        """End, or try again."""
        if isinstance(outcome, Verdict):
            self.end(outcome)
        elif isinstance(outcome, Again):
            number = outcome.number
            if outcome.delay <= 0:
                self._try(number)
                return
            self.tried = number - 1
            when = self.course.now + outcome.delay
            self.course.at(when, self, lambda _: self._try(number))

    def judge(
        self, error: BaseException, number: int, seed: str
    ) -> tuple[Verdict, Again | None]:
        """Return what a failed attempt is recorded as, and whether another follows."""
        timed_out = isinstance(error, StepTimeoutError)
        status = Status.TIMED_OUT if timed_out else Status.FAILED
        if self.retry.applies(error, number):
            delay = self.retry.delay(number, f"{seed}/{self.path}")
            again = Again(delay, number + 1)
            verdict = Verdict(status=Status.RETRYING, error=error, origin=self.path)
            return verdict, again
        verdict = Verdict(status=status, error=error, origin=self.path)
        return self.forgive(verdict), None

    def forgive(self, verdict: Verdict) -> Verdict:
        """Return how the step ended; once it is recorded, that stays."""
        return verdict if self._is_recorded else super().forgive(verdict)

    _is_recorded = False

    def end(self, verdict: Verdict) -> None:
        """End as recorded."""
        self._is_recorded = True
        super().end(verdict)

    def _try(self, number: int) -> None:
        self.tried = 0
        self.course.post(Attempt(self, number))
