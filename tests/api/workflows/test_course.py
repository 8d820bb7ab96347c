from math import inf
from typing import Any

import pytest

from stateward import StepTimeoutError
from stateward.actors.core.values import loads, pack
from stateward.workflows import Conditional, Loop, Parallel, Sequential, branch, step
from stateward.workflows.course import Course
from stateward.workflows.flows import Node
from stateward.workflows.jobs import Again, Answer, Attempt, End, Job, Note, Settle
from stateward.workflows.records import Record, Status, Verdict, failed
from stateward.workflows.steps import Step

DEPTH = 3_000


def named(name: str, **options: Any) -> Step:
    """Return a step that nobody calls in here."""
    return step(name=name, **options)(lambda _: None)


A, B, C = named("a"), named("b"), named("c")


def begun(flow: Node, records: dict[str, Record] | None = None) -> Course:
    """Return the course of a flow that has begun at 0."""
    course = Course(flow, records or {})
    course.begin(0.0)
    return course


def attempts(jobs: list[Job]) -> list[str]:
    """Return the paths of jobs, all of which are attempts."""
    assert all(isinstance(job, Attempt) for job in jobs)
    return [job.frame.path for job in jobs]


def done(output: Any = None) -> Verdict:
    """Return how a step ends that returned `output`."""
    return Verdict(status=Status.COMPLETED, packing=pack(output))


def one(course: Course) -> Job:
    """Return the one job that has come up."""
    (job,) = course.take()
    return job


def ended(course: Course) -> End:
    """Return the end of a run that is over."""
    job = one(course)
    assert isinstance(job, End)
    return job


def test_course_gives_out_one_job_after_the_other() -> None:
    """A row has one job at a time, and ends with the output of its last."""
    course = begun(Sequential("f", A, B))
    job = one(course)
    assert course.take() == []
    course.finished(job, done(1), 1.0)
    assert course.outputs == {"a": pack(1)}
    job = one(course)
    assert attempts([job]) == ["b"]
    course.finished(job, done(2), 2.0)
    assert ended(course).status is Status.COMPLETED
    assert course.outputs == {"a": pack(1), "b": pack(2), "": pack(2)}


def test_course_of_one_step_has_its_name() -> None:
    """The path of a step that is the whole flow is not empty."""
    assert attempts(begun(A).take()) == ["a"]


def test_course_gives_out_branches_as_there_is_room() -> None:
    """A branch that ends makes room for the next."""
    course = begun(Parallel("f", A, B, C, max_concurrency=2))
    first, second = course.take()
    assert attempts([first, second]) == ["a", "b"]
    course.finished(second, done(), 1.0)
    third = one(course)
    course.finished(first, done(), 1.0)
    assert course.take() == []
    course.finished(third, done(), 1.0)
    assert ended(course).status is Status.COMPLETED


def test_course_repeats_nothing_that_is_recorded() -> None:
    """A finished node is passed over, with its output; a failed one is run."""
    records: dict[str, Record] = {
        "a": {"status": "completed", "output": [1]},
        "b": {"status": "failed", "error": {"type": "E", "message": "m"}},
    }
    course = begun(Sequential("f", A, B), records)
    assert attempts(course.take()) == ["b"]
    assert loads(course.outputs["a"][0]) == [1]  # type: ignore[arg-type]  # a list is bytes


def test_course_counts_attempts_that_are_recorded() -> None:
    """A step that was to be tried again goes on with the next attempt."""
    course = begun(A, {"a": {"status": "retrying", "attempts": 4}})
    job = one(course)
    assert isinstance(job, Attempt)
    assert job.number == 5


def test_course_waits_before_another_attempt() -> None:
    """No job comes up before the time of the next attempt."""
    course = begun(A)
    course.finished(one(course), Again(5.0, 2), 1.0)
    assert (course.take(), course.next_ring) == ([], 6.0)
    course.ring(5.9)
    assert course.take() == []
    course.ring(6.0)
    assert attempts(course.take()) == ["a"]
    assert course.next_ring == inf


def test_course_settles_an_attempt_that_takes_too_long() -> None:
    """Its time counts from when it was started, not from when it was given out."""
    course = begun(Sequential("f", named("a", timeout=5), B))
    job = one(course)
    assert course.next_ring == inf
    assert isinstance(job, Attempt)
    course.started(job, 10.0)
    assert course.next_ring == 15.0
    course.ring(15.0)
    settle = one(course)
    assert isinstance(settle, Settle)
    assert isinstance(settle.error, StepTimeoutError)
    assert course.take_given_up() == [job]
    assert job.fence.reason == "'a' took longer than its 5 seconds"
    course.finished(job, done(), 16.0)
    assert course.take() == []
    course.finished(settle, failed(settle.error, "a"), 16.0)
    assert ended(course).status is Status.FAILED


def test_course_takes_what_ended_just_in_time() -> None:
    """An attempt whose commit ended its fence is not given up any more."""
    course = begun(named("a", timeout=5))
    job = one(course)
    assert isinstance(job, Attempt)
    course.started(job, 0.0)
    assert job.fence.end("it has ended")
    course.ring(5.0)
    assert (course.take(), course.take_given_up()) == ([], [])
    course.finished(job, done(7), 5.1)
    assert ended(course).status is Status.COMPLETED


def test_course_lets_a_workflow_fail_that_takes_too_long() -> None:
    """What is in it is given up, and recorded with the end of the run."""
    course = begun(Sequential("f", Parallel("p", A, B, timeout=5)))
    jobs = course.take()
    assert course.next_ring == 5.0
    course.ring(5.0)
    assert course.take_given_up() == jobs
    end = ended(course)
    assert end.status is Status.FAILED
    assert sorted(end.records) == ["p", "p/a", "p/b"]
    assert isinstance(course.errors["p"], StepTimeoutError)


def test_course_of_a_whole_flow_times_out() -> None:
    """The run itself is timed out if the whole flow is."""
    course = begun(Sequential("f", A, timeout=5))
    course.take()
    course.ring(5.0)
    assert ended(course).status is Status.TIMED_OUT


def test_course_forgets_the_time_of_what_is_over() -> None:
    """No ring is due for a workflow that ended in time."""
    course = begun(Sequential("f", Sequential("g", A, timeout=5), B))
    course.finished(one(course), done(), 1.0)
    assert course.next_ring == inf
    loop = begun(Loop("l", Sequential("g", A, timeout=99), over=range(1000)))
    for _ in range(1000):
        loop.finished(one(loop), done(), 1.0)
    assert len(loop._timers) <= 130


def test_course_is_cancelled_once() -> None:
    """What runs is given up, what waits is not begun, and the rest is refused."""
    course = begun(Parallel("f", A, B, C, max_concurrency=2))
    jobs = course.take()
    assert course.cancel("enough")
    assert not course.cancel("again")
    assert course.take_given_up() == jobs
    assert [job.fence.reason for job in jobs] == ["enough", "enough"]
    end = ended(course)
    assert (end.status, list(end.records)) == (Status.CANCELLED, ["a", "b"])
    for job in jobs:
        course.finished(job, done(), 1.0)
    course.ring(9.0)
    assert course.take() == []


def test_course_that_is_abandoned_does_nothing_more() -> None:
    """No job has an effect, and no end is recorded."""
    course = begun(Sequential("f", A, B))
    job = one(course)
    course.abandon("gone")
    assert job.fence.reason == "gone"
    course.finished(job, done(), 1.0)
    course.ring(9.0)
    assert (course.take(), course.verdict) == ([], None)


def test_course_notes_a_workflow_that_is_forgiven() -> None:
    """Before it goes on, it is recorded that the workflow failed."""
    course = begun(
        Sequential("f", Sequential("g", named("a", on_error="fail")), B).using(
            on_error="continue"
        )
    )
    course.finished(one(course), failed(ValueError(), "g/a"), 1.0)
    note = one(course)
    assert isinstance(note, Note)
    assert (note.frame.path, note.verdict.forgiven) == ("g", True)
    course.finished(note, note.verdict, 2.0)
    course.finished(one(course), done(), 3.0)
    assert ended(course).status is Status.COMPLETED_WITH_FAILURES


def test_course_counts_failures_of_an_earlier_run() -> None:
    """A run that is continued is completed with the failures it had."""
    error = {"type": "E", "message": "m"}
    known: Record = {"status": "failed", "forgiven": True, "error": error}
    course = begun(Sequential("f", A, B, on_error="continue"), {"a": known})
    course.finished(one(course), done(), 1.0)
    assert ended(course).status is Status.COMPLETED_WITH_FAILURES


@pytest.mark.parametrize(
    ("answer", "paths"), [(["b"], ["b"]), ([], []), (["a", "b"], ["a"])]
)
def test_course_goes_on_as_a_question_is_answered(
    answer: list[str], paths: list[str]
) -> None:
    """What was chosen is run in the order of the flow."""
    choice = Conditional("f", branch(bool, A), branch(bool, B), match="all")
    course = begun(choice)
    course.finished(one(course), Answer(answer), 1.0)
    if paths:
        assert attempts(course.take()) == paths
    else:
        assert ended(course).status is Status.COMPLETED


@pytest.mark.parametrize("kind", ["row", "branch", "choice", "loop"])
def test_course_of_a_deep_flow_needs_no_deep_stack(kind: str) -> None:
    """A step 3,000 levels down is begun, and its failure comes all the way up."""
    flow: Node = A
    for _ in range(DEPTH):
        match kind:
            case "row":
                flow = Sequential("s", flow)
            case "branch":
                flow = Parallel("s", flow)
            case "choice":
                flow = Conditional("s", branch(bool, flow))
            case _:
                flow = Loop("s", flow, over=[1], collect="last")
    course = begun(flow)
    for _ in range(DEPTH if kind == "choice" else 0):
        course.finished(one(course), Answer(["s", "a"]), 0.0)
    job = one(course)
    assert job.frame.path.endswith("/a")
    assert job.frame.path.count("/") >= DEPTH - 1
    course.finished(job, failed(ValueError(), job.frame.path), 1.0)
    assert ended(course).status is Status.FAILED


def test_step_that_waits_for_another_attempt_is_cancelled_with_the_run() -> None:
    """Between two attempts it has no job, and yet does not stay as it was recorded."""
    course = begun(Sequential("f", A, B))
    course.finished(one(course), Again(10.0, 2), 1.0)
    assert course.take() == []
    assert course.cancel("enough")
    packed = ended(course).records["a"][0]
    assert isinstance(packed, bytes)
    record = loads(packed)
    assert record == {"status": "cancelled", "attempts": 1}


def test_step_whose_retry_is_recorded_and_not_told_is_cancelled_with_the_run() -> None:
    """The record says `retrying`; that another attempt follows is yet to be told."""
    course = begun(Sequential("f", A, B))
    job = one(course)
    job.tried = 1
    assert job.fence.end("recorded")
    assert course.cancel("enough")
    packed = ended(course).records["a"][0]
    assert isinstance(packed, bytes)
    assert loads(packed) == {"status": "cancelled", "attempts": 1}
    course.finished(job, Again(0.0, 2), 1.0)
    assert course.take() == []


def test_timeout_that_is_not_recorded_yet_is_cancelled_with_the_run() -> None:
    """An earlier attempt may be recorded as `retrying`, and must not stay so."""
    course = begun(Sequential("f", named("slow", timeout=1.0), B))
    job = one(course)
    assert isinstance(job, Attempt)
    course.started(job, 0.0)
    course.ring(1.0)
    assert isinstance(one(course), Settle)
    assert course.cancel("enough")
    packed = ended(course).records["slow"][0]
    assert isinstance(packed, bytes)
    assert loads(packed) == {"status": "cancelled", "attempts": 1}
