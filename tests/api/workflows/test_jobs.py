from typing import Any

from stateward.workflows import Sequential, Status, step
from stateward.workflows.course import Course
from stateward.workflows.jobs import Again, Attempt, End, Settle
from stateward.workflows.records import Verdict


@step(timeout=5)
def s(_: Any) -> None:
    """Do nothing."""


def first_of(course: Course) -> Attempt:
    """Return the one job that has come up."""
    (job,) = course.take()
    assert isinstance(job, Attempt)
    return job


def test_jobs_have_fences_of_their_own() -> None:
    """A second attempt may write although the first may not any more."""
    course = Course(Sequential("f", s), {})
    course.begin(0.0)
    job = first_of(course)
    assert job.fence.end("it failed")
    course.finished(job, Again(0.0, 2), 1.0)
    following = first_of(course)
    assert (following.number, following.fence.reason) == (2, None)


def test_job_that_was_given_up_is_settled_by_another() -> None:
    """The attempt that took too long is recorded within a fence of its own."""
    course = Course(Sequential("f", s), {})
    course.begin(0.0)
    job = first_of(course)
    course.started(job, 0.0)
    course.ring(5.0)
    (settle,) = course.take()
    assert isinstance(settle, Settle)
    assert (settle.number, settle.fence.reason) == (1, None)
    assert job.given_up
    assert course.take_given_up() == [job]


def test_end_carries_what_is_not_recorded_yet() -> None:
    """A cancelled step is recorded together with the end of the run."""
    course = Course(Sequential("f", s), {})
    course.begin(0.0)
    job = first_of(course)
    assert course.cancel("enough")
    (end,) = course.take()
    assert isinstance(end, End)
    assert (end.status, list(end.records)) == (Status.CANCELLED, ["s"])
    course.finished(job, Verdict(status=Status.COMPLETED), 1.0)
    assert course.take() == []
