"""Work: how the jobs of a run are carried out, by threads outside of any turn."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from stateward.actors.core.errors import (
    ConflictError,
    DepthError,
    InvalidOutputError,
    InvalidValueError,
    MailboxFullError,
    StateError,
    StepRevokedError,
    UnavailableError,
    ValueTooLargeError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import CommitTransaction
from stateward.actors.core.scopes import WorkflowScope
from stateward.actors.core.values import Packing, pack
from stateward.actors.runtime.fences import Fence
from stateward.actors.runtime.turns import TurnRef
from stateward.workflows.access import StepEngine, StepHost
from stateward.workflows.atomic import CONFLICTS_MAX, Contention
from stateward.workflows.context import StepContext
from stateward.workflows.course import Course
from stateward.workflows.jobs import (
    Answer,
    Attempt,
    End,
    Job,
    Note,
    Outcome,
    Question,
    Settle,
)
from stateward.workflows.plan import Abandon, Finished, Plan, Started, StepEvent
from stateward.workflows.records import (
    NODE,
    NULL,
    RUN_KEY,
    Status,
    Verdict,
    failed,
    plain_record,
    record_of,
)
from stateward.workflows.threads import awaited

logger: Final = logging.getLogger("stateward.workflows")


NOT_ITS_FAULT: Final = (StepRevokedError, UnavailableError, MailboxFullError)
"""What keeps the end of a step from being recorded, whatever the step did."""


class Task:
    """A job on its way to a thread, and those that follow it there."""

    __slots__ = ("job", "work")

    def __init__(self, work: "Work", job: Job) -> None:
        """Carry out `job` and what follows."""
        self.work = work
        self.job: Job = job

    @property
    def lost(self) -> bool:
        """Whether the thread is in a function nobody waits for any more."""
        return self.job.given_up

    def run(self) -> None:
        """Carry out jobs until there is none for this thread."""
        self.work.go_on(self, self.work.carry_out)


class Resumed:
    """An `async` step that has ended, on its way to a thread."""

    __slots__ = ("finish", "job", "work")

    lost = False

    def __init__(self, work: "Work", job: Job, finish: Callable[[], Outcome | None]):
        self.work = work
        self.job = job
        self.finish = finish

    def run(self) -> None:
        """Settle the step, then carry out what follows."""
        finish = self.finish
        self.work.go_on(self, lambda _: finish())


class Work:
    """How the jobs of one run are carried out, outside of any turn."""

    ref: TurnRef[Any]

    def __init__(self, plan: Plan, course: Course) -> None:
        """Work for the runner of `course`."""
        self._plan = plan
        self._course = course
        self._contention = Contention()
        self._scope = WorkflowScope(plan.workflow_id)

    def go_on(
        self, task: "Task | Resumed", first: Callable[[Job], Outcome | None]
    ) -> None:
        """Carry out the job of `task`, and then the next one the runner names."""
        carry_out = first
        try:
            while True:
                job = task.job
                outcome = carry_out(job)
                if outcome is None:
                    return
                following = self.ref.ask(Finished(job, outcome))
                if following is None:
                    return
                task.job = following
                carry_out = self.carry_out
        except BaseException as error:  # noqa: BLE001  # whoever waits is told
            # A bug, a fault, or the owner cannot be reached: as if the process had
            # ended here. What is recorded is recorded.
            self._lose(error)

    def carry_out(self, job: Job) -> Outcome | None:
        """Return how a job ended; `None` if it was given up or goes on elsewhere."""
        try:
            match job:
                case Attempt():
                    return self._attempt(job)
                case Settle():
                    seconds = job.frame.step.timeout or 0.0
                    return self._fail(job, job.number, job.error, seconds)
                case Question():
                    return self._ask(job)
                case Note():
                    self._commit(job, {job.frame.path: record_of(job.verdict)})
                    return job.verdict
                case End():
                    self._end(job)
                    return None
        except StepRevokedError:
            if job.fence.reason is None:
                raise
        return None

    # ---------------------------------------------------------------- steps

    def _attempt(self, job: Attempt) -> Outcome | None:
        if job.fence.reason is not None:
            return None
        step = job.frame.step
        if step.timeout is not None:
            self.ref.ask(Started(job))
        self._tell(job, Status.RUNNING, 0.0, None)
        return self._call(job, 1)

    def _call(self, job: Attempt, number: int) -> Outcome | None:
        """Call the function, and settle what came of it."""
        if job.frame.step.atomic and (number > 1 or self._contention.waiting):
            with self._contention.alone():
                return self._call_now(job, number)
        return self._call_now(job, number)

    def _call_now(self, job: Attempt, number: int) -> Outcome | None:
        plan = self._plan
        begun = plan.engine.clock.now()
        context = StepContext(
            attempt=job,
            engine=plan.engine,
            access=plan.access,
            workflow_id=plan.workflow_id,
            input_=plan.input,
            outputs=self._course.outputs,
        )
        error: BaseException | None = None
        value: Any = None
        try:
            value = plan.context.copy().run(job.frame.step.function, context)
        except BaseException as raised:  # noqa: BLE001  # recorded as its failure
            error = raised
        if value is not None and inspect.isawaitable(value):
            self._await(job, context, value, begun, number)
            return None
        return self._settle(job, context, begun, number, value, error)

    def _await(
        self, job: Attempt, context: StepContext, value: Any, begun: float, number: int
    ) -> None:
        """Have an awaitable awaited; the step goes on when it has ended."""
        plan = self._plan

        def schedule() -> "Future[Any]":
            return asyncio.run_coroutine_threadsafe(awaited(value), plan.loop())

        future = plan.context.copy().run(schedule)
        job.awaited = future

        def finish() -> Outcome | None:
            error: BaseException | None = None
            result: Any = None
            try:
                result, error = future.result()
            except BaseException as raised:  # noqa: BLE001  # recorded as its failure
                error = raised
            try:
                return self._settle(job, context, begun, number, result, error)
            except StepRevokedError:
                if job.fence.reason is None:
                    raise
                return None

        future.add_done_callback(lambda _: plan.pool.submit(Resumed(self, job, finish)))
        if job.given_up:
            future.cancel()  # RACE: it was given up before there was a future.

    def _settle(
        self,
        job: Attempt,
        context: StepContext,
        begun: float,
        number: int,
        value: Any,
        error: BaseException | None,
    ) -> Outcome | None:
        """Record what came of calling the function."""
        seconds = self._plan.engine.clock.now() - begun
        if error is None:
            try:
                return self._succeed(job, context, value, seconds)
            except StateError as refused:
                # Not the step's fault; or it may be recorded, and must not be
                # recorded otherwise.
                if isinstance(refused, NOT_ITS_FAULT) or refused.effect == "unknown":
                    raise
                error = refused
        again = job.frame.step.atomic and isinstance(error, ConflictError)
        if again and number < CONFLICTS_MAX and job.fence.reason is None:
            return self._call(job, number + 1)
        return self._fail(job, job.number, error, seconds)

    def _succeed(
        self, job: Attempt, context: StepContext, value: Any, seconds: float
    ) -> Outcome:
        path = job.frame.path
        packing = self._packed(value, path)
        verdict = Verdict(
            status=Status.COMPLETED, packing=packing, breaks=context.breaks
        )
        record = record_of(verdict, attempts=job.number, seconds=seconds)
        log = context.transaction
        self._commit(job, {path: record}, None if log is None else log.end())
        self._tell(job, Status.COMPLETED, seconds, None)
        return verdict

    def _fail(
        self,
        job: "Attempt | Settle",
        number: int,
        error: BaseException,
        seconds: float,
    ) -> Outcome:
        """Record that an attempt failed, as the step's strategy has it."""
        frame = job.frame
        verdict, again = frame.judge(error, number, self._plan.workflow_id)
        record = record_of(verdict, attempts=number, seconds=seconds)
        # ORDER: first; it may be given up as soon as it is recorded.
        job.tried = 0 if again is None else number
        self._commit(job, {frame.path: record})
        self._tell(job, verdict.status, seconds, error)
        return verdict if again is None else again

    def _packed(self, value: Any, path: str) -> Packing:
        """Return a step's output as the engine keeps it."""
        if value is None:
            return NULL
        limits = self._limits()
        try:
            packing = pack(value)
        except (InvalidValueError, ValueTooLargeError) as error:
            if isinstance(error, DepthError | ValueTooLargeError):
                raise
            raise InvalidOutputError(
                f"{path!r} returned what cannot be recorded: {error}", path=path
            ) from error
        _, size, depth = packing
        if size > limits.value_bytes or depth > limits.max_depth:
            raise InvalidOutputError(
                f"{path!r} returned {size} bytes that nest {depth} levels; "
                f"max_value_bytes is {limits.max_value_bytes}, "
                f"max_depth is {limits.max_depth}",
                path=path,
            )
        return packing

    def _limits(self) -> Limits:
        state = self._plan.engine.state(self._scope)
        return self._plan.engine.limits if state is None else state.limits

    def _ask(self, job: Job) -> Outcome:
        plan, frame = self._plan, job.frame
        engine = StepEngine(
            plan.engine,
            access=plan.access,
            fence=Fence(),
            workflow_id=plan.workflow_id,
            path=frame.path,
            reads_only="conditions only read",
        )
        view = StepHost(engine).state(self._scope)
        try:
            answer = plan.context.copy().run(frame.ask, view)
        except StateError as error:
            return failed(error, frame.path)
        note = frame.note_of(answer)
        if note is not None:
            # ORDER: first; it may fail as soon as the answer is recorded.
            frame.note = note
            self._commit(job, {frame.path: plain_record(note)})
        return Answer(answer)

    def _end(self, job: End) -> None:
        plan, verdict = self._plan, self._course.verdict
        begun = plan.record["begun"]
        header = {key: value for key, value in plan.record.items() if key != "begun"}
        header["seconds"] = plan.engine.clock.now() - begun
        packing = NULL if verdict is None or verdict.fails else verdict.packing
        ended = Verdict(status=job.status, packing=packing)
        record = record_of(ended, **{k: v for k, v in header.items() if k != "status"})
        self._commit(job, job.records, header=record)
        plan.over(self._course, None)

    def _commit(
        self,
        job: Job,
        records: Mapping[str, Packing],
        base: CommitTransaction | None = None,
        header: Packing | None = None,
    ) -> None:
        """Record what a job did, with what it wrote, and end its fence."""
        keyed = [(NODE + path, packing) for path, packing in records.items()]
        if header is not None:
            keyed.append((RUN_KEY, header))
        self._plan.commit(keyed, job.fence, base)

    def _lose(self, error: BaseException) -> None:
        logger.error("The run of %r is lost", self._plan.workflow_id, exc_info=error)
        try:
            self.ref.ask(Abandon())
        finally:
            self._plan.over(self._course, error)

    def _tell(
        self,
        job: "Attempt | Settle",
        status: Status,
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Tell whoever watches the run."""
        if self._plan.on_event is None:
            return
        event = StepEvent(
            workflow_id=self._plan.workflow_id,
            path=job.frame.path,
            status=status,
            attempt=job.number,
            seconds=seconds,
            error=error,
        )
        try:
            self._plan.on_event(event)
        except Exception:
            logger.exception("on_event failed for %r", event)
