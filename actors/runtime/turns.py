"""Turns: Pykka actors that need no thread of their own.

An actor has an inbox and a turn lock; a turn handles messages in order under that lock.

- A blocking `ask` that finds nothing ahead of it runs its own turn in the calling
  thread. Everything else is queued and run by a small pool of workers.
- At most one turn at a time per actor; messages are handled in the order they came.
- A handler never waits: a blocking `ask` inside a turn raises `ReentrantCallError`.
- A queued message is either claimed by a turn or withdrawn by its sender, never both;
  so a caller that stops waiting knows whether it may have been carried out.

Only the main thread can be interrupted by a signal, between any two calls. Therefore

- it runs no message but its own: an interrupt in somebody else's would have to be
  answered to the wrong caller;
- the turn lock is released, and a waiting inbox handed to a worker, by a single call of
  a C function at the head of a `finally`, where CPython lets no interrupt in before it;
- the lock is an `RLock`: whether an interrupted `acquire` got it is found out by
  releasing it, and a signal handler that asks the actor it interrupted is noticed.

Rejected: a thread per actor (22,000 actors at most, and two thread switches an `ask`);
a blocking `with lock:` (no deadline, and a convoy behind a slow function).
"""

import logging
import os
import threading
import time
from sys import exc_info
from threading import get_ident
from typing import Any, ClassVar, Final, Self, TypeVar, cast

import pykka
from pykka import ActorRegistry

from stateward.actors.core.errors import (
    ForkedError,
    MailboxFullError,
    ReentrantCallError,
)
from stateward.actors.core.ports import Dispatcher
from stateward.actors.runtime.future import TurnFuture
from stateward.actors.runtime.guard import (
    FORKED,
    busy,
    check_may_wait,
    is_interruptible,
    left_behind,
)
from stateward.actors.runtime.inbox import (
    Deferred,
    Envelope,
    Forward,
    StopFlag,
    StoppedError,
    TurnInbox,
    TurnTimeoutError,
)
from stateward.actors.runtime.workers import shared_pool

A = TypeVar("A", bound="TurnActor")

logger: Final = logging.getLogger("stateward.turns")


class TurnRef(pykka.ActorRef[A]):
    """Reference to a `TurnActor`; messages may be sent through it from any thread."""

    actor_inbox: TurnInbox  # type: ignore[assignment]  # takes our envelopes only

    def ask(
        self, message: object, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send `message` and return the reply, or a future of it.

        Args:
            message: Anything the actor handles.
            block: Wait for the reply; else return a `TurnFuture` at once.
            timeout: Seconds to wait at most; `None` waits as long as it takes.

        Raises:
            TurnTimeoutError: No reply in time. Effect: none if the message was still
                queued, which then is dropped; else unknown.
            StoppedError: The actor has stopped. Effect: none.
            MailboxFullError: Too many messages wait. Effect: none.
            ReentrantCallError: Called inside a turn, where it might wait for ever.
                Effect: none.
            Exception: Whatever the handler raised.

        Cost: 0.5 us beyond the handler when nothing is ahead; else a thread switch.
        """
        if not block:
            return self.post(message, timeout)
        reply = self.attempt(message)
        if reply is BUSY:
            return self._wait(message, timeout)
        if type(reply) is Forward:
            return self._follow(reply, message, timeout)
        if type(reply) is Deferred:
            return reply.wait()
        return reply

    def attempt(self, message: object) -> Any:
        """Run a turn for `message` here and now; return `BUSY` if that cannot be."""
        inbox = self.actor_inbox
        if busy:
            _check_may_ask(inbox)
        # Calls of locals: on an attribute each would cost 0.05 us more.
        acquire, release = inbox.acquire, inbox.release
        mine = True
        try:
            try:
                if not acquire(False):
                    mine = False
                elif (actor := inbox.actor) is not None and not inbox.mail:
                    if inbox.running:
                        raise ReentrantCallError(f"{self} asked itself inside its turn")
                    inbox.running = True
                    try:
                        return actor.take_turn(message)
                    finally:
                        inbox.running = False
            finally:
                # Nothing may come before this call: see the rules of the module.
                if mine:
                    try:
                        release()
                    except RuntimeError:
                        pass  # RACE: interrupted before it was known not to be ours.
        finally:
            if mine and inbox.mail:
                inbox.submit(inbox)
        return BUSY

    def _follow(self, forward: Forward, message: object, timeout: float | None) -> Any:
        """Ask whom the handler named; if that actor just stopped, start again."""
        try:
            return forward.ref.ask(forward.message, timeout=timeout)
        except StoppedError:
            if forward.ref.is_alive():
                raise
            return self.ask(message, timeout=timeout)

    def tell(self, message: object) -> None:
        """Send `message` and wait for nothing.

        Raises:
            StoppedError: The actor has stopped. Effect: none.
            MailboxFullError: Too many messages wait. Effect: none.
        """
        self._check_alive()
        self.actor_inbox.put(Envelope(message))

    def post(self, message: object, timeout: float | None = None) -> TurnFuture[Any]:
        """Send `message` and return a future of the reply.

        Args:
            message: Anything the actor handles.
            timeout: Seconds after which the message is dropped if it still waits.
        """
        future: TurnFuture[Any] = TurnFuture()
        try:
            self._check_alive()
            deadline = None if timeout is None else time.monotonic() + timeout
            envelope = Envelope(message, future, deadline)
            future.withdraw = envelope.claim
            self.actor_inbox.put(envelope)
        except (StoppedError, MailboxFullError, ForkedError):
            future.set_exception(exc_info())
        return future

    def _wait(self, message: object, timeout: float | None) -> Any:
        """Queue `message` and wait for the reply."""
        self._check_alive()
        inbox = self.actor_inbox
        if inbox.turn._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  # as Condition does
            raise ReentrantCallError(f"{self} asked itself inside its turn")
        future: TurnFuture[Any] = TurnFuture()
        deadline = None if timeout is None else time.monotonic() + timeout
        envelope = Envelope(message, future, deadline)
        try:
            if is_interruptible():
                inbox.put(envelope)
            else:
                inbox.append(envelope)
                inbox.run(envelope)
                if inbox.closed:
                    inbox.give_back(envelope)
            return future.get(timeout=timeout)
        except BaseException as error:
            # Interrupted, or too late: nobody will ask for the answer any more.
            withdrawn = envelope.claim()
            if not isinstance(error, pykka.Timeout):
                raise
            if future.done():
                return future.get()  # RACE: it came when the time was up.
            raise TurnTimeoutError(
                f"no answer from {self} within {timeout} seconds",
                effect="none" if withdrawn else "unknown",
            ) from None

    def __str__(self) -> str:
        """Name the actor as it names itself, while there is one."""
        actor = self._actor_weakref()
        return super().__str__() if actor is None else str(actor)

    def is_alive(self) -> bool:
        """Return whether the actor takes messages."""
        # Not `actor_stopped`, which an interrupt could leave behind.
        return not self.actor_inbox.closed

    def _check_alive(self) -> None:
        if busy:
            _check_not_forked(self.actor_inbox)
        if self.actor_inbox.closed:
            raise StoppedError(f"{self} has stopped")


BUSY: Final = object()
"""What `attempt` returns when the message has to be queued."""


class TurnActor(pykka.Actor):
    """A Pykka actor without a thread of its own; see the rules of this module.

    Subclass it as any Pykka actor: `on_receive`, `on_start`, `on_stop`, `on_failure`
    and proxies work as there. What differs: an exception that is no `Exception` reaches
    only the sender whose message caused it; a message that was timed out is not handled
    later; no `ask` stays unanswered when the actor stops.

    Example:
        >>> class Greeter(TurnActor):
        ...     def on_receive(self, message):
        ...         return f"Hello, {message}!"
        >>> ref = Greeter.start()
        >>> ref.ask("world")
        'Hello, world!'
        >>> ref.stop()
        True
    """

    registered: ClassVar[bool] = True
    """Whether `pykka.ActorRegistry` lists it. Its removal takes linear time."""
    survives_tell: ClassVar[bool] = False
    """Whether an error in a message nobody waits for is only logged; else it ends the
    actor, as with Pykka's own."""
    actor_inbox: TurnInbox  # type: ignore[assignment]  # takes our envelopes only

    def __init__(
        self,
        *args: Any,
        dispatcher: Dispatcher | None = None,
        pending_max: int = 10_000,
        **kwargs: Any,
    ) -> None:
        """Make the actor; `start` is the way to call this.

        Args:
            *args: For Pykka.
            dispatcher: Who runs queued messages; a pool shared by all by default.
            pending_max: Messages that may wait.
            **kwargs: For Pykka.
        """
        super().__init__(*args, **kwargs)
        self.actor_stopped = StopFlag()
        self._actor_ref = TurnRef(self)
        inbox = self.actor_inbox
        inbox.limit = pending_max
        inbox.dispatcher = dispatcher or shared_pool()
        inbox.submit = inbox.dispatcher.submit
        inbox.actor = self

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> TurnRef[Self]:
        """Make an actor and run its `on_start`; return the reference to it."""
        actor = cls(*args, **kwargs)
        if cls.registered:
            ActorRegistry.register(actor.actor_ref)
        actor._start_actor_loop()
        return cast("TurnRef[Self]", actor.actor_ref)

    @staticmethod
    def _create_actor_inbox() -> TurnInbox:  # type: ignore[override]  # takes ours
        return TurnInbox()

    @staticmethod
    def _create_future() -> TurnFuture[Any]:
        return TurnFuture()

    def _start_actor_loop(self) -> None:
        inbox = self.actor_inbox
        with inbox.turn:
            inbox.running = True
            try:
                self._actor_loop_setup()
            finally:
                inbox.running = False
            if self.actor_stopped.is_set():
                inbox.close()  # `on_start` failed.
        if inbox.mail:
            inbox.submit(inbox)  # RACE: a worker may have looked before the end.

    def take_turn(self, message: Any) -> Any:
        """Handle `message` in the caller's thread, which holds the turn."""
        thread = get_ident()
        nested = thread in busy
        try:
            busy.add(thread)
            return self._handle_receive(message)
        finally:
            if not nested:
                busy.discard(thread)

    def answer(self, envelope: Envelope) -> None:
        """Handle a queued message in this turn, and send the reply."""
        if not envelope.claim():
            return
        if envelope.deadline is not None and time.monotonic() > envelope.deadline:
            envelope.refuse(TurnTimeoutError("dropped, its deadline had passed"))
            return
        try:
            reply = self.take_turn(envelope.message)
            if type(reply) is Forward:
                envelope.message = reply.message
                envelope.forward(reply.ref.actor_inbox)
                return
            if type(reply) is Deferred:
                if envelope.reply_to is not None:
                    reply.pass_on(envelope.reply_to)
                return
        except BaseException as error:  # goes to whoever asked
            if envelope.reply_to is not None:
                envelope.refuse(error)
            elif self.survives_tell:
                kind = type(envelope.message).__name__
                logger.exception("%s was told %s, which failed", self, kind)
            else:
                self._handle_failure(*exc_info())
                self._fail()
            return
        if envelope.reply_to is not None:
            envelope.reply_to.set(reply)

    def _fail(self) -> None:
        """Let `on_failure` know of the exception being handled."""
        self.actor_inbox.close()
        try:
            self.on_failure(*exc_info())
        except Exception:  # noqa: BLE001  # logged; the actor has ended already
            self._handle_failure(*exc_info())

    def _stop(self) -> None:
        # ORDER: closed last; until then an interrupted stop can be repeated, afterwards
        # the actor is dead to everybody and could not be taken off the registry.
        if self.registered:
            ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        self.actor_inbox.close()
        try:
            self.on_stop()
        except Exception:  # noqa: BLE001  # logged; the actor has ended already
            self._handle_failure(*exc_info())


def _check_may_ask(inbox: TurnInbox) -> None:
    """Raise if this thread is inside a turn, or came over a fork without the actor."""
    check_may_wait()
    _check_not_forked(inbox)


def _check_not_forked(inbox: TurnInbox) -> None:
    """Raise if this process came over a fork without the actor's workers."""
    if FORKED in busy and _is_left_behind(inbox):
        raise left_behind()


def _is_left_behind(inbox: TurnInbox) -> bool:
    return getattr(inbox.dispatcher, "forked", False)


def _after_fork() -> None:
    """In the child: free Pykka's registry of a lock, and of what stayed behind."""
    # RACE: another thread of the parent may have held it, and would for ever.
    ActorRegistry._actor_refs_lock = threading.RLock()  # noqa: SLF001
    # All at once and unlogged: one by one it takes quadratic time, and the lock of
    # somebody's log handler may have come along as well.
    listed = ActorRegistry._actor_refs  # noqa: SLF001
    listed[:] = [
        ref
        for ref in listed
        if not (isinstance(ref, TurnRef) and _is_left_behind(ref.actor_inbox))
    ]


# ORDER: after that of `workers`, imported above, which says who stayed behind.
os.register_at_fork(after_in_child=_after_fork)
