"""Results: how a run, and each step of it, ended or stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stateward.actors.core.errors import RunFailedError
from stateward.actors.core.scopes import shown
from stateward.actors.core.values import JsonValue, Packing, pack, unpack
from stateward.workflows.records import (
    NODE,
    NULL,
    RUN_KEY,
    STATUSES,
    Record,
    Status,
    exception_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one step ended, or a workflow in the flow that failed."""

    path: str
    status: Status
    attempts: int
    """How often it was tried."""
    seconds: float
    """How long the last attempt took."""
    error: BaseException | None
    """What it failed with; a `RecordedError` if that was in another process."""
    packing: Packing
    """Its output as the engine keeps it."""

    @property
    def output(self) -> JsonValue:
        """A private copy of what it returned; `None` unless it is completed."""
        return unpack(self.packing[0])


class StepOutputs(Mapping[str, JsonValue]):
    """Outputs of steps by path; each value is a private copy."""

    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[StepResult, ...]) -> None:
        """Hold the steps that have an output."""
        has = {Status.COMPLETED, Status.SKIPPED}
        self._steps = {step.path: step for step in steps if step.status in has}

    def __getitem__(self, path: str) -> JsonValue:
        """Return the output of the step at `path`; raise `KeyError` if it has none."""
        return self._steps[path].output

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths."""
        return iter(self._steps)

    def __len__(self) -> int:
        """Return how many steps have an output."""
        return len(self._steps)

    def __repr__(self) -> str:
        """Show the outputs."""
        return f"StepOutputs({dict(self)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended; for one that has not, how far it is recorded."""

    workflow_id: str
    flow: str
    """Name of the flow."""
    status: Status
    steps: tuple[StepResult, ...]
    """All of which something is recorded, in the order in which they came about."""
    started: float
    """Seconds since the epoch when it was begun, or last continued."""
    seconds: float
    """How long it took from then; 0 while it runs."""
    input_packing: Packing
    packing: Packing
    """The output of the flow as the engine keeps it."""

    @property
    def ok(self) -> bool:
        """Whether it is completed, with or without failures that were forgiven."""
        return self.status in {Status.COMPLETED, Status.COMPLETED_WITH_FAILURES}

    @property
    def input(self) -> JsonValue:
        """A private copy of what the run was given."""
        return unpack(self.input_packing[0])

    @property
    def output(self) -> JsonValue:
        """A private copy of the output of the whole flow; `None` until it is `ok`."""
        return unpack(self.packing[0])

    @property
    def outputs(self) -> StepOutputs:
        """The outputs of steps, by path."""
        return StepOutputs(self.steps)

    @property
    def failures(self) -> Mapping[str, BaseException]:
        """What failed and with what, by path."""
        found = {step.path: step.error for step in self.steps if step.error is not None}
        return MappingProxyType(found)

    def raise_for_failure(self) -> None:
        """Raise unless the run is `ok`.

        Raises:
            RunFailedError: It is not; chained from the first failure there is.
        """
        if not self.ok:
            cause = next(iter(self.failures.values()), None)
            reason = "" if cause is None else f": {cause!r}"
            raise RunFailedError(
                f"run of {self.workflow_id!r} is {self.status}{reason}",
                workflow_id=self.workflow_id,
                status=str(self.status),
            ) from cause

    def __str__(self) -> str:
        """Return the run as a table for people."""
        title = f"{self.flow} of {self.workflow_id}: {self.status}"
        if self.seconds:
            title += f" in {self.seconds:.3g} s"
        rows = [("step", "status", "attempts", "seconds", "output or error")]
        rows += [
            (
                step.path or self.flow,
                str(step.status),
                str(step.attempts or ""),
                f"{step.seconds:.3f}",
                shown(step.output) if step.error is None else shown(step.error),
            )
            for step in self.steps
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if place in {2, 3} else text.ljust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([title, *lines])


def result_of(
    workflow_id: str,
    records: Mapping[str, Record],
    errors: Mapping[str, BaseException],
) -> RunResult:
    """Return the result that is recorded.

    Args:
        workflow_id: Whose run.
        records: All that are kept of it, by key.
        errors: The exceptions themselves, as far as they came up in this process.
    """
    header = records[RUN_KEY]
    steps = tuple(
        _step_of(key.removeprefix(NODE), record, errors)
        for key, record in records.items()
        if key.startswith(NODE) and "status" in record
    )
    return RunResult(
        workflow_id=workflow_id,
        flow=header["flow"],
        status=Status(header["status"]),
        steps=steps,
        started=header["started"],
        seconds=header.get("seconds", 0.0),
        input_packing=pack(header["input"]),
        packing=pack(header.get("output")),
    )


def _step_of(
    path: str, record: Record, errors: Mapping[str, BaseException]
) -> StepResult:
    error = None
    if "error" in record:
        error = errors.get(path) or exception_of(record["error"])
    return StepResult(
        path=path,
        status=STATUSES[record["status"]],
        attempts=record.get("attempts", 0),
        seconds=record.get("seconds", 0.0),
        error=error,
        packing=pack(record["output"]) if "output" in record else NULL,
    )
