"""`stateward runs`: which workflows have been run, and how far."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import click

from stateward.cli.documents import print_table, to_json
from stateward.cli.stores import store_option, stores_of
from stateward.workflows import RunResult

EPILOG: Final = """\b
Examples:
  stateward runs --store URL
  stateward runs --store URL --json | jq '.[] | select(.status == "failed")'
"""


@click.command(epilog=EPILOG)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print a list as JSON.")
@click.pass_context
def runs(context: click.Context, store: str, as_json: bool) -> None:
    """List the runs in a store with their progress, the newest first."""
    with stores_of(context).open_kept(store) as manager:
        states = [manager.run_state(workflow_id) for workflow_id in manager.run_ids()]
    found = [state for state in states if state is not None]
    found.sort(key=lambda state: (-state.started, state.workflow_id))
    if as_json:
        click.echo(to_json([document_of(state) for state in found]))
        return
    rows: list[tuple[str, ...]] = [
        ("workflow", "flow", "status", "steps", "started", "seconds")
    ]
    rows += [row_of(state) for state in found]
    print_table(rows)


def document_of(state: RunResult) -> dict[str, Any]:
    """Return what is listed of a run, as JSON has it."""
    return {
        "workflow_id": state.workflow_id,
        "flow": state.flow,
        "status": str(state.status),
        "steps": _counts(state),
        "started": state.started,
        "seconds": state.seconds,
    }


def row_of(state: RunResult) -> tuple[str, ...]:
    """Return what is listed of a run, for people."""
    counts = _counts(state)
    steps = ", ".join(f"{count} {status}" for status, count in counts.items())
    started = datetime.fromtimestamp(state.started, UTC)
    return (
        state.workflow_id,
        state.flow,
        str(state.status),
        steps or "none",
        started.strftime("%Y-%m-%d %H:%M:%SZ"),
        f"{state.seconds:.3f}" if state.seconds else "",
    )


def _counts(state: RunResult) -> dict[str, int]:
    """Return how many steps stand where."""
    return dict(Counter(str(step.status) for step in state.steps))
