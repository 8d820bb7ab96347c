"""The course of a run: which step is next, and what follows from how one ended.

Pure but for what it is told: no thread, no clock, no store. It is given events (a job
has ended, time has come, the run is cancelled), and what is to be done now comes out
as `Job`s. One thread at a time. Nothing is recursive: flows may nest to any depth.
"""

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

from stateward.actors.core.errors import StepTimeoutError
from stateward.actors.core.values import Packing
from stateward.workflows import kinds
from stateward.workflows.flows import Node
from stateward.workflows.jobs import (
    Attempt,
    End,
    Job,
    Note,
    Outcome,
    Settle,
)
from stateward.workflows.records import (
    FINISHED,
    Record,
    Status,
    Verdict,
    plain_record,
    record_of,
)

if TYPE_CHECKING:
    from stateward.workflows.frames import Frame

_TIMERS_SLACK: Final = 64
"""LIMIT: timers of what is over that may wait before they are swept out."""


_Timer: TypeAlias = tuple[float, int, "Frame", Callable[[float], None]]


class Course:
    """One run of a flow, as far as it has come."""

    def __init__(self, flow: Node, records: Mapping[str, Record]) -> None:
        """Make the course of a run that is about to begin, or to go on.

        Args:
            flow: What is run.
            records: Of an earlier attempt to run it, by path.
        """
        self.records = records
        self.outputs: dict[str, Packing] = {}
        """Of all nodes that have ended, by path; read by any thread."""
        self.errors: dict[str, BaseException] = {}
        """Of all nodes that failed."""
        self.verdict: Verdict | None = None
        """How the run ended."""
        self._jobs: list[Job] = []
        self._given_up: list[Job] = []
        self._live: dict[Job, None] = {}
        self._loose: dict[str, Packing] = {}
        """Records that wait for the end of the run."""
        self._timers: list[_Timer] = []
        self._timers_max = _TIMERS_SLACK
        self._order = count()
        self._agenda: deque[Callable[[], None]] = deque()
        # Also those in a workflow that is skipped, which is not looked into again.
        self._failures = sum(bool(it.get("forgiven")) for it in records.values())
        self.now = 0.0
        self._root = self.frame_of(flow, None, flow.name if _is_step(flow) else "")

    # ------------------------------------------------------------- events

    def begin(self, now: float) -> None:
        """Set off."""
        self.now = now
        self.soon(self._root.begin)
        self._carry_on()

    def started(self, job: Attempt, now: float) -> None:
        """Note that an attempt begins, which may take so long and no longer."""
        timeout = job.frame.step.timeout
        if timeout is not None and job in self._live:

            def expire(_: float) -> None:
                self._expire(job, timeout)

            self.at(now + timeout, job.frame, expire)

    def finished(self, job: Job, outcome: Outcome, now: float) -> None:
        """Go on after a job, unless it was given up meanwhile."""
        self.now = now
        if job not in self._live:
            return
        del self._live[job]
        if isinstance(job, Note) and isinstance(outcome, Verdict):
            self._close(job.frame, outcome)
        else:
            job.frame.finished(outcome)
        self._carry_on()

    def ring(self, now: float) -> None:
        """Do what time has come for."""
        self.now = now
        while self._timers and self._timers[0][0] <= now:
            _, _, frame, action = heappop(self._timers)
            if not frame.is_over():
                action(now)
        self._carry_on()

    def cancel(self, reason: str) -> bool:
        """End the run; return `False` if it is over."""
        if self.verdict is not None:
            return False
        self.give_up(self._root, reason)
        self._close(self._root, Verdict(status=Status.CANCELLED))
        self._carry_on()
        return True

    def abandon(self, reason: str) -> None:
        """Let no job have any effect any more, and give out no other."""
        self.give_up(self._root, reason)
        self._root.over = True

    def take(self) -> list[Job]:
        """Return the jobs that have come up since."""
        jobs, self._jobs = self._jobs, []
        return jobs

    @property
    def next_ring(self) -> float:
        """When to call `ring` next; `inf` for never."""
        while self._timers and self._timers[0][2].is_over():
            heappop(self._timers)
        return self._timers[0][0] if self._timers else inf

    def take_given_up(self) -> list[Job]:
        """Return the jobs that were given up since."""
        jobs, self._given_up = self._given_up, []
        return jobs

    # ------------------------------------------------- for frames, in an event

    def frame_of(self, node: Node, parent: "Frame | None", path: str) -> "Frame":
        """Return a frame for a node of any kind."""
        return kinds.frame_of(self, node, parent, path)

    def soon(self, action: Callable[[], None]) -> None:
        """Have `action` called in this event; frames call each other in this way."""
        self._agenda.append(action)

    def post(self, job: Job) -> None:
        """Have a job done."""
        self._live[job] = None
        self._jobs.append(job)

    def at(self, when: float, frame: "Frame", action: Callable[[float], None]) -> None:
        """Have `action` called when it is `when`, unless `frame` is over by then."""
        if len(self._timers) >= self._timers_max:
            self._timers = [it for it in self._timers if not it[2].is_over()]
            heapify(self._timers)
            self._timers_max = 2 * len(self._timers) + _TIMERS_SLACK
        heappush(self._timers, (when, next(self._order), frame, action))

    def end(self, frame: "Frame", verdict: Verdict) -> None:
        """Let a node end."""
        frame.over = True
        if verdict.fails:
            forgiven = frame.forgive(verdict)
            if forgiven is not verdict:
                self.post(Note(frame, forgiven))
                return
        self._close(frame, verdict)

    def give_up(self, frame: "Frame", reason: str) -> None:
        """Let no job of `frame`, and of all in it, have any effect any more."""
        for job in [job for job in self._live if job.frame.is_within(frame)]:
            if self._give_up(job, reason):
                if isinstance(job, Attempt | Settle):
                    self._note_cancelled(job.frame, job.number)
            elif job.tried:
                # RACE: it is recorded that it is tried again, and not told yet.
                self._note_cancelled(job.frame, job.tried)
        for _, _, waiting, _ in self._timers:
            if waiting.tried and not waiting.is_over() and waiting.is_within(frame):
                self._note_cancelled(waiting, waiting.tried)

    def _note_cancelled(self, frame: "Frame", attempts: int) -> None:
        cancelled = Verdict(status=Status.CANCELLED)
        self._loose[frame.path] = record_of(cancelled, attempts=attempts)

    def forget_failure(self, frame: "Frame") -> None:
        """Leave of the record of a workflow that is run again its answers alone."""
        self._loose[frame.path] = plain_record(frame.note)

    # ------------------------------------------------------------------ parts

    def _give_up(self, job: Job, reason: str) -> bool:
        """Let a job have no effect any more; return `False` if it had its effect."""
        del self._live[job]
        if not job.fence.end(reason):
            return False
        job.given_up = True
        self._given_up.append(job)
        return True

    def _expire(self, job: Attempt, timeout: float) -> None:
        """Give up an attempt that takes too long."""
        if job not in self._live:
            return
        error = StepTimeoutError(
            f"{job.frame.path!r} took longer than its {timeout:g} seconds",
            effect="unknown",
        )
        if self._give_up(job, str(error)):
            self.post(Settle(job, error))
        else:
            self._live[job] = None  # It ended just in time; that is being told.

    def expire_frame(self, frame: "Frame", timeout: float) -> None:
        """Let a workflow fail that takes too long."""
        path = frame.path or frame.node.name
        text = f"{path!r} took longer than its {timeout:g} seconds"
        self.give_up(frame, text)
        error = StepTimeoutError(text, effect="unknown")
        status = Status.TIMED_OUT
        self.end(frame, Verdict(status=status, error=error, origin=frame.path))

    def _close(self, frame: "Frame", verdict: Verdict) -> None:
        frame.over = True
        if verdict.status in FINISHED:
            self.outputs[frame.path] = verdict.packing
        if verdict.error is not None:
            self.errors.setdefault(verdict.origin, verdict.error)
            self.errors.setdefault(frame.path, verdict.error)
            if verdict.fails and verdict.origin == frame.path and not frame.is_step:
                self._loose[frame.path] = record_of(verdict, **frame.note)
        self._failures += verdict.forgiven
        parent = frame.parent
        if parent is None:
            self._conclude(verdict)
        else:
            self.soon(lambda: parent.child_over(frame, verdict))

    def _conclude(self, verdict: Verdict) -> None:
        self.verdict = verdict
        status = verdict.status
        if not verdict.fails and status is not Status.CANCELLED:
            done, partly = Status.COMPLETED, Status.COMPLETED_WITH_FAILURES
            status = partly if self._failures else done
        self.post(End(self._root, status, self._loose))

    def _carry_on(self) -> None:
        while self._agenda:
            self._agenda.popleft()()


def _is_step(node: Node) -> bool:
    return not hasattr(node, "steps")
