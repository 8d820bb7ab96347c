"""Failing at the n-th of whatever there is to fail at, until there is none left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from linecache import getline
from types import FrameType
from typing import Any

from stateward.actors.core import faults
from stateward.testing.simulation import HandlerBugError


class AllocationError(HandlerBugError, MemoryError):
    """What is raised where memory runs out, in a form that can be told apart."""


class Countdown:
    """Raises an error the n-th time it is asked."""

    def __init__(self, at: int, error: Callable[[], BaseException]) -> None:
        self.left = at
        self.place = ""
        """Where it has raised; empty if it has not."""
        self._error = error

    def hit(self, place: str) -> None:
        """Raise, if it is time."""
        self.left -= 1
        if self.left == 0:
            self.place = place
            raise self._error()


@contextmanager
def failing_points(countdown: Countdown) -> Iterator[None]:
    """Have every fault point of the engine ask `countdown`."""
    points = {
        point: lambda point=point: countdown.hit(point) for point in faults.POINTS
    }
    faults.armed.update(points)
    try:
        yield
    finally:
        faults.armed.clear()


class Lines:
    """Has each line of some files ask a countdown, while an action is called."""

    def __init__(
        self,
        countdown: Countdown,
        files: tuple[str, ...],
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        """Say which lines.

        Args:
            countdown: Is asked.
            files: What their names end with.
            left_out: Lines that are not among them, as they are written.
        """
        self._countdown = countdown
        self._left_out = left_out
        self._files = files

    def run(self, action: Callable[[], object]) -> None:
        """Call `action`, whatever it raises."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            action()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Any:
        file = frame.f_code.co_filename
        return self._line if file.endswith(self._files) else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        code = frame.f_code
        if event == "line" and (
            getline(code.co_filename, frame.f_lineno).strip() not in self._left_out
        ):
            self._countdown.hit(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        return self._line
