"""A journal in one SQLite file, with what Python brings along.

Rules:
- One connection writes, under a lock. Reads have read-only connections of their own,
  which never wait for it: the file is in WAL mode.
- A journal that is open for reading has one, in one transaction from beginning to end,
  so that all it reads is of the moment it was opened.
  LIMIT: as long as it is open, whoever writes cannot begin the WAL anew.
- A commit is in the WAL when it returns, which outlives the process. With `sync` the
  WAL is synced, and with it every earlier commit; without rows there is a row in
  `marks` to be written, since SQLite syncs only what it wrote.
- Checkpoints are made here, before a commit, and not by SQLite after one: there a
  sync that fails is nobody's, and the next one says that all is well.
- Errors before COMMIT are rolled back. One of the disk in COMMIT may have come after
  the write, so its effect is unknown; only a full disk is told before.

Rejected: SQLite's own checkpoints (above); statements of many rows, which measured
slower than `executemany`, sorted by name; pages over 4096 bytes, which gain little and
make single commits larger.
"""

import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from stateward.actors.core.errors import (
    CommitFailedError,
    CorruptStoreError,
    Effect,
    StateError,
    StoreError,
    StoreFormatError,
    StoreFullError,
)
from stateward.actors.core.ports import Rows
from stateward.actors.store.disk import OPENED, DiskJournal
from stateward.actors.store.files import (
    identity,
    size_bytes,
    sync_folder,
    write_backup,
)
from stateward.actors.store.sqlite_format import (
    LAYOUT,
    check_file,
    check_format,
    create,
)

PAGE_BYTES: Final = 4096
CHECKPOINT_PAGES: Final = 2000
"""LIMIT: at about 4 kB each, the WAL grows to some 8 MB between checkpoints."""
IDLE_READERS: Final = 8  # LIMIT: connections kept for reads to come; more are closed
BUSY_MS: Final = 5000  # LIMIT: how long a foreign tool in the file is waited for
SCAN_ROWS: Final = 256  # LIMIT: rows that a scan holds at once
PRIMARY: Final = 0xFF  # the part of an error code that says what kind it is

SET: Final = (
    "INSERT INTO rows VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET record = excluded.record"
)
REMOVE: Final = "DELETE FROM rows WHERE name = ?"
GET: Final = "SELECT record FROM rows WHERE name = ?"
SCAN: Final = "SELECT name, record FROM rows WHERE name >= ? AND name < ? ORDER BY name"
MARK: Final = "UPDATE marks SET syncs = syncs + 1"

Mode: TypeAlias = Literal["ro", "rw", "rwc"]


class SqliteJournal(DiskJournal):
    """A `Journal` in one file, with `-wal` and `-shm` beside it while it is open."""

    def __init__(
        self, path: str, *, read_only: bool = False, must_exist: bool = False
    ) -> None:
        """Open the store at `path`, or make it."""
        super().__init__(path, read_only=read_only)
        self._idle: deque[sqlite3.Connection] = deque()
        self._writer: sqlite3.Connection | None = None
        self._moment: sqlite3.Connection | None = None
        """What is read by, where nothing is written: in the middle of a transaction."""
        self._immutable = False
        self._synchronous = ""
        self._pages = 0  # in the WAL since the last checkpoint, about
        check_file(self.path, must_exist=must_exist or read_only)
        with self._errors("open"):
            if read_only:
                self._open_reader()
            else:
                self._open_writer()
        self._files = self._identities()
        OPENED.add(self)

    def _open_reader(self) -> None:
        wal = size_bytes(Path(self.path + "-wal"))
        # In a folder that takes no files SQLite reads only what it is told is at rest.
        self._immutable = not wal and not os.access(Path(self.path).parent, os.W_OK)
        connection = self._connect("ro")
        try:
            connection.execute("BEGIN")
            if check_format(connection, self.path) != LAYOUT:
                raise StoreFormatError(f"{self.path} is empty", path=self.path)
        except BaseException:
            connection.close()
            raise
        self._moment = connection

    def _open_writer(self) -> None:
        connection = self._connect("rwc")
        try:
            layout = check_format(connection, self.path)
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{self.path} cannot be written ahead of itself, only in "
                    f"journal mode {mode}",
                    path=self.path,
                )
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA synchronous = FULL")
            self._synchronous = "FULL"
            connection.execute("BEGIN IMMEDIATE")
            if not layout:
                create(connection)
            connection.execute(MARK)  # what cannot be written is to fail now
            connection.execute("COMMIT")
            sync_folder(Path(self.path).parent)
        except BaseException:
            connection.close()
            raise
        self._writer = connection

    def commit(self, rows: Rows, *, sync: bool) -> None:
        if not rows and not sync:
            self._check_open()
            return
        with self._writing("commit") as writer:
            self._check_files()
            self._checkpoint_if_due(writer)
            self._set_synchronous(writer, "FULL" if sync else "NORMAL")
            ordered = sorted(rows.items())
            kept = [(name, row) for name, row in ordered if row is not None]
            removed = [(name,) for name, row in ordered if row is None]
            roll_back(writer)  # what a signal handler that raised may have left
            try:
                writer.execute("BEGIN IMMEDIATE")
                if kept:
                    writer.executemany(SET, kept)
                if removed:
                    writer.executemany(REMOVE, removed)
                if sync:
                    # Rows that are there already are not written, nor synced.
                    writer.execute(MARK)
            except BaseException:
                roll_back(writer)
                raise
            try:
                writer.execute("COMMIT")
            except sqlite3.Error as error:
                roll_back(writer)
                kind = code_of(error)
                at_disk = kind not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
                effect: Effect = "unknown" if at_disk else "none"
                raise self._mapped(error, "commit", effect=effect) from error
            size = sum(len(row) for _, row in kept)
            self._pages += 1 + len(rows) + size // PAGE_BYTES

    def get(self, name: bytes) -> bytes | None:
        with self._errors("read"), self._reader() as reader:
            row = reader.execute(GET, (name,)).fetchone()
        if row is None:
            return None
        if type(row[0]) is not bytes:
            # What SQLite has noted of the record is damaged, so it reads another type.
            raise CorruptStoreError(
                f"{self.path} is damaged: {name!r} is no record", path=self.path
            )
        return row[0]

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        # One statement is one read transaction, so all is of the moment it began.
        with (
            self._errors("read"),
            self._reader() as reader,
            closing(reader.execute(SCAN, (start, stop))) as cursor,
        ):
            while rows := cursor.fetchmany(SCAN_ROWS):
                self._check_open()
                yield from rows

    def problems(self) -> Iterator[str]:
        with self._errors("read"), self._reader() as reader:
            for (line,) in reader.execute("PRAGMA integrity_check").fetchall():
                if line != "ok":
                    yield line

    def backup(self, path: str) -> None:
        self._check_open()

        def write(part: str) -> None:
            # Not a lent one: there may be no transaction under way.
            with self._errors("back up"), closing(self._connect("ro")) as reader:
                reader.execute("VACUUM INTO ?", (part,))

        write_backup(path, write)

    def compact(self) -> None:
        """Give back space; commits wait for it, readers do not.

        With readers in the middle of something the file itself shrinks later.
        """
        with self._writing("compact") as writer:
            self._check_files()
            self._set_synchronous(writer, "FULL")
            writer.execute("VACUUM")
            self._checkpoint(writer, "TRUNCATE")

    def size_bytes(self) -> int:
        self._check_open()
        return sum(size_bytes(Path(self.path + end)) for end in ("", "-wal"))

    def close(self) -> None:
        if self._pid != os.getpid():
            return  # what is the parent's was put away when this process began
        with self._write_lock:
            self._closed = True
            # ORDER: the last connection to go empties the WAL, so it is the writer.
            self._close_idle()
            for last in (self._moment, self._writer):
                if last is not None:
                    last.close()
            self._writer = None

    # -- connections -------------------------------------------------------------------

    def _connect(self, mode: Mode) -> sqlite3.Connection:
        uri = f"{Path(self.path).as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            uri + "&immutable=1" * self._immutable,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_MS / 1000,
        )
        if mode == "ro":
            return connection
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to one reader."""
        self._check_open()
        moment = self._moment
        if moment is not None:
            yield moment
            return
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = self._connect("ro")
        try:
            yield reader
        finally:
            if len(self._idle) < IDLE_READERS:
                self._idle.append(reader)
                # RACE: `close` may have emptied the deque just before.
                if self._closed:
                    self._close_idle()
            else:
                reader.close()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    @contextmanager
    def _writing(self, doing: str) -> Iterator[sqlite3.Connection]:
        """Lend the connection that writes, to one thread at a time."""
        self._check_open()
        with self._write_lock, self._errors(doing):
            self._check_open()
            if self._writer is None:
                raise StoreError(
                    f"cannot {doing}: {self.path} is open for reading", path=self.path
                )
            yield self._writer

    def put_away(self) -> None:
        """Keep every connection of the parent from being closed in this process."""
        alone = (self._moment, self._writer)
        INHERITED.extend([*self._idle, *(it for it in alone if it is not None)])

    # -- disk --------------------------------------------------------------------------

    def _identities(self) -> tuple[object, ...]:
        if self._read_only:
            return ()
        return identity(self.path), identity(self.path + "-wal")

    def _check_files(self) -> None:
        """Raise unless what is written to is still what a later process would find."""
        if self._identities() != self._files:
            raise CommitFailedError(
                f"{self.path}, or the -wal beside it, was removed or replaced while it "
                "was open; nothing was written",
                path=self.path,
            )

    def _set_synchronous(self, writer: sqlite3.Connection, wanted: str) -> None:
        if self._synchronous != wanted:
            writer.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted

    def _checkpoint_if_due(self, writer: sqlite3.Connection) -> None:
        if self._pages < CHECKPOINT_PAGES:
            return
        try:
            self._checkpoint(writer, "PASSIVE")
        except sqlite3.OperationalError as error:
            # Without space the WAL may still have some; the commit will tell.
            if code_of(error) != sqlite3.SQLITE_FULL:
                # Earlier commits may be lost with what the disk did not take.
                raise self._mapped(error, "commit", effect="unknown") from error

    def _checkpoint(self, writer: sqlite3.Connection, kind: str) -> None:
        writer.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        self._pages = 0

    # -- errors ------------------------------------------------------------------------

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Raise what SQLite does as one of our errors."""
        try:
            yield
        except sqlite3.ProgrammingError as error:
            if self._closed:  # RACE: closed by another thread while we used it
                self._check_open()
            raise self._mapped(error, doing) from error
        except sqlite3.Error as error:
            raise self._mapped(error, doing) from error
        except UnicodeDecodeError as error:
            # SQLite's own words quote what is damaged.
            raise CorruptStoreError(
                f"{self.path} is damaged: {error}", path=self.path
            ) from error

    def _mapped(
        self, error: sqlite3.Error, doing: str, *, effect: Effect = "none"
    ) -> StateError:
        kind = code_of(error)
        message = f"cannot {doing}: {self.path}: {error}"
        if kind == sqlite3.SQLITE_FULL:
            return StoreFullError(message, path=self.path)
        if kind == sqlite3.SQLITE_NOTADB:
            return StoreFormatError(f"{self.path} is no store: {error}", path=self.path)
        if kind == sqlite3.SQLITE_CORRUPT:
            return CorruptStoreError(f"{self.path} is damaged: {error}", path=self.path)
        if doing == "commit":
            return CommitFailedError(message, path=self.path, effect=effect)
        return StoreError(message, path=self.path)


INHERITED: Final[list[sqlite3.Connection]] = []
"""Connections of the parent; closing one here would meddle with the parent's files."""


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what was begun, unless SQLite has done so by itself."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the first error is the one to tell


def code_of(error: sqlite3.Error) -> int:
    """Return what kind of error SQLite reported; 0 if it comes from Python."""
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY
