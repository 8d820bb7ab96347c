"""The contract of a journal, held against each of ours."""

from pathlib import Path

from stateward.actors.core.ports import Journal
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.rocksdb import RocksJournal
from stateward.actors.store.sqlite import SqliteJournal
from stateward.testing import JournalContract


class TestSqlite(JournalContract):
    def reopen(self, path: Path) -> Journal:
        return SqliteJournal(str(path))

    def reader(self, path: Path) -> Journal:
        return SqliteJournal(str(path), read_only=True)


class TestRocks(JournalContract):
    def reopen(self, path: Path) -> Journal:
        return RocksJournal(str(path))

    def reader(self, path: Path) -> Journal:
        return RocksJournal(str(path), read_only=True)


class TestMemory(JournalContract):
    """Memory has no paths; what was made at one is what is killed and found there."""

    def setup_method(self) -> None:
        self.made: dict[Path, MemoryJournal] = {}

    def make(self, path: Path) -> Journal:
        self.made[path] = MemoryJournal()
        return self.made[path]

    def reopen(self, path: Path) -> Journal:
        if path in self.made:
            return self.made[path].killed()
        (copy,) = (
            journal.backups[str(path)]
            for journal in self.made.values()
            if str(path) in journal.backups
        )
        return copy.killed()
