"""`stateward backup`, `restore` and `copy`: stores made of other stores."""

import click

from stateward.actors.core.errors import UsageError
from stateward.cli.bars import bar
from stateward.cli.keys import KeyFile, key_option
from stateward.cli.stores import store_option, stores_of
from stateward.offline import backup_store, copy_store, restore_store


@click.command(
    epilog="""\b
Examples:
  stateward backup backups/monday.db --store sqlite:///state.db
  stateward backup backups/monday --store rocksdb:///state
"""
)
@click.argument("path")
@store_option
@click.pass_context
def backup(context: click.Context, path: str, store: str) -> None:
    """Write a copy of a store, of one moment, to PATH; nothing may be there.

    Another process may go on writing to the store. The copy is read back before it is
    given its name. It is a store like any other, of the same engine and key.
    """
    if "://" in path:
        raise UsageError(f"{path!r} is a URL; a backup is written to a path")
    stores = stores_of(context)
    stores.check_kept(store)
    with bar("backing up") as report:
        backup_store(store, path, key=stores.key, on_progress=report)


@click.command(
    epilog="""\b
Example:
  stateward restore sqlite:///backups/monday.db sqlite:///state.db
"""
)
@click.argument("backup_url")
@click.argument("target_url")
@key_option
@click.pass_context
def restore(context: click.Context, backup_url: str, target_url: str) -> None:
    """Put a backup in the place of a store; nothing may be there.

    The backup stays. It is checked first.
    """
    stores = stores_of(context)
    stores.check_kept(backup_url)
    stores.check_kept(target_url, to_read=False)
    with bar("restoring") as report:
        restore_store(backup_url, target_url, key=stores.key, on_progress=report)


@click.command(
    epilog="""\b
Examples:
  stateward copy sqlite:///state.db rocksdb:///state
  stateward copy sqlite:///state.db sqlite:///sealed.db --target-key-file key
"""
)
@click.argument("source")
@click.argument("target")
@key_option
@click.option(
    "--target-key-file",
    "target_key",
    type=KeyFile(),
    metavar="FILE",
    help="Holds the key to seal the values of TARGET with; without, they are readable.",
)
@click.pass_context
def copy(
    context: click.Context, source: str, target: str, target_key: bytes | None
) -> None:
    """Make a store at the URL TARGET that holds what the one at SOURCE does.

    On any engine, sealed or not. Nothing may be at TARGET, and no manager may have
    SOURCE open. The copy is read back.
    """
    stores = stores_of(context)
    stores.check_kept(source)
    stores.check_kept(target, to_read=False)
    with bar("copying") as report:
        count = copy_store(
            source,
            target,
            key=stores.key,
            target_key=target_key,
            on_progress=report,
        )
    click.echo(f"copied {count} owners")
