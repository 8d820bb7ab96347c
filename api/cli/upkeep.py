"""`stateward check`, `compact`, `stats` and `rotate-key`: looking after one store."""

from dataclasses import asdict
from typing import Any

import click

from stateward.actors.store.checking import Finding
from stateward.actors.store.ciphers import KeyRing
from stateward.cli.bars import bar
from stateward.cli.documents import print_table, printable, to_json
from stateward.cli.keys import KeyFile, key_of
from stateward.cli.state import json_option, scope_text
from stateward.cli.stores import store_option, stores_of
from stateward.manager import StateManager
from stateward.moving import stores_of as stores_in
from stateward.offline import check_store


@click.command(epilog="\b\nExample:\n  stateward check --store sqlite:///state.db")
@json_option
@store_option
@click.pass_context
def check(context: click.Context, as_json: bool, store: str) -> None:
    """Read a whole store, and print all that is wrong in it, one finding a line.

    The exit code is 1 if there is any. Nothing is changed, and another process may go
    on writing to the store.
    """
    stores = stores_of(context)
    stores.check_kept(store)
    with bar("checking") as report:
        findings = check_store(store, key=stores.key, on_progress=report)
    if as_json:
        click.echo(to_json([document_of(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(printable(str(finding)))
        if not findings:
            click.echo("nothing is wrong", err=True)
    context.exit(1 if findings else 0)


def document_of(finding: Finding) -> dict[str, Any]:
    """Return a finding, as JSON has it."""
    return {
        "scope": None if finding.scope is None else scope_text(finding.scope),
        "name": finding.name.hex(),
        "problem": finding.problem,
    }


@click.command(epilog="\b\nExample:\n  stateward compact --store sqlite:///state.db")
@store_option
@click.pass_context
def compact(context: click.Context, store: str) -> None:
    """Give back the space of what was removed or replaced in a store."""
    with stores_of(context).open_kept(store) as manager:
        before = disk_bytes(manager)
        with bar("compacting"):
            manager.compact()
        click.echo(f"{before} bytes before, {disk_bytes(manager)} after")


@click.command(
    epilog="""\b
Examples:
  stateward stats --store sqlite:///state.db
  stateward stats --store sqlite:///state.db --json | jq .disk_bytes
"""
)
@json_option
@store_option
@click.pass_context
def stats(context: click.Context, as_json: bool, store: str) -> None:
    """Print how much is in a store, and how large it is on disk."""
    with stores_of(context).open_kept(store) as manager:
        counters = asdict(manager.stats())
        counters["quarantined"] = [
            scope_text(scope) for scope in counters["quarantined"]
        ]
        counters["disk_bytes"] = disk_bytes(manager)
    if as_json:
        click.echo(to_json(counters))
        return
    rows = [("counter", "value")]
    rows += [(name, to_json(value)) for name, value in counters.items()]
    print_table(rows)


def disk_bytes(manager: StateManager) -> int:
    """Return how much room the stores of a manager take on disk."""
    return sum(store.ledger.journal.size_bytes() for store in stores_in(manager.engine))


@click.command(
    "rotate-key",
    epilog="""\b
Example:
  stateward rotate-key --key-file old.key --new-key-file new.key --store URL
""",
)
@click.option(
    "--new-key-file",
    "new_key",
    type=KeyFile(),
    required=True,
    metavar="FILE",
    help="Holds the key to seal with from now on.",
)
@store_option
@click.pass_context
def rotate_key(context: click.Context, new_key: bytes, store: str) -> None:
    """Seal all values in a store with another key.

    Interrupted or killed, run it again with the same two keys: until it has ended, both
    are needed.
    """
    key = key_of(context)
    if key is None:
        raise click.UsageError(
            "--key-file is missing: it holds the key that the store is sealed with"
        )
    stores = stores_of(context)
    stores.key = ring = KeyRing(new_key, key)
    with stores.open_kept(store) as manager, bar("sealing") as report:
        count = manager.rotate_key(ring, on_progress=report)
    click.echo(f"sealed {count} values anew")
