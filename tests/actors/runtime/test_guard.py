"""Who must not wait: threads inside a turn."""

from threading import get_ident

import pytest

from stateward import ReentrantCallError
from stateward.actors.runtime.guard import busy, check_may_wait, is_interruptible
from tests.threads import in_thread


def test_guard_lets_a_thread_wait_that_is_in_no_turn() -> None:
    """A thread that runs no turn may wait."""
    check_may_wait()


def test_guard_stops_a_thread_inside_a_turn_and_no_other() -> None:
    """Only the thread that is inside a turn is told not to wait."""
    busy.add(get_ident())
    try:
        with pytest.raises(ReentrantCallError, match="inside a turn"):
            check_may_wait()
        in_thread(check_may_wait)
    finally:
        busy.discard(get_ident())


def test_only_the_main_thread_is_interruptible() -> None:
    """Signals are handled there and nowhere else."""
    assert is_interruptible()
    assert not in_thread(is_interruptible)
