"""Inboxes: what waits for an actor, and the lock its turns are run under.

The rules of turns stand in `turns`; this is the part an actor and its references share.
"""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pykka
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import _ActorStop

from stateward.actors.core.errors import (
    AskTimeoutError,
    MailboxFullError,
    OwnerStoppedError,
)
from stateward.actors.core.ports import Dispatcher
from stateward.actors.runtime.future import TurnFuture
from stateward.actors.runtime.wakes import Wakes

if TYPE_CHECKING:
    from stateward.actors.runtime.turns import TurnActor, TurnRef

TURN_MESSAGES_MAX: Final = 128
"""LIMIT: queued messages one turn handles, at a few us each, before it lets go."""


class StoppedError(OwnerStoppedError, pykka.ActorDeadError):
    """The actor stopped before it handled the message. Effect: none."""


class TurnTimeoutError(AskTimeoutError, pykka.Timeout):
    """No answer before the deadline. Effect: none if withdrawn, else unknown."""


class Forward:
    """A handler's answer: let another actor answer instead."""

    __slots__ = ("message", "ref")

    def __init__(self, ref: "TurnRef[Any]", message: object) -> None:
        """Name the actor, and what to ask it."""
        self.ref = ref
        self.message = message


class Deferred(TurnFuture[Any]):
    """A handler's answer: it will come once what it rests on is committed."""

    def __init__(self, wakes: Wakes) -> None:
        """Make an answer that is given by whoever wakes those who wait."""
        super().__init__()
        self._wakes = wakes

    def wait(self) -> Any:
        """Return the answer, or raise it.

        Raises:
            TurnTimeoutError: None came in time. Effect: unknown.
            ReentrantCallError: Called inside a turn. Effect: unknown.
        """
        try:
            return self.get(timeout=self._wakes.timeout)
        except pykka.Timeout:
            return self._late()

    async def soon(self) -> Any:
        """As `wait`, on the running loop, which is not blocked."""
        import asyncio  # See `future`.

        if not self.done():
            loop = asyncio.get_running_loop()
            ready = loop.create_future()
            self._wakes.limit(loop, ready, self)
            self.add_done_callback(partial(self._wakes.task, loop, ready))
            await ready
        return self._late()

    def _late(self) -> Any:
        """Return the answer; or give up, if it has not come in time."""
        if self.done():
            return self.get()
        raise TurnTimeoutError(
            f"not committed within {self._wakes.timeout} seconds", effect="unknown"
        ) from None

    def _waking(self, wake: Callable[[], None]) -> Callable[[], None]:
        return partial(self._wakes.thread, wake)

    def _awake(self) -> None:
        self._wakes.next()

    def pass_on(self, other: TurnFuture[Any]) -> None:
        """Have `other` answered as this is."""

        def answer() -> None:
            try:
                other.set(self.get())
            except BaseException:  # noqa: BLE001  # passed on to whoever asked
                other.set_exception()

        self.add_done_callback(answer)


class Envelope(PykkaEnvelope[Any]):
    """A queued message, until a turn claims it or its sender withdraws it."""

    __slots__ = ("_claims", "deadline")

    reply_to: TurnFuture[Any] | None  # type: ignore[mutable-override]  # only ours

    def __init__(
        self,
        message: object,
        reply_to: TurnFuture[Any] | None = None,
        deadline: float | None = None,
    ) -> None:
        """Hold `message`; `deadline` is in seconds of the monotonic clock."""
        super().__init__(message, reply_to)
        self.deadline = deadline
        self._claims = [True]

    def claim(self) -> bool:
        """Take the message, to handle or to drop it; `False` if somebody has."""
        try:
            # One C call, so that two threads never both succeed.
            return self._claims.pop()
        except IndexError:
            return False

    def forward(self, inbox: "TurnInbox") -> None:
        """Queue the message, claimed before, somewhere else."""
        self._claims.append(True)
        inbox.put(self)

    def refuse(self, error: BaseException) -> None:
        """Answer with `error`, if anybody waits for an answer."""
        if self.reply_to is not None:
            self.reply_to.refuse(error)


class TurnInbox:
    """What waits for one actor, and the lock its turns are run under."""

    __slots__ = (
        "acquire",
        "actor",
        "closed",
        "dispatcher",
        "limit",
        "mail",
        "release",
        "running",
        "submit",
        "successor",
        "turn",
    )

    limit: int
    """Messages that may wait."""
    submit: Callable[["TurnInbox"], None]
    """Has a worker call `run` soon."""

    def __init__(self) -> None:
        """Make an inbox that has yet to be given its actor."""
        self.actor: TurnActor | None = None
        self.mail: deque[Envelope] = deque()
        self.turn = threading.RLock()
        self.acquire = self.turn.acquire
        self.release = self.turn.release
        self.running = False
        self.closed = False
        self.dispatcher: Dispatcher | None = None
        self.successor: TurnRef[Any] | None = None
        """Who gets the messages that come after this actor stopped."""

    def put(self, envelope: Envelope) -> None:
        """Queue `envelope` for a worker to handle.

        Raises:
            MailboxFullError: `limit` messages wait already. Effect: none.
        """
        self.append(envelope)
        self.submit(self)
        if self.closed:
            self.give_back(envelope)

    def hand(self, message: object) -> None:
        """Queue `message`, which is never refused, and run a turn if nobody does."""
        envelope = Envelope(message)
        self.mail.append(envelope)
        self.run(envelope)
        if self.closed:
            self.give_back(envelope)

    def append(self, envelope: Envelope) -> None:
        """Queue `envelope`; the caller sees to it that somebody handles it."""
        if len(self.mail) >= self.limit:
            raise MailboxFullError(
                f"{len(self.mail)} messages wait, max_pending is {self.limit}",
                limit="max_pending",
                allowance=self.limit,
                actual=len(self.mail) + 1,
            )
        self.mail.append(envelope)

    def get(self) -> Envelope:
        """Return the message that has waited longest; the caller runs a turn."""
        return self.mail.popleft()

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self.mail

    def is_busy(self) -> bool:
        """Return whether something waits, or is being handled."""
        # ORDER: what waits first; a message leaves the mail within a turn.
        return bool(self.mail) or self.running

    def close(self) -> None:
        """In a turn: handle nothing any more, and let the actor go."""
        # ORDER: closed first; who sees no actor must see why.
        self.closed = True
        self.actor = None
        self.submit(self)

    def run(self, own: Envelope | None = None) -> None:
        """Handle what waits, if no turn is running; a bounded number of messages.

        Args:
            own: What the calling thread waits for itself; it then leaves functions of
                other senders, which may take long, to the workers.
        """
        mine = True
        try:
            try:
                if not self.acquire(False):
                    mine = False
                elif not self.running:
                    self.running = True
                    try:
                        self._drain(own)
                    finally:
                        self.running = False
            finally:
                if mine:
                    try:
                        self.release()
                    except RuntimeError:
                        pass  # RACE: interrupted before it was known not to be ours.
        finally:
            # A turn that is running already looks at its end.
            if mine and self.mail and not self.running:
                self.submit(self)

    def _drain(self, own: Envelope | None) -> None:
        for _ in range(TURN_MESSAGES_MAX):
            if self.actor is None or not self.mail:
                break
            first = self.mail[0]
            if own is not None and first is not own and _may_take_long(first):
                break
            self.actor.answer(self.get())
        if self.closed:
            # What came too late goes on, or back.
            while self.mail:
                self.give_back(self.get())

    def give_back(self, envelope: Envelope) -> None:
        """Pass on a message that came too late, or say so to its sender.

        RACE: who queued it may have found the inbox open, and every worker gone since.
        """
        if not envelope.claim():
            return
        if isinstance(envelope.message, _ActorStop):
            if envelope.reply_to is not None:
                envelope.reply_to.set(None)
        elif self.successor is not None and self.successor.is_alive():
            envelope.forward(self.successor.actor_inbox)
        else:
            envelope.refuse(StoppedError("the actor stopped before handling this"))


class StopFlag(threading.Event):
    """An `Event` that costs 100 bytes and not 1,300 until somebody waits for it.

    Setting it takes no lock unless somebody does: a stop may be interrupted, and a fork
    would bring along a lock that another thread holds.
    """

    def __init__(self) -> None:
        self._flag = False

    @property
    def _cond(self) -> threading.Condition:
        made: threading.Condition = self.__dict__.setdefault(
            "_made", threading.Condition()
        )
        return made

    def set(self) -> None:
        """Note that the actor has stopped, and wake who waits for it."""
        # ORDER: who begins to wait only now finds the flag set.
        self._flag = True
        if "_made" in self.__dict__:
            super().set()


def _may_take_long(envelope: Envelope) -> bool:
    return getattr(envelope.message, "runs_foreign_code", False)
