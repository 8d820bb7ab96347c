"""What many tests look at: that a refused call left everything as it was."""

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from stateward import Entry, ScopedState, StateError, Stats
from stateward.actors.core.ports import Task

T = TypeVar("T")
E = TypeVar("E", bound=StateError)


@contextmanager
def refused(
    kind: type[E], *states: ScopedState, **context: object
) -> Iterator[pytest.ExceptionInfo[E]]:
    """Check that the block raises `kind`, and that it had no effect at all.

    Args:
        kind: The very class, not one of its parents.
        *states: What must not change; their managers' accounting must not either.
        **context: What the error has to say to a program.
    """
    before = picture(*states)
    with pytest.raises(kind) as caught:
        yield caught
    assert type(caught.value) is kind
    assert caught.value.effect == "none"
    assert str(caught.value)
    assert caught.value.context.items() >= context.items()
    assert picture(*states) == before


@contextmanager
def unchanged(*states: ScopedState, pending: bool = True) -> Iterator[None]:
    """Check that the block changes neither contents nor accounting.

    Args:
        *states: What must not change.
        pending: Whether what waits is looked at too; not while others may send.
    """
    before = picture(*states, pending=pending)
    yield
    assert picture(*states, pending=pending) == before


def picture(
    *states: ScopedState,
    pending: bool = True,
) -> list[tuple[int, Mapping[str, Entry | None], Stats]]:
    """Return all there is to know of `states`: entries, revisions and accounting."""
    return [
        (
            state.revision,
            {key: state.entry(key) for key in state},
            accounting(state.manager.stats(), pending=pending),
        )
        for state in states
    ]


def accounting(stats: Stats, *, pending: bool) -> Stats:
    """Return what must not change of `stats` when nothing is written."""
    waiting = stats.pending if pending else 0
    return replace(stats, owners=0, activations=0, passivations=0, pending=waiting)


class ManualDispatcher:
    """A `Dispatcher` that runs what was submitted when it is told to."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._held = True

    @property
    def submit(self) -> Callable[[Task], None]:
        """Keep a task for later."""
        return self._submit

    def _submit(self, task: Task) -> None:
        self._tasks.append(task)
        if not self._held:
            self.run()

    def let_go(self) -> None:
        """Run what waits, and from now on everything at once."""
        self._held = False
        self.run()

    def run(self) -> None:
        """Run what waits, and what that leads to, in the order it came."""
        while self._tasks:
            self._tasks.popleft().run()


def repickled(value: T) -> T:
    """Return `value` as another process would get it."""
    copy: T = pickle.loads(pickle.dumps(value))  # noqa: S301  # pickled right here
    return copy
