import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stateward.actors.core.errors import CorruptStoreError, StoreFormatError
from stateward.actors.store.sqlite import SqliteJournal
from stateward.actors.store.sqlite_format import LAYOUT, check_format, create


def test_created_file_is_ours() -> None:
    """An empty database is of no layout, and of ours once the tables are made."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        assert check_format(connection, "here") == 0
        create(connection)
        assert check_format(connection, "here") == LAYOUT


def test_newer_layout_is_refused_and_left(tmp_path: Path) -> None:
    """A store of a later version is not touched."""
    path = tmp_path / "store"
    SqliteJournal(str(path)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {LAYOUT + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreFormatError, match=f"layout {LAYOUT + 1}"):
        SqliteJournal(str(path))
    assert path.read_bytes() == before


def test_lost_file_is_no_new_store(tmp_path: Path) -> None:
    """Commits that are left beside a missing file are not thrown away."""
    left = tmp_path / "store-wal"
    left.write_bytes(b"commits")
    with pytest.raises(CorruptStoreError, match="is gone"):
        SqliteJournal(str(tmp_path / "store"))
    assert left.read_bytes() == b"commits"
