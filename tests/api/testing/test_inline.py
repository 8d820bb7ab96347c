from collections.abc import Callable
from dataclasses import dataclass

from stateward.testing import InlineDispatcher


@dataclass(frozen=True, slots=True)
class Work:
    """A task."""

    run: Callable[[], None]


def noting(names: list[str], name: str) -> Work:
    """Return a task that notes that it ran."""
    return Work(lambda: names.append(name))


def test_task_runs_where_it_is_submitted() -> None:
    """Unless something is running, `submit` has done the work when it returns."""
    names: list[str] = []
    dispatcher = InlineDispatcher()
    dispatcher.submit(noting(names, "a"))
    assert names == ["a"]
    assert dispatcher.waiting == 0


def test_task_submitted_by_another_runs_after_it() -> None:
    """A task never runs inside another one."""
    names: list[str] = []
    dispatcher = InlineDispatcher()

    def outer() -> None:
        dispatcher.submit(noting(names, "inner"))
        names.append("outer")

    dispatcher.submit(Work(outer))
    assert names == ["outer", "inner"]


def test_deferred_tasks_wait_to_be_drained_in_any_order() -> None:
    """What is submitted while deferring runs later, in the order that is chosen."""
    names: list[str] = []
    dispatcher = InlineDispatcher()
    with dispatcher.deferring():
        for name in "abc":
            dispatcher.submit(noting(names, name))
    assert (names, dispatcher.waiting) == ([], 3)
    dispatcher.drain(lambda count: count - 1)
    assert names == ["c", "b", "a"]


def test_task_that_submits_itself_waits_for_the_next_drain() -> None:
    """A task that cannot go on where it runs does not run for ever."""
    runs: list[int] = []
    dispatcher = InlineDispatcher()

    def again() -> None:
        runs.append(1)
        if len(runs) < 3:
            dispatcher.submit(task)

    task = Work(again)
    dispatcher.submit(task)
    assert (len(runs), dispatcher.waiting) == (1, 1)
    dispatcher.drain()
    assert (len(runs), dispatcher.waiting) == (3, 0)
