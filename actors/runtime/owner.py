"""The owner: the one actor that may change a workflow's scope and its steps' scopes.

It decides, publishes, and only then answers. A bug on the way is contained: what was
staged is taken back, this actor ends, and the supervisor makes another from what was
last published.
"""

import logging
from collections.abc import Callable
from functools import partial
from math import inf
from threading import get_ident
from typing import Any, Final, NoReturn
from weakref import ref

import pykka

from stateward.actors.core.decider import DECISIONS, expiry_of, replace
from stateward.actors.core.draft import Decision
from stateward.actors.core.errors import OwnerFailedError, StateError, UnavailableError
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.messages import (
    DropState,
    ExpireState,
    GetManyState,
    GetSnapshot,
    GetState,
    ModifyState,
    Passivate,
    SetLimits,
)
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.queries import answer
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, Event, OwnerState
from stateward.actors.core.values import unpack
from stateward.actors.runtime.fences import Fenced
from stateward.actors.runtime.guard import busy
from stateward.actors.runtime.moves import MoveState
from stateward.actors.runtime.overwrite import Overwriter
from stateward.actors.runtime.turns import TurnActor, TurnRef

logger: Final = logging.getLogger("stateward.owner")


class OwnerGone:
    """Signal to the supervisor: this owner has ended."""

    __slots__ = ("error", "ref", "scope")

    def __init__(
        self, scope: OwnerScope, ref: pykka.ActorRef[Any], error: Exception | None
    ) -> None:
        """Say which owner ended, and of what; `None` if it was meant to."""
        self.scope = scope
        self.ref = ref
        self.error = error


class CloseOwner:
    """Command: serve no more, and answer no more reads; the manager is closing."""

    __slots__ = ()


class Owner(Overwriter):
    """Single writer of one `OwnerState`."""

    registered = False  # The supervisor knows its owners; Pykka's registry is slow.
    survives_tell = True  # A command may be refused, whether anybody waits or not.

    def __init__(
        self,
        *,
        state: OwnerState,
        clock: Clock,
        dispatcher: Dispatcher,
        supervisor: TurnRef[Any],
    ) -> None:
        """Take over `state` as it was last published."""
        super().__init__(dispatcher=dispatcher, pending_max=state.limits.max_pending)
        self.actor_inbox.successor = supervisor
        self.state = state
        self._clock = clock
        self.now = clock.now
        self._supervisor = supervisor
        self._excused: Exception | None = None
        """What a sender's own function raised: not a bug of ours."""

    def __str__(self) -> str:
        """Name the scope, which means more to a reader than a URN."""
        return f"the owner of {self.state.scope}"

    def serve(self, message: Any) -> Any:
        """Carry out any command, and contain whatever goes wrong."""
        state = self.state
        before = state.latest
        fenced = None
        if type(message) is Fenced:
            fenced, message = message, message.command
        try:
            if fenced is not None:
                fenced.fence.check()
            if state.pending is not None:
                state.recover()
                before = state.latest
            now = self.now()
            if state.next_expiry <= now:
                self._sweep(now)
            decide = DECISIONS.get(type(message))
            if decide is None:
                return self._take_other(message, now, fenced)
            return self._finish(decide(state, message, now), now, fenced)
        except StateError:
            self._excused = None
            raise
        except Exception as error:
            if error is self._excused:
                self._excused = None
                raise
            self._fail_over(error, before)

    def _finish(self, decision: Decision, now: float, fenced: Fenced | None) -> Any:
        """Carry out what was decided, and return the reply."""
        state = self.state
        event, reply = decision
        if event is not None:
            if armed:
                hit("owner.decided")
            if fenced is None:
                reply = self.carry_out(event, reply, None)
            else:
                with fenced.fence.lock:
                    # RACE: given up since the command came, perhaps by a function of
                    # its own that took too long.
                    fenced.fence.check()
                    reply = self.carry_out(event, reply, fenced)
                    fenced.fence.reason = fenced.ends_as
            if state.next_expiry < state.alarm:
                self._set_alarm()
            if armed:
                hit("owner.settled")
        state.used = now
        return reply

    def carry_out(self, event: Event, reply: Any, _: Fenced | None) -> Any:
        """Let `event` happen, and return the reply."""
        self.state.carry_out(event)
        return reply

    def _take_other(self, message: Any, now: float, fenced: Fenced | None) -> Any:
        """Serve what is no plain decision on the state."""
        match message:
            case ModifyState():
                return self._modify(message, now, fenced)
            case GetState() | GetManyState() | GetSnapshot():
                return answer(self.state, message, now)
            case DropState():
                return self._drop(now)
            case SetLimits():
                return self._limit(message)
            case Passivate():
                return self._passivate(message)
            case ExpireState():
                # Whoever came first has swept; what is left is to come again.
                if self.state.alarm <= now:
                    self._set_alarm()
                return None
            case CloseOwner():
                return self._close()
            case MoveState():
                return self._move(message)
            case _:
                return TurnActor.take_turn(self, message)

    def _modify(self, command: ModifyState, now: float, fenced: Fenced | None) -> Any:
        cell = self.state.table(command.scope.step_name).newest(command.key)
        value = unpack(command.default if cell is None else cell.value)
        thread = get_ident()
        try:
            busy.add(thread)
            value = command.function(value)
        except Exception as error:
            self._excused = error
            raise
        finally:
            busy.discard(thread)
        decision = replace(self.state, command, command.key, value, now)
        return self._finish(decision, now, fenced)

    def _close(self) -> Any:
        self._retire()
        return self._stop()

    def _move(self, command: MoveState) -> bool:
        """Have a store keep the state; an actor that commits to it takes over."""
        state = self.state
        plain = state.staged is None
        if state.seal is not None or not command.finish(state):
            return False
        if plain:
            self._end(None)
        return True

    def _drop(self, _: float) -> Any:
        held = not self.state.is_empty()
        self._retire()
        self._end(None)
        return held

    def _retire(self) -> None:
        """Serve no more, and let the state serve no more."""
        state, inbox = self.state, self.actor_inbox
        state.last = state.latest
        # ORDER: nothing an interrupt could come after stands in between; an owner that
        # lived on would bring back with its next write what was dropped.
        state.revision = RETIRED
        inbox.closed = True
        inbox.actor = None

    def _limit(self, command: SetLimits) -> None:
        if command.limits is not None:  # The supervisor puts in the manager's.
            self.state.limits = command.limits
            self.actor_inbox.limit = command.limits.max_pending

    def _passivate(self, command: Passivate) -> bool:
        if self.state.used > command.idle_since or self.actor_inbox.mail:
            return False
        if armed:
            hit("supervisor.passivate")
        if self.state.is_empty() and self.state.is_committed():
            self._retire()  # Nothing to come back to.
        elif self.state.next_expiry < self.state.alarm:
            self._set_alarm()  # An interrupt came between a write and its alarm.
        self._end(None)
        return True

    def _sweep(self, now: float) -> None:
        """Remove what has expired, so that decisions meet nothing dead."""
        state = self.state
        for table, key in state.due(now):
            event = expiry_of(state, table, key, now)
            if event is not None:
                self.carry_out(event, None, None)
        if state.alarm <= now:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Have somebody come when the next entry expires."""
        state, supervisor = self.state, self._supervisor
        when = state.next_expiry
        if when < inf:
            ring = partial(tell, ref(supervisor), ExpireState(state.scope))
            self._clock.call_at(when, ring)
        # ORDER: last; an interrupt must not leave an alarm noted that never rings.
        state.alarm = when

    def _fail_over(self, error: Exception, before: int) -> NoReturn:
        """End after a bug of ours; the last published state is what counts."""
        self.state.recover()
        effect = "none" if self.state.latest == before else "unknown"
        logger.error("The owner of %s failed", self.state.scope, exc_info=error)
        self._end(error)
        raise OwnerFailedError(
            f"the owner of {self.state.scope} failed: {error!r}", effect=effect
        ) from error

    def _end(self, error: Exception | None) -> None:
        self._stop()
        tell(ref(self._supervisor), OwnerGone(self.state.scope, self.actor_ref, error))


def tell(supervisor: Callable[[], TurnRef[Any] | None], message: object) -> None:
    """Send `message` unless the supervisor is gone; a timer must not keep it alive."""
    alive = supervisor()
    if alive is not None:
        try:
            alive.tell(message)
        except UnavailableError:
            pass  # It stopped; there is nobody left to tell.
