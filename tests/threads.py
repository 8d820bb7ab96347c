"""What tests of threads need: bounded waits, threads that report, turns by hand."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Final, Generic, ParamSpec, TypeVar

import pytest

from stateward.actors.core.ports import Task

P = ParamSpec("P")
T = TypeVar("T")

WAIT: Final = 30.0
"""Seconds after which what should have happened counts as failed."""


class Job(Generic[P, T]):
    """A call in a daemon thread of its own, and what came of it."""

    def __init__(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Begin the call."""
        self._returned: list[T] = []
        self._raised: BaseException | None = None

        def run() -> None:
            try:
                self._returned.append(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # raised in `result`
                self._raised = error

        self.thread = threading.Thread(target=run, name="job", daemon=True)
        self.thread.start()

    def result(self) -> T:
        """Wait for the call to end; return what it returned, raise what it raised."""
        self.thread.join(WAIT)
        if self.thread.is_alive():
            pytest.fail(f"a thread still runs after {WAIT} seconds")
        if self._raised is not None:
            raise self._raised
        return self._returned[0]

    def is_over(self) -> bool:
        """Return whether the call has ended."""
        return not self.thread.is_alive()


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `function` returns, called in another thread."""
    return Job(function, *args, **kwargs).result()


class Gate:
    """A function that says when it is called, and returns when it is let go."""

    def __init__(self) -> None:
        """Begin closed."""
        self._entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self, value: T) -> T:
        """Return `value` once the gate is open."""
        self._entered.set()
        if not self._opened.wait(WAIT):
            raise AssertionError("nobody opened the gate")
        return value

    def wait_until_entered(self) -> None:
        """Wait until somebody waits in the gate."""
        if not self._entered.wait(WAIT):
            pytest.fail("nobody came to the gate")

    def is_open(self) -> bool:
        """Return whether nobody is held up any more."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let through whoever waits or comes."""
        self._opened.set()


class ByHand:
    """A `Dispatcher` whose tasks are run by the test, when it says so."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()

    @property
    def submit(self) -> Callable[[Task], None]:
        """Note a task."""
        return self._tasks.put

    def is_idle(self) -> bool:
        """Return whether no task waits."""
        return self._tasks.empty()

    def run_one(self) -> bool:
        """Run the task that has waited longest; return whether there was one."""
        try:
            task = self._tasks.get_nowait()
        except Empty:
            return False
        if task is not None:
            task.run()
        return True

    def run(self) -> None:
        """Run tasks, and what they submit, until none is left."""
        while self.run_one():
            pass

    @contextmanager
    def served(self) -> Iterator[None]:
        """Have a thread run every task until the block ends."""

        def serve() -> None:
            while (task := self._tasks.get()) is not None:
                task.run()

        job = Job(serve)
        try:
            yield
        finally:
            self._tasks.put(None)
            job.result()


@contextmanager
def frequent_switches(interval: float = 1e-6) -> Iterator[None]:
    """Have threads take turns as often as the interpreter can within the block."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition()` holds; fail the test naming `what` if it never does.

    For what nothing announces: a thread that ends, a weak reference that dies.
    """
    pause = threading.Event()
    for _ in range(int(WAIT / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    pytest.fail(f"never: {what}")


def run_script(source: str, *, timeout: float = 60.0) -> str:
    """Run `source` in an interpreter of its own; return what it printed.

    Args:
        source: A program; what it prints to the error stream is part of a failure.
        timeout: Seconds after which it counts as hanging.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", source],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"the program hangs; it printed {error.stdout!r} {error.stderr!r}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
