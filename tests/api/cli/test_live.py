import io

import pytest
from rich.console import Console

from stateward import StateManager
from stateward.cli.live import BAR_WIDTH, LinesView, TreeView, select, shown
from stateward.cli.progress import Line, Progress
from stateward.workflows import (
    RunResult,
    Sequential,
    Status,
    StepContext,
    StepEvent,
    step,
)


@step
def good(_: StepContext) -> int:
    """Return something."""
    return 1


@step
def bad(_: StepContext) -> None:
    """Fail with what would clear the screen."""
    raise ValueError("no\x1b[2J")


FLOW = Sequential("f", good, bad)


def event(status: Status, attempt: int = 1, path: str = "good") -> StepEvent:
    """Return an event of a step."""
    return StepEvent(
        workflow_id="w",
        path=path,
        status=status,
        attempt=attempt,
        seconds=0.25,
        error=None if status is not Status.FAILED else ValueError("a\nb"),
    )


def line(index: int, parent: int | None, status: Status | None) -> Line:
    """Return a line called after its index."""
    return Line(
        index=index,
        parent=parent,
        name=f"n{index}",
        status=status,
        iteration=None,
        attempt=0,
        since=0.0,
        seconds=0.0,
        error=None,
    )


def drawn(view: TreeView, console: Console) -> str:
    """Return what a view shows now."""
    with console.capture() as capture:
        console.print(view.render())
    return capture.get()


def console_of(encoding: str = "utf-8", height: int = 24) -> Console:
    """Return a console of that encoding."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(
        file=file, width=80, height=height, force_terminal=False, no_color=True
    )


def result_of_flow() -> RunResult:
    """Return how a run of the flow ends."""
    with StateManager() as manager:
        return manager.run(FLOW, "w")


def test_lines_tell_each_event_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status, path, attempt, time and error are told, on standard error only."""
    view = LinesView()
    view.on_event(event(Status.RUNNING))
    view.on_event(event(Status.FAILED, attempt=2))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "running   good",
        "failed    good (attempt 2) 0.250 s ValueError: a b",
    ]


def test_tree_shows_every_node_and_how_many_are_done() -> None:
    """Signs tell how far each step is, and the bar counts them."""
    console = console_of()
    view = TreeView(Progress(FLOW), console)
    assert "· good" in drawn(view, console)
    view.on_event(event(Status.COMPLETED))
    text = drawn(view, console)
    assert "✓ good 0.25 s" in text
    assert f"{'━' * (BAR_WIDTH // 2)} " in text
    assert "1/2 steps" in text


def test_tree_shows_how_the_run_ended() -> None:
    """The error stands at its step, and cannot steer the terminal."""
    console = console_of()
    view = TreeView(Progress(FLOW), console)
    view.finish(result_of_flow())
    text = drawn(view, console)
    assert "✗ f" in text
    assert "ValueError: no\\x1b[2J" in text


def test_tree_shows_how_long_a_step_has_been_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time goes on while the step does, and stops with the run."""
    now = 10.0
    monkeypatch.setattr("stateward.cli.live.time.monotonic", lambda: now)
    console = console_of()
    view = TreeView(Progress(FLOW), console)
    view.on_event(event(Status.RUNNING, attempt=2))
    now = 12.5
    assert "good attempt 2 2.5 s" in drawn(view, console)
    view.finish(result_of_flow())
    now = 20.0
    assert "10.0 s" not in drawn(view, console)


def test_tree_is_ascii_where_the_terminal_is() -> None:
    """A terminal without other characters is given none."""
    console = console_of("ascii")
    view = TreeView(Progress(FLOW), console)
    view.on_event(event(Status.COMPLETED))
    text = drawn(view, console)
    assert text.isascii()
    assert "+ good" in text


def test_tree_that_is_too_high_says_what_it_leaves_out() -> None:
    """No more lines are drawn than there are, and the rest is counted."""
    flow = Sequential("f", *(step(name=f"s{place}")(str) for place in range(20)))
    console = console_of(height=8)
    text = drawn(TreeView(Progress(flow), console), console)
    assert "f  (16 more)" in text
    assert len(text.splitlines()) == 6


def test_selection_prefers_what_is_under_way() -> None:
    """What runs is shown first, then what failed, each below what it is in."""
    lines = [line(0, None, Status.RUNNING), line(1, 0, Status.FAILED)]
    lines += [line(index, 0, Status.COMPLETED) for index in range(2, 9)]
    lines += [line(9, 0, Status.RUNNING), line(10, 9, Status.RUNNING)]
    assert select(lines, 3) == {0, 9, 10}
    assert select(lines, 4) == {0, 1, 9, 10}
    assert select(lines, 11) == set(range(11))


def test_shown_run_is_told_in_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where standard error is no terminal, there is no tree."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with shown(Progress(FLOW)) as view:
        assert isinstance(view, LinesView)


def test_shown_run_is_a_tree_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the tree is drawn, on standard error, until the run is over."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with shown(Progress(FLOW)) as view:
        assert isinstance(view, TreeView)
        view.finish(result_of_flow())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2 steps" in captured.err
