"""Waking: threads one after another, tasks all at once, nobody never."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from stateward.actors.runtime.wakes import Wakes
from tests.actors.runtime.rigs import owner, rig
from tests.journals import held_back
from tests.threads import WAIT, in_thread


class HandLoop:
    """An event loop whose clock and timers are moved by hand."""

    def __init__(self) -> None:
        """Begin with no calls."""
        self.now = 0.0
        self.calls: list[int] = []
        """How many tasks were woken by each call."""
        self.timers: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []
        self.error: Exception | None = None
        """What the next call raises."""

    def call_soon_threadsafe(
        self, function: Callable[..., object], tasks: list[object]
    ) -> None:
        """Call `function` here and now."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.calls.append(len(tasks))
        function(tasks)

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


def test_wakes_that_failed_are_left() -> None:
    """Whoever could not be told for want of memory is told later."""
    wakes, woken = Wakes(30), list[str]()
    loop, ready = made()

    def answer() -> None:
        with wakes:
            wakes.task(loop, ready)
            wakes.thread(lambda: woken.append("thread"))
            loop.error = MemoryError()

    with pytest.raises(MemoryError):
        answer()
    assert (woken, ready.is_done, wakes.are_left()) == (["thread"], False, True)
    wakes.rest()
    assert (ready.is_done, wakes.are_left()) == (True, False)


def test_task_goes_on_when_its_time_is_up() -> None:
    """One timer serves all tasks of a loop, each of which waits as long."""
    wakes = Wakes(10)
    loop, _ = made()
    tasks: list[Any] = [Ready() for _ in range(4)]
    for second, ready in enumerate(tasks):
        loop.advance(second)
        wakes.limit(loop, ready)
    assert [when for when, _, _ in loop.timers] == [10]
    tasks[1].is_done = True
    loop.advance(10)
    assert [it.is_done for it in tasks] == [True, True, False, False]
    assert [when for when, _, _ in loop.timers] == [12]
    loop.advance(13)
    assert all(it.is_done for it in tasks)
    assert loop.timers == []
    _, again = made()
    wakes.limit(loop, again)
    loop.advance(23)
    assert again.is_done


def test_wakes_keep_no_task_that_is_done_and_no_loop_that_is_gone() -> None:
    """What they remember is in proportion to who waits."""
    wakes = Wakes(10)
    loop, _ = made()
    tasks: list[Any] = [Ready() for _ in range(100)]
    notes = [weakref.ref(it) for it in tasks]
    for ready in tasks:
        wakes.limit(loop, ready)
        ready.is_done = True
    del ready
    tasks.clear()
    assert sum(note() is not None for note in notes) == 1
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


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


def test_committer_that_ends_wakes_all() -> None:
    """Nobody is left when there is no committer any more."""
    state, woken = owner("w"), list[int]()
    with rig() as it:
        with held_back() as gate:
            first = it.send(state, 0)
            gate.wait_until_entered()
            for number in range(3):
                wake = partial(woken.append, number)
                reply = it.send(state, number)
                reply.add_done_callback(partial(it.committer.wakes.thread, wake))
            it.committer.abandon()
        it.committer.close()
    assert first.wait() == 1
    assert woken == [0, 1, 2]
    assert not it.committer.wakes.are_left()
