"""`stateward state`: read and change the state in a store."""

from typing import Final

import click

from stateward.actors.core.errors import InvalidScopeError, UsageError
from stateward.actors.core.scopes import GlobalScope, StateScope, parse_scope
from stateward.actors.core.values import JsonValue
from stateward.cli.documents import (
    cell_of,
    print_table,
    printable,
    read_value,
    to_json,
)
from stateward.cli.stores import store_option, stores_of

EPILOG: Final = """\b
Scopes:
  global                 what every workflow shares
  workflow:ID            of one workflow
  step:ID/STEP           of one step, by its path: step:order-123/enrich/geo
  custom:NAMESPACE       of the application's own
In an id or a name, ":" is written %3A and "%" is written %25, as in the names
that StateScope.prefix() returns, which are understood as well; so is an id
with "/" in it: workflow:a/b:step:load:

\b
Examples:
  stateward state show workflow:order-123 --store URL
  stateward state set workflow:order-123 address '{"city": "Bonn"}' --store URL
  stateward state delete step:order-123/load progress --store URL
"""


class ScopeType(click.ParamType):  # type: ignore[type-arg]  # COMPAT: generic since 8.2
    """A scope, as it is written on the command line."""

    name = "scope"

    def convert(
        self,
        value: str | StateScope,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> StateScope:
        """Return the scope that `value` names, or fail with what could be meant."""
        if not isinstance(value, str):
            return value
        try:
            return read_scope(value)
        except InvalidScopeError:
            self.fail(
                f"{value!r} is no scope; write global, workflow:ID, step:ID/STEP or "
                "custom:NAMESPACE",
                param,
                ctx,
            )


def read_scope(text: str) -> StateScope:
    """Return the scope that `text` names, friendly or as `prefix()` writes it.

    Raises:
        InvalidScopeError: It names none.

    Example:
        >>> read_scope("step:order-123/enrich/geo")
        StepScope(workflow_id='order-123', step_name='enrich/geo')
    """
    if text == "global":
        return GlobalScope()
    workflow_id, slash, step = text.removeprefix("step:").partition("/")
    if text.startswith("step:") and slash:
        return parse_scope(f"workflow:{workflow_id}:step:{step}:")
    return parse_scope(text if text.endswith(":") or not text else f"{text}:")


def scope_text(scope: StateScope) -> str:
    """Return a scope as `read_scope` reads it."""
    return scope.prefix().removesuffix(":") or "global"


scope_argument = click.argument("scope", type=ScopeType())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(epilog=EPILOG)
def state() -> None:
    """Read and change state in a store. Values are JSON."""


@state.command(
    epilog="\b\nExample:\n  stateward state show workflow:order-123 --store URL"
)
@scope_argument
@json_option
@store_option
@click.pass_context
def show(context: click.Context, scope: StateScope, as_json: bool, store: str) -> None:
    """Print all keys of SCOPE with their values."""
    with stores_of(context).open_kept(store) as manager:
        entries = dict(manager.state(scope))
    if as_json:
        click.echo(to_json(entries))
        return
    rows = [("key", "value")]
    rows += [(key, cell_of(value)) for key, value in entries.items()]
    print_table(rows)


@state.command(
    epilog="\b\nExample:\n  stateward state get workflow:order-123 address --store URL"
)
@scope_argument
@click.argument("key")
@store_option
@click.pass_context
def get(context: click.Context, scope: StateScope, key: str, store: str) -> None:
    """Print the value of KEY in SCOPE as JSON; exit with 1 if it is not there."""
    with stores_of(context).open_kept(store) as manager:
        value = manager.state(scope)[key]
    click.echo(to_json(value))


@state.command(
    "set",
    # Or -5 would be taken for an option.
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  stateward state set workflow:order-123 retries 3 --store URL
  stateward state set workflow:order-123 status '"packed"' --store URL
  stateward state set global address - --store URL < address.json
""",
)
@scope_argument
@click.argument("key")
@click.argument("value")
@click.option("--ttl", type=float, metavar="SECONDS", help="When the key is to go.")
@store_option
@click.pass_context
def set_(
    context: click.Context,
    scope: StateScope,
    key: str,
    value: str,
    ttl: float | None,
    store: str,
) -> None:
    """Bind KEY in SCOPE to VALUE, which is JSON, or - for standard input."""
    try:
        read: JsonValue = read_value(value)
    except ValueError as error:
        raise UsageError(f"VALUE: {error}") from None
    with stores_of(context).open_kept(store, to_read=False) as manager:
        manager.state(scope).set(key, read, ttl=ttl)


@state.command(
    epilog="\b\nExample:\n  stateward state delete workflow:order-123 a b --store URL"
)
@scope_argument
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@store_option
@click.pass_context
def delete(
    context: click.Context, scope: StateScope, keys: tuple[str, ...], store: str
) -> None:
    """Delete keys of SCOPE, all at once; exit with 1 if one was not there."""
    wanted = dict.fromkeys(keys)
    with stores_of(context).open_kept(store) as manager:
        deleted = manager.state(scope).delete_many(wanted)
    click.echo(f"deleted {deleted} of {len(wanted)}")
    context.exit(0 if deleted == len(wanted) else 1)


@state.command(epilog="\b\nExample:\n  stateward state keys global --store URL")
@scope_argument
@json_option
@store_option
@click.pass_context
def keys(context: click.Context, scope: StateScope, as_json: bool, store: str) -> None:
    """Print the keys of SCOPE, one a line."""
    with stores_of(context).open_kept(store) as manager:
        found = list(manager.state(scope))
    if as_json:
        click.echo(to_json(found))
        return
    for key in found:
        click.echo(printable(key))
