"""A journal in one RocksDB folder, through `rocksdict`.

Rules:
- A commit is one batch, in the WAL when it returns, which outlives the process. With
  `sync` every WAL file that is not synced is, so earlier commits are as well.
- A WAL counts up to its first damage, wherever that is: power loss may keep a sector
  and not one before it, and what was not synced was not promised. That something else
  is lost, which was acknowledged, is told by the mark beside the store (see `marks`).
- An iterator that meets damage ends; only its status tells, so it is always asked.
- After a write failed RocksDB takes no more; the next commit opens it again first.
- Iterators outlive `close`, and keep the folder locked: a scan ends with the journal.
- A journal that is open for reading is of the moment it was opened. Whoever writes
  meanwhile may remove files in whose place others are: while it is being opened that is
  no damage, and it is opened again. Once open, it needs no file by name.
- LIMIT: `rocksdict` writes its settings whenever it opens a folder, so a store on a
  disk that takes no writes cannot be read where it is.
- The file `STATEWARD` says whose folder it is, and in which layout.

`rocksdict` raises plain exceptions, so their text is all there is to go by.
"""

import ctypes
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    Checkpoint,
    CompactOptions,
    DbClosedError,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
)

from stateward.actors.core.errors import (
    CommitFailedError,
    CorruptStoreError,
    Effect,
    StateError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
)
from stateward.actors.core.ports import Rows
from stateward.actors.store.disk import OPENED, DiskJournal
from stateward.actors.store.files import (
    identity,
    size_bytes,
    sync_file,
    sync_folder,
    write_backup,
)

T = TypeVar("T")

MARKER: Final = "STATEWARD"
LAYOUT: Final = b"1\n"
CONFIG: Final = "rocksdict-config.json"  # what `rocksdict` looks for when it opens
MB: Final = 1 << 20
WRITE_BUFFER_BYTES: Final = 16 * MB  # LIMIT: two of them, so 32 MB at most
CACHE_BYTES: Final = 16 * MB
WAL_BYTES: Final = 64 * MB  # LIMIT: what is read again when the store is opened
SPARE_BYTES: Final = MB  # LIMIT: beside the logs, what opening takes at most
OPEN_FILES: Final = 256
READER_FILES: Final = 512  # LIMIT: of more tables, some 32 GB, one may go unread
OPENINGS: Final = 20  # LIMIT: how often a reader begins again, beside who removes files
SCAN_ROWS: Final = 256  # LIMIT: rows of a scan between two looks at whether we are open
FULL: Final = ("No space left", "Disk quota exceeded", "Max allowed space")
UNSYNCED: Final = ("While fdatasync", "While fsync")
GONE: Final = "No such file"
NUMBERED: Final = re.compile(r"/(\d+\.(?:sst|log))(?!/)")
"""Finds the files that an error of the engine names; no number is given out twice."""


class RocksJournal(DiskJournal):
    """A `Journal` in a folder; one process has it open."""

    def __init__(
        self, path: str, *, read_only: bool = False, must_exist: bool = False
    ) -> None:
        """Open the store at `path`, or make it."""
        super().__init__(path, read_only=read_only)
        self._failed = False  # whether a write did, so that the engine takes no more
        prepare(Path(self.path), must_exist=must_exist or read_only)
        self._db = self._open()
        self._folder = identity(self.path)
        OPENED.add(self)

    def _open(self) -> Rdict:
        if self._read_only:
            return self._open_reader()
        try:
            return Rdict(self.path, options(), access_type=AccessType.read_write())
        except Exception as error:
            raise mapped(error, "open", self.path) from error

    def _open_reader(self) -> Rdict:
        """Open it as it is at one moment, though files are removed meanwhile."""
        folder, seen = Path(self.path), set[str]()
        chosen, access = options(), AccessType.read_only(False)
        if sum(1 for _ in folder.glob("*.sst")) <= READER_FILES:
            chosen.set_max_open_files(-1)  # All are opened now, so they cannot go.
        for _ in range(OPENINGS):
            logs = set(folder.glob("*.log"))
            try:
                db = Rdict(self.path, chosen, access_type=access)
            except Exception as error:
                # RACE: what was removed had others in its place before, so the next
                # attempt finds those. What is named again is missing for good.
                named = set(NUMBERED.findall(str(error))) or {str(error)}
                if named & seen:
                    raise mapped(error, "open", self.path) from error
                seen |= named
                continue
            # RACE: the engine does not miss a log that went before it looked for logs.
            if logs <= set(folder.glob("*.log")):
                return db
            shut(db)
        raise changing(self.path)

    def commit(self, rows: Rows, *, sync: bool) -> None:
        self._check_open()
        if not rows and not sync:
            return
        with self._write_lock:
            self._check_writable("commit")
            self._check_files()
            if self._failed:
                self._open_again()
            doing = "commit"
            try:
                if rows:
                    write(self._db, rows)
                    doing = "sync"
                if sync:
                    sync_log(self._db)
            except Exception as error:
                self._failed = True
                raise mapped(error, doing, self.path) from error

    def get(self, name: bytes) -> bytes | None:
        found: bytes | None = self._read(lambda db: db.get(name))
        return found

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        if start >= stop:
            self._check_open()
            return
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(stop)
        rows = self._read(lambda db: db.snapshot().iter(bounds))
        rows.seek(start)
        while page := next_page(rows):
            yield from page
            self._check_open()
        try:
            rows.status()
        except Exception as error:
            raise self._failure(error, "read") from error

    def backup(self, path: str) -> None:
        """Write what is committed now to a new store at `path`.

        On the same disk the files of both are the same ones, which never change: it
        takes no time and little space, and protects from no damage to the disk.
        """
        self._check_open()

        def checkpoint(part: str) -> None:
            self._read(lambda db: Checkpoint(db).create_checkpoint(part), "back up")
            for name in (MARKER, CONFIG):
                shutil.copyfile(Path(self.path, name), Path(part, name))

        write_backup(path, checkpoint)

    def compact(self) -> None:
        self._check_open()
        self._check_writable("compact")
        chosen = CompactOptions()
        chosen.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        self._read(lambda db: db.compact_range(None, None, chosen), "compact")

    def size_bytes(self) -> int:
        self._check_open()
        return sum(size_bytes(file) for file in Path(self.path).iterdir())

    def close(self) -> None:
        if self._pid != os.getpid():
            return  # what is the parent's was put away when this process began
        with self._write_lock:
            if not self._closed:
                self._closed = True
                shut(self._db)

    # -- engine ------------------------------------------------------------------------

    def _read(self, act: Callable[[Rdict], T], doing: str = "read") -> T:
        """Return what `act` does with the engine; again if it was opened meanwhile."""
        while True:
            self._check_open()
            db = self._db
            try:
                return act(db)
            except DbClosedError:
                # RACE: a commit opens it again under the lock, or `close` has run.
                with self._write_lock:
                    if db is self._db and not self._closed:
                        self._open_again()
            except Exception as error:
                raise self._failure(error, doing) from error

    def _failure(self, error: Exception, doing: str) -> StateError:
        """Return what a read that failed is to raise."""
        if self._read_only and GONE in str(error):
            shut(self._open())  # raises if the file is missing for good
            return changing(self.path)
        return mapped(error, doing, self.path)

    def _open_again(self) -> None:
        # ORDER: look for space first; opened without it, reads would end as well.
        logs = sum(size_bytes(log) for log in Path(self.path).glob("*.log"))
        if shutil.disk_usage(self.path).free < logs + SPARE_BYTES:
            raise StoreFullError(
                f"cannot commit: {self.path}: No space left on device", path=self.path
            )
        shut(self._db)
        try:
            self._db = self._open()
        except StoreError as error:
            message = f"cannot commit: {error}"
            raise CommitFailedError(message, path=self.path) from error
        self._failed = False

    def _check_writable(self, doing: str) -> None:
        self._check_open()
        if self._read_only:
            raise StoreError(
                f"cannot {doing}: {self.path} is open for reading", path=self.path
            )

    def _check_files(self) -> None:
        """Raise unless what is written to is still what a later process would find.

        LIMIT: one removed WAL file is not noticed here, but by who opens the store.
        """
        current = identity(str(Path(self.path, "CURRENT")))
        if current is None or identity(self.path) != self._folder:
            raise CommitFailedError(
                f"{self.path} was removed or replaced while it was open; nothing was "
                "written",
                path=self.path,
            )

    def put_away(self) -> None:
        """Keep the parent's engine from being closed in this process.

        Closing waits for threads that are not here, and so does the end of the
        interpreter for what a list holds. One reference too many is never given up.
        LIMIT: a scan of the parent that is under way is not looked after.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._db))


def options() -> Options:
    """Return how every store is opened."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(CACHE_BYTES))
    table.set_bloom_filter(10, False)
    chosen = Options(raw_mode=True)
    chosen.set_block_based_table_factory(table)
    chosen.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    chosen.set_paranoid_checks(enabled=True)
    chosen.set_compression_type(DBCompressionType.lz4())
    chosen.set_write_buffer_size(WRITE_BUFFER_BYTES)
    chosen.set_max_total_wal_size(WAL_BYTES)
    chosen.set_max_open_files(OPEN_FILES)
    chosen.set_bytes_per_sync(MB)
    chosen.set_keep_log_file_num(1)
    chosen.set_max_log_file_size(MB)
    chosen.set_stats_dump_period_sec(0)
    chosen.set_stats_persist_period_sec(0)
    chosen.set_manifest_preallocation_size(MB // 16)
    return chosen


def prepare(folder: Path, *, must_exist: bool) -> None:
    """See that `folder` is a store, or mark it as one that is to be made."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise StoreFormatError(f"{folder} is no folder, so no rocksdb:// store")
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if MARKER in names:
        check_layout(folder)
    elif names:
        raise StoreFormatError(f"{folder} holds files, and none says it is a store")
    # RACE: a name that is given anew just then may be missing in a listing.
    if os.path.lexists(folder / "CURRENT"):
        return
    if any(name.endswith((".sst", ".log")) for name in names):
        # RocksDB would begin anew here and remove them.
        raise CorruptStoreError(f"{folder} has lost its file CURRENT", path=str(folder))
    if must_exist:
        raise StoreError(f"there is no store at {folder}", path=str(folder))
    try:
        folder.mkdir(exist_ok=True)
        marker = folder / MARKER
        marker.write_bytes(LAYOUT)
        sync_file(marker)
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise mapped(error, "open", str(folder)) from error


def check_layout(folder: Path) -> None:
    """Raise unless the store in `folder` is of the layout this version knows."""
    found = (folder / MARKER).read_bytes()
    # A crash in the middle of making a store leaves the file empty.
    if found not in (LAYOUT, b""):
        raise StoreFormatError(
            f"{folder} is of layout {found.strip()!r}, and this version knows "
            f"{LAYOUT.strip()!r}",
            path=str(folder),
        )


def write(db: Rdict, rows: Rows) -> None:
    """Write one batch, and sync nothing."""
    batch = WriteBatch(raw_mode=True)
    for name, row in rows.items():
        if row is None:
            batch.delete(name)
        else:
            batch.put(name, row)
    db.write(batch)


def sync_log(db: Rdict) -> None:
    """Have all that was written outlive power loss.

    Not as an option of the write: that keeps the interpreter's lock, and with it all
    threads of the process, until the disk is done. It takes as long.
    """
    db.flush_wal(True)


def next_page(rows: RdictIter) -> list[tuple[bytes, bytes]]:
    """Return the next rows, none at the end or at damage."""
    page: list[tuple[bytes, bytes]] = []
    while len(page) < SCAN_ROWS and rows.valid():
        page.append((rows.key(), rows.value()))
        rows.next()
    return page


def shut(db: Rdict) -> None:
    """Close the engine; what it says of writes that failed was told already."""
    try:
        db.close()
    except Exception:  # noqa: BLE001, S110  # `rocksdict` raises no narrower one
        pass


def changing(path: str) -> StoreLockedError:
    """Return what to raise where files go faster than they are read."""
    return StoreLockedError(
        f"{path} is open in another process, which changes it faster than it can be "
        "read: try again",
        path=path,
    )


def mapped(error: Exception, doing: str, path: str) -> StateError:
    """Return what the engine raised as one of our errors."""
    text = str(error)
    message = f"cannot {doing}: {path}: {text}"
    # A commit that is written and not synced may be there after a crash, or not.
    unsynced = doing == "sync" or any(word in text for word in UNSYNCED)
    if any(word in text for word in FULL) and not unsynced:
        return StoreFullError(message, path=path)
    if "lock hold by" in text or "/LOCK:" in text:
        return StoreLockedError(f"{path} is open already: {text}", path=path)
    if "Corruption:" in text:
        return CorruptStoreError(f"{path} is damaged: {text}", path=path)
    if doing in ("commit", "sync"):
        effect: Effect = "unknown"
        return CommitFailedError(message, path=path, effect=effect)
    return StoreError(message, path=path)
