import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from stateward.testing import batons
from stateward.testing.batons import Batons


@dataclass(frozen=True, slots=True)
class Work:
    """A task that is no turn, and so gets a thread."""

    run: Callable[[], None]


def talkers(it: Batons, *names: str) -> list[str]:
    """Submit a task for each name, which says it three times; return what is said."""
    said: list[str] = []

    def talk(name: str) -> Callable[[], None]:
        def work() -> None:
            for _ in range(3):
                said.append(name)
                it.pause()

        return work

    for name in names:
        it.submit(Work(talk(name)))
    return said


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ([], "aaabbb"),
        ([1], "bbbaaa"),
        ([0, 1], "abbbaa"),
        ([0, 1, 1, 1, 1, 1], "ababab"),
        ([2, 3, 2], "abab" + "ba"),
    ],
)
def test_order_is_what_the_choices_say(choices: list[int], said: str) -> None:
    """0 goes on with the same thread, and others are counted from it."""
    it = Batons(choices)
    heard = talkers(it, "a", "b")
    it.drain()
    if choices == [2, 3, 2]:
        assert sorted(heard) == sorted(said)  # they are taken modulo those that wait
    else:
        assert "".join(heard) == said


def test_one_thread_runs_at_a_time() -> None:
    """Nothing runs until it is stepped, and then only up to its next pause."""
    it = Batons()
    said = talkers(it, "a", "b")
    assert said == []
    assert it.step()
    assert said == ["a"]
    it.drain()
    assert not it.step()


def test_thread_that_waits_for_others_goes_last() -> None:
    """A thread that waits goes on only when no other can."""
    it = Batons()
    said: list[str] = []

    def wait() -> None:
        it.wait_for_others()
        said.append("waited")

    it.submit(Work(wait))
    heard = talkers(it, "a")
    while it.step():
        if "waited" in said:
            assert len(heard) == 3
    assert said == ["waited"]


def test_thread_that_waits_in_vain_lets_others_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that goes on asking for what another does is overtaken in the end."""
    monkeypatch.setattr(batons, "IN_A_ROW_MAX", 3)
    it = Batons()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            it.pause()

    it.submit(Work(ask))
    it.submit(Work(done.set))
    it.drain()
    assert done.is_set()


def test_thread_that_is_stuck_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that neither ends nor pauses is a failure and no hang."""
    monkeypatch.setattr(batons, "WAIT_SECONDS", 0.05)
    it = Batons()
    release = threading.Event()
    it.submit(Work(lambda: bool(release.wait(10))))  # type: ignore[arg-type]  # its result is nobody's
    with pytest.raises(TimeoutError, match="keeps the baton"):
        it.step()
    release.set()


def test_pause_elsewhere_has_no_effect() -> None:
    """In a thread that is none of its own nobody waits."""
    it = Batons([1, 2])
    it.pause()
    it.wait_for_others()
    assert not it.holds
    assert it.path == ""
