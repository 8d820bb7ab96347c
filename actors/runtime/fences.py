"""Fences: the right of one attempt of a step to write, which ends at one instant.

A function cannot be stopped from outside, so an attempt that was given up goes on. What
can be stopped is its writing: every command it sends is `Fenced`, and the owner carries
it out under the lock of the fence. Once `end` has returned, no command of the attempt
takes effect any more, in no scope.
"""

import threading

from stateward.actors.core.errors import StepRevokedError
from stateward.actors.core.messages import Message


class Fence:
    """Whether one attempt may still write.

    Concurrency: Any thread. The lock is held for as long as a command is carried out,
    some microseconds, and never while code of a caller runs.
    """

    __slots__ = ("lock", "reason")

    def __init__(self) -> None:
        """Let the attempt write."""
        self.lock = threading.Lock()
        self.reason: str | None = None
        """Why it may not; `None` while it may."""

    def end(self, reason: str) -> bool:
        """Let the attempt write no more; return `False` if it could not already."""
        with self.lock:
            if self.reason is not None:
                return False
            self.reason = reason
            return True

    def check(self) -> None:
        """Raise `StepRevokedError` unless the attempt may write."""
        if self.reason is not None:
            raise StepRevokedError(f"the step may write no more: {self.reason}")


class Fenced(Message):
    """Command: another one, if the attempt that sends it may still write."""

    __slots__ = ("command", "ends_as", "fence", "runs_foreign_code")

    def __init__(
        self, command: Message, fence: Fence, ends_as: str | None = None
    ) -> None:
        """Send `command` within `fence`.

        Args:
            command: What is to be carried out.
            fence: Of the attempt.
            ends_as: Why the attempt may write no more after this; `None` if it may.
        """
        self.scope = command.scope
        self.command = command
        self.fence = fence
        self.ends_as = ends_as
        self.runs_foreign_code = command.runs_foreign_code  # type: ignore[misc]  # its own
