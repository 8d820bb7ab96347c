"""The runner: an actor that knows where a run stands, and the work it gives out.

The actor handles events in its turns: a job has ended, time has come, cancel. Jobs are
carried out by threads of a pool, outside of any turn. A thread that has done one tells
the actor and is handed the next, so that steps in a row stay on one thread and no
switch of threads lies between them.

INVARIANT: what a job does becomes known in one command to the workflow's owner, sent
within the job's fence. Whoever ends the fence first, that command or somebody who gives
the job up, decides whether the job has happened.
"""

from functools import partial
from math import inf
from typing import Any
from weakref import ref

from stateward.actors.runtime.owner import tell
from stateward.actors.runtime.turns import TurnActor
from stateward.workflows.course import Course
from stateward.workflows.plan import Abandon, Finished, Plan, Started
from stateward.workflows.work import Task, Work


class Begin:
    """Command: set off."""

    __slots__ = ()


class _Ring:
    """Signal, from a timer: time has come for something."""

    __slots__ = ()


class Cancel:
    """Command: end the run; the reply says whether it was under way."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        """Say why."""
        self.reason = reason


class Runner(TurnActor):
    """Where one run stands."""

    registered = False
    survives_tell = True

    def __init__(self, *, course: Course, plan: Plan) -> None:
        """Take charge of a run that has yet to begin."""
        super().__init__(dispatcher=plan.engine.dispatcher)
        self._course = course
        self._plan = plan
        self._alarm = inf
        self._work = Work(plan, course)
        self._work.ref = self.actor_ref  # type: ignore[assignment]  # a `TurnRef`

    def take_turn(self, message: Any) -> Any:  # noqa: C901  # one `match`
        """Handle one event; no code of a caller runs in here."""
        course, now = self._course, self._plan.engine.clock.now()
        reply: Any = None
        match message:
            case Finished():
                course.finished(message.job, message.outcome, now)
            case Started():
                course.started(message.job, now)
            case _Ring():
                self._alarm = inf
                course.ring(now)
            case Begin():
                course.begin(now)
            case Cancel():
                reply = course.cancel(message.reason)
            case Abandon():
                course.abandon("the runner is gone")
            case _:
                return super().take_turn(message)
        jobs = course.take()
        if jobs and isinstance(message, Finished):
            reply = jobs.pop(0)
        for job in jobs:
            self._plan.pool.submit(Task(self._work, job))
        given_up = course.take_given_up()
        for job in given_up:
            if job.awaited is not None:
                job.awaited.cancel()
        if given_up:
            self._plan.make_room()
        self._set_alarm()
        return reply

    def _set_alarm(self) -> None:
        when = self._course.next_ring
        if when < self._alarm:
            ring = partial(tell, ref(self._work.ref), _Ring())
            self._plan.engine.clock.call_at(when, ring)
            self._alarm = when
