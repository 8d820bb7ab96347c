"""Showing how far a command is: a bar on a terminal, and nothing elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

Report: TypeAlias = Callable[[int, int], None]
"""Called with how much of how much is done."""


@contextmanager
def bar(
    what: str, *, beside_output: bool = True, in_bytes: bool = False
) -> Iterator[Report]:
    """Show on standard error how far the block is, until it ends.

    Args:
        what: Is being done. As long as nothing is reported, the bar only moves.
        beside_output: Whether what the block prints leaves room for a bar, if both go
            to one terminal.
        in_bytes: Whether that is what is reported.
    """
    console = Console(stderr=True, highlight=False)
    on_terminal = os.isatty(1)
    if (
        not console.is_terminal
        or console.is_dumb_terminal
        or (on_terminal and not beside_output)
    ):
        yield _ignore
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,  # what came of it is told by the command
        redirect_stdout=on_terminal,
    )
    with bars:
        task = bars.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield report


def _ignore(_done: int, _total: int) -> None:
    return
