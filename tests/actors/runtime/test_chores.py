"""Chores: what came of one is told to whoever waits for it, and to nobody earlier."""

from functools import partial
from typing import Any

import pytest

from stateward import ClosedError
from stateward.actors.runtime import chores
from stateward.actors.runtime.chores import Chore
from tests.interrupts import Interrupter
from tests.threads import Gate, Job


def test_chore_gives_what_its_action_returned() -> None:
    """It is done once, when it is run, and says so afterwards."""
    runs = list[int]()

    def act() -> str:
        runs.append(1)
        return "result"

    chore = Chore(act)
    assert runs == []
    chore.run(None)
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
    with pytest.raises(kind) as caught:
        chore.result()
    assert caught.value is error


def test_chore_is_not_done_after_a_failure() -> None:
    """What had to be written before was not, and that is what came of it."""
    runs, failure = list[int](), OSError("no disk")
    chore = Chore(lambda: runs.append(1))
    chore.run(failure)
    with pytest.raises(OSError, match="no disk") as caught:
        chore.result()
    assert caught.value is failure
    assert runs == []


def test_chore_is_waited_for_until_its_action_is_over() -> None:
    """Who waits in another thread goes on once the result is there."""
    gate = Gate()
    chore = Chore(lambda: gate("late"))
    job = Job(chore.run, None)
    gate.wait_until_entered()
    waiting = Job(chore.wait, job.thread)
    assert not waiting.is_over()
    gate.open()
    assert waiting.result() == "late"
    job.result()


def test_chore_of_a_worker_that_has_ended_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody will do is refused, and what was done at the last moment is not."""
    monkeypatch.setattr(chores, "_LOOK", 0.001)
    gone = Job(lambda: None)
    gone.result()
    with pytest.raises(ClosedError, match="is closed"):
        Chore(lambda: 1).wait(gone.thread)
    chore = Chore(lambda: 2)

    class Dying:
        def is_alive(self) -> bool:
            chore.run(None)
            return False

    worker: Any = Dying()
    assert chore.wait(worker) == 2


def test_interrupt_of_who_waits_does_not_hold_up_the_worker() -> None:
    """Wherever it hits, the chore is done, and the worker goes on."""
    for point in range(1, 100):
        chore, interrupter = Chore(lambda: 7), Interrupter(point)
        worker = Job(chore.run, None)
        hit = interrupter.run(partial(chore.wait, worker.thread))
        worker.result()
        assert chore.result() == 7, interrupter.place
        if not hit:
            break
    assert point > 1
