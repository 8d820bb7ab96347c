"""Records: what is kept of a run, beside the state of its workflow.

They lie with the workflow's owner under a step that no caller can name, one for the run
and one for each node of the flow that something is to be remembered of. A node whose
record says that it is finished is never run again.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias, cast

import orjson

from stateward.actors.core import reader
from stateward.actors.core.errors import DepthError, RecordedError, StateError
from stateward.actors.core.limits import DEPTH_MAX
from stateward.actors.core.messages import CommitTransaction, Write
from stateward.actors.core.scopes import RUN_STEP, WorkflowScope
from stateward.actors.core.values import JsonValue, Packed, Packing, dumps, pack
from stateward.actors.runtime.engine import Engine

RUN_KEY: Final = "run"
"""Of the record of the run itself."""
NODE: Final = "node:"
"""What the keys of the others begin with; the path follows."""
NULL: Final[Packing] = (None, 4, 0)
"""What a step that returns nothing has returned."""
MESSAGE_MAX: Final = 2000
"""Characters of an exception's message that are kept."""

Record: TypeAlias = dict[str, Any]
"""One record, decoded."""


class Status(StrEnum):
    """Where a run, or a step of one, stands."""

    RUNNING = "running"
    RETRYING = "retrying"
    """An attempt of the step failed, and another is to follow."""
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    """Of a run: some step failed, and its strategy was to go on."""
    SKIPPED = "skipped"
    """The step failed, and its strategy was to do without it."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


FAILURES: Final = frozenset({Status.FAILED, Status.TIMED_OUT})
FINISHED: Final = frozenset({Status.COMPLETED, Status.SKIPPED})
STATUSES: Final = {str(status): status for status in Status}
"""By how they are written: four times as fast as `Status(...)`."""


class Verdict:
    """How a node ended.

    Each step makes one, and a frozen dataclass of six fields would cost it 1 us.
    """

    __slots__ = (
        "breaks",
        "error",
        "fails",
        "forgiven",
        "origin",
        "packing",
        "status",
    )

    def __init__(
        self,
        *,
        status: Status,
        packing: Packing = NULL,
        error: BaseException | None = None,
        origin: str = "",
        breaks: bool = False,
        forgiven: bool = False,
    ) -> None:
        """Say how.

        Args:
            status: What is recorded.
            packing: Its output.
            error: What it failed with.
            origin: Path of the node that `error` is of.
            breaks: Whether the innermost loop around it is over.
            forgiven: Whether the workflow goes on although this failed.
        """
        self.status = status
        self.packing = packing
        self.error = error
        self.origin = origin
        self.breaks = breaks
        self.forgiven = forgiven
        self.fails = status in FAILURES and not forgiven
        """Whether the workflow around it has to end."""


def failed(error: BaseException, path: str) -> Verdict:
    """Return how a node ends that raised `error` itself."""
    return Verdict(status=Status.FAILED, error=error, origin=path)


def completed(make: Callable[[], Packing], path: str) -> Verdict:
    """Return how a workflow ends whose output is put together by `make`."""
    try:
        return Verdict(status=Status.COMPLETED, packing=make())
    except StateError as error:
        return failed(error, path)


def record_of(verdict: Verdict, **more: JsonValue) -> Packing:
    """Return the record of a node that ended, as the engine keeps it."""
    record: Record = {"status": verdict.status, **more}
    if verdict.packing is not NULL:
        record["output"] = orjson.Fragment(encoded(verdict.packing[0]))
    if verdict.error is not None:
        record["error"] = error_of(verdict.error)
    if verdict.breaks:
        record["breaks"] = True
    if verdict.forgiven:
        record["forgiven"] = True
    data = dumps(record)
    return data, len(data), verdict.packing[2] + 1


def plain_record(record: Mapping[str, Any]) -> Packing:
    """Return a record without an output, as the engine keeps it."""
    data = dumps(record)
    return data, len(data), 1


def verdict_of(record: Record, path: str) -> Verdict | None:
    """Return how the node of `record` ended; `None` if it is to be run."""
    status = record.get("status")
    finished = status in FINISHED or record.get("forgiven")
    if not finished:
        return None
    error = record.get("error")
    return Verdict(
        status=STATUSES[cast("str", status)],
        packing=pack(record["output"]) if "output" in record else NULL,
        error=None if error is None else exception_of(error),
        origin=path,
        breaks=record.get("breaks", False),
        forgiven=record.get("forgiven", False),
    )


def error_of(error: BaseException) -> JsonValue:
    """Return what is kept of an exception."""
    if isinstance(error, RecordedError):
        return {"type": error.context["type"], "message": str(error.context["text"])}
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # a class of the caller's
        text = "(its message cannot be shown)"
    text = text.encode(errors="replace").decode()[:MESSAGE_MAX]
    return {"type": type(error).__qualname__, "message": text}


def exception_of(error: Mapping[str, str]) -> RecordedError:
    """Return what stands for an exception whose record is left."""
    kind, text = error["type"], error["message"]
    return RecordedError(f"{kind}: {text}" if text else kind, type=kind, text=text)


def commit_of(
    scope: WorkflowScope,
    header: int,
    records: Iterable[tuple[str, Packing]],
    base: CommitTransaction | None = None,
) -> CommitTransaction:
    """Return the command that writes records, if the run is still the one it was.

    Args:
        scope: Of the workflow.
        header: Revision of the run's own record; another runner would have changed it.
        records: Key and packed record of each.
        base: What else is to be written with them.
    """
    writes: tuple[Write, ...] = tuple(
        [(RUN_STEP, key, packing, None) for key, packing in records]
    )
    reads = ((RUN_STEP, RUN_KEY, header),)
    if base is None:
        return CommitTransaction(
            scope, reads=reads, scans=(), writes=writes, removals=()
        )
    return CommitTransaction(
        base.scope.owner,
        reads=reads + base.reads,
        scans=base.scans,
        writes=base.writes + writes,
        removals=base.removals,
    )


# Outputs of workflows are put together from those of their steps as text, so that
# nothing is decoded and no copy can be shared.


def packed_list(packings: Iterable[Packing]) -> Packing:
    """Return the list of the packed values."""
    items = list(packings)
    data = b"[%b]" % b",".join(encoded(packed) for packed, _, _ in items)
    return data, len(data), _depth(items)


def packed_mapping(named: Mapping[str, Packing]) -> Packing:
    """Return the dictionary of the packed values."""
    parts = (b"%b:%b" % (dumps(name), encoded(it[0])) for name, it in named.items())
    data = b"{%b}" % b",".join(parts)
    return data, len(data), _depth(named.values())


def encoded(packed: Packed) -> bytes:
    """Return a packed value as JSON."""
    return packed if type(packed) is bytes else dumps(packed)


def _depth(packings: Iterable[Packing]) -> int:
    depth = 1 + max((depth for _, _, depth in packings), default=0)
    if depth > DEPTH_MAX:
        raise DepthError(
            f"the output nests {depth} levels, at most {DEPTH_MAX}",
            limit="max_depth",
            allowance=DEPTH_MAX,
            actual=depth,
        )
    return depth


def read_records(engine: Engine, workflow_id: str) -> dict[str, Record]:
    """Return all records of a run, of one revision."""
    while True:
        state = engine.state(WorkflowScope(workflow_id))
        if state is None:
            return {}
        try:
            _, cells = reader.find_all(state, RUN_STEP, None, engine.clock.now())
        except reader.RetiredError:
            continue
        return {key: cast("Record", cell.thaw()) for key, cell in cells.items()}


def header_revision(engine: Engine, workflow_id: str) -> int:
    """Return the revision of the record of a run; 0 if there is none."""
    while True:
        state = engine.state(WorkflowScope(workflow_id))
        if state is None:
            return 0
        try:
            cell = reader.find(state, RUN_STEP, RUN_KEY, engine.clock.now())
        except reader.RetiredError:
            continue
        return 0 if cell is None else cell.revision
