"""How a SQLite file says that it is a store, and of which layout."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from stateward.actors.core.errors import (
    CorruptStoreError,
    StoreError,
    StoreFormatError,
)
from stateward.actors.store.files import size_bytes

APPLICATION: Final = 0x73746477
"""What says in the head of the file that it is ours: `stdw`."""
LAYOUT: Final = 1
"""Version of the tables below."""


def check_file(path: str, *, must_exist: bool) -> None:
    """Raise unless there is a file at `path`, or nothing and it may be made."""
    file = Path(path)
    if file.is_file():
        return
    if os.path.lexists(file):
        raise StoreFormatError(f"{path} is no file, so no sqlite:// store", path=path)
    if size_bytes(Path(path + "-wal")):
        # SQLite would take the new file for the old one, and throw this away.
        raise CorruptStoreError(
            f"{path} is gone, but {path}-wal is there and holds commits", path=path
        )
    if must_exist:
        raise StoreError(f"there is no store at {path}", path=path)


def check_format(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the tables, 0 for an empty file; raise if not ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not (application or layout or tables):
        return 0
    if application != APPLICATION:
        raise StoreFormatError(
            f"{path} is a database of another program, not a store", path=path
        )
    if layout != LAYOUT:
        raise StoreFormatError(
            f"{path} is of layout {layout}, and this version knows {LAYOUT}", path=path
        )
    return LAYOUT


def create(connection: sqlite3.Connection) -> None:
    """Make the tables; the caller's transaction has them all or none."""
    connection.execute(
        "CREATE TABLE rows (name BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE marks (syncs INTEGER NOT NULL)")
    connection.execute("INSERT INTO marks VALUES (0)")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
