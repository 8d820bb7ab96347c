"""One thread at a time: a dispatcher under which a test chooses who goes on.

Each job of a run gets a thread, but only the one that holds the baton runs. It hands
the baton back where it calls `pause`, or ends; whose turn is next is then a choice of
the test. So the interleaving of branches is a list of numbers, which Hypothesis draws
and makes smaller: 0 is to go on with the same thread. A turn of an actor is run at
once, by whoever tells it something.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from stateward.actors.core.ports import Task
from stateward.actors.runtime.guard import busy
from stateward.actors.runtime.inbox import TurnInbox
from stateward.workflows.jobs import Job

WAIT_SECONDS: Final = 30.0  # LIMIT: a thread that keeps the baton so long is stuck
IN_A_ROW_MAX: Final = 200
"""LIMIT: pauses after which another one goes on: this one may be waiting for it."""


class _Strand:
    """A task with a thread of its own."""

    def __init__(self, task: Task, back: threading.Semaphore) -> None:
        self.quiet = False
        """Whether it goes on only when nobody else can."""
        self.ended = False
        self.in_a_row = 0
        """Pauses since it let all others go before."""
        self.go = threading.Semaphore(0)
        self._back = back
        self._task = task
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def path(self) -> str:
        """Of the step or workflow its job is of."""
        job = getattr(self._task, "job", None)
        return job.frame.path if isinstance(job, Job) else ""

    def _run(self) -> None:
        self.go.acquire()
        try:
            self._task.run()
        finally:
            self.ended = True
            self._back.release()


class Batons:
    """A `Dispatcher` whose tasks run one at a time, in an order that was chosen.

    Concurrency: The thread that made it chooses; the others are its own.
    """

    def __init__(self, choices: Iterable[int] = ()) -> None:
        """Begin with nothing to do.

        Args:
            choices: Which of those that wait goes on, each time, counted from the one
                that went on last; then 0.
        """
        self._choices = iter(choices)
        self._back = threading.Semaphore(0)
        self._turns: deque[Task] = deque()
        self._strands: deque[_Strand] = deque()
        self._running: _Strand | None = None

    @property
    def submit(self) -> Callable[[Task], None]:
        """Run a turn at once if that can be, and let a job wait for the baton."""
        return self._submit

    def _submit(self, task: Task) -> None:
        if not isinstance(task, TurnInbox):
            self._strands.append(_Strand(task, self._back))
        elif threading.get_ident() in busy:
            self._turns.append(task)
        else:
            task.run()

    @property
    def holds(self) -> bool:
        """Whether the running thread has the baton, and is in no turn."""
        strand = self._running
        return (
            strand is not None
            and strand.thread is threading.current_thread()
            and threading.get_ident() not in busy
        )

    @property
    def path(self) -> str:
        """Of the step or workflow whose job has the baton."""
        return "" if self._running is None else self._running.path

    def pause(self) -> None:
        """Hand the baton back, and wait to be chosen; for jobs, else without effect."""
        strand = self._running
        if strand is None or not self.holds:
            return
        strand.in_a_row += 1
        if strand.quiet or strand.in_a_row > IN_A_ROW_MAX:
            strand.in_a_row = 0
            self._strands.append(strand)
        else:
            self._strands.appendleft(strand)
        self._back.release()
        strand.go.acquire()

    def wait_for_others(self) -> None:
        """As `pause`, but until nobody else can go on."""
        strand = self._running
        if strand is not None:
            strand.quiet = True
            self.pause()
            strand.quiet = False

    def step(self) -> bool:
        """Let one of those that wait go on; return `False` if there is none.

        Raises:
            TimeoutError: It does not end, nor pause; it may wait for another one.
        """
        self._take_turns()
        ready = [it for it in self._strands if not it.quiet] or list(self._strands)
        if not ready:
            return False
        strand = ready[next(self._choices, 0) % len(ready)]
        self._strands.remove(strand)
        self._running = strand
        if strand.thread.ident is None:
            strand.thread.start()
        strand.go.release()
        if not self._back.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError("a thread keeps the baton")
        self._running = None
        if strand.ended:
            strand.thread.join()
        self._take_turns()
        return True

    def drain(self) -> None:
        """Let everybody go on until nobody waits."""
        while self.step():
            pass

    def _take_turns(self) -> None:
        while self._turns:
            self._turns.popleft().run()
