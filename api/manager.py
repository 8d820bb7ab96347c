"""The manager: what a host application embeds."""

import threading
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import finalize

import pykka

from stateward.actors.core.errors import UsageError
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import DropState, Passivate, Release, SetLimits
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core.values import JsonValue
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.supervisor import Supervisor
from stateward.actors.store.ciphers import Key
from stateward.durability import Durability
from stateward.handles import ScopedState, WorkflowState
from stateward.migrations import Migration
from stateward.options import check_options
from stateward.resumption import UNSET, Resumption
from stateward.stats import Stats, stats_of, workflow_ids
from stateward.storage import open_storage
from stateward.upkeep import Upkeep

if TYPE_CHECKING:
    from stateward.workflows.aio import AsyncRuns
    from stateward.workflows.flows import Nodes
    from stateward.workflows.plan import StepEvent
    from stateward.workflows.results import RunResult
    from stateward.workflows.runs import Run, Runs
    from stateward.workflows.strategies import Access


class StateManager(Resumption, Upkeep):
    """All state of one application: global, of workflows and their steps, and custom.

    Every workflow is owned by one actor, which alone changes it; reads come from a
    snapshot and never wait. Handles are cheap: make one wherever it is needed.

    Concurrency: Any thread. After a fork only the parent's manager can write.
    Durability: `memory://` keeps nothing once the manager is closed. With a store, a
        write has returned and can be read once it is as durable as `durability` says.

    Example:
        >>> with StateManager() as manager:
        ...     order = manager.workflow_state("order-123")
        ...     order["config"] = {"retries": 3}
        ...     order.step("load")["progress"] = 0.5
        ...     order.step("load").increment("progress", 0.25)
        0.75
    """

    def __init__(  # noqa: PLR0913  # each stands for a choice of the host
        self,
        store: str = "memory://",
        *,
        durability: Durability = "synced",
        limits: Limits | None = None,
        migrations: Iterable[Migration] | None = (),
        key: Key | None = None,
        clock: Clock | None = None,
        dispatcher: Dispatcher | None = None,
        idle_timeout: float | None = 60.0,
        ask_timeout: float = 30.0,
        flush_interval: float = 1.0,
        cache_bytes: int | None = 256 << 20,
    ) -> None:
        """Start the supervisor; owners are activated when they are needed.

        Args:
            store: URL of the store: `memory://` keeps nothing, `sqlite:///state.db` and
                `rocksdb:///folder` are made if they are not there.
            durability: What a write to a store promises before it returns and before
                anybody can read it. `synced`: it outlives power loss. `buffered`: it
                outlives the process, and power loss after `flush_interval`.
            limits: What each owner may hold; `Limits()` if `None`.
            migrations: What lifts state that an older version of the application wrote,
                from version 1 on without gaps; a store that has been through newer ones
                is refused. `None`, for tools: leave everything at the version it has.
            key: Seals the values in the store: 32 bytes, or a `KeyProvider`, such as
                `KeyRing(new, old)`. Names of scopes and keys stay readable.
            clock: What time it is; the system's if `None`.
            dispatcher: Who runs queued messages; a small pool of threads if `None`.
            idle_timeout: Seconds after which an unused owner is let go, its state being
                kept; `None` for never.
            ask_timeout: Seconds a write waits for its turn at most, and for its commit.
            flush_interval: Seconds until a `buffered` write outlives power loss.
            cache_bytes: About how much of a store may stay in memory; `None` for all.

        Raises:
            UsageError: An argument is not what it should be. Effect: none.
            StoreLockedError: Another manager has the store open. Effect: none.
            StoreFormatError: The store is of a newer version, or none of ours.
            WrongKeyError: The store is sealed with another key, or not at all.
            CorruptStoreError: The store has lost what had been acknowledged.
            StoreFullError: There is no space left for its mark. Effect: none.
            StoreError: The store cannot be opened. Effect: none.
        """
        check_options(limits, clock, dispatcher, idle_timeout, ask_timeout)
        storage = open_storage(
            store,
            durability=durability,
            migrations=migrations,
            key=key,
            flush_interval=flush_interval,
            cache_bytes=cache_bytes,
        )
        self._url = store
        self._engine = Engine(
            limits=limits or Limits(),
            clock=clock,
            dispatcher=dispatcher,
            idle_timeout=idle_timeout,
            ask_timeout=ask_timeout,
            storage=storage,
        )
        self._runs: Runs | None = None
        self._making = threading.RLock()
        self._finalizer = finalize(self, _forgotten, self._engine, store)

    @property
    def engine(self) -> Engine:
        """What the handles stand on; promises no compatibility."""
        return self._engine

    @property
    def supervisor(self) -> "pykka.ActorRef[Supervisor]":
        """The supervisor, for hosts that speak in `stateward.messages`."""
        return self._engine.supervisor

    def as_manager(self) -> Self:
        """Return this; see `Host` in `stateward.reads`."""
        return self

    def __repr__(self) -> str:
        """Name the store."""
        return f"<StateManager of {self.store!r}>"

    @property
    def store(self) -> str:
        """URL of the store, while a move is under way of the one it begins at."""
        vault = self._engine.directory.vault
        origin = None if vault is None else vault.placement.origin
        return self._url if origin is None else origin.text

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
        """Return the ids of the workflows that hold a key, or the record of a run.

        A step's keys count as well.

        Cost: O(workflows).
        """
        return workflow_ids(self._engine)

    def drop_workflow(self, workflow_id: str) -> bool:
        """Forget a workflow and its steps at once; return whether it held a key.

        Later writes begin anew, with revisions above all that were given out.
        """
        return bool(self._engine.ask(DropState(WorkflowScope(workflow_id))))

    async def drop_soon(self, workflow_id: str) -> bool:
        """As `drop_workflow`, without ever blocking the running loop."""
        message = DropState(WorkflowScope(workflow_id))
        return bool(await self._engine.ask_supervisor_soon(message))

    def set_limits(self, workflow_id: str, limits: Limits | None) -> None:
        """Hold one workflow to other limits than the manager's.

        What it already holds stays, even beyond them; it may shrink, but not grow.

        Args:
            workflow_id: Which workflow.
            limits: The limits from now on; `None` for the manager's again.
        """
        self._engine.ask(SetLimits(WorkflowScope(workflow_id), limits))

    # ------------------------------------------------------------------- runs

    def run(
        self,
        flow: "Nodes",
        workflow_id: str,
        *,
        input: JsonValue = UNSET,  # noqa: A002  # its name
        access: "Access | None" = None,
        restart: bool = False,
        on_event: "Callable[[StepEvent], None] | None" = None,
    ) -> "RunResult":
        """Run a flow for a workflow, and return how that ended.

        What has been done is recorded through the workflow's owner. Run again with the
        same id, the flow continues: what has finished is not repeated, what failed, was
        cancelled or was never begun is run. A run that is completed is not run again.

        Args:
            flow: A workflow of `stateward.workflows`, a step or a function.
            workflow_id: Whose state the steps share.
            input: JSON, for every step to read. Left out, a run that is continued
                keeps its own, and a new one has `None`.
            access: What steps may reach beyond the workflow; `Access()` if `None`.
            restart: Forget what is recorded of an earlier run, and begin anew. State
                that steps have written is kept.
            on_event: Called, by any thread, when a step begins or ends.

        Raises:
            InvalidFlowError: `flow` makes no sense. Effect: none.
            InvalidValueError: `input` is not JSON. Effect: none.
            FlowChangedError: The run was begun with another flow or another input.
                Effect: none.
            AlreadyRunningError: The workflow is being run. Effect: none.
            RunLostError: The workflow was dropped meanwhile.
            StateError: Progress could not be recorded; run again to continue.

        Concurrency: Any thread. Plain steps run in threads of the manager, `async` ones
            in its event loop. Interrupting the wait cancels the run.
        Cost: Some 20 us a step beyond its function.

        Example:
            >>> from stateward import StateManager
            >>> from stateward.workflows import Sequential, step
            >>> @step
            ... def greet(ctx):
            ...     return f"Hello, {ctx.input}!"
            >>> with StateManager() as manager:
            ...     manager.run(Sequential("hello", greet), "w", input="world").output
            'Hello, world!'
        """
        begun = self.runs.start(flow, workflow_id, input, access, restart, on_event)
        return begun.wait()

    def start(
        self,
        flow: "Nodes",
        workflow_id: str,
        *,
        input: JsonValue = UNSET,  # noqa: A002  # its name
        access: "Access | None" = None,
        restart: bool = False,
        on_event: "Callable[[StepEvent], None] | None" = None,
    ) -> "Run":
        """As `run`, but do not wait: the `Run` returned can be waited for."""
        return self.runs.start(flow, workflow_id, input, access, restart, on_event)

    def cancel(self, workflow_id: str, reason: str = "the run was cancelled") -> bool:
        """Cancel the run of a workflow; return whether there was one under way."""
        return self.runs.cancel(workflow_id, reason)

    def run_state(self, workflow_id: str) -> "RunResult | None":
        """Return what is recorded of a workflow's run; `None` if nothing is."""
        return self.runs.state(workflow_id)

    def run_ids(self) -> list[str]:
        """Return the ids of the workflows that have been run, under way or over."""
        return self.runs.ids()

    @property
    def runs(self) -> "Runs":
        """The runs of this manager; promises no compatibility."""
        return self._runs or self._make_runs()

    def _make_runs(self) -> "Runs":
        # Not at the top: a host without workflows need not load them.
        from stateward.workflows.runs import Runs

        with self._making:
            if self._runs is None:
                self._runs = Runs(self._engine)
            return self._runs

    @property
    def aio(self) -> "AsyncRuns":
        """The same for asyncio: `await manager.aio.run(...)`."""
        from stateward.workflows.aio import AsyncRuns

        return AsyncRuns(self.runs)

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
        return stats_of(self._engine)

    def close(self) -> None:
        """Let what waits be carried out, then end every thread; idempotent.

        Runs under way are cancelled; steps whose functions do not end are left behind.
        Afterwards every call raises `ClosedError`. A write that is under way in another
        thread either happens and is answered, or raises `ClosedError`.

        Raises:
            AskTimeoutError: A turn takes longer than `ask_timeout`; call again.
            ReentrantCallError: Called inside a turn. Effect: none.
        """
        if self._runs is not None and not self._engine.forked:
            self._runs.close(self._engine.ask_timeout)
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
