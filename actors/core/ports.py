"""Ports: what the engine needs from the world, each a `Protocol` a test can serve.

With these three fixed the engine is deterministic: what time it is, who runs next, and
(with a store) what was committed.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """What time it is, and a call when it is later."""

    def now(self) -> float:
        """Return seconds since any fixed moment; never less than it returned before."""
        ...

    def epoch(self, moment: float) -> float:
        """Return `moment`, something `now` returned, in seconds since the epoch."""
        ...

    def call_at(self, when: float, task: Callable[[], None]) -> None:
        """Run `task`, which is short and never raises, once it is `when`."""
        ...


class Task(Protocol):
    """Something that waits for a worker."""

    def run(self) -> None:
        """Do what is to be done; may be called when nothing is."""
        ...


class Dispatcher(Protocol):
    """Who runs next: carries out tasks on threads of its own, or on nobody's."""

    @property
    def submit(self) -> Callable[[Task], None]:
        """Have a task run soon, in any order; never waits and never fails."""
        ...
