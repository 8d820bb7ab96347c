"""The system's clock: it goes on, and rings when it is time."""

import threading
import time

import pytest

from stateward.actors.core.ports import Clock
from stateward.actors.runtime.clock import SystemClock
from tests.threads import WAIT, eventually


def test_clock_never_goes_back() -> None:
    """Each reading is at least the one before."""
    clock = SystemClock()
    readings = [clock.now() for _ in range(1000)]
    clock.close()
    assert readings == sorted(readings)
    assert isinstance(clock, Clock)


def test_clock_tells_the_seconds_since_the_epoch() -> None:
    """A moment of the clock is what the wall clock said then."""
    clock = SystemClock()
    before = time.time()  # tidy: it is the wall clock that is compared
    moment = clock.epoch(clock.now())
    after = time.time()  # tidy: it is the wall clock that is compared
    clock.close()
    assert before - 0.01 <= moment <= after + 0.01


def test_clock_rings_in_order_of_time() -> None:
    """What is due first runs first, in whichever order it was asked for."""
    clock = SystemClock()
    rung: list[str] = []
    done = threading.Event()
    now = clock.now()
    clock.call_at(now + 0.02, done.set)
    clock.call_at(now + 0.01, lambda: rung.append("later"))
    clock.call_at(now - 1.0, lambda: rung.append("at once"))
    assert done.wait(WAIT)
    clock.close()
    assert rung == ["at once", "later"]


def test_clock_goes_on_after_a_task_that_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task that raises is logged and stops no other."""
    clock = SystemClock()
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("seeded")

    clock.call_at(clock.now(), fail)
    clock.call_at(clock.now() + 0.001, done.set)
    assert done.wait(WAIT)
    clock.close()
    assert "A timer's task failed" in caplog.text


def test_clock_forgets_everything_when_it_is_closed() -> None:
    """Closing ends the thread at once, whatever is still to come, and is idempotent."""
    clock = SystemClock()
    rung: list[int] = []
    clock.call_at(clock.now() + 3600.0, lambda: rung.append(1))
    clock.close()
    clock.close()
    clock.call_at(clock.now(), lambda: rung.append(2))
    assert rung == []
    assert not [t for t in threading.enumerate() if t.name == "stateward-timer"]


def test_clock_can_be_closed_by_what_it_runs() -> None:
    """A task that closes its clock does not wait for itself."""
    clock = SystemClock()
    closed = threading.Event()

    def close() -> None:
        clock.close()
        closed.set()

    clock.call_at(clock.now(), close)
    assert closed.wait(WAIT)
    eventually(
        lambda: not [t for t in threading.enumerate() if t.name == "stateward-timer"],
        "the timer's thread ends",
    )
