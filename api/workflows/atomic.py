"""Atomic steps: each a transaction that ends with the step."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.handles import ScopedState, WorkflowState
from stateward.transaction_log import TransactionLog
from stateward.transactions import TransactionScope
from stateward.workflows.access import StepHost

CONFLICTS_MAX: Final = 32
"""How often an atomic step is run because something it read has changed."""
COURTESY: Final = 1.0
"""Seconds an atomic step waits at most for one that has met a conflict."""


class Contention:
    """Lets the atomic steps of a run that meet conflicts go one after the other.

    Not needed to be right, and nobody waits without end: together they would meet again
    and again, until some have used up their calls.

    Concurrency: Any thread, and within itself.
    """

    def __init__(self) -> None:
        """Begin without a conflict."""
        self._lock = threading.RLock()
        self._count = threading.Lock()
        self.waiting = 0
        """How many steps are in `alone`, or wait to be."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for those that came before, within reason; let the next one go after."""
        with self._count:
            self.waiting += 1
        held = self._lock.acquire(timeout=COURTESY)
        try:
            yield
        finally:
            if held:
                self._lock.release()
            with self._count:
                self.waiting -= 1


class AtomicState(TransactionScope):
    """One scope of the workflow as an atomic step sees it.

    What is written is seen by this step alone until the step ends; then it is committed
    together with the record that says so. Nothing has to be committed by hand.
    """

    __slots__ = ("_host",)

    def __init__(self, log: TransactionLog, scope: StateScope, host: StepHost) -> None:
        """Make a view; `StepContext` is the way to get one."""
        super().__init__(log, scope)
        self._host = host

    @property
    def workflow_id(self) -> str:
        """Which workflow."""
        scope = self._scope
        assert isinstance(scope, WorkflowScope | StepScope)  # noqa: S101  # a step's own
        return scope.workflow_id

    def step(self, name: str) -> "AtomicState":
        """Return the state of another step, in the same transaction."""
        scope = StepScope(self.workflow_id, name)
        return AtomicState(self._log, scope, self._host)

    def steps(self) -> list[str]:
        """Return the names of the steps that hold anything that is committed."""
        return WorkflowState(self._host, WorkflowScope(self.workflow_id)).steps()

    def global_state(self) -> ScopedState:
        """Return the state every workflow shares, to be read."""
        return self._host.state(GlobalScope())

    def custom_state(self, namespace: str) -> ScopedState:
        """Return the state of a namespace, to be read."""
        return self._host.state(CustomScope(namespace))
