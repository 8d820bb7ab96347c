from pathlib import Path

import pytest

from stateward import CommitFailedError, StoreFullError
from stateward.actors.core.ports import Journal
from stateward.testing import Fault, FaultyJournal, JournalContract
from stateward.testing.faulty import MemoryMark


class TestFaultyJournal(JournalContract):
    """Without a fault it is a journal like any; what was made is killed and found."""

    def setup_method(self) -> None:
        self.made: dict[Path, FaultyJournal] = {}

    def make(self, path: Path) -> Journal:
        self.made[path] = FaultyJournal()
        return self.made[path]

    def reopen(self, path: Path) -> Journal:
        if path in self.made:
            return self.made[path].after_kill()
        (copy,) = (
            journal.backups[str(path)]
            for journal in self.made.values()
            if str(path) in journal.backups
        )
        return copy.killed()


def rows(journal: Journal) -> dict[bytes, bytes]:
    """Return all that is in a journal."""
    return dict(journal.scan(b"", b"\xff"))


@pytest.mark.parametrize(
    ("fault", "error", "effect", "written"),
    [
        (Fault.REFUSED, CommitFailedError, "none", False),
        (Fault.FULL, StoreFullError, "none", False),
        (Fault.LOST, CommitFailedError, "unknown", False),
        (Fault.KEPT, CommitFailedError, "unknown", True),
    ],
)
def test_fault_fails_one_commit_and_says_what_is_known(
    fault: Fault, error: type[CommitFailedError], effect: str, written: bool
) -> None:
    """A commit that fails writes all or nothing, and the next one succeeds."""
    journal = FaultyJournal()
    journal.faults.append(fault)
    with pytest.raises(error) as caught:
        journal.commit({b"a": b"1"}, sync=True)
    assert type(caught.value) is error
    assert caught.value.effect == effect
    assert (b"a" in rows(journal)) is written
    assert rows(journal.after_power_loss(0)) == {}
    journal.commit({b"b": b"1"}, sync=True)
    assert journal.after_power_loss(0).get(b"b") == b"1"


def test_slow_commit_waits_before_it_is_written_and_after() -> None:
    """A crash while a commit waits loses it or keeps it, as is chosen."""
    seen = []

    def wait() -> None:
        seen.append(
            (
                rows(journal),
                rows(journal.after_kill()),
                rows(journal.after_kill(under_way=True)),
                rows(journal.after_power_loss(journal.unsynced)),
                rows(journal.after_power_loss(0)),
            )
        )

    journal = FaultyJournal(wait=wait)
    journal.faults.append(Fault.SLOW)
    journal.commit({b"a": b"1"}, sync=True)
    there: dict[bytes, bytes] = {b"a": b"1"}
    assert seen == [({}, {}, there, there, {}), (there,) * 5]


def test_power_loss_leaves_any_first_part_of_what_was_not_synced() -> None:
    """What was synced stays, and of the rest as many commits as is chosen."""
    journal = FaultyJournal()
    journal.commit({b"a": b"1"}, sync=True)
    for number in (1, 2, 3):
        journal.commit({b"n": b"%d" % number}, sync=False)
    assert journal.unsynced == 3
    left = [rows(journal.after_power_loss(kept)).get(b"n") for kept in range(4)]
    assert left == [None, b"1", b"2", b"3"]
    assert rows(journal.after_power_loss(0)) == {b"a": b"1"}
    assert journal.after_power_loss(2).unsynced == 0


def test_kill_leaves_every_commit_still_unsynced() -> None:
    """The end of a process loses nothing, and power loss afterwards still may."""
    journal = FaultyJournal()
    journal.commit({b"a": b"1"}, sync=False)
    left = journal.after_kill()
    assert (rows(left), left.unsynced) == ({b"a": b"1"}, 1)
    assert rows(left.after_power_loss(0)) == {}


def test_mark_knows_the_newest_commits_of_its_store() -> None:
    """A mark keeps two numbers, and those of another store count for nothing."""
    mark = MemoryMark()
    assert (mark.newest, mark.choose(b"store")) == (0, 0)
    for commit in (1, 2, 3):
        mark.advance(commit)
    later = MemoryMark(mark.slots)
    assert (later.newest, later.choose(b"store"), later.choose(b"other")) == (3, 3, 0)
    assert [commit for _, commit in mark.slots] == [2, 3]
    mark.close()
