"""Futures: given once, waited for by threads and awaited by loops."""

import asyncio
import queue
import signal
import threading
from collections.abc import Iterable
from threading import get_ident

import pykka
import pytest

from stateward import ReentrantCallError
from stateward.actors.runtime import future as future_module
from stateward.actors.runtime.future import TurnFuture
from stateward.actors.runtime.guard import busy
from tests.threads import WAIT, Job, eventually


def test_future_gives_its_value_to_all_who_wait() -> None:
    """Every thread that waits gets the reply, and so does who comes later."""
    future: TurnFuture[int] = TurnFuture()
    jobs = [Job(future.get, timeout=30) for _ in range(3)]
    assert not future.done()
    future.set(7)
    assert [job.result() for job in jobs] == [7, 7, 7]
    assert future.get() == 7


def test_future_raises_the_exception_it_was_given() -> None:
    """An exception is raised in the thread that gets it, each time."""
    future: TurnFuture[int] = TurnFuture()
    try:
        raise KeyError("x")
    except KeyError:
        future.set_exception()
    for _ in range(2):
        with pytest.raises(KeyError):
            future.get(timeout=0)


def test_future_makes_an_exception_of_its_class_alone() -> None:
    """A class without an instance, as Pykka allows, is instantiated."""
    future: TurnFuture[int] = TurnFuture()
    future.set_exception((ConnectionResetError, None, None))
    with pytest.raises(ConnectionResetError):
        future.get()


def test_future_refuses_a_second_reply() -> None:
    """Whatever was given first stays."""
    future: TurnFuture[int] = TurnFuture()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        future.set_exception((ValueError, ValueError(), None))
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda _: 3)
    assert future.get() == 1


def test_future_times_out_when_nothing_comes() -> None:
    """A wait ends with Pykka's own exception, and the future can be given later."""
    future: TurnFuture[int] = TurnFuture()
    with pytest.raises(pykka.Timeout, match="0 seconds"):
        future.get(timeout=0)
    future.set(1)
    assert future.get() == 1


def test_future_is_not_waited_for_inside_a_turn() -> None:
    """A turn may look at a reply that is there, and must not wait for one."""
    future: TurnFuture[int] = TurnFuture()
    busy.add(get_ident())
    try:
        with pytest.raises(ReentrantCallError):
            future.get()
        future.set(1)
        assert future.get() == 1
    finally:
        busy.discard(get_ident())


def test_future_derives_others_as_pykka_does() -> None:
    """`map`, `filter`, `reduce` and `join` work on it."""
    numbers: TurnFuture[Iterable[int]] = TurnFuture()
    one: TurnFuture[int] = TurnFuture()
    numbers.set([1, 2, 3])
    one.set(1)
    assert numbers.map(lambda them: len(list(them))).get() == 3
    assert numbers.filter(lambda number: number > 1).get() == [2, 3]
    assert numbers.reduce(lambda a, b: a + b, 0).get() == 6
    assert one.join(numbers).get() == [1, [1, 2, 3]]


def test_future_is_awaited_while_the_loop_goes_on() -> None:
    """Other tasks of the loop run while one awaits a reply, and one may give it."""

    async def main() -> list[int]:
        future: TurnFuture[int] = TurnFuture()

        async def reply() -> None:
            await asyncio.sleep(0)
            Job(future.set, 5).result()

        _, value = await asyncio.gather(reply(), await_it(future))
        return [value, await future, await future.map(lambda it: it + 1)]

    assert asyncio.run(main()) == [5, 5, 6]


async def await_it(future: TurnFuture[int]) -> int:
    """Return the reply, awaited."""
    return await future


def test_future_that_nobody_awaits_any_more_may_still_be_given() -> None:
    """A reply after the loop has closed, or the task was cancelled, hurts nobody."""
    future: TurnFuture[int] = TurnFuture()

    async def give_up() -> None:
        task = asyncio.ensure_future(await_it(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    future.set(1)
    assert future.get() == 1


def test_future_given_between_cancelling_and_waking_is_left_alone() -> None:
    """A wake-up that finds its task cancelled does nothing."""
    future: TurnFuture[int] = TurnFuture()

    async def main() -> None:
        task = asyncio.ensure_future(await_it(future))
        await asyncio.sleep(0)
        future.set(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(main())


def test_future_that_was_never_sent_cannot_be_withdrawn() -> None:
    """Only a queued message can be taken back."""
    assert TurnFuture[int]().withdraw() is False


def test_interrupt_that_comes_before_the_wait_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The main thread notices in time that it was, though nothing has woken it."""
    monkeypatch.setattr(future_module, "LOOK", 0.01)
    future: TurnFuture[int] = TurnFuture()

    def interrupt() -> None:
        eventually(lambda: bool(future._callbacks), "the main thread waits")
        # As if just before the wait: another thread gets the signal, so it goes on.
        signal.pthread_kill(get_ident(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    rescue = threading.Timer(WAIT, future.set)
    rescue.start()
    try:
        job = Job(interrupt)
        with pytest.raises(KeyboardInterrupt):
            future.get()
        assert not future.done()
        job.result()
    finally:
        signal.signal(signal.SIGINT, before)
        rescue.cancel()
