"""Chores: what came of one is told to whoever waits for it, and to nobody earlier."""

import pytest

from stateward.actors.runtime.chores import Chore
from tests.threads import WAIT, Gate, Job


def test_chore_gives_what_its_action_returned() -> None:
    """It is done once, when it is run, and says so afterwards."""
    runs = list[int]()

    def act() -> str:
        runs.append(1)
        return "result"

    chore = Chore(act)
    assert not chore.done.is_set()
    assert runs == []
    chore.run(None)
    assert chore.done.is_set()
    assert (chore.result(), chore.result()) == ("result", "result")
    assert runs == [1]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_chore_keeps_any_error_for_who_waits(kind: type[BaseException]) -> None:
    """Whoever runs it goes on, even after an interrupt, and the error is the same."""
    error = kind("seeded")

    def fail() -> None:
        raise error

    chore = Chore(fail)
    chore.run(None)
    assert chore.done.is_set()
    with pytest.raises(kind) as caught:
        chore.result()
    assert caught.value is error


def test_chore_is_not_done_after_a_failure() -> None:
    """What had to be written before was not, and that is what came of it."""
    runs, failure = list[int](), OSError("no disk")
    chore = Chore(lambda: runs.append(1))
    chore.run(failure)
    assert chore.done.is_set()
    with pytest.raises(OSError, match="no disk") as caught:
        chore.result()
    assert caught.value is failure
    assert runs == []


def test_chore_is_not_over_before_its_action() -> None:
    """Who waits in another thread goes on once the result is there."""
    gate = Gate()
    chore = Chore(lambda: gate("late"))
    job = Job(chore.run, None)
    gate.wait_until_entered()
    assert not chore.done.is_set()
    gate.open()
    assert chore.done.wait(WAIT)
    assert chore.result() == "late"
    job.result()
