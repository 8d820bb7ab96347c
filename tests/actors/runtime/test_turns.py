"""Turns: in order, one at a time, in the caller's thread when nothing is ahead."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

import pykka
import pytest

from stateward import ForkedError, ReentrantCallError
from stateward.actors.runtime.guard import FORKED, busy
from stateward.actors.runtime.inbox import Forward, StoppedError, TurnTimeoutError
from stateward.actors.runtime.turns import BUSY, TurnActor, TurnRef
from tests.threads import (
    ByHand,
    Gate,
    Job,
    eventually,
    frequent_switches,
    in_thread,
)


class Counter(TurnActor):
    """An actor that counts, in a way only one turn at a time can."""

    def __init__(self, **options: Any) -> None:
        """Begin at zero."""
        super().__init__(**options)
        self.count = 0
        self.ended: list[str] = []

    def on_receive(self, message: Any) -> Any:
        """Count, fail, or do what the message says."""
        if callable(message):
            return message(self)
        if isinstance(message, BaseException):
            raise message
        seen = self.count
        for _ in range(10):
            pass
        self.count = seen + 1
        return self.count

    def on_stop(self) -> None:
        """Note the end."""
        self.ended.append("stop")

    def on_failure(self, *_: object) -> None:
        """Note the failure."""
        self.ended.append("failure")


@pytest.fixture(name="ref")
def counting_actor() -> Any:
    """Return a counting actor that is stopped afterwards."""
    ref = Counter.start()
    yield ref
    ref.stop()


def actor_of(ref: TurnRef[Counter]) -> Counter:
    """Return the actor behind a reference."""
    actor = ref._actor_weakref()
    assert actor is not None
    return actor


def test_ask_runs_the_turn_in_the_calling_thread(ref: TurnRef[Counter]) -> None:
    """With nothing ahead, no other thread has a part in it."""
    where = ref.ask(lambda _: threading.get_ident())
    assert where == threading.get_ident()
    assert in_thread(ref.ask, lambda _: threading.get_ident()) != where


def test_turns_never_overlap_and_none_is_lost(ref: TurnRef[Counter]) -> None:
    """Eight threads that ask, tell and post count exactly; no wake-up is lost."""

    def work() -> None:
        for _ in range(100):
            ref.ask(1)
            ref.tell(1)
            ref.post(1).get(timeout=30)

    with frequent_switches():
        jobs = [Job(work) for _ in range(8)]
        for job in jobs:
            job.result()
    assert ref.ask(lambda actor: actor.count) == 2400


def test_messages_of_one_sender_are_handled_in_order(ref: TurnRef[Counter]) -> None:
    """What is told before is handled before what is asked after."""
    seen: list[int] = []
    for number in range(50):
        ref.tell(lambda _, number=number: seen.append(number))
    ref.ask(lambda _: seen.append(50))
    assert seen == list(range(51))


def test_ask_in_another_thread_handles_what_is_ahead_of_it() -> None:
    """A caller that may not be interrupted runs the queue itself, functions apart."""
    dispatcher = ByHand()
    ref = Counter.start(dispatcher=dispatcher)
    ref.tell(1)
    assert in_thread(ref.ask, 1) == 2
    ref.actor_inbox.close()
    dispatcher.run()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(), KeyboardInterrupt()])
def test_exception_reaches_only_who_asked(
    ref: TurnRef[Counter], error: BaseException
) -> None:
    """Asked or posted, the sender gets the error, and the actor lives."""
    for ask in (ref.ask, lambda message: ref.post(message).get(timeout=30)):
        with pytest.raises(type(error)):
            ask(error)
    assert ref.ask(1) == 1
    assert ref.is_alive()


def test_told_message_that_fails_ends_the_actor() -> None:
    """As with Pykka: `on_failure` is called, and what waits behind is answered."""
    dispatcher = ByHand()
    ref = Counter.start(dispatcher=dispatcher)
    actor = actor_of(ref)
    ref.tell(ValueError("nobody waits"))
    behind = ref.post(1)
    dispatcher.run()
    assert actor.ended == ["failure"]
    with pytest.raises(StoppedError):
        behind.get(timeout=0)
    with pytest.raises(StoppedError):
        ref.tell(1)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(1)
    with pytest.raises(StoppedError):
        ref.post(1).get(timeout=0)


def test_actor_whose_hooks_fail_still_ends(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in `on_failure` or `on_stop` is logged, and the actor is gone."""

    class Clumsy(Counter):
        registered = False

        def on_failure(self, *_: object) -> None:
            raise RuntimeError("in on_failure")

        def on_stop(self) -> None:
            raise RuntimeError("in on_stop")

    dispatcher = ByHand()
    failed, stopped = (Clumsy.start(dispatcher=dispatcher) for _ in range(2))
    failed.tell(ValueError())
    ended = stopped.stop(block=False)
    dispatcher.run()
    assert ended.get(timeout=0)
    assert not failed.is_alive()
    assert not stopped.is_alive()
    assert "in on_failure" in caplog.text
    assert "in on_stop" in caplog.text


def test_actor_whose_start_fails_is_dead() -> None:
    """An exception in `on_start` leaves an actor that answers nobody for ever."""

    class Stillborn(Counter):
        def on_start(self) -> None:
            raise RuntimeError("seeded")

    ref = Stillborn.start()
    assert not ref.is_alive()
    with pytest.raises(StoppedError):
        ref.ask(1)


def test_messages_sent_while_an_actor_starts_are_handled_after() -> None:
    """What arrives before `on_start` is over waits for it."""

    class Slow(Counter):
        def on_start(self) -> None:
            in_thread(self.actor_ref.tell, 1)
            assert self.count == 0

    ref = Slow.start()
    assert ref.ask(lambda actor: actor.count) == 1
    ref.stop()


def test_ask_that_is_timed_out_while_it_waits_never_happens(
    ref: TurnRef[Counter],
) -> None:
    """Behind a long turn the message is withdrawn: effect none, and it is so."""
    gate = Gate()
    holder = Job(ref.ask, lambda _: gate(None))
    gate.wait_until_entered()
    with pytest.raises(TurnTimeoutError, match=r"within 0\.01 seconds") as caught:
        ref.ask(1, timeout=0.01)
    assert caught.value.effect == "none"
    assert isinstance(caught.value, pykka.Timeout)
    gate.open()
    holder.result()
    assert ref.ask(lambda actor: actor.count) == 0


def test_ask_that_is_timed_out_in_its_turn_may_have_happened() -> None:
    """Once a worker has begun, the sender cannot know: effect unknown."""
    dispatcher = ByHand()
    ref = Counter.start(dispatcher=dispatcher)
    first, own = Gate(), Gate()
    ref.tell(lambda _: first(None))

    def let_go() -> None:
        eventually(lambda: bool(ref.actor_inbox.mail), "the message is queued")
        first.open()

    with dispatcher.served():
        first.wait_until_entered()
        opener = Job(let_go)
        with pytest.raises(TurnTimeoutError) as caught:
            ref.ask(lambda _: own(None), timeout=0.2)
        own.open()
        opener.result()
    assert caught.value.effect == "unknown"
    ref.actor_inbox.close()
    dispatcher.run()


def test_ask_inside_a_turn_is_refused_whomever_it_asks(ref: TurnRef[Counter]) -> None:
    """A handler that would wait, for itself or another, is told so; `tell` may."""
    other = Counter.start()

    def misbehave(actor: Counter) -> int:
        for target in (actor.actor_ref, other):
            with pytest.raises(ReentrantCallError):
                target.ask(1)
            with pytest.raises(ReentrantCallError):
                target.ask(1, block=False).get(timeout=30)
        other.tell(1)
        return 7

    assert ref.ask(misbehave) == 7
    assert other.ask(lambda actor: actor.count) == 2  # Posted once, told once.
    other.stop()


def test_ask_from_a_signal_handler_inside_its_own_turn_is_refused() -> None:
    """A signal that interrupts a turn cannot run another one inside it."""

    class Quiet(Counter):
        def take_turn(self, message: Any) -> Any:
            return self._handle_receive(message)  # As an owner: nobody is busy.

    ref = Quiet.start()
    refused: list[BaseException] = []

    def handler(_: int, __: FrameType | None) -> None:
        for told in (0, 1):
            for _ in range(told):
                ref.tell(1)
            try:
                ref.ask(1)
            except ReentrantCallError as error:
                refused.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        ref.ask(lambda _: signal.raise_signal(signal.SIGUSR1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(refused) == 2
    assert ref.ask(lambda actor: actor.count) == 1
    ref.stop()


def test_attempt_gives_way_when_something_is_ahead() -> None:
    """With mail waiting, or a turn running, it neither waits nor overtakes."""
    dispatcher = ByHand()
    ref = Counter.start(dispatcher=dispatcher)
    ref.tell(1)
    assert ref.attempt(1) is BUSY
    dispatcher.run()
    assert ref.attempt(1) == 2
    gate = Gate()
    job = Job(ref.ask, lambda _: gate(None))
    gate.wait_until_entered()
    assert ref.attempt(1) is BUSY
    gate.open()
    job.result()
    ref.actor_inbox.close()
    dispatcher.run()


def test_attempt_survives_an_interrupt_before_it_has_the_lock(
    ref: TurnRef[Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in `acquire`, it does not release what another thread holds."""
    inbox = ref.actor_inbox

    def interrupted(_: bool) -> bool:
        raise KeyboardInterrupt

    for run in (lambda: ref.attempt(1), inbox.run):
        monkeypatch.setattr(inbox, "acquire", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
        monkeypatch.undo()
    assert ref.ask(1) == 1


def test_forward_lets_another_actor_answer(ref: TurnRef[Counter]) -> None:
    """Asked or posted, the reply is that of the actor named."""
    other = Counter.start()

    def pass_on(_: Counter) -> Forward:
        return Forward(other, lambda actor: ("other", actor.count))

    assert ref.ask(pass_on) == ("other", 0)
    assert ref.post(pass_on).get(timeout=30) == ("other", 0)
    other.stop()


def test_forward_starts_again_when_the_other_actor_has_stopped(
    ref: TurnRef[Counter],
) -> None:
    """Between naming an actor and asking it, that one may end."""
    dead, alive = Counter.start(), Counter.start()
    dead.stop()
    targets = [dead, alive]
    assert ref.ask(lambda _: Forward(targets.pop(0), 1)) == 1

    def fail(_: object) -> None:
        raise StoppedError("of its own")

    with pytest.raises(StoppedError, match="of its own"):
        ref.ask(lambda _: Forward(alive, fail))
    alive.stop()


def test_actor_of_a_parent_process_refuses_to_wait(
    ref: TurnRef[Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a forked child every way to send raises, and none hangs."""
    monkeypatch.setattr(ref.actor_inbox.dispatcher, "forked", True)
    busy.add(FORKED)
    try:
        for send in (ref.ask, ref.tell, ref.attempt):
            with pytest.raises(ForkedError):
                send(1)
        with pytest.raises(ForkedError):
            ref.post(1).get(timeout=0)
    finally:
        busy.discard(FORKED)
    monkeypatch.undo()
    assert ref.ask(1) == 1


@pytest.mark.slow
def test_ask_that_races_a_stop_is_always_answered() -> None:
    """However they fall, the sender gets a reply or learns that the actor stopped."""
    answered = 0
    with frequent_switches():
        for _ in range(300):
            ref = Counter.start()
            jobs = [Job(ref.ask, 1, timeout=30) for _ in range(3)]
            ref.stop()
            for job in jobs:
                try:
                    job.result()
                    answered += 1
                except StoppedError:
                    answered += 1
    assert answered == 900
    assert sys.getswitchinterval() > 1e-6
