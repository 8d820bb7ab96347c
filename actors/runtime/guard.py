"""Who must not wait: threads inside a turn, and everybody after a fork.

One set answers both, so that an `ask` pays a look at whether it is empty and no more.
"""

from threading import get_ident
from typing import Final

from stateward.actors.core.errors import ReentrantCallError

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
