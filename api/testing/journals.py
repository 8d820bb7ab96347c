"""What every journal has to do, as tests: for whoever writes an engine."""

# ruff: noqa: S101  # these are tests, which pytest runs where they are subclassed

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from stateward.actors.core.errors import ClosedError, StoreError
from stateward.actors.core.ports import Examined, Journal

FIRST: Final = b""
LAST: Final = b"\xff" * 8
ROWS: Final = 1000  # LIMIT: more than an engine reads at once
NAMES: Final = (b"", b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"a\0b", b"ab", b"\xff")
"""Ascending."""


class JournalContract(ABC):
    """Tests that a journal keeps the port's promises; pytest collects a subclass.

    What they cannot see is power loss: that a synced commit outlives it is for the
    adapter's own tests.

    Example:
        >>> class TestOwnJournal(JournalContract):
        ...     def reopen(self, path):
        ...         return OwnJournal(str(path))
    """

    @abstractmethod
    def reopen(self, path: Path) -> Journal:
        """Open the store at `path`, where a journal was closed or a backup written."""

    def make(self, path: Path) -> Journal:
        """Make a new store at `path`, where there is nothing; as `reopen` if alike."""
        return self.reopen(path)

    def reader(self, path: Path) -> Journal | None:  # noqa: ARG002  # for subclasses
        """Open the store at `path` with `read_only`, while a journal has it open.

        `None` leaves out the tests of it: for engines that allow no such thing.
        """
        return None

    @contextmanager
    def journal(self, path: Path) -> Iterator[Journal]:
        """Lend a new journal, closed at the end."""
        with closing(self.make(path / "store")) as journal:
            yield journal

    def test_commit_writes_every_row(self, tmp_path: Path) -> None:
        """What is committed is read, each row under its name."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"1", b"b": b"2"}, sync=True)
            assert (journal.get(b"a"), journal.get(b"b")) == (b"1", b"2")
            assert journal.get(b"c") is None
            assert rows_of(journal) == [(b"a", b"1"), (b"b", b"2")]

    def test_commit_takes_the_last_write(self, tmp_path: Path) -> None:
        """A row replaces the one of its name, whatever was synced."""
        with self.journal(tmp_path) as journal:
            for number, sync in enumerate((True, False, False, True, False)):
                journal.commit({b"a": b"%d" % number}, sync=sync)
            assert rows_of(journal) == [(b"a", b"4")]

    def test_commit_removes_rows(self, tmp_path: Path) -> None:
        """`None` removes a row, also one that is not there, beside others written."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"1", b"b": b"2"}, sync=False)
            journal.commit({b"a": None, b"c": b"3", b"none": None}, sync=True)
            assert journal.get(b"a") is None
            assert rows_of(journal) == [(b"b", b"2"), (b"c", b"3")]

    def test_commit_without_rows_changes_nothing(self, tmp_path: Path) -> None:
        """An empty commit may be made at any time, to sync or not."""
        with self.journal(tmp_path) as journal:
            journal.commit({}, sync=True)
            journal.commit({b"a": b"1"}, sync=False)
            for sync in (True, True, False):
                journal.commit({}, sync=sync)
            assert rows_of(journal) == [(b"a", b"1")]

    def test_commit_is_seen_whole(self, tmp_path: Path) -> None:
        """A scan beside commits never sees a part of one."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(0), sync=False)
            seen: list[set[bytes]] = []
            stop = threading.Event()

            def look() -> None:
                while not stop.is_set():
                    seen.append({row for _, row in journal.scan(FIRST, LAST)})

            with running(look, stop):
                for number in range(1, 50):
                    journal.commit(same(number), sync=False)
            assert all(len(rows) == 1 for rows in seen)

    def test_names_are_any_bytes_in_order(self, tmp_path: Path) -> None:
        """Names may be empty, hold NUL and 0xff, and are scanned in order of bytes."""
        with self.journal(tmp_path) as journal:
            for name in reversed(NAMES):
                journal.commit({name: b"<" + name}, sync=False)
            expected = [(name, b"<" + name) for name in NAMES]
            assert list(journal.scan(FIRST, LAST)) == expected
            assert [journal.get(name) for name in NAMES] == [row for _, row in expected]

    def test_records_are_any_bytes(self, tmp_path: Path) -> None:
        """A record may be empty, which is not the same as none, or large."""
        large = bytes(range(256)) * 4096
        with self.journal(tmp_path) as journal:
            journal.commit({b"empty": b"", b"large": large}, sync=True)
            assert journal.get(b"empty") == b""
            assert journal.get(b"large") == large
            assert rows_of(journal) == [(b"empty", b""), (b"large", large)]

    def test_scan_is_half_open(self, tmp_path: Path) -> None:
        """A scan begins with its start and ends before its stop."""
        with self.journal(tmp_path) as journal:
            journal.commit(dict.fromkeys(NAMES, b""), sync=False)
            for start in NAMES:
                for stop in NAMES:
                    found = [name for name, _ in journal.scan(start, stop)]
                    assert found == [name for name in NAMES if start <= name < stop]

    def test_scan_is_of_one_moment(self, tmp_path: Path) -> None:
        """A scan that was begun sees none of the commits that follow."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(0), sync=False)
            scan = journal.scan(FIRST, LAST)
            found = [next(scan)]
            journal.commit(dict.fromkeys(same(0), None), sync=True)
            journal.commit({b"other": b"1"}, sync=True)
            found.extend(scan)
            assert dict(found) == same(0)
            assert rows_of(journal) == [(b"other", b"1")]

    def test_scan_may_be_dropped(self, tmp_path: Path) -> None:
        """A scan that nobody ends holds nothing up."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(0), sync=False)
            for _ in range(50):
                next(journal.scan(FIRST, LAST))
            journal.commit(same(1), sync=True)
            journal.compact()
            assert dict(rows_of(journal)) == same(1)

    def test_reader_is_of_the_moment_it_was_opened(self, tmp_path: Path) -> None:
        """What is open for reading reads on as if nobody had committed since."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(1), sync=True)
            opened = self.reader(tmp_path / "store")
            if opened is None:
                return
            with closing(opened) as reader:
                journal.commit({**same(2), b"0000": None, b"more": b"2"}, sync=True)
                assert (reader.get(b"0000"), reader.get(b"more")) == (b"1", None)
                assert dict(rows_of(reader)) == same(1)
            assert (journal.get(b"0000"), journal.get(b"more")) == (None, b"2")

    def test_sound_journal_has_no_problems(self, tmp_path: Path) -> None:
        """An engine that looks at itself finds nothing, open or opened again."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(1), sync=False)
            journal.commit(dict.fromkeys([*same(1)][::2]), sync=True)
            if isinstance(journal, Examined):
                assert list(journal.problems()) == []
        with closing(self.reopen(tmp_path / "store")) as journal:
            if isinstance(journal, Examined):
                assert list(journal.problems()) == []

    def test_reads_come_from_any_thread(self, tmp_path: Path) -> None:
        """Threads read while another commits, and see what was committed before."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"0"}, sync=False)
            wrong: list[object] = []
            stop = threading.Event()

            def look() -> None:
                before = 0
                while not stop.is_set():
                    now = int(journal.get(b"a") or -1)
                    if now < before:
                        wrong.append((before, now))
                    before = now

            with running(look, stop), running(look, stop):
                for number in range(100):
                    journal.commit({b"a": b"%d" % number}, sync=number % 10 == 0)
                    assert journal.get(b"a") == b"%d" % number
            assert wrong == []

    def test_close_keeps_what_is_committed(self, tmp_path: Path) -> None:
        """Synced or not, a commit is there when the store is opened again."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"1", b"b": b"2"}, sync=True)
            journal.commit({b"a": None, b"c": b"3"}, sync=False)
        for _ in range(2):
            with closing(self.reopen(tmp_path / "store")) as journal:
                assert rows_of(journal) == [(b"b", b"2"), (b"c", b"3")]

    def test_backup_is_of_one_moment(self, tmp_path: Path) -> None:
        """A backup is a store of its own with what was committed when it began."""
        with self.journal(tmp_path) as journal:
            journal.commit(same(1), sync=False)
            journal.backup(str(tmp_path / "copy"))
            journal.commit(same(2), sync=True)
        with closing(self.reopen(tmp_path / "copy")) as copy:
            assert dict(rows_of(copy)) == same(1)
            copy.commit({b"more": b"1"}, sync=True)
            assert copy.get(b"more") == b"1"
        with closing(self.reopen(tmp_path / "store")) as journal:
            assert dict(rows_of(journal)) == same(2)

    def test_backup_refuses_an_existing_target(self, tmp_path: Path) -> None:
        """A backup replaces nothing, least of all an earlier one."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"1"}, sync=True)
            journal.backup(str(tmp_path / "copy"))
            journal.commit({b"a": b"2"}, sync=True)
            fails(StoreError, lambda: journal.backup(str(tmp_path / "copy")))
        with closing(self.reopen(tmp_path / "copy")) as copy:
            assert rows_of(copy) == [(b"a", b"1")]

    def test_compact_keeps_everything(self, tmp_path: Path) -> None:
        """Giving back space changes nothing that is read."""
        with self.journal(tmp_path) as journal:
            for number in range(5):
                journal.commit(same(number), sync=False)
            journal.commit({b"0000": None}, sync=False)
            before = rows_of(journal)
            journal.compact()
            assert rows_of(journal) == before
            assert journal.size_bytes() > 0

    def test_close_is_idempotent_and_final(self, tmp_path: Path) -> None:
        """After the first `close` all else is refused."""
        with self.journal(tmp_path) as journal:
            journal.commit({b"a": b"1"}, sync=True)
            journal.close()
            journal.close()
            fails(ClosedError, lambda: journal.get(b"a"))
            fails(ClosedError, lambda: rows_of(journal))
            fails(ClosedError, lambda: journal.commit({b"a": b"2"}, sync=False))
            fails(ClosedError, lambda: journal.commit({}, sync=True))
            fails(ClosedError, lambda: journal.backup(str(tmp_path / "copy")))
            fails(ClosedError, journal.compact)


def rows_of(journal: Journal) -> list[tuple[bytes, bytes]]:
    """Return every row."""
    return list(journal.scan(FIRST, LAST))


def same(number: int) -> dict[bytes, bytes]:
    """Return many rows with the same record."""
    return {b"%04d" % each: b"%d" % number for each in range(ROWS)}


def fails(kind: type[Exception], call: Callable[[], object]) -> None:
    """Check that `call` raises `kind`."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


@contextmanager
def running(work: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Run `work` in a thread that `stop` ends with the block; raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]
