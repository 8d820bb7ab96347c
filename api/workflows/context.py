"""What a step is given: its state, its input, and what went before it."""

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from stateward.actors.core.errors import UsageError
from stateward.actors.core.scopes import StepScope, WorkflowScope
from stateward.actors.core.values import JsonValue, Packing, unpack
from stateward.actors.runtime.engine import Engine
from stateward.handles import ScopedState, WorkflowState
from stateward.transaction_log import TransactionLog
from stateward.workflows.access import StepEngine, StepHost
from stateward.workflows.atomic import AtomicState
from stateward.workflows.jobs import Attempt
from stateward.workflows.strategies import Access

_logger: Final = logging.getLogger("stateward.steps")


class Outputs(Mapping[str, JsonValue]):
    """The outputs of the nodes of a run that have ended, by name or by path.

    A name is looked for among the siblings of the step first, then among those of the
    workflow around it, and so on outwards; a path of the whole flow works everywhere.
    Each value is a private copy.
    """

    __slots__ = ("_outputs", "_path")

    def __init__(self, outputs: Mapping[str, Packing], path: str) -> None:
        """Look from the place of the step at `path`."""
        self._outputs = outputs
        self._path = path

    def _find(self, name: str) -> Packing | None:
        around = self._path
        while "/" in around:
            around = around[: around.rindex("/")]
            found = self._outputs.get(f"{around}/{name}")
            if found is not None:
                return found
        return self._outputs.get(name)

    def __getitem__(self, name: str) -> JsonValue:
        """Return the output of the nearest node called `name`; raise if none ended."""
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return unpack(found[0])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths of all nodes that have ended."""
        return iter([path for path in list(self._outputs) if path])

    def __len__(self) -> int:
        """Return how many nodes have ended."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Show what there is."""
        return f"Outputs({dict(self)!r})"


class StepContext:
    """What one attempt of a step is given.

    Concurrency: Any thread that the step starts, until the attempt is over.
    """

    __slots__ = (
        "_access",
        "_attempt",
        "_engine",
        "_input",
        "_log",
        "_made",
        "_outputs",
        "_workflow_id",
        "breaks",
    )

    def __init__(
        self,
        *,
        attempt: Attempt,
        engine: Engine,
        access: Access,
        workflow_id: str,
        input_: Packing,
        outputs: Mapping[str, Packing],
    ) -> None:
        """Make the context of `attempt`."""
        self._attempt = attempt
        self._engine = engine
        self._access = access
        self._input = input_
        self._outputs = outputs
        self._made: StepHost | None = None
        self._workflow_id = workflow_id
        self.breaks = False
        """Whether the loop around it is to end; `break_loop` says so."""
        self._log: TransactionLog | None = None
        if attempt.frame.step.atomic:
            scope = WorkflowScope(workflow_id)
            self._log = TransactionLog(self._host.engine, scope)

    @property
    def _host(self) -> StepHost:
        """Where handles come from; made when the first one is wanted."""
        host = self._made
        if host is None:
            frame = self._attempt.frame
            host = self._made = StepHost(
                StepEngine(
                    self._engine,
                    access=self._access,
                    fence=self._attempt.fence,
                    workflow_id=self.workflow_id,
                    path=frame.path,
                    reads_only="an atomic step commits to its workflow alone"
                    if frame.step.atomic
                    else None,
                )
            )
        return host

    @property
    def transaction(self) -> TransactionLog | None:
        """What an atomic step has read and written; promises no compatibility."""
        return self._log

    @property
    def state(self) -> WorkflowState:
        """The state of the workflow.

        In an atomic step it is an `AtomicState`: the same calls, but for `aio`, `ask`,
        `drop`, `entry`, `manager`, `revision`, `snapshot`, `transact` and
        `transaction`; no `expected`, and writes return no revision.
        """
        scope = WorkflowScope(self.workflow_id)
        if self._log is not None:
            return AtomicState(self._log, scope, self._host)  # type: ignore[return-value]  # as far as it goes
        return WorkflowState(self._host, scope)

    @property
    def step_state(self) -> ScopedState:
        """The state of this step, in the scope its path names."""
        scope = StepScope(self.workflow_id, self.path)
        if self._log is not None:
            return AtomicState(self._log, scope, self._host)  # type: ignore[return-value]  # as above
        return ScopedState(self._host, scope)

    @property
    def input(self) -> JsonValue:
        """A private copy of what the run was given."""
        return unpack(self._input[0])

    @property
    def outputs(self) -> Outputs:
        """What earlier steps returned, by name or by path."""
        return Outputs(self._outputs, self.path)

    @property
    def workflow_id(self) -> str:
        """Which workflow runs."""
        return self._workflow_id

    @property
    def path(self) -> str:
        """Of this step in the flow: `enrich/geo`, `poll[3]/ask`."""
        return self._attempt.frame.path

    @property
    def step_name(self) -> str:
        """Of this step, without the way to it."""
        return self._attempt.frame.step.name

    @property
    def attempt(self) -> int:
        """Which attempt this is, 1 for the first."""
        return self._attempt.number

    @property
    def iteration(self) -> int | None:
        """Of the innermost loop around the step, 0 for the first; `None` outside."""
        frame = self._attempt.frame
        return None if frame.loop is None else frame.iteration

    @property
    def item(self) -> JsonValue:
        """A private copy of what this iteration is for; `None` without items."""
        frame = self._attempt.frame
        return (
            None if frame.loop is None else unpack(frame.loop.item(frame.iteration)[0])
        )

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is over, so that its writes are refused."""
        return self._attempt.fence.reason is not None

    @property
    def logger(self) -> "logging.LoggerAdapter[logging.Logger]":
        """Logs to `stateward.steps`; workflow, path and attempt are extra fields."""
        extra = {
            "workflow_id": self.workflow_id,
            "step_path": self.path,
            "attempt": self.attempt,
        }
        return logging.LoggerAdapter(_logger, extra)

    def break_loop(self) -> None:
        """End the innermost loop around this step once the step has ended.

        The rest of the iteration is left out, and its output counts.

        Raises:
            UsageError: There is no loop around it. Effect: none.
        """
        if self._attempt.frame.loop is None:
            raise UsageError(f"{self.path!r} is in no loop to break out of")
        self.breaks = True
