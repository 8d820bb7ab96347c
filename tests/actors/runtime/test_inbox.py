"""Inboxes: in order, bounded, and nothing in them is answered twice or never."""

import asyncio
import threading
import time
from typing import Any

import pykka
import pytest

from stateward import MailboxFullError
from stateward.actors.runtime.future import TurnFuture
from stateward.actors.runtime.inbox import (
    TURN_MESSAGES_MAX,
    Deferred,
    Envelope,
    StoppedError,
    TurnInbox,
    TurnTimeoutError,
)
from stateward.actors.runtime.turns import TurnActor, TurnRef
from stateward.actors.runtime.wakes import Wakes
from tests.threads import WAIT, ByHand, Gate, Job, eventually, in_thread


class Listing(TurnActor):
    """An actor that notes what it handles, and returns it."""

    def __init__(self, **options: Any) -> None:
        """Begin with nothing handled."""
        super().__init__(**options)
        self.handled: list[object] = []

    def on_receive(self, message: object) -> object:
        """Note the message."""
        if isinstance(message, Gate):
            message(None)
        self.handled.append(message)
        return message


def start(**options: Any) -> tuple[ByHand, TurnRef[Listing], list[object]]:
    """Return a listing actor whose queued messages are run by hand."""
    dispatcher = ByHand()
    ref = Listing.start(dispatcher=dispatcher, **options)
    actor = ref._actor_weakref()
    assert actor is not None
    return dispatcher, ref, actor.handled


def test_envelope_is_claimed_once() -> None:
    """Of all who claim a message, one succeeds."""
    envelope = Envelope("message")
    assert [envelope.claim() for _ in range(3)] == [True, False, False]


def test_envelope_can_be_claimed_again_once_it_is_forwarded() -> None:
    """Passed on, a message can be handled or withdrawn anew."""
    dispatcher, ref, handled = start()
    envelope = Envelope("message")
    assert envelope.claim()
    envelope.forward(ref.actor_inbox)
    dispatcher.run()
    assert handled == ["message"]
    assert not envelope.claim()


def test_envelope_that_nobody_waits_for_refuses_quietly() -> None:
    """An error for a message that was told goes nowhere."""
    Envelope("message").refuse(ValueError())


def test_inbox_hands_out_what_came_first() -> None:
    """Messages leave in the order they came; an empty inbox says so."""
    inbox = TurnInbox()
    inbox.limit = 2
    assert inbox.empty()
    first, second = Envelope(1), Envelope(2)
    inbox.append(first)
    inbox.append(second)
    assert not inbox.empty()
    assert [inbox.get(), inbox.get()] == [first, second]


def test_inbox_refuses_one_more_than_its_limit() -> None:
    """At the limit a message is taken, beyond it the sender is told the figures."""
    dispatcher, ref, handled = start(pending_max=2)
    ref.tell(1)
    ref.tell(2)
    with pytest.raises(MailboxFullError) as caught:
        ref.tell(3)
    error = caught.value
    assert (error.limit, error.allowance, error.actual) == ("max_pending", 2, 3)
    assert error.effect == "none"
    with pytest.raises(MailboxFullError):
        ref.ask(4, block=False).get(timeout=0)
    dispatcher.run()
    ref.tell(5)
    dispatcher.run()
    assert handled == [1, 2, 5]


def test_inbox_lets_go_after_a_bounded_number_of_messages() -> None:
    """A long queue is handled in several turns, and in order."""
    dispatcher, ref, handled = start()
    count = 2 * TURN_MESSAGES_MAX + 1
    for number in range(count):
        ref.tell(number)
    dispatcher.run_one()
    assert handled == list(range(TURN_MESSAGES_MAX))
    dispatcher.run()
    assert handled == list(range(count))


def test_inbox_skips_what_was_withdrawn_and_what_is_too_late() -> None:
    """A message taken back, or past its deadline, is dropped and its sender told."""
    dispatcher, ref, handled = start()
    kept = ref.post("kept")
    gone = ref.post("gone")
    assert gone.withdraw()
    late: TurnFuture[object] = TurnFuture()
    past = time.monotonic() - 1.0  # tidy: a deadline that has passed
    ref.actor_inbox.put(Envelope("late", late, past))
    dispatcher.run()
    assert handled == ["kept"]
    assert kept.get() == "kept"
    assert not kept.withdraw()
    assert not gone.done()
    with pytest.raises(pykka.Timeout, match="deadline"):
        late.get(timeout=0)


def test_inbox_answers_what_came_too_late_for_its_actor() -> None:
    """Behind a stop, each sender learns that its message was not handled."""
    dispatcher, ref, handled = start()
    stopped = ref.stop(block=False)
    after = ref.post("after")
    again = ref.stop(block=False)
    ref.tell("told")
    dispatcher.run()
    assert stopped.get(timeout=0)
    assert again.get(timeout=0)
    with pytest.raises(StoppedError) as caught:
        after.get(timeout=0)
    assert caught.value.effect == "none"
    assert isinstance(caught.value, pykka.ActorDeadError)
    assert handled == []
    late = Envelope("late", TurnFuture())
    ref.actor_inbox.put(late)
    assert late.reply_to is not None
    with pytest.raises(StoppedError):
        late.reply_to.get(timeout=0)


def test_inbox_passes_on_to_a_successor_what_came_too_late() -> None:
    """With somebody to take over, nothing that was sent is lost."""
    dispatcher, old, handled_by_old = start()
    _, new, handled_by_new = start()
    old.actor_inbox.successor = new
    ended = old.stop(block=False)
    future = old.post("message")
    withdrawn = old.post("withdrawn")
    assert withdrawn.withdraw()
    dispatcher.run()
    new.actor_inbox.run()
    assert future.get(timeout=0) == "message"
    assert ended.get(timeout=0)
    assert (handled_by_old, handled_by_new) == ([], ["message"])


def test_inbox_is_busy_while_something_waits_or_runs() -> None:
    """A query can tell whether it has to stand in line."""
    dispatcher, ref, _ = start()
    inbox = ref.actor_inbox
    assert not inbox.is_busy()
    ref.tell(1)
    assert inbox.is_busy()
    dispatcher.run()
    assert not inbox.is_busy()
    gate = Gate()
    job = Job(ref.ask, gate)
    gate.wait_until_entered()
    assert inbox.is_busy()
    in_thread(inbox.run)  # A turn is running: nothing to do.
    gate.open()
    job.result()
    assert not inbox.is_busy()


def test_deferred_is_awaited_in_time_or_given_up() -> None:
    """A task gets the answer or the error; after a timeout the effect is unknown."""

    async def main() -> None:
        wakes = Wakes(0.001)
        deferred = Deferred(wakes)
        with pytest.raises(TurnTimeoutError, match="not committed") as caught:
            async with asyncio.timeout(WAIT):
                await deferred.soon()
        assert caught.value.effect == "unknown"
        deferred.set(7)
        assert await deferred.soon() == 7
        patient, failed = Deferred(Wakes(WAIT)), Deferred(Wakes(WAIT))
        answering = Job(patient.set, 8)
        assert await patient.soon() == 8
        answering.result()
        failing = Job(failed.refuse, OSError("full"))
        with pytest.raises(OSError, match="full"):
            await failed.soon()
        failing.result()

    asyncio.run(main())


def test_deferred_that_is_awaited_may_be_cancelled() -> None:
    """The answer comes all the same, and finds nobody."""

    async def main() -> None:
        deferred = Deferred(Wakes(WAIT))
        task = asyncio.ensure_future(deferred.soon())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deferred.set(7)
        assert await deferred.soon() == 7

    asyncio.run(main())


def test_thread_that_gives_up_wakes_the_next() -> None:
    """Also whoever has waited in vain passes it on."""
    wakes, woken = Wakes(0), list[str]()
    with wakes:
        wakes.thread(lambda: woken.append("first"))
        wakes.thread(lambda: woken.append("second"))

    def give_up() -> None:
        with pytest.raises(TurnTimeoutError, match="not committed"):
            Deferred(wakes).wait()

    in_thread(give_up)
    assert woken == ["first", "second"]


def test_main_thread_is_woken_directly_and_wakes_nobody() -> None:
    """A signal may interrupt it half-way, and somebody else would not be woken."""
    wakes, woken = Wakes(WAIT), list[str]()
    deferred = Deferred(wakes)

    def answer() -> None:
        eventually(lambda: bool(deferred._callbacks), "the main thread waits")
        with wakes:
            deferred.set(7)
            wakes.thread(lambda: woken.append("other"))
            assert waited.acquire(timeout=WAIT)
            assert woken == []

    waited = threading.Semaphore(0)
    job = Job(answer)
    assert deferred.wait() == 7
    waited.release()
    job.result()
    assert woken == ["other"]
