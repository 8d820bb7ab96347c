"""Ctrl-C and SIGTERM: both end a command in order, each with its exit code."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of the signal."""
TERMINATED: Final = 143
"""Exit code after SIGTERM."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by a supervisor or `kill`."""


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code that tells what interrupted a command."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


@contextlib.contextmanager
def terminations_raised() -> Iterator[None]:
    """Have SIGTERM raise `Terminated` within the block, as Ctrl-C raises its own.

    Nothing is changed where somebody else decided what SIGTERM does, or in a thread
    that may not.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Let a second Ctrl-C or SIGTERM wait: what is in the block takes no time."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _ignore) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _ignore(_number: int, _frame: FrameType | None) -> None:
    return
