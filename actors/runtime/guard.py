"""Who must not wait: threads inside a turn, and everybody after a fork.

One set answers both, so that an `ask` pays a look at whether it is empty and no more.
And who can be interrupted while it does anything: the main thread alone.
"""

from threading import current_thread, get_ident, main_thread
from typing import Final

from stateward.actors.core.errors import ForkedError, ReentrantCallError

busy: Final[set[int]] = set()
"""Threads that run foreign code inside a turn; `FORKED` besides, in a forked child."""

FORKED: Final = -1
"""Member of `busy` that makes every `ask` look whether its actor came over a fork."""


def check_may_wait() -> None:
    """Raise `ReentrantCallError` if this thread is inside a turn."""
    if get_ident() in busy:
        raise ReentrantCallError(
            "called inside a turn, which must not wait for another one; "
            "reading is allowed, and so is `tell`"
        )


def left_behind() -> ForkedError:
    """Return what to raise in a child for what stayed in its parent."""
    return ForkedError(
        "this manager stayed in the parent process; make a new one in the child"
    )


def is_interruptible() -> bool:
    """Return whether a signal may interrupt this thread."""
    return current_thread() is main_thread()
