"""Showing a run while it is under way: a tree on a terminal, else one line an event."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from stateward.cli.documents import described, printable
from stateward.cli.progress import ACTIVE, FAILED, Line, Progress
from stateward.workflows import RunResult, Status, StepEvent

REFRESHES: Final = 8
"""How often the tree is drawn anew in a second."""
BAR_WIDTH: Final = 40
MARGIN: Final = 3
"""Lines of the terminal left for the bar and what was typed."""

SIGNS: Final[dict[Status | None, tuple[str, str, str]]] = {
    None: ("·", ".", "dim"),
    Status.RUNNING: ("▶", ">", "cyan"),
    Status.RETRYING: ("↻", "~", "yellow"),
    Status.COMPLETED: ("✓", "+", "green"),
    Status.COMPLETED_WITH_FAILURES: ("✓", "+", "yellow"),
    Status.SKIPPED: ("↷", "-", "yellow"),
    Status.FAILED: ("✗", "x", "red"),
    Status.TIMED_OUT: ("✗", "x", "red"),
    Status.CANCELLED: ("■", "#", "magenta"),
}
"""Of each status: its sign, the same in ASCII, and its style."""


class View(Protocol):
    """Whoever shows a run."""

    def on_event(self, event: StepEvent) -> None:
        """Take in an event, in any thread."""
        ...

    def finish(self, result: RunResult) -> None:
        """Take in how the run ended."""
        ...


class LinesView:
    """One line on standard error for each event."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._lock = threading.Lock()

    def on_event(self, event: StepEvent) -> None:
        """Print the event."""
        parts = [f"{event.status:9}", printable(event.path)]
        if event.attempt > 1:
            parts.append(f"(attempt {event.attempt})")
        if event.status is not Status.RUNNING:
            parts.append(f"{event.seconds:.3f} s")
        if event.error is not None:
            parts.append(described(event.error))
        with self._lock:
            click.echo(" ".join(parts), err=True)

    def finish(self, result: RunResult) -> None:
        """Leave it to the summary."""


class TreeView:
    """The flow as a tree that is drawn anew as the run goes on."""

    def __init__(self, progress: Progress, console: Console) -> None:
        """Show `progress` on `console`."""
        self._progress = progress
        self._console = console
        self._over = False

    def on_event(self, event: StepEvent) -> None:
        """Take in an event; it is drawn with the next refresh."""
        self._progress.note(event, time.monotonic())

    def finish(self, result: RunResult) -> None:
        """Take in how the run ended."""
        self._progress.finish(result)
        self._over = True

    def render(self) -> Group:
        """Return what is to be seen now."""
        height = max(1, self._console.size.height - MARGIN)
        return Group(self._tree(self._progress.lines(), height), self._bar())

    def _tree(self, lines: list[Line], height: int) -> Tree:
        shown = select(lines, height)
        left_out: dict[int, int] = {}
        for line in lines:
            if line.parent is not None and line.index not in shown:
                left_out[line.parent] = left_out.get(line.parent, 0) + 1
        trees: dict[int, Tree] = {}
        for line in lines:
            if line.index not in shown:
                continue
            label = self._label(line)
            if line.index in left_out:
                label.append(f"  ({left_out[line.index]} more)", "dim")
            parent = None if line.parent is None else trees[line.parent]
            tree = Tree(label) if parent is None else parent.add(label)
            trees[line.index] = tree
        return trees[0]

    def _label(self, line: Line) -> Text:
        wide, narrow, style = SIGNS[line.status]
        sign = narrow if self._console.options.ascii_only else wide
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{sign} ", style)
        text.append(printable(line.name), "dim" if line.status is None else "")
        if line.iteration is not None:
            text.append(f"[{line.iteration}]", "cyan")
        if line.attempt > 1:
            text.append(f" attempt {line.attempt}", "yellow")
        if line.status in ACTIVE and line.since and not self._over:
            text.append(f" {time.monotonic() - line.since:.1f} s", "cyan")
        elif line.seconds and line.status is not None:
            text.append(f" {line.seconds:.2f} s", "dim")
        if line.error is not None:
            text.append(f" {described(line.error)}", "red")
        return text

    def _bar(self) -> Table:
        done, total = self._progress.done, self._progress.total
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=done, width=BAR_WIDTH)
        grid.add_row(bar, Text(f"{done}/{total} steps"))
        return grid


def select(lines: list[Line], height: int) -> frozenset[int]:
    """Return the indices of the lines to show, `height` at most.

    What is under way comes first, then what failed, then what lies next to these. A
    line is shown only below the one it is in.
    """
    if len(lines) <= height:
        return frozenset(range(len(lines)))
    focus = [line.index for line in lines if line.status in ACTIVE]
    centre = focus[-1] if focus else _newest(lines)

    def rank(line: Line) -> tuple[int, int]:
        order = 0 if line.status in ACTIVE else 1 if line.status in FAILED else 2
        return order, abs(line.index - centre)

    shown = {0}
    for line in sorted(lines, key=rank):
        missing: list[int] = []
        place: int | None = line.index
        while place is not None and place not in shown:
            missing.append(place)
            place = lines[place].parent
        if len(shown) + len(missing) <= height:
            shown.update(missing)
        if len(shown) == height:
            break
    return frozenset(shown)


def _newest(lines: list[Line]) -> int:
    """Return the index of the last line of which something is known."""
    return max((line.index for line in lines if line.status is not None), default=0)


@contextmanager
def shown(progress: Progress) -> Iterator[View]:
    """Show a run on standard error for as long as the block takes."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield LinesView()
        return
    view = TreeView(progress, console)
    live = Live(
        get_renderable=view.render,
        console=console,
        refresh_per_second=REFRESHES,
        vertical_overflow="crop",
        # What steps print appears above the tree; into a pipe it goes as it is.
        redirect_stdout=os.isatty(1),
    )
    with live:
        yield view
