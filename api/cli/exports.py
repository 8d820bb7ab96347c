"""`stateward export` and `import`: all that a store holds, as lines of JSON."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from stateward.actors.store.files import made_whole
from stateward.cli.bars import bar
from stateward.cli.stores import store_option, stores_of
from stateward.offline import export_store, import_store


@click.command(
    epilog="""\b
Examples:
  stateward export state.jsonl --store sqlite:///state.db
  stateward export --store sqlite:///state.db | gzip > state.jsonl.gz
"""
)
@click.argument("file", default="-")
@store_option
@click.pass_context
def export(context: click.Context, file: str, store: str) -> None:
    """Write all that is in a store, of one moment, to FILE as lines of JSON.

    Left out, or -, they go to standard output. Nothing may be at FILE; it is there once
    it is whole. Another process may go on writing to the store. Values of a sealed
    store are readable in an export.
    """
    stores = stores_of(context)
    stores.check_kept(store)
    key = stores.key
    if file == "-":
        if sys.stdout is None:
            raise click.ClickException("standard output is closed; name a FILE")
        output = sys.stdout.buffer
        with bar("exporting", beside_output=False) as report:
            export_store(store, output, key=key, on_progress=report)
            output.flush()
        return
    with bar("exporting") as report, new_file(file, private=key is not None) as part:
        count = export_store(store, part, key=key, on_progress=report)
    click.echo(f"wrote {count} lines")


@contextmanager
def new_file(file: str, *, private: bool) -> Iterator[IO[bytes]]:
    """Lend a file to be written, which is called `file` once the block has ended well.

    Args:
        file: Where nothing is yet.
        private: Whether nobody else may read it.

    Raises:
        StoreError: There is something, or it cannot be written.
    """

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600 if private else 0o666)

    with made_whole(file) as part, open(part, "xb", opener=opener) as lent:
        yield lent


@click.command(
    "import",
    epilog="""\b
Examples:
  stateward import state.jsonl --store sqlite:///new.db
  gunzip < state.jsonl.gz | stateward import - --store rocksdb:///new
""",
)
@click.argument("file", type=click.File("rb"))
@store_option
@click.pass_context
def import_(context: click.Context, file: IO[bytes], store: str) -> None:
    """Make a store of what is in FILE, an export, or - for standard input.

    Nothing may be where the store is to be. It is there once it is whole.
    """
    stores = stores_of(context)
    stores.check_kept(store, to_read=False)
    with bar("importing", in_bytes=True) as report:
        count = import_store(file, store, key=stores.key, on_progress=report)
    click.echo(f"imported {count} owners")
