"""`stateward migrate`: take all state in a store through migrations, or look first."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO, Any, Final

import click

from stateward.actors.core.scopes import StateScope
from stateward.actors.core.values import JsonValue
from stateward.cli.bars import bar
from stateward.cli.documents import one_line, printable, to_json
from stateward.cli.load import find_migrations
from stateward.cli.state import scope_text
from stateward.cli.stores import Stores, store_option, stores_of
from stateward.offline import Preview, preview_migrations

EPILOG: Final = """\b
Examples:
  stateward migrate --migrations shop.flows:migrations --dry-run --store URL
  stateward migrate --migrations ./shop.py:migrations --store URL
"""


@click.command(epilog=EPILOG)
@click.option(
    "--migrations",
    "target",
    required=True,
    metavar="MODULE:NAME",
    help="A list of migrations, or a function that returns one.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Change nothing, and print what would change. Another process may have the "
    "store open.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_option
@click.pass_context
def migrate(
    context: click.Context, target: str, dry_run: bool, as_json: bool, store: str
) -> None:
    """Take all state in a store through the migrations it has not been through.

    What cannot be migrated stays as it was and is named; the exit code is 1 then.
    Interrupted or killed, run it again: it goes on where it was.
    """
    with answer_apart():
        chain = find_migrations(target)
    stores = stores_of(context, migrations=chain)
    stores.check_kept(store)
    act = look if dry_run else carry_out
    failed = act(stores, store, as_json=as_json)
    context.exit(1 if failed else 0)


@contextlib.contextmanager
def answer_apart() -> Iterator[IO[str]]:
    """Lend standard output; what migrations print goes to standard error."""
    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield answer


def carry_out(stores: Stores, url: str, *, as_json: bool) -> int:
    """Migrate, and tell what came of it; return how many could not be migrated."""
    with (
        stores.open_kept(url) as manager,
        bar("migrating") as report,
        answer_apart(),
    ):
        done = manager.migrate(on_progress=report)
    failed = {scope_text(scope): one_line(it) for scope, it in done.failed.items()}
    if as_json:
        errors = [{"scope": scope, "error": text} for scope, text in failed.items()]
        click.echo(to_json({"migrated": done.migrated, "failed": errors}))
        return len(failed)
    click.echo(f"migrated {done.migrated}, failed {len(failed)}")
    for scope, text in failed.items():
        click.echo(f"  {printable(scope)}: {text}")
    return len(failed)


def look(stores: Stores, url: str, *, as_json: bool) -> int:
    """Print what migrations would do; return for how many they would fail."""
    failed = 0

    def previews() -> Iterator[Preview]:
        nonlocal failed
        chain = stores.migrations or ()
        for each in preview_migrations(url, chain, key=stores.key, on_progress=report):
            failed += each.error is not None
            yield each

    lines = json_lines if as_json else diff_lines
    # ORDER: on a terminal the bar takes standard output first, to print above itself.
    with bar("looking") as report, answer_apart() as answer:
        for line in lines(previews()):
            click.echo(line, file=answer)
    return failed


def diff_lines(previews: Iterable[Preview]) -> Iterator[str]:
    """Yield what would change, as a diff of each scope."""
    for preview in previews:
        if preview.error is not None:
            yield title_of(preview.scope)
            yield click.style(f"! {one_line(preview.error)}", fg="red")
        for scope, changes in groupby(preview.changes, key=lambda it: it.scope):
            yield title_of(scope)
            for change in changes:
                if change.kind != "added":
                    yield diff_line("-", change.key, change.before)
                if change.kind != "removed":
                    yield diff_line("+", change.key, change.after)


def title_of(scope: StateScope) -> str:
    """Return the line that changes of a scope stand below."""
    return click.style(printable(scope_text(scope)), bold=True)


def diff_line(sign: str, key: str, value: JsonValue) -> str:
    """Return one line of a diff."""
    line = f"{sign} {printable(key)} = {to_json(value)}"
    return click.style(line, fg="red" if sign == "-" else "green")


def json_lines(previews: Iterable[Preview]) -> Iterator[str]:
    """Yield the lines of a list; all of it is never in memory."""
    separator = "["
    for preview in previews:
        yield separator + to_json(document_of(preview))
        separator = ","
    yield "[]" if separator == "[" else "]"


def document_of(preview: Preview) -> dict[str, Any]:
    """Return what would change of one owner, as JSON has it."""
    return {
        "scope": scope_text(preview.scope),
        "changes": [
            {
                "scope": scope_text(change.scope),
                "key": change.key,
                "kind": change.kind,
                "before": change.before,
                "after": change.after,
            }
            for change in preview.changes
        ],
        "error": None if preview.error is None else one_line(preview.error),
    }
