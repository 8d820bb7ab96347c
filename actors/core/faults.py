"""Named fault points: places where a test may make the engine fail.

Inert unless armed. A point on a hot path is guarded by `if armed:`, which costs some
8 ns; nothing in the library itself arms one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

POINTS: Final = frozenset(
    {
        "owner.decided",
        "owner.settled",
        "run.commit",
        "run.committed",
        "state.published",
        "state.staged",
        "store.commit",
        "store.committed",
        "store.logged",
        "supervisor.activate",
        "supervisor.passivate",
        "worker.task",
    }
)
"""Every point there is; arming another name is a mistake in the test."""

armed: Final[dict[str, Callable[[], None]]] = {}
"""What to run at each armed point."""


def hit(point: str) -> None:
    """Run what is armed at `point`, if anything is."""
    action = armed.get(point)
    if action is not None:
        action()


@contextmanager
def arm(point: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` whenever `point` is reached, until the block ends.

    Raises:
        KeyError: There is no such point.
    """
    if point not in POINTS:
        raise KeyError(point)
    armed[point] = action
    try:
        yield
    finally:
        del armed[point]
