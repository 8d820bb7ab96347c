"""The supervisor: routes requests, and looks after the owners.

It activates an owner when one is needed, lets idle ones go, makes a new one when a
handler failed, and quarantines a scope that keeps failing. Handles keep the route they
were given, so it is not on the path of an ordinary read or write.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from sys import maxsize
from typing import Any, Final, cast
from weakref import ref

import pykka

from stateward.actors.core import faults
from stateward.actors.core.errors import (
    ClosedError,
    QuarantinedError,
    StateError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import (
    DropState,
    ExpireState,
    GetManyState,
    GetSnapshot,
    GetState,
    Message,
    Passivate,
    Release,
    SetLimits,
)
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.queries import Query, answer
from stateward.actors.core.scopes import OwnerScope, WorkflowScope
from stateward.actors.core.state import RETIRED, OwnerState
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.runtime.directory import Directory
from stateward.actors.runtime.durable import DurableOwner
from stateward.actors.runtime.inbox import Forward
from stateward.actors.runtime.owner import Owner, OwnerGone, tell
from stateward.actors.runtime.placement import Placement
from stateward.actors.runtime.turns import TurnActor, TurnRef
from stateward.actors.runtime.vault import Vault

logger: Final = logging.getLogger("stateward.supervisor")

FAILURES_MAX: Final = 3
"""Failures of one owner within `FAILURES_WINDOW` that put its scope in quarantine."""
FAILURES_WINDOW: Final = 60.0
"""Seconds."""


class Activate(Message):
    """Query, from a handle: a reference to the owner of `scope`, made if need be."""

    __slots__ = ()


class Close:
    """Command: activate nothing any more."""

    __slots__ = ()


class Tick:
    """Signal, from a timer: look for owners that have been idle."""

    __slots__ = ()


class Attach:
    """Command: have a vault load states from here on, and a committer write them."""

    __slots__ = ("committer", "vault")

    def __init__(self, vault: Vault, committer: Committer) -> None:
        """Say which."""
        self.vault = vault
        self.committer = committer


class Place:
    """Command: have owners be where `change` says; it is called in a turn."""

    __slots__ = ("change",)

    def __init__(self, change: Callable[[Placement], object]) -> None:
        """Say what is to be changed; the reply is what it returns."""
        self.change = change


class Evict:
    """Signal, from the vault: the states in memory take more than they may."""

    __slots__ = ()


class Supervisor(TurnActor):
    """Routes what is addressed to a scope, and answers queries itself."""

    survives_tell = True  # A refused message must not end all others' supervisor.

    def __init__(
        self,
        *,
        directory: Directory,
        limits: Limits,
        clock: Clock,
        dispatcher: Dispatcher,
        idle_timeout: float | None,
    ) -> None:
        """Begin with no owner active."""
        # Signals from owners must not be refused; they are bounded by the owners.
        super().__init__(dispatcher=dispatcher, pending_max=maxsize)
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._dispatcher = dispatcher
        self._idle_timeout = idle_timeout
        self._next_tick = -inf
        """When idle owners are looked for again."""
        self._myself: TurnRef[Supervisor] = cast("TurnRef[Supervisor]", self.actor_ref)
        self._failures: dict[OwnerScope, deque[float]] = {}

    def on_receive(self, message: Any) -> Any:
        """Route `message`, or serve it."""
        if isinstance(message, Committed):
            return self._publish(message)
        match message:
            case Activate():
                return self._activate(message.scope.owner)
            case GetState() | GetManyState() | GetSnapshot():
                return self._read(message)
            case Release():
                return self._release(message.scope.owner)
            case SetLimits():
                return self._set_limits(message)
            case DropState() | Passivate() | ExpireState():
                return self._forward_if_known(message)
            case Message():
                return Forward(self._activate(message.scope.owner), message)
            case _:
                return self._note(message)

    def _note(self, signal: Any) -> Any:
        """Serve what is not addressed to a scope."""
        match signal:
            case OwnerGone():
                self._owner_gone(signal)
            case Tick():
                self._tick()
            case Evict():
                self._evict()
            case Close():
                self._directory.closed = True
            case Attach() | Place() if self._directory.closed:
                raise ClosedError("the manager is closed")
            case Attach():
                signal.vault.placement.least = self._directory.floor
                self._directory.vault = signal.vault
                self._directory.committer = signal.committer
            case Place():
                vault = self._directory.vault
                return None if vault is None else signal.change(vault.placement)
            case _:
                return super().on_receive(signal)
        return None

    def _activate(self, scope: OwnerScope) -> TurnRef[Owner]:
        """Return the live owner of `scope`."""
        directory = self._directory
        if directory.closed:
            raise ClosedError("the manager is closed")
        active = directory.active(scope)
        if active is not None:
            return active
        if scope in directory.quarantined:
            raise QuarantinedError(
                f"{scope} is in quarantine: {directory.quarantined[scope]}", scope=scope
            )
        if faults.armed:
            faults.hit("supervisor.activate")
        state = directory.states.get(scope)
        if state is None or state.revision == RETIRED:
            state = self._begin(scope, state)
        owner = self._start(state)
        directory.states[scope] = state
        directory.owners[scope] = owner
        directory.activations += 1
        self._keep_ticking()
        return owner

    def _start(self, state: OwnerState) -> TurnRef[Owner]:
        """Return a new owner of `state`."""
        kind: type[Owner] = Owner
        options: dict[str, Any] = {}
        if state.seal is None and not state.staged:
            state.staged = None  # It may have been in a store before.
        else:
            kind, options = DurableOwner, {"committer": self._directory.committer}
        return kind.start(
            state=state,
            clock=self._clock,
            dispatcher=self._dispatcher,
            supervisor=self._myself,
            **options,
        )

    def _publish(self, signal: Committed) -> None:
        """Let an owner publish; do it for one that has no actor."""
        active = self._directory.active(signal.scope.owner)
        if active is not None:
            active.actor_inbox.hand(signal)
        else:
            signal.carry_out()

    def _evict(self) -> None:
        """Let states go that nobody has written to for longest."""
        directory = self._directory
        if directory.vault is None or directory.closed:
            return
        for state in directory.vault.surplus():
            active = directory.active(state.scope)
            if active is None:
                if state.is_committed():
                    directory.vault.let_go(state.scope, state)
                continue
            try:
                # It goes the next time, if nobody has come to it before.
                active.tell(Passivate(state.scope, idle_since=state.used))
            except StateError:
                continue  # RACE: it has ended, or is anything but idle.

    def _begin(self, scope: OwnerScope, retired: OwnerState | None) -> OwnerState:
        """Return the state of an owner that holds nothing yet."""
        directory = self._directory
        if retired is not None:
            self._raise_floor(retired)
        limits = directory.overrides.get(scope, self._limits)
        if scope.prefix():
            limits.check_key_bytes(_id_of(scope))
        floor = directory.floor
        if directory.vault is not None:
            state = directory.vault.load(scope)
            if state is not None:
                return state
            floor = max(floor, directory.vault.placement.floor)
        return OwnerState(scope, limits, floor, self._clock.now())

    def _read(self, query: Query) -> Any:
        """Answer a query, after what was sent to the scope before it."""
        scope = query.scope.owner
        active = self._directory.owners.get(scope)
        state = self._directory.state(scope)
        if active is not None and active.actor_inbox.is_busy():
            return Forward(active, query)
        if (
            state is not None
            and state.staged
            and scope not in self._directory.quarantined
        ):
            return Forward(self._activate(scope), query)
        return answer(state, query, self._clock.now())

    def _forward_if_known(self, message: Message) -> Any:
        """Pass on what is of no concern to an owner that holds nothing."""
        scope = message.scope.owner
        state = self._directory.state(scope)
        if state is None:
            return False
        active = self._directory.active(scope)
        if isinstance(message, Passivate) and active is None:
            return False
        return Forward(self._activate(scope), message)

    def _set_limits(self, message: SetLimits) -> Any:
        scope = message.scope.owner
        reply = None
        if self._directory.state(scope) is not None:
            limits = message.limits or self._limits
            # ORDER: first, since a scope in quarantine refuses.
            reply = Forward(self._activate(scope), SetLimits(scope, limits))
        if message.limits is None:
            self._directory.overrides.pop(scope, None)
        else:
            self._directory.overrides[scope] = message.limits
        return reply

    def _release(self, scope: OwnerScope) -> bool:
        self._failures.pop(scope, None)
        return self._directory.quarantined.pop(scope, None) is not None

    def _owner_gone(self, signal: OwnerGone) -> None:
        """Forget an owner that ended, and judge one that failed."""
        directory, scope = self._directory, signal.scope
        self._forget(scope, signal.ref)
        if signal.error is None:
            directory.passivations += 1
            self._evict()
            return
        directory.restarts += 1
        now = self._clock.now()
        failures = self._failures.setdefault(scope, deque(maxlen=FAILURES_MAX))
        failures.append(now)
        if len(failures) == FAILURES_MAX and now - failures[0] <= FAILURES_WINDOW:
            directory.quarantined[scope] = (
                f"{FAILURES_MAX} failures within {FAILURES_WINDOW:g} seconds, "
                f"the last was {signal.error!r}"
            )
            logger.error("%s is in quarantine", scope, exc_info=signal.error)

    def _forget(self, scope: OwnerScope, owner: pykka.ActorRef[Any]) -> None:
        """Have the directory know nothing of an owner that ended."""
        directory = self._directory
        if directory.owners.get(scope) is owner:
            del directory.owners[scope]
        state = directory.states.get(scope)
        if state is not None and state.revision == RETIRED:
            self._raise_floor(state)
            if directory.vault is None:
                del directory.states[scope]
            else:
                directory.vault.let_go(scope, state)

    def _raise_floor(self, retired: OwnerState) -> None:
        """Have no owner begin below what one that is forgotten has come to."""
        directory = self._directory
        directory.floor = max(directory.floor, retired.last)
        if directory.vault is not None:
            directory.vault.placement.least = directory.floor

    def _keep_ticking(self) -> None:
        """See to it that idle owners are looked for while there are owners."""
        now = self._clock.now()
        if self._idle_timeout is None or self._next_tick > now:
            return
        when = now + self._idle_timeout / 2
        self._clock.call_at(when, partial(tell, ref(self._myself), Tick()))
        # ORDER: last; an interrupt must not leave a tick noted that never comes.
        self._next_tick = when

    def _tick(self) -> None:
        directory = self._directory
        if directory.closed or self._idle_timeout is None:
            return
        since = self._clock.now() - self._idle_timeout
        for scope, owner in list(directory.owners.items()):
            state = directory.states.get(scope)
            if not owner.is_alive():
                self._forget(scope, owner)  # An interrupt kept it from saying so.
            elif state is not None and state.used <= since:
                try:
                    owner.tell(Passivate(scope, idle_since=since))
                except StateError:
                    continue  # RACE: it has ended, or is anything but idle.
        if directory.owners:
            self._keep_ticking()


def _id_of(scope: OwnerScope) -> str:
    """Return the part of an owner's scope that the application chose."""
    if isinstance(scope, WorkflowScope):
        return scope.workflow_id
    return getattr(scope, "namespace", "")
