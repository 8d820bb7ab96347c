"""Runs: which workflows are being run, how one is begun, and how it is waited for."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import finalize

import pykka

from stateward.actors.core.errors import (
    AlreadyRunningError,
    ConflictError,
    FlowChangedError,
    MissingKeyError,
    UsageError,
)
from stateward.actors.core.messages import CommitTransaction
from stateward.actors.core.scopes import RUN_STEP, WorkflowScope, shown
from stateward.actors.core.values import JsonValue, Packing, loads, pack
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.future import TurnFuture
from stateward.actors.runtime.inbox import TurnTimeoutError
from stateward.actors.runtime.turns import TurnRef
from stateward.resumption import UNSET
from stateward.workflows.course import Course
from stateward.workflows.flows import Node, Nodes, as_flow
from stateward.workflows.plan import Plan, StepEvent
from stateward.workflows.records import (
    NODE,
    RUN_KEY,
    Record,
    Status,
    header_revision,
    plain_record,
    read_records,
)
from stateward.workflows.results import RunResult, result_of
from stateward.workflows.runner import Begin, Cancel, Runner
from stateward.workflows.shape import change_of, shape_of, widest
from stateward.workflows.strategies import Access
from stateward.workflows.threads import Threads

DONE: Final = frozenset({Status.COMPLETED, Status.COMPLETED_WITH_FAILURES})


class Run:
    """A run under way, or over.

    Concurrency: Any thread; it can also be awaited.
    """

    def __init__(self, workflow_id: str) -> None:
        """Make one that has yet to begin; `StateManager.start` is the way to."""
        self.workflow_id = workflow_id
        """Which workflow is run."""
        self.future: TurnFuture[RunResult] = TurnFuture()
        self.runner: TurnRef[Runner] | None = None
        """`None` until it has begun."""
        self.wanted: str | None = None
        """Why it is to be cancelled, if it is."""

    def __repr__(self) -> str:
        """Name the workflow."""
        return f"<Run of {self.workflow_id!r}>"

    def done(self) -> bool:
        """Return whether it is over."""
        return self.future.done()

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait until it is over, and return how it ended.

        Args:
            timeout: Seconds to wait at most; `None` for as long as it takes.

        Raises:
            AskTimeoutError: It is not over in time, and goes on. Effect: unknown.
            RunLostError: Its records were dropped or taken over.
            StateError: Its progress could not be recorded; run it again to continue.
        """
        try:
            result: RunResult = self.future.get(timeout=timeout)
        except pykka.Timeout:
            raise TurnTimeoutError(
                f"the run of {self.workflow_id!r} is not over after {timeout} seconds",
                effect="unknown",
            ) from None
        return result

    def wait(self) -> RunResult:
        """As `result`, for as long as it takes; an interrupt cancels the run."""
        try:
            return self.result()
        except (KeyboardInterrupt, SystemExit):
            self.cancel("whoever waited for the run was interrupted")
            self.result()
            raise

    def __await__(self) -> Any:
        """Wait without blocking the running loop."""
        return self.future.__await__()

    def cancel(self, reason: str = "the run was cancelled") -> bool:
        """End it; return `False` if it is over.

        Steps under way are not interrupted, but nobody waits for them any more: their
        writes raise `StepRevokedError`, `ctx.cancelled` is true, tasks are cancelled.
        """
        if self.done():
            return False
        self.wanted = reason
        runner = self.runner
        return True if runner is None else bool(runner.ask(Cancel(reason)))


class Runs:
    """The runs of one manager."""

    def __init__(self, engine: Engine) -> None:
        """Begin with none."""
        self._engine = engine
        self._live: dict[str, Run] = {}
        self._threads = Threads(None if engine.own_pool else engine.dispatcher)
        # A manager that was forgotten leaves no thread either.
        finalize(self, self._threads.abandon).atexit = False

    def start(
        self,
        flow: Nodes,
        workflow_id: str,
        input_: Any = UNSET,
        access: Access | None = None,
        restart: bool = False,
        on_event: Callable[[StepEvent], None] | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        must_exist: bool = False,
    ) -> Run:
        """Begin a run, or continue it; see `StateManager.run` and `resume`."""
        node = as_flow(flow)
        scope = WorkflowScope(workflow_id)
        check_options(access, on_event)
        given = None if input_ is UNSET else pack(input_)
        run = Run(workflow_id)
        if self._live.setdefault(workflow_id, run) is not run:
            raise AlreadyRunningError(
                f"workflow {workflow_id!r} is being run", workflow_id=workflow_id
            )
        try:
            records = {} if restart else read_records(self._engine, workflow_id)
            if must_exist:
                _check_recorded(workflow_id, records)
            header = self._header(node, records, given)
            if header is None:
                del self._live[workflow_id]
                run.future.set(result_of(workflow_id, records, {}))
                return run
            revision = self._record(scope, header, forget=restart)
            self._set_off(
                run,
                node,
                records,
                Plan(
                    engine=self._engine,
                    workflow_id=workflow_id,
                    header=revision,
                    record={**header, "begun": self._engine.clock.now()},
                    input=pack(header["input"]),
                    access=access or Access(),
                    pool=self._threads.pool(widest(node)),
                    make_room=self._threads.make_room,
                    loop=self._threads.loop if loop is None else lambda: loop,
                    context=contextvars.copy_context(),
                    on_event=on_event,
                    over=lambda course, error: self._over(run, course, error),
                ),
            )
        except BaseException:
            try:
                # An interrupt may come when it has set off already.
                run.cancel("whoever began the run was interrupted")
            finally:
                self._live.pop(workflow_id, None)
            raise
        return run

    def _header(
        self, node: Node, records: dict[str, Record], given: Packing | None
    ) -> Record | None:
        """Return the record of a run to begin or continue; `None` if it is done.

        Raises:
            FlowChangedError: It was begun with another flow or another input.
        """
        shape = shape_of(node)
        known = records.get(RUN_KEY)
        if known is None:
            value: JsonValue = None if given is None else _value(given)
            known = {"flow": node.name, "shape": shape, "input": value}
        elif known["shape"] != shape:
            raise FlowChangedError(change_of(node, known, records))
        elif given is not None and _value(given) != known["input"]:
            raise FlowChangedError(
                f"the run was begun with the input {shown(known['input'])}, not "
                f"{shown(_value(given))}; leave it out to continue, or restart"
            )
        elif known["status"] in DONE:
            return None
        started = self._engine.clock.epoch(self._engine.clock.now())
        return {
            "flow": known["flow"],
            "shape": shape,
            "status": Status.RUNNING,
            "input": known["input"],
            "started": started,
        }

    def _record(self, scope: WorkflowScope, header: Record, *, forget: bool) -> int:
        """Write the record of the run, and return its revision."""
        engine = self._engine
        seen = header_revision(engine, scope.workflow_id)
        old = read_records(engine, scope.workflow_id) if forget else {}
        command = CommitTransaction(
            scope,
            reads=((RUN_STEP, RUN_KEY, seen),),
            scans=(),
            writes=((RUN_STEP, RUN_KEY, plain_record(header), None),),
            removals=tuple((RUN_STEP, key) for key in old if key != RUN_KEY),
        )
        try:
            return int(engine.ask_owner(scope, command))
        except ConflictError:
            raise AlreadyRunningError(
                f"workflow {scope.workflow_id!r} is being run by somebody else",
                workflow_id=scope.workflow_id,
            ) from None

    def _set_off(
        self, run: Run, node: Node, records: dict[str, Record], plan: Plan
    ) -> None:
        by_path = {
            key.removeprefix(NODE): record
            for key, record in records.items()
            if key.startswith(NODE)
        }
        run.runner = Runner.start(course=Course(node, by_path), plan=plan)
        run.runner.ask(Begin())
        if run.wanted is not None:
            run.runner.ask(Cancel(run.wanted))  # RACE: wanted before it had a runner.

    def _over(self, run: Run, course: Course, error: BaseException | None) -> None:
        """Tell whoever waits how a run ended."""
        if run.done():
            return
        result: RunResult | None = None
        try:
            if error is None:
                records = read_records(self._engine, run.workflow_id)
                result = result_of(run.workflow_id, records, course.errors)
        except Exception as raised:  # noqa: BLE001  # whoever waits is told
            error = raised
        # ORDER: first, so that whoever was waiting can run it again.
        if self._live.get(run.workflow_id) is run:
            del self._live[run.workflow_id]
        try:
            if error is None:
                run.future.set(result)
            else:
                run.future.set_exception((type(error), error, error.__traceback__))
        except Exception:  # noqa: BLE001  # RACE: another worker was first.
            return

    def unfinished(self) -> list[tuple[str, str]]:
        """Return the id and the flow's name of every run that is not completed."""
        found: list[tuple[str, str]] = []
        for workflow_id in self.ids():
            header = read_records(self._engine, workflow_id).get(RUN_KEY)
            if header is not None and header["status"] not in DONE:
                found.append((workflow_id, header["flow"]))
        return found

    def cancel(self, workflow_id: str, reason: str) -> bool:
        """Cancel the run of a workflow; return whether there was one."""
        run = self._live.get(workflow_id)
        return run is not None and run.cancel(reason)

    def state(self, workflow_id: str) -> RunResult | None:
        """Return what is recorded of a run; `None` if nothing is."""
        records = read_records(self._engine, workflow_id)
        return result_of(workflow_id, records, {}) if RUN_KEY in records else None

    def ids(self) -> list[str]:
        """Return the ids of the workflows that have been run."""
        return [
            scope.workflow_id
            for scope, (_, _, holds) in self._engine.usages().items()
            if isinstance(scope, WorkflowScope)
            and holds
            and RUN_KEY in read_records(self._engine, scope.workflow_id)
        ]

    def close(self, timeout: float) -> None:
        """Cancel every run, and end every thread that is not stuck; idempotent."""
        self._threads.refuse()
        deadline = time.monotonic() + timeout
        for run in list(self._live.values()):
            run.cancel("the manager is being closed")
            try:
                run.result(max(0.0, deadline - time.monotonic()))
            except Exception:  # noqa: BLE001, S112  # whoever waits for it is told
                continue
        self._threads.close()


def check_options(access: object, on_event: object) -> None:
    """Raise `UsageError` unless they can be options of a run."""
    if access is not None and not isinstance(access, Access):
        raise UsageError(f"access is {shown(access)}, not Access(...)")
    if on_event is not None and not callable(on_event):
        raise UsageError(f"on_event is {shown(on_event)}, which cannot be called")


def _check_recorded(workflow_id: str, records: Mapping[str, Record]) -> None:
    """Raise `MissingKeyError` unless `records` are those of a run."""
    if RUN_KEY not in records:
        raise MissingKeyError(
            f"nothing is recorded of a run of {workflow_id!r}; `run` begins one",
            workflow_id=workflow_id,
        )


def _value(packing: Packing) -> JsonValue:
    packed = packing[0]
    if isinstance(packed, bytes):
        value: JsonValue = loads(packed)
        return value
    return packed
