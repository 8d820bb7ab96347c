"""The engine: supervisor, workers and clock of one manager, as one thing."""

import logging
import threading
import time
from collections.abc import Callable, Container
from typing import Any, Final
from weakref import ref

import pykka
from pykka import ActorRegistry
from pykka.messages import _ActorStop

from stateward.actors.core import reader
from stateward.actors.core.cells import Table
from stateward.actors.core.errors import (
    AskTimeoutError,
    ClosedError,
    CommitFailedError,
    MailboxFullError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.scopes import OwnerScope, StateScope
from stateward.actors.core.state import NOWHERE, OwnerState
from stateward.actors.runtime.clock import SystemClock
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.runtime.directory import Directory
from stateward.actors.runtime.guard import busy, check_may_wait
from stateward.actors.runtime.inbox import Deferred, StoppedError, TurnTimeoutError
from stateward.actors.runtime.moves import Mover
from stateward.actors.runtime.owner import CloseOwner, Owner, tell
from stateward.actors.runtime.placement import Placement
from stateward.actors.runtime.supervisor import (
    Activate,
    Attach,
    Close,
    Evict,
    Place,
    Supervisor,
)
from stateward.actors.runtime.turns import BUSY, TurnRef
from stateward.actors.runtime.vault import Storage, Vault
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
        storage: Storage | None = None,
    ) -> None:
        """Start the supervisor.

        Args:
            limits: Of every owner without limits of its own.
            clock: What time it is; the system's if `None`.
            dispatcher: Who runs queued messages; a pool of threads if `None`.
            idle_timeout: Seconds after which an owner is let go; `None` for never.
            ask_timeout: Seconds a write waits for its turn at most, and for its commit.
            storage: Where owners commit; nowhere, for good, if `None`.
        """
        self.limits = limits
        self.ask_timeout = ask_timeout
        stored = None if storage is None else storage.store
        not_before = 0.0 if stored is None else stored.time
        self._own_clock = SystemClock(not_before) if clock is None else None
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
        self._storage = storage
        # Also for a signal handler that closes what is being closed.
        self._closing = threading.RLock()
        self._closed = False
        self.moving = threading.Lock()
        """Held while owners are moved to another store."""
        try:
            if storage is not None and storage.store is not None:
                self._attach(storage)
        except BaseException:
            self.abandon()
            raise

    def _attach(self, storage: Storage) -> None:
        """Have owners be loaded from a store, and commit to it."""
        # Nothing here may hold the engine: a forgotten manager has to be found.
        directory, supervisor, limits = self.directory, self.supervisor, self.limits
        placement = Placement(storage.store)
        for store in placement.stores():
            store.offset = self.clock.epoch(0.0)
        vault = Vault(
            placement,
            directory.states,
            clock=self.clock,
            limits_of=lambda scope: directory.overrides.get(scope, limits),
            lift=storage.lift,
            cache_bytes=storage.cache_bytes,
            too_much=lambda: tell(ref(supervisor), Evict()),
        )

        def deliver(signal: Committed) -> None:
            receiver = directory.active(signal.scope.owner) or supervisor
            try:
                # Most have nothing else to do: no need to go through the mail.
                if receiver.attempt(signal) is BUSY:
                    receiver.actor_inbox.hand(signal)
            except Exception:
                # A bug of ours; other owners still wait for their signal.
                logger.exception("%s failed at %r", receiver, signal)
                # ORDER: once more, and through the mail, where it is tried but once:
                # without a signal whoever staged something waits until it times out.
                receiver.actor_inbox.hand(signal)

        # A dispatcher may have everything run in the thread of a test, this included.
        alone = getattr(self.dispatcher, "single_threaded", False)
        committer = Committer(
            deliver,
            vault.weigh,
            vault.check,
            placement.stores,
            synced=storage.synced,
            flush_interval=storage.flush_interval,
            reply_timeout=self.ask_timeout,
            now=self.clock.now if alone else time.monotonic,
        )
        vault.perform = committer.perform
        try:
            if not alone:
                committer.start()
            self.ask(Attach(vault, committer))
        except BaseException:
            committer.close()  # and the store
            raise

    @property
    def version(self) -> int | None:
        """Of the newest migration there is; `None` leaves owners as they are stored."""
        return None if self._storage is None else self._storage.version

    def mover(self) -> Mover:
        """Return what moves owners; from then on there is something to load with.

        Raises:
            ClosedError: The manager is closed. Effect: none.
        """
        if self.directory.vault is None and self._storage is not None:
            self._attach(self._storage)
        return Mover(self.directory, self.ask)

    def place(self, change: Callable[[Placement], object]) -> Any:
        """Change where owners are to be, in a turn of the supervisor."""
        return self.ask(Place(change))

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
        active = self.directory.active(scope)
        if active is not None:
            return active
        self._load(scope)
        activated: TurnRef[Owner] = self.ask(Activate(scope))
        return activated

    def _load(self, scope: OwnerScope) -> None:
        """Load what is stored here, and not in the supervisor's turn."""
        if self.directory.vault is not None:
            self.directory.state(scope)

    async def _load_soon(self, scope: OwnerScope) -> None:
        """As `_load`, in a thread: it reads from disk, and may migrate."""
        if self.directory.vault is None or scope in self.directory.states:
            return
        if getattr(self.dispatcher, "single_threaded", False):
            self._load(scope)
            return
        import asyncio  # See `future`.

        await asyncio.to_thread(self._load, scope)

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
            owner = self.directory.active(scope)
            if owner is None:
                await self._load_soon(scope)
                owner = await self.ask_supervisor_soon(Activate(scope))
            if not message.runs_foreign_code:
                reply = owner.attempt(message)
                if type(reply) is Deferred:
                    return await reply.soon()
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
        future = ref.post(message, self.ask_timeout)
        import asyncio  # See `future`.

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

    def usages(self) -> dict[OwnerScope, tuple[int, int, bool]]:
        """Return keys and bytes of every owner, and whether it holds any record.

        Cost: O(owners). What has expired counts for owners that are not in memory.
        """
        if self.directory.closed:
            raise ClosedError("the manager is closed")
        found: dict[OwnerScope, tuple[int, int, bool]] = {}
        if self.directory.vault is not None:
            for scope, keys, size, records in self.directory.vault.placement.usages():
                found[scope] = keys, size, records > 0
        now = self.clock.now()
        for scope, state in list(self.directory.states.items()):
            found[scope] = *reader.usage(state, now), reader.holds_keys(state, now)
        return found

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
            if self.directory.committer is not None and not stuck:
                # ORDER: while the supervisor lives, which publishes what is left.
                self.directory.committer.close()
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
            except (pykka.ActorDeadError, CommitFailedError):
                continue  # It ended by itself, or has; who staged is told.
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
        if self.directory.committer is not None:
            self.directory.committer.abandon()
        if self.own_pool is not None:
            self.own_pool.abandon()
        if self._own_clock is not None:
            self._own_clock.abandon()
