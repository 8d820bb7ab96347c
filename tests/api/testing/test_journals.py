import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stateward.actors.core.ports import Journal, Rows
from stateward.actors.store.memory import MemoryJournal
from stateward.testing import JournalContract


class Forgetful(MemoryJournal):
    """Removes nothing."""

    def commit(self, rows: Rows, *, sync: bool) -> None:
        kept = {name: row for name, row in rows.items() if row is not None}
        super().commit(kept, sync=sync)


class Greedy(MemoryJournal):
    """Scans one row too many."""

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return super().scan(start, stop + b"\0")


class Deaf(MemoryJournal):
    """Does not close."""

    def close(self) -> None:
        pass


class Truncating(MemoryJournal):
    """Drops what is empty."""

    def get(self, name: bytes) -> bytes | None:
        return super().get(name) or None


class Anxious(MemoryJournal):
    """Tells of damage where there is none."""

    def problems(self) -> Iterator[str]:
        yield "a page is torn"


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Forgetful, JournalContract.test_commit_removes_rows),
        (Greedy, JournalContract.test_scan_is_half_open),
        (Deaf, JournalContract.test_close_is_idempotent_and_final),
        (Truncating, JournalContract.test_records_are_any_bytes),
        (Anxious, JournalContract.test_sound_journal_has_no_problems),
    ],
)
def test_contract_finds_a_broken_journal(
    tmp_path: Path,
    kind: type[MemoryJournal],
    test: Callable[[JournalContract, Path], None],
) -> None:
    """A journal that breaks a promise fails the test of it."""

    class Contract(JournalContract):
        def reopen(self, path: Path) -> Journal:
            assert path.parent == tmp_path
            return kind()

    with pytest.raises(AssertionError):
        test(Contract(), tmp_path)


def test_contract_finds_a_reader_that_goes_along(tmp_path: Path) -> None:
    """A journal for reading that shows what is committed later fails the test of it."""
    made: list[Journal] = []

    class Contract(JournalContract):
        def reopen(self, path: Path) -> Journal:
            assert path.parent == tmp_path
            made.append(MemoryJournal())
            return made[-1]

        def reader(self, path: Path) -> Journal:
            assert path.parent == tmp_path
            return made[-1]

    with pytest.raises(AssertionError):
        Contract().test_reader_is_of_the_moment_it_was_opened(tmp_path)


def test_kit_is_imported_without_hypothesis_or_engines() -> None:
    """Whoever wants only the clock needs nothing else installed."""
    source = (
        "import sys, stateward.testing\n"
        "print(sorted({'hypothesis', 'rocksdict', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
