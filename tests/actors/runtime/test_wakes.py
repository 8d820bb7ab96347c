"""Waking: threads one after another, tasks all at once, nobody never."""

import asyncio
import gc
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.runtime.wakes import CROWDS, LOOK, Wakes, finish
from tests.actors.runtime.rigs import Rig, owner, rig
from tests.interrupts import Interrupter
from tests.journals import held_back
from tests.threads import WAIT, Gate, Job, eventually, in_thread


class HandLoop:
    """An event loop whose clock and timers are moved by hand."""

    def __init__(self) -> None:
        """Begin with no calls."""
        self.now = 0.0
        self.calls: list[int] = []
        """How many tasks were woken by each call."""
        self.timers: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []
        self.error: Exception | None = None
        """What calls raise."""

    def call_soon_threadsafe(
        self, function: Callable[..., object], *arguments: Any
    ) -> None:
        """Call `function` here and now."""
        if self.error is not None:
            raise self.error
        self.calls.append(len(arguments[-1]))
        function(*arguments)

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Note a timer that is due."""
        self.call_at(self.now, function, *arguments)

    def time(self) -> float:
        """Return what time it is."""
        return self.now

    def call_at(
        self, when: float, function: Callable[..., object], *arguments: object
    ) -> None:
        """Note a timer."""
        self.timers.append((when, function, arguments))

    def advance(self, now: float) -> None:
        """Let time pass, and what is due happen."""
        self.now = now
        due = [it for it in self.timers if it[0] <= now]
        self.timers = [it for it in self.timers if it[0] > now]
        for _, function, arguments in due:
            function(*arguments)


class Ready:
    """A future of asyncio that belongs to no loop."""

    def __init__(self) -> None:
        """Begin unset."""
        self.is_done = False

    def done(self) -> bool:
        """Return whether it was set."""
        return self.is_done

    def set_result(self, _: object) -> None:
        """Set it, once."""
        assert not self.is_done
        self.is_done = True


def made() -> tuple[Any, Any]:
    """Return a loop and a future, as much of them as is needed."""
    return HandLoop(), Ready()


def test_wakes_begin_with_one_thread_and_go_on_from_each() -> None:
    """Who was woken wakes the next, in the order they were answered."""
    wakes, woken = Wakes(30), list[str]()
    with wakes:
        for name in "abc":
            wakes.thread(partial(woken.append, name))
        assert woken == []
    assert (woken, wakes.are_left()) == (["a"], True)
    wakes.next()
    wakes.next()
    assert (woken, wakes.are_left()) == (["a", "b", "c"], False)
    wakes.next()
    assert woken == ["a", "b", "c"]


def test_wakes_hold_up_nobody_whom_another_thread_answers() -> None:
    """Only the thread that has begun to answer many wakes them later."""
    wakes, woken = Wakes(30), list[str]()
    wakes.thread(lambda: woken.append("before"))
    with wakes:
        in_thread(wakes.thread, lambda: woken.append("beside"))
        assert woken == ["before", "beside"]
    wakes.thread(lambda: woken.append("after"))
    assert woken == ["before", "beside", "after"]


def test_wakes_leave_nobody_for_ever() -> None:
    """All who are left are woken, threads and tasks."""
    wakes, woken = Wakes(30), list[int]()
    loop, ready = made()
    with wakes:
        for number in range(3):
            wakes.thread(partial(woken.append, number))
        wakes.task(loop, ready)
    wakes.rest()
    assert (woken, ready.is_done, wakes.are_left()) == ([0, 1, 2], True, False)


def test_wakes_tell_all_tasks_of_a_loop_by_one_call() -> None:
    """Each loop is called once for all its tasks that were answered together."""
    wakes = Wakes(30)
    loops: list[Any] = [HandLoop(), HandLoop()]
    tasks: list[Any] = [Ready() for _ in range(5)]
    with wakes:
        for number, ready in enumerate(tasks):
            wakes.task(loops[number % 2], ready)
        assert not any(it.is_done for it in tasks)
    assert [loop.calls for loop in loops] == [[3], [2]]
    assert all(it.is_done for it in tasks)
    _, late = made()
    wakes.task(loops[0], late)
    assert (loops[0].calls, late.is_done) == ([3, 1], True)


def test_wakes_pass_over_a_loop_that_was_closed() -> None:
    """Nobody waits there any more; the others are told."""
    wakes = Wakes(30)
    loop, ready = made()
    closed = asyncio.new_event_loop()
    gone = closed.create_future()
    closed.close()
    with wakes:
        wakes.task(closed, gone)
        wakes.task(loop, ready)
    assert (ready.is_done, gone.done(), wakes.are_left()) == (True, False, False)


def test_loop_that_takes_no_calls_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All others are woken, it is told of, and its tasks find out by themselves."""
    wakes, woken, answer = Wakes(30), list[str](), Deferred(Wakes(30))
    (broken, lost), (loop, ready) = made(), made()
    broken.error = MemoryError()
    wakes.limit(broken, lost, answer)
    with caplog.at_level("ERROR", "stateward.wakes"), wakes:
        answer.set(7)
        wakes.task(broken, lost)
        wakes.task(loop, ready)
        wakes.thread(lambda: woken.append("thread"))
    assert (woken, ready.is_done, lost.is_done) == (["thread"], True, False)
    assert "takes no calls" in caplog.text
    broken.advance(LOOK)
    assert lost.is_done


def test_group_that_is_not_awake_in_time_is_followed_by_crowds() -> None:
    """Where a row is too slow all are woken at once, and later a row is tried again."""
    wakes, woken = Wakes(30), list[int]()

    def wake_three() -> int:
        before = len(woken)
        with wakes:
            for number in range(3):
                wakes.thread(partial(woken.append, number))
        return len(woken) - before

    assert wake_three() == 1
    wakes.rest()
    assert [wake_three() for _ in range(CROWDS)] == [3] * CROWDS
    assert wake_three() == 1


def test_task_goes_on_when_its_time_is_up() -> None:
    """One timer serves all tasks of a loop, each of which waits as long."""
    wakes = Wakes(10)
    loop, _ = made()
    tasks: list[Any] = [Ready() for _ in range(4)]
    for second, ready in enumerate(tasks):
        loop.advance(second)
        wakes.limit(loop, ready, Deferred(wakes))
        assert len(loop.timers) == 1
    tasks[1].is_done = True
    for second in range(4, 10):
        loop.advance(second)
    assert [it.is_done for it in tasks] == [False, True, False, False]
    loop.advance(10)
    assert [it.is_done for it in tasks] == [True, True, False, False]
    loop.advance(11)
    loop.advance(12)
    loop.advance(13)
    assert all(it.is_done for it in tasks)
    loop.advance(14)
    assert loop.timers == []
    _, again = made()
    wakes.limit(loop, again, Deferred(wakes))
    for second in range(15, 24):
        loop.advance(second)
    assert not again.is_done
    loop.advance(24)
    assert again.is_done


def test_short_time_is_not_made_longer_by_the_looks() -> None:
    """The first look comes when the first one's time is up, if that is sooner."""
    wakes = Wakes(LOOK / 4)
    loop, ready = made()
    wakes.limit(loop, ready, Deferred(wakes))
    loop.advance(LOOK / 4)
    assert ready.is_done


def test_task_whose_call_was_lost_goes_on_at_the_next_look() -> None:
    """Whatever became of the call to the loop, an answer that is there is found."""
    wakes = Wakes(30)
    loop, first = made()
    _, second = made()
    answer = Deferred(wakes)
    wakes.limit(loop, first, Deferred(wakes))
    wakes.limit(loop, second, answer)
    answer.set(7)
    loop.advance(LOOK)
    assert (first.is_done, second.is_done) == (False, True)


def test_interrupt_of_a_loop_keeps_nobody_from_being_woken() -> None:
    """The tasks that were not told yet are told soon, if the loop is run on."""
    soon = 0
    for point in range(1, 100):
        wakes, interrupter = Wakes(30), Interrupter(point)
        loop, _ = made()
        tasks: list[Any] = [Ready() for _ in range(5)]
        for ready in tasks:
            answer = Deferred(wakes)
            answer.set(7)
            wakes.limit(loop, ready, answer)
        if not interrupter.run(partial(finish, loop, deque(tasks))):
            break
        loop.advance(0)
        soon += all(it.is_done for it in tasks)
        loop.advance(LOOK)
        assert all(it.is_done for it in tasks), interrupter.place
    assert 5 < soon < point


def test_interrupt_of_a_look_is_made_up_for() -> None:
    """Wherever it hits, whoever waits next is looked for again."""
    for point in range(1, 100):
        wakes = Wakes(10)
        loop, first = made()
        interrupter = Interrupter(point)

        def begin(wakes: Wakes = wakes, loop: Any = loop, ready: Any = first) -> None:
            wakes.limit(loop, ready, Deferred(wakes))
            loop.advance(LOOK)

        hit = interrupter.run(begin)
        loop.advance(3 * LOOK)
        _, second = made()
        wakes.limit(loop, second, Deferred(wakes))
        for step in range(4, 30):
            loop.advance(step * LOOK)
        assert second.is_done, interrupter.place
        if not hit:
            break
    assert point > 5


def test_wakes_keep_no_task_that_is_done() -> None:
    """What they remember is in proportion to who waits."""
    wakes = Wakes(10)
    loop, _ = made()
    tasks: list[Any] = [Ready() for _ in range(100)]
    notes = [weakref.ref(it) for it in tasks]
    for ready in tasks:
        wakes.limit(loop, ready, Deferred(wakes))
        ready.is_done = True
    del ready
    tasks.clear()
    assert sum(note() is not None for note in notes) == 1


def test_wakes_keep_no_loop_that_is_closed() -> None:
    """Real loops that are begun and ended are gone, with whoever waited in them."""
    wakes, loops = Wakes(10), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def wait() -> int:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        deferred = Deferred(wakes)

        def give() -> None:
            eventually(lambda: bool(deferred._callbacks), "a task waits")
            deferred.set(7)

        job = Job(give)
        answer = await deferred.soon()
        job.result()
        return int(answer)

    for _ in range(5):
        assert asyncio.run(wait()) == 7
    gc.collect()
    assert [loop() for loop in loops] == [None] * 5


def test_committer_wakes_whom_nobody_has_woken() -> None:
    """Who was woken may fail to wake the next; all go on a moment later."""
    states = [owner(name) for name in "abc"]
    with rig() as it:
        woken = [threading.Event() for _ in states]
        with held_back() as gate:
            replies = [it.send(states[0], 0)]
            gate.wait_until_entered()
            replies += [it.send(state, 1) for state in states]
            for reply, event in zip(replies[1:], woken, strict=True):
                reply.add_done_callback(partial(it.committer.wakes.thread, event.set))
        assert all(event.wait(WAIT) for event in woken)
        assert not it.committer.wakes.are_left()


def send_three(it: Rig, state: OwnerState, woken: list[int]) -> None:
    """Send commands whose senders note that they are woken, and wake nobody."""
    for number in range(3):
        wake = partial(woken.append, number)
        reply = it.send(state, number)
        reply.add_done_callback(partial(it.committer.wakes.thread, wake))


def test_nobody_sleeps_behind_a_chore() -> None:
    """Whoever is left in the row is woken before something that may take long."""
    state, woken, chore = owner("w"), list[int](), Gate()
    with rig() as it:
        with held_back() as gate:
            first = it.send(state, 0)
            gate.wait_until_entered()
            send_three(it, state, woken)
            job = Job(it.committer.perform, partial(chore, None))
            eventually(lambda: it.committer._wanted.qsize() > 3, "the chore waits")
        chore.wait_until_entered()
        assert woken == [0, 1, 2]
        chore.open()
        job.result()
        assert first.wait() == 1


def test_committer_that_ends_wakes_all() -> None:
    """Nobody is left when there is no committer any more."""
    state, woken = owner("w"), list[int]()
    with rig() as it:
        with held_back() as gate:
            first = it.send(state, 0)
            gate.wait_until_entered()
            send_three(it, state, woken)
            it.committer.abandon()
        it.committer.close()
    assert first.wait() == 1
    assert woken == [0, 1, 2]
    assert not it.committer.wakes.are_left()
