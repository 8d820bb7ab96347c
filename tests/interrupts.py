"""Interrupts: a `KeyboardInterrupt` wherever CPython can deliver one.

CPython runs signal handlers, in the main thread, on entering a Python function, after a
call of a C function and at the end of a loop's body; nowhere else. The profile function
is called at the first two, and what it raises comes out of the very same instruction.
The third is found by tracing opcodes; there the exception comes out of the head of the
loop, to which the jump would have led, and not out of the jump itself.
"""

import dis
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_JUMPS: Final = frozenset(
    number for name, number in dis.opmap.items() if name.startswith("JUMP_BACKWARD")
)


class Interrupter:
    """Interrupts a call at one chosen point, or counts how many there are."""

    def __init__(self, at: int, then: int = 0) -> None:
        """Choose where.

        Args:
            at: Which point, from 1; 0 to interrupt nowhere.
            then: Which point after the first interrupt brings a second; 0 for none.
        """
        self.passed = 0
        """Points met so far."""
        self.place = ""
        """Where the last interrupt was delivered."""
        self._at = at
        self._then = then
        self._jumping: dict[FrameType, bool] = {}

    def run(self, action: Callable[[], object]) -> bool:
        """Call `action`; return whether an interrupt came out of it."""
        tracing = sys.gettrace()
        try:
            try:
                sys.settrace(self._trace)
                sys.setprofile(self._profile)
                action()
            finally:
                sys.setprofile(None)
                sys.settrace(tracing)
        except KeyboardInterrupt:
            return True
        return False

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        if event in {"call", "c_return"} and frame.f_code is not _RUN:
            self._pass(f"{_where(frame)} {event} {getattr(arg, '__name__', '')}")

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            if self._jumping.pop(frame, False):
                self._pass(f"{_where(frame)} loop")
            code = frame.f_code.co_code[frame.f_lasti]
            if code in _JUMPS:
                self._jumping[frame] = True
        elif event == "exception" and self._then and not self._at:
            # Raising has ended the profile; begin to look for the second point.
            sys.setprofile(self._profile)
        return self._trace

    def _pass(self, place: str) -> None:
        self.passed += 1
        if self._at and self.passed == self._at:
            self._at, self.passed, self.place = 0, 0, place
            raise KeyboardInterrupt
        if not self._at and self._then and self.passed == self._then and self.place:
            self._then, self.place = 0, f"{self.place}, then {place}"
            raise KeyboardInterrupt


_RUN: Final = Interrupter.run.__code__


def points(action: Callable[[], object]) -> int:
    """Return at how many points `action` can be interrupted."""
    counter = Interrupter(0)
    assert not counter.run(action)
    return counter.passed


def _where(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}"


class Alarm:
    """Real signals: a handler that raises `KeyboardInterrupt`, and a timer."""

    def __init__(self) -> None:
        """Make one that is silent; `alarm` installs it."""
        self._rings = 0
        self._again = 0.0
        self.rung = 0
        """Interrupts delivered so far."""

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt, unless there was enough of that."""
        if self._rings:
            self._rings -= 1
            self.rung += 1
            signal.setitimer(signal.ITIMER_REAL, self._again if self._rings else 0)
            raise KeyboardInterrupt

    def during(
        self, action: Callable[[], object], delay: float, again: float = 0.0
    ) -> bool:
        """Call `action`, interrupted on the way; return whether it was.

        Args:
            action: What to interrupt.
            delay: Seconds until the signal.
            again: Seconds until the next one, if there is to be a next one.
        """
        # No call may stand between the end of `action` and the silence.
        try:
            try:
                self._rings, self._again = 2 if again else 1, again
                signal.setitimer(signal.ITIMER_REAL, delay)
                action()
            finally:
                self._rings = 0
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            return True
        return False


@contextmanager
def alarm() -> Iterator[Alarm]:
    """Have SIGALRM interrupt what is called through the alarm, within the block."""
    bell = Alarm()
    before = signal.signal(signal.SIGALRM, bell.ring)
    # What interrupts a finalizer is lost, and pytest takes it for a failure.
    gc.disable()
    try:
        yield bell
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)
