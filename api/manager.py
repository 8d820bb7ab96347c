"""The manager: what a host application embeds."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from weakref import finalize

import pykka

from stateward.actors.core import reader
from stateward.actors.core.errors import UsageError
from stateward.actors.core.limits import Limits, check_ttl
from stateward.actors.core.messages import DropState, Passivate, Release, SetLimits
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.supervisor import Supervisor
from stateward.actors.store.urls import check_url
from stateward.handles import ScopedState, WorkflowState

Durability = Literal["synced", "buffered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters of one manager, as they were at about the same moment."""

    workflows: int
    """Workflows that hold a key, in their own scope or a step's."""
    keys: int
    """Keys in all scopes."""
    size_bytes: int
    """UTF-8 bytes of all keys plus encoded bytes of all values."""
    owners: int
    """Active owners."""
    pending: int
    """Messages that wait for a turn."""
    activations: int
    """Owners activated so far."""
    passivations: int
    """Owners let go so far, dropped workflows included."""
    restarts: int
    """Owners restarted after a failed handler so far."""
    quarantined: tuple[StateScope, ...]
    """Scopes that take no writes until they are released."""


class StateManager:
    """All state of one application: global, of workflows and their steps, and custom.

    Every workflow is owned by one actor, which alone changes it; reads come from a
    snapshot and never wait. Handles are cheap: make one wherever it is needed.

    Concurrency: Any thread. After a fork only the parent's manager can write.
    Durability: `memory://` keeps nothing once the manager is closed.

    Example:
        >>> with StateManager() as manager:
        ...     order = manager.workflow_state("order-123")
        ...     order["config"] = {"retries": 3}
        ...     order.step("load")["progress"] = 0.5
        ...     order.step("load").increment("progress", 0.25)
        0.75
    """

    def __init__(
        self,
        store: str = "memory://",
        *,
        durability: Durability = "synced",
        limits: Limits | None = None,
        migrations: Iterable[object] = (),
        clock: Clock | None = None,
        dispatcher: Dispatcher | None = None,
        idle_timeout: float | None = 60.0,
        ask_timeout: float = 30.0,
    ) -> None:
        """Start the supervisor; owners are activated when they are needed.

        Args:
            store: URL of the store; this version serves `memory://`.
            durability: What a write promises on a persistent store.
            limits: What each owner may hold; `Limits()` if `None`.
            migrations: For a persistent store; `memory://` starts empty.
            clock: What time it is; the system's if `None`.
            dispatcher: Who runs queued messages; a small pool of threads if `None`.
            idle_timeout: Seconds after which an unused owner is let go, its state being
                kept; `None` for never.
            ask_timeout: Seconds a write waits for its turn at most.

        Raises:
            UsageError: An argument is not what it should be. Effect: none.
        """
        check_url(store)
        if durability not in ("synced", "buffered"):
            raise UsageError(
                f"durability is {durability!r}, not 'synced' or 'buffered'"
            )
        if tuple(migrations):
            raise UsageError("memory:// starts empty, there is nothing to migrate")
        if limits is not None and not isinstance(limits, Limits):
            raise UsageError(f"limits is {limits!r}, not Limits or None")
        check_ttl(idle_timeout, "idle_timeout")
        check_ttl(ask_timeout, "ask_timeout")
        self.store = store
        self._engine = Engine(
            limits=limits or Limits(),
            clock=clock,
            dispatcher=dispatcher,
            idle_timeout=idle_timeout,
            ask_timeout=ask_timeout,
        )
        self._finalizer = finalize(self, _forgotten, self._engine, store)

    @property
    def engine(self) -> Engine:
        """What the handles stand on; promises no compatibility."""
        return self._engine

    @property
    def supervisor(self) -> "pykka.ActorRef[Supervisor]":
        """The supervisor, for hosts that speak in `stateward.messages`."""
        return self._engine.supervisor

    def __repr__(self) -> str:
        """Name the store."""
        return f"<StateManager of {self.store!r}>"

    # ---------------------------------------------------------------- handles

    def global_state(self) -> ScopedState:
        """Return the state every workflow shares."""
        return self.state(GlobalScope())

    def workflow_state(self, workflow_id: str) -> WorkflowState:
        """Return the state of a workflow; nothing is made until it is written to.

        Raises:
            InvalidScopeError: `workflow_id` cannot be an id. Effect: none.
        """
        return WorkflowState(self, WorkflowScope(workflow_id))

    def step_state(self, workflow_id: str, step_name: str) -> ScopedState:
        """Return the state of one step of a workflow."""
        return self.state(StepScope(workflow_id, step_name))

    def custom_state(self, namespace: str) -> ScopedState:
        """Return the state of a namespace of the application's own."""
        return self.state(CustomScope(namespace))

    def state(self, scope: StateScope) -> ScopedState:
        """Return a handle of `scope`."""
        if isinstance(scope, WorkflowScope):
            return WorkflowState(self, scope)
        if not isinstance(scope, GlobalScope | StepScope | CustomScope):
            raise UsageError(f"{scope!r} is not a scope")
        return ScopedState(self, scope)

    # -------------------------------------------------------------- workflows

    def workflow_ids(self) -> list[str]:
        """Return the ids of the workflows that hold a key, steps' keys included.

        Cost: O(workflows).
        """
        now = self._engine.clock.now()
        return [
            scope.workflow_id
            for scope, state in list(self._engine.states().items())
            if isinstance(scope, WorkflowScope) and reader.holds_keys(state, now)
        ]

    def drop_workflow(self, workflow_id: str) -> bool:
        """Forget a workflow and its steps at once; return whether it held a key.

        Later writes begin anew, with revisions above all that were given out.
        """
        return bool(self._engine.ask(DropState(WorkflowScope(workflow_id))))

    def set_limits(self, workflow_id: str, limits: Limits | None) -> None:
        """Hold one workflow to other limits than the manager's.

        What it already holds stays, even beyond them; it may shrink, but not grow.

        Args:
            workflow_id: Which workflow.
            limits: The limits from now on; `None` for the manager's again.
        """
        self._engine.ask(SetLimits(WorkflowScope(workflow_id), limits))

    # -------------------------------------------------------------- operation

    def passivate(self, scope: StateScope) -> bool:
        """Let the actor that owns `scope` go now; return whether it went.

        Its state stays, and the next write activates another. Owners that nobody uses
        are let go without this, after `idle_timeout`.
        """
        return bool(self._engine.ask(Passivate(self.state(scope).scope.owner)))

    def release(self, scope: StateScope) -> bool:
        """Take `scope` and its owner out of quarantine; return whether it was in."""
        return bool(self._engine.ask(Release(self.state(scope).scope.owner)))

    def stats(self) -> Stats:
        """Return the manager's counters.

        Cost: O(owners, active and idle).
        """
        directory = self._engine.directory
        now = self._engine.clock.now()
        states = list(self._engine.states().values())
        usages = [reader.usage(state, now) for state in states]
        owners = list(directory.owners.values())
        return Stats(
            workflows=len(self.workflow_ids()),
            keys=sum(keys for keys, _ in usages),
            size_bytes=sum(size_bytes for _, size_bytes in usages),
            owners=sum(owner.is_alive() for owner in owners),
            pending=sum(len(owner.actor_inbox.mail) for owner in owners),
            activations=directory.activations,
            passivations=directory.passivations,
            restarts=directory.restarts,
            quarantined=tuple(directory.quarantined),
        )

    def close(self) -> None:
        """Let what waits be carried out, then end every thread; idempotent.

        Afterwards every call raises `ClosedError`. A write that is under way in another
        thread either happens and is answered, or raises `ClosedError`.

        Raises:
            AskTimeoutError: A turn takes longer than `ask_timeout`; call again.
            ReentrantCallError: Called inside a turn. Effect: none.
        """
        self._engine.close()
        self._finalizer.detach()

    def __enter__(self) -> Self:
        """Begin the block that ends with `close`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Begin the block that ends with `close`."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, without blocking the loop."""
        import asyncio

        await asyncio.to_thread(self.close)


def _forgotten(engine: Engine, store: str) -> None:
    """Say that a manager was not closed, and end its threads."""
    if engine.forked:
        return
    # ORDER: first; the warning may be an error where the host wants it so.
    engine.abandon()
    warnings.warn(
        f"a StateManager of {store!r} was never closed", ResourceWarning, stacklevel=2
    )
