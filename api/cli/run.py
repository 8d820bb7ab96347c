"""`stateward run`: run a flow, show how it goes, and tell how it ended."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from stateward.actors.core.errors import RecordedError, StoreFormatError, UsageError
from stateward.cli.documents import described, one_line, printable, read_input, to_json
from stateward.cli.live import View, shown
from stateward.cli.load import find_flow, find_migrations
from stateward.cli.progress import Progress
from stateward.cli.signals import Terminated, exit_code_of, interrupts_ignored
from stateward.cli.stores import store_option, stores_of
from stateward.manager import StateManager
from stateward.migrations import Migration
from stateward.resumption import UNSET
from stateward.workflows import RunResult, Status
from stateward.workflows.flows import Node
from stateward.workflows.runs import Run

EXIT_CODES: Final = {
    Status.COMPLETED: 0,
    Status.COMPLETED_WITH_FAILURES: 3,
    Status.FAILED: 4,
    Status.TIMED_OUT: 5,
    Status.CANCELLED: 6,
}

EPILOG: Final = """\b
Exit codes:
  0    completed
  1    the engine refused something; the message says what
  2    nothing was run: the command line, flow or input is wrong
  3    completed with failures that the flow forgives
  4    failed
  5    timed out
  6    cancelled from inside
  130  cancelled by Ctrl-C
  143  cancelled by SIGTERM

\b
Examples:
  stateward run shop.flows:checkout --id order-123 --input '{"sku": 7}'
  stateward run ./shop.py:checkout --id order-123 --input order.json
  cat order.json | stateward run shop.flows:checkout --id order-123 --input -
  stateward run shop.flows:checkout --id order-123 --json | jq .output
  stateward run shop.flows:checkout --id order-123 --migrations shop.flows:migrations
"""


@click.command(epilog=EPILOG)
@click.argument("flow", metavar="MODULE_OR_FILE:FLOW")
@click.option("--id", "workflow_id", required=True, help="Of the workflow.")
@click.option(
    "--input",
    "given",
    metavar="JSON_OR_FILE",
    help="What every step can read: JSON, a file that holds it, or - for standard "
    "input. Left out, a run that is continued keeps its own.",
)
@store_option
@click.option(
    "--migrations",
    metavar="MODULE:NAME",
    help="What state that an older version wrote goes through first: a list of "
    "migrations, or a function that returns one.",
)
@click.option("--restart", is_flag=True, help="Begin anew instead of continuing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def run(
    context: click.Context,
    flow: str,
    workflow_id: str,
    given: str | None,
    store: str,
    migrations: str | None,
    restart: bool,
    as_json: bool,
) -> None:
    """Run a flow for a workflow.

    Run again with the same id, on a store that keeps it, the flow continues after the
    last finished step. Progress goes to standard error: a live tree on a terminal,
    plain lines elsewhere. The outcome goes to standard output.
    """
    try:
        value: Any = UNSET if given is None else read_input(given)
    except ValueError as error:
        raise UsageError(f"--input: {error}") from None
    with steps_print_elsewhere() if as_json else contextlib.nullcontext():
        node = find_flow(flow)
        chain = () if migrations is None else find_migrations(migrations)
        with opened(context, store, chain) as manager:
            result, interrupt = carry_out(
                manager, node, workflow_id, value, restart=restart, quiet=as_json
            )
    click.echo(to_json(document_of(result)) if as_json else summary_of(result))
    code = EXIT_CODES[result.status]
    context.exit(code if interrupt is None else exit_code_of(interrupt))


def opened(
    context: click.Context, url: str, migrations: Sequence[Migration]
) -> contextlib.AbstractContextManager[StateManager]:
    """Return a manager; say what is missing if the state has been migrated further."""
    try:
        return stores_of(context, migrations=migrations).open(url)
    except StoreFormatError as error:
        if migrations or "been through migration" not in str(error):
            raise
        raise StoreFormatError(
            f"{one_line(error)}: name the application's with --migrations"
        ) from error


@contextlib.contextmanager
def steps_print_elsewhere() -> Iterator[None]:
    """Let what steps print go to standard error, so that the answer stands alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def carry_out(
    manager: StateManager,
    node: Node,
    workflow_id: str,
    value: Any,
    *,
    restart: bool,
    quiet: bool,
) -> tuple[RunResult, KeyboardInterrupt | None]:
    """Run a flow and show it; return how it ended, and what interrupted it."""
    progress = Progress(node)
    if not restart:
        earlier = manager.run_state(workflow_id)
        progress.adopt(() if earlier is None else earlier.steps)
    with contextlib.ExitStack() as stack:
        view: View | None = None if quiet else stack.enter_context(shown(progress))
        started = manager.start(
            node,
            workflow_id,
            input=value,
            restart=restart,
            on_event=None if view is None else view.on_event,
        )
        result, interrupt = wait_for(started)
        if view is not None:
            view.finish(result)
    return result, interrupt


def wait_for(started: Run) -> tuple[RunResult, KeyboardInterrupt | None]:
    """Wait until a run is over; Ctrl-C and SIGTERM cancel it."""
    try:
        return started.result(), None
    except KeyboardInterrupt as interrupt:
        with interrupts_ignored():
            who = "SIGTERM" if isinstance(interrupt, Terminated) else "Ctrl-C"
            was_under_way = started.cancel(f"it was interrupted by {who}")
            return started.result(), interrupt if was_under_way else None


def summary_of(result: RunResult) -> str:
    """Return how a run ended, for people."""
    status = str(result.status).replace("_", " ")
    title = f"{printable(result.flow)} of {printable(result.workflow_id)}: {status}"
    lines = [f"{title} in {result.seconds:.3g} s"]
    lines += [
        f"  {printable(path or result.flow)}: {described(error)}"
        for path, error in result.failures.items()
    ]
    if result.ok:
        lines.append(f"output: {to_json(result.output)}")
    return "\n".join(lines)


def document_of(result: RunResult) -> dict[str, Any]:
    """Return all there is to know of a run, as JSON has it."""
    return {
        "workflow_id": result.workflow_id,
        "flow": result.flow,
        "status": str(result.status),
        "started": result.started,
        "seconds": result.seconds,
        "input": result.input,
        "output": result.output,
        "steps": [
            {
                "path": step.path,
                "status": str(step.status),
                "attempts": step.attempts,
                "seconds": step.seconds,
                "output": step.output,
                "error": None if step.error is None else _error_of(step.error),
            }
            for step in result.steps
        ],
    }


def _error_of(error: BaseException) -> dict[str, str]:
    if isinstance(error, RecordedError):
        return {"type": error.context["type"], "message": error.context["text"]}
    return {"type": type(error).__qualname__, "message": one_line(error)}
