"""Offline: what is done with stores that no manager has open."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import IO

from stateward.actors.core.errors import (
    MigrationError,
    UsageError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import StateScope
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.clock import SystemClock
from stateward.actors.store.checking import Finding, Progress, inspect
from stateward.actors.store.ciphers import Key
from stateward.actors.store.exports import Image, ImportedLines, write_export
from stateward.actors.store.opening import open_store
from stateward.actors.store.transfers import copy, duplicate, fill, new_store
from stateward.actors.store.urls import parse_url
from stateward.migrations import Change, Migration, Migrations, changes, contents

__all__ = [
    "Change",
    "Preview",
    "backup_store",
    "check_store",
    "copy_store",
    "export_store",
    "import_store",
    "preview_migrations",
    "restore_store",
]


def check_store(
    url: str, *, key: Key | None = None, on_progress: Progress | None = None
) -> list[Finding]:
    """Read a whole store, and return everything that is wrong with it.

    Nothing is changed, and another process may have it open.

    Args:
        url: Of the store.
        key: As of `StateManager`.
        on_progress: Called with how many owners of how many have been looked at.

    Raises:
        StoreError: It cannot be opened, for it is damaged too badly, say; the
            subclasses tell why.
    """
    with closing(open_store(parse_url(url), key=key, read_only=True)) as store:
        return list(inspect(store, progress=on_progress))


def copy_store(
    source: str,
    target: str,
    *,
    key: Key | None = None,
    target_key: Key | None = None,
    on_progress: Progress | None = None,
) -> int:
    """Make a store that holds what another does, on any engine, sealed or not.

    Args:
        source: URL of a store that no manager has open.
        target: URL where there is nothing yet.
        key: Of the source, as of `StateManager`.
        target_key: Of the target; `None` leaves its values readable.
        on_progress: Called with how many owners of how many have been copied.

    Returns:
        How many owners there are: workflows, global and custom state.

    Raises:
        StoreLockedError: A manager has the source open. Effect: none.
        CorruptStoreError: Something in it is damaged. Nothing is at `target` then.
        StoreError: There is something at `target`, a store cannot be opened, or a move
            has left some of the source in another store.

    Durability: The copy outlives power loss once this returns. It was read back.
    Cost: O(size of the source); one owner at a time is in memory.
    """
    store = open_store(parse_url(source), key=key, must_exist=True)
    with closing(store):
        return copy(store, parse_url(target), key=target_key, progress=on_progress)


def restore_store(
    backup: str,
    target: str,
    *,
    key: Key | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Put a backup in the place of a store that was removed; the backup stays.

    While a `-wal` or `-journal` file that the removed store has left holds something,
    this refuses: remove that as well.

    Args:
        backup: URL of what `StateManager.backup` wrote.
        target: URL of the same scheme, where there is nothing yet.
        key: As of `StateManager`.
        on_progress: Called with how many owners of how many have been read back.

    Raises:
        UsageError: The schemes are not the same.
        CorruptStoreError: The backup is damaged. Nothing is at `target` then.
        StoreError: There is something at `target`, or it cannot be made.

    Durability: It outlives power loss once this returns.
    """
    source, url = parse_url(backup), parse_url(target)
    if source.scheme != url.scheme:
        raise UsageError(
            f"{backup} cannot be put in place of {target}, another engine's; "
            "`copy_store` makes it of another one"
        )
    with closing(open_store(source, key=key, read_only=True)) as store:
        duplicate(store, url, anew=True, progress=on_progress)


def backup_store(
    url: str,
    path: str,
    *,
    key: Key | None = None,
    on_progress: Progress | None = None,
) -> None:
    """As `StateManager.backup`, of a store that another process may have open.

    Args:
        url: Of the store.
        path: Where; nothing may be there.
        key: As of `StateManager`.
        on_progress: Called with how many owners of how many have been read back.

    Raises:
        CorruptStoreError: The store is damaged. Nothing is at `path` then.
        StoreError: There is something at `path`, a part of the store was moved to
            another, or one of the two cannot be opened.

    Durability: The copy outlives power loss once this returns. It was read back.
    """
    source = parse_url(url)
    with closing(open_store(source, key=key, read_only=True)) as store:
        target = replace(source, path=path, text=path)
        duplicate(store, target, anew=False, progress=on_progress)


def export_store(
    url: str,
    file: IO[bytes],
    *,
    key: Key | None = None,
    on_progress: Progress | None = None,
) -> int:
    """As `StateManager.export`, of a store that another process may have open.

    Raises:
        StoreError: It cannot be opened, or a move has left some of it in another store.
        CorruptStoreError: As of `StateManager.export`.
    """
    with closing(open_store(parse_url(url), key=key, read_only=True)) as store:
        return write_export(store, file, progress=on_progress)


def import_store(
    file: IO[bytes],
    url: str,
    *,
    key: Key | None = None,
    on_progress: Progress | None = None,
) -> int:
    """Make a store of what an export holds; return how many owners there are.

    Args:
        file: What `StateManager.export` wrote, open for reading bytes.
        url: Where there is nothing yet.
        key: Seals the values; `None` leaves them readable.
        on_progress: Called with how many bytes of how many have been read; never if it
            cannot be told how many there are, as in a pipe.

    Raises:
        UsageError: It is no export, or not a whole one; names the line. Nothing is at
            `url` then.
        StoreError: There is something at `url`, or it cannot be made.

    Durability: It outlives power loss once this returns.
    Cost: O(size of the export); one owner at a time is in memory.
    """
    name = str(getattr(file, "name", "the export"))
    with new_store(parse_url(url), key=key) as store:
        total = None if on_progress is None else bytes_ahead(file)
        lines = ImportedLines(file, name)
        images = lines.images()
        if on_progress is not None and total is not None:
            images = reported(lines, total, on_progress)
        count, version = fill(store, images)
        store.ledger.raise_floor(lines.floor, version=version)
        return count


def bytes_ahead(file: IO[bytes]) -> int | None:
    """Return how many bytes there are to be read; `None` if that cannot be told."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, ValueError):  # a pipe, or what cannot be read from its end
        return None
    return end - here


def reported(lines: ImportedLines, total: int, progress: Progress) -> Iterator[Image]:
    """Yield every owner of an export, and tell how much of it has been read."""
    for image in lines.images():
        yield image
        progress(lines.size, total)
    progress(lines.size, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What migrations would do to one owner."""

    scope: StateScope
    changes: tuple[Change, ...]
    error: MigrationError | None
    """Why they would fail; nothing would be changed then."""


def preview_migrations(
    url: str,
    migrations: Iterable[Migration],
    *,
    key: Key | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Preview]:
    """Yield what migrations would do to each owner that has not been through them.

    Nothing is changed, and another process may have the store open.

    Args:
        url: Of the store.
        migrations: As of `StateManager`.
        key: As of `StateManager`.
        on_progress: Called with how many owners of how many have been looked at.

    Raises:
        UsageError: The migrations make no sense. Effect: none.
        StoreError: The store cannot be opened; the subclasses tell why.
    """
    chain = Migrations(migrations)
    source, version = parse_url(url), chain.version
    with (
        closing(open_store(source, key=key, version=version, read_only=True)) as store,
        closing(SystemClock()) as clock,
    ):
        store.offset = clock.epoch(0.0)
        scopes = list(store.outdated())
        for number, scope in enumerate(scopes, 1):
            now, error = clock.now(), None
            state = OwnerState(scope, Limits(), 0, now)
            store.load(state)
            before = contents(state, now)
            state.make_row()
            try:
                chain.lift(state, clock)
            except MigrationError as failure:
                error = failure
            found = () if error else changes(scope, before, contents(state, now))
            yield Preview(scope=scope, changes=tuple(found), error=error)
            if on_progress is not None:
                on_progress(number, len(scopes))
