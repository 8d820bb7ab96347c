import asyncio

import pytest

from stateward.testing import SimulatedClock
from stateward.testing.simulation_loops import SimulatedLoop


@pytest.fixture
def loop(clock: SimulatedClock) -> SimulatedLoop:
    """Return a loop that goes by the clock of the test."""
    return SimulatedLoop(clock)  # type: ignore[abstract]  # asyncio calls no more


def finish(loop: SimulatedLoop) -> None:
    """Take every step that can be taken."""
    while loop.ready:
        loop.step()


def test_callbacks_run_in_order_one_a_step(loop: SimulatedLoop) -> None:
    """Each step runs one callback, unless it was cancelled, on this loop."""
    seen: list[object] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(seen.append, 2).cancel()
    loop.call_soon(lambda: seen.append(asyncio.get_running_loop() is loop))
    loop.step()
    assert seen == [1]
    finish(loop)
    assert seen == [1, True]
    assert not loop.is_running()


def test_sleep_takes_simulated_time(loop: SimulatedLoop, clock: SimulatedClock) -> None:
    """A sleeper goes on once the clock says so, and not before."""
    task = loop.create_task(asyncio.sleep(5, "slept"))  # tidy: simulated time
    finish(loop)
    for seconds, done in ((4.5, False), (0.5, True)):
        clock.advance(seconds)
        loop.wake()
        finish(loop)
        assert task.done() is done
    assert task.result() == "slept"


def test_timeout_ends_what_takes_too_long(
    loop: SimulatedLoop, clock: SimulatedClock
) -> None:
    """Timeouts of asyncio go by the simulated clock, and leave no timer behind."""

    async def wait() -> str:
        try:
            async with asyncio.timeout(3):
                await loop.create_future()
        except TimeoutError:
            return "timed out"
        return "never"

    async def be_quick() -> str:
        async with asyncio.timeout(3):
            return await asyncio.sleep(0, "quick")  # tidy: simulated time

    tasks = [loop.create_task(wait()), loop.create_task(be_quick())]
    finish(loop)
    assert len(loop.timers) == 1
    clock.advance(3)
    loop.wake()
    finish(loop)
    assert [task.result() for task in tasks] == ["timed out", "quick"]
    assert loop.timers == []


def test_error_in_a_callback_is_raised(loop: SimulatedLoop) -> None:
    """What a callback raises comes out of its step, since nobody logs it."""
    loop.call_soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.step()
    assert not loop.is_closed()
    assert not loop.get_debug()
