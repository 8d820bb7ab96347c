"""The engine: supervisor, workers and clock of one manager, as one thing."""

import logging
import threading
import time
from collections.abc import Container
from typing import Any, Final

import pykka
from pykka import ActorRegistry
from pykka.messages import _ActorStop

from stateward.actors.core.cells import Table
from stateward.actors.core.errors import (
    AskTimeoutError,
    ClosedError,
    MailboxFullError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.scopes import OwnerScope, StateScope
from stateward.actors.core.state import NOWHERE, OwnerState
from stateward.actors.runtime.clock import SystemClock
from stateward.actors.runtime.guard import busy, check_may_wait
from stateward.actors.runtime.inbox import StoppedError, TurnTimeoutError
from stateward.actors.runtime.owner import CloseOwner, Owner
from stateward.actors.runtime.supervisor import (
    Activate,
    Close,
    Directory,
    Supervisor,
)
from stateward.actors.runtime.turns import BUSY, TurnRef
from stateward.actors.runtime.workers import WorkerPool

logger: Final = logging.getLogger("stateward.engine")

GRACE: Final = 0.05
"""Seconds `close` waits for each owner once another one has used up its time."""


class Engine:
    """What a manager and its handles stand on.

    Concurrency: Any thread, except inside a turn for what waits for one.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        clock: Clock | None,
        dispatcher: Dispatcher | None,
        idle_timeout: float | None,
        ask_timeout: float,
    ) -> None:
        """Start the supervisor.

        Args:
            limits: Of every owner without limits of its own.
            clock: What time it is; the system's if `None`.
            dispatcher: Who runs queued messages; a pool of threads if `None`.
            idle_timeout: Seconds after which an owner is let go; `None` for never.
            ask_timeout: Seconds a write waits for its turn at most.
        """
        self.limits = limits
        self.ask_timeout = ask_timeout
        self._own_clock = SystemClock() if clock is None else None
        self.own_pool = WorkerPool() if dispatcher is None else None
        """The pool, unless the host brought a dispatcher."""
        self.clock: Clock = clock or self._own_clock  # type: ignore[assignment]  # one is
        self.dispatcher: Dispatcher = dispatcher or self.own_pool  # type: ignore[assignment]  # one is
        self.directory = Directory()
        self.supervisor: TurnRef[Supervisor] = Supervisor.start(
            directory=self.directory,
            limits=limits,
            clock=self.clock,
            dispatcher=self.dispatcher,
            idle_timeout=idle_timeout,
        )
        # Also for a signal handler that closes what is being closed.
        self._closing = threading.RLock()
        self._closed = False

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process the engine runs in."""
        return getattr(self.dispatcher, "forked", False)

    def ask(self, message: object) -> Any:
        """Ask the supervisor, and wait at most `ask_timeout` seconds."""
        try:
            return self.supervisor.ask(message, timeout=self.ask_timeout)
        except StoppedError as error:
            if self.supervisor.is_alive():
                raise
            raise ClosedError("the manager is closed") from error

    def owner(self, scope: OwnerScope) -> TurnRef[Owner]:
        """Return the live owner of `scope`, activating it if need be."""
        active = self.directory.owners.get(scope)
        if active is not None and active.is_alive():
            return active
        ref: TurnRef[Owner] = self.ask(Activate(scope))
        return ref

    def ask_owner(self, scope: OwnerScope, message: object) -> Any:
        """Ask the owner of `scope`, whichever actor that is by then."""
        while True:
            owner = self.owner(scope)
            try:
                return owner.ask(message, timeout=self.ask_timeout)
            except StoppedError:
                if owner.is_alive():
                    raise  # It was the handler that raised it.

    async def ask_soon(self, scope: OwnerScope, message: Message) -> Any:
        """As `ask_owner`, without ever blocking the running loop.

        Raises:
            AskTimeoutError: No answer in time. Effect: none if withdrawn, else unknown.
        """
        while True:
            owner = self.directory.owners.get(scope)
            if owner is None or not owner.is_alive():
                owner = await self.ask_supervisor_soon(Activate(scope))
            if not message.runs_foreign_code:
                reply = owner.attempt(message)
                if reply is not BUSY:
                    return reply
            try:
                return await self._await(owner, message)
            except StoppedError:
                if owner.is_alive():
                    raise

    async def ask_supervisor_soon(self, message: Message) -> Any:
        """As `ask`, without ever blocking the running loop."""
        try:
            return await self._await(self.supervisor, message)
        except StoppedError as error:
            raise ClosedError("the manager is closed") from error

    async def _await(self, ref: TurnRef[Any], message: object) -> Any:
        """Queue `message` and await the reply."""
        import asyncio  # See `future`.

        future = ref.post(message, self.ask_timeout)
        limit = asyncio.timeout(self.ask_timeout)
        try:
            async with limit:
                return await future
        except asyncio.CancelledError:
            future.withdraw()
            raise
        except TimeoutError:
            if not limit.expired():
                raise  # It was the handler that raised it.
            effect = "none" if future.withdraw() else "unknown"
            raise TurnTimeoutError(
                f"no answer from {ref} within {self.ask_timeout} seconds", effect=effect
            ) from None

    def states(self) -> dict[OwnerScope, OwnerState]:
        """Return what every owner knows, active or not."""
        if self.directory.closed:
            raise ClosedError("the manager is closed")
        return self.directory.states

    def state(self, scope: OwnerScope) -> OwnerState | None:
        """Return what the owner of `scope` knows; `None` if there is nothing."""
        return self.directory.state(scope)

    def route(self, scope: StateScope) -> tuple[TurnRef[Owner] | None, Table]:
        """Return where to send the next write to `scope`, and where to read it."""
        state = self.directory.states.get(scope.owner)
        table = NOWHERE if state is None else state.table(scope.step_name)
        return self.directory.owners.get(scope.owner), table

    def close(self) -> None:
        """Let every owner finish what waits for it, then end every thread; idempotent.

        Raises:
            AskTimeoutError: Some owner's turn takes longer than `ask_timeout`; the
                others are closed, and `close` may be called again. Effect: unknown.
            ReentrantCallError: Called inside a turn. Effect: none.
        """
        if self.forked:
            self.directory.closed = True
            self._retire()
            return
        if busy:
            check_may_wait()
        with self._closing:
            if self._closed:
                return
            try:
                self.ask(Close())
            except ClosedError:
                # The host stopped the supervisor, or every actor, before.
                self.directory.closed = True
            stuck = self._close_owners()
            self._retire(except_for=stuck)
            if stuck:
                raise TurnTimeoutError(
                    f"the owners of {stuck} do not end within {self.ask_timeout} "
                    "seconds, close again to wait for them",
                    effect="unknown",
                )
            self._stop_supervisor()
            if self.own_pool is not None:
                self.own_pool.close()
            if self._own_clock is not None:
                self._own_clock.close()
            self._closed = True

    def _close_owners(self) -> list[OwnerScope]:
        """Close every owner; return the scopes of those whose turn does not end."""
        stuck: list[OwnerScope] = []
        deadline = time.monotonic() + self.ask_timeout
        for scope, owner in list(self.directory.owners.items()):
            left = max(deadline - time.monotonic(), GRACE)
            try:
                owner.ask(CloseOwner(), timeout=left)
            except pykka.ActorDeadError:
                continue  # It ended by itself.
            except (AskTimeoutError, MailboxFullError):
                stuck.append(scope)
        return stuck

    def _stop_supervisor(self) -> None:
        try:
            # Not `stop`, which leaves it to a worker of whom nothing is known.
            self.supervisor.ask(_ActorStop(), timeout=self.ask_timeout)
        except pykka.ActorDeadError:
            pass  # The host stopped it before.

    def _retire(self, except_for: Container[OwnerScope] = ()) -> None:
        """Have no state serve readers any more."""
        for scope, state in list(self.directory.states.items()):
            if scope not in except_for:
                state.retire()

    def abandon(self) -> None:
        """End every thread without waiting; for an engine nobody can reach any more."""
        self.directory.closed = True
        ActorRegistry.unregister(self.supervisor)
        if self.own_pool is not None:
            self.own_pool.abandon()
        if self._own_clock is not None:
            self._own_clock.abandon()
