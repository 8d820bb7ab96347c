from stateward import StateManager
from stateward.cli.progress import Line, Progress
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Sequential,
    Status,
    StepContext,
    StepEvent,
    branch,
    step,
)
from stateward.workflows.flows import Node


@step
def one(_: StepContext) -> int:
    """Return something."""
    return 1


@step
def two(_: StepContext) -> int:
    """Return something else."""
    return 2


@step
def bad(_: StepContext) -> None:
    """Fail."""
    raise ValueError("no")


def event(path: str, status: Status, attempt: int = 1) -> StepEvent:
    """Return an event of a step."""
    return StepEvent(
        workflow_id="w",
        path=path,
        status=status,
        attempt=attempt,
        seconds=0.5,
        error=None,
    )


def by_name(progress: Progress) -> dict[str, Line]:
    """Return the lines by the names of their nodes."""
    return {line.name: line for line in progress.lines()}


def run_of(flow: Node) -> Progress:
    """Run a flow and return what its events and its result come to."""
    progress = Progress(flow)
    with StateManager() as manager:
        run = manager.start(flow, "w", on_event=lambda seen: progress.note(seen, 0.0))
        progress.finish(run.result(10))
    return progress


def test_progress_begins_with_a_line_for_each_node() -> None:
    """Nothing is begun, and each line knows the one it is in."""
    progress = Progress(Sequential("f", one, Parallel("p", two, bad)))
    lines = progress.lines()
    assert [line.name for line in lines] == ["f", "one", "p", "two", "bad"]
    assert [line.parent for line in lines] == [None, 0, 0, 2, 2]
    assert {line.status for line in lines} == {None}
    assert (progress.done, progress.total) == (0, 3)


def test_progress_counts_steps_of_loops_and_choices() -> None:
    """A loop counts as often as it goes round, a choice as its longest branch."""
    both = Sequential("both", one, two)
    choice = Conditional("c", branch(lambda _: True, both), otherwise=bad)
    assert Progress(Sequential("f", Loop("l", one, over=range(4)), choice)).total == 6


def test_progress_follows_a_step_and_what_it_is_in() -> None:
    """A workflow runs while its steps do, and is completed with the last of them."""
    progress = Progress(Sequential("f", one, two))
    progress.note(event("one", Status.RUNNING, attempt=2), 7.0)
    line = by_name(progress)["one"]
    assert (line.status, line.attempt, line.since) == (Status.RUNNING, 2, 7.0)
    progress.note(event("one", Status.COMPLETED), 8.0)
    assert (by_name(progress)["f"].status, progress.done) == (Status.RUNNING, 1)
    progress.note(event("two", Status.COMPLETED), 9.0)
    assert (by_name(progress)["f"].status, progress.done) == (Status.COMPLETED, 2)


def test_progress_ignores_a_path_it_does_not_know() -> None:
    """An event of a node that is not in the flow changes nothing."""
    progress = Progress(Sequential("f", one))
    before = progress.lines()
    progress.note(event("three", Status.COMPLETED), 1.0)
    progress.note(event("l[2]/three", Status.COMPLETED), 1.0)
    assert progress.lines() == before
    assert progress.done == 0


def test_progress_shows_the_newest_iteration_of_a_loop() -> None:
    """With a new iteration its steps begin anew, and more of them are expected."""
    progress = Progress(Loop("l", one, two, until=lambda _: False))
    assert progress.total == 2
    loop = by_name(progress)["l"]
    assert loop.iteration is None
    progress.note(event("[0]/one", Status.COMPLETED), 1.0)
    progress.note(event("[0]/two", Status.COMPLETED), 1.0)
    progress.note(event("[1]/one", Status.RUNNING), 2.0)
    lines = by_name(progress)
    assert lines["l"].iteration == 1
    assert (lines["one"].status, lines["two"].status) == (Status.RUNNING, None)
    assert (progress.done, progress.total) == (2, 4)


def test_progress_of_a_run_that_ended_well_is_complete() -> None:
    """After a run that succeeds all that is expected is done."""
    progress = run_of(Sequential("f", one, Loop("l", two, over=[1, 2, 3])))
    assert (progress.done, progress.total) == (4, 4)
    assert {line.status for line in progress.lines()} == {Status.COMPLETED}


def test_progress_of_a_run_that_failed_shows_where() -> None:
    """The step that failed carries its error, and what follows is not begun."""
    lines = by_name(run_of(Sequential("f", one, bad, two)))
    assert lines["f"].status is Status.FAILED
    assert lines["bad"].status is Status.FAILED
    assert isinstance(lines["bad"].error, ValueError)
    assert lines["two"].status is None


def test_progress_of_a_run_that_forgives_says_so() -> None:
    """A flow that goes on after a failure is completed, and not without failures."""
    forgiving = Sequential("f", bad, one, on_error="continue")
    lines = by_name(run_of(forgiving))
    assert lines["f"].status is Status.COMPLETED_WITH_FAILURES
    assert (lines["bad"].status, lines["one"].status) == (
        Status.FAILED,
        Status.COMPLETED,
    )


def test_progress_takes_errors_from_the_result() -> None:
    """A failure of which there was no event is found in the result."""
    flow = Sequential("f", one, bad)
    progress = Progress(flow)
    with StateManager() as manager:
        progress.finish(manager.run(flow, "w"))
    assert isinstance(by_name(progress)["bad"].error, ValueError)


def test_progress_adopts_what_an_earlier_run_finished() -> None:
    """Of an earlier run the steps that finished count, and no others."""
    flow = Sequential("f", one, bad, two)
    progress = Progress(flow)
    with StateManager() as manager:
        progress.adopt(manager.run(flow, "w").steps)
    lines = by_name(progress)
    assert lines["one"].status is Status.COMPLETED
    assert lines["bad"].status is None
    assert (progress.done, progress.total) == (1, 3)
