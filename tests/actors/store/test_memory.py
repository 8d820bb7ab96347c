from stateward.actors.core.ports import Journal
from stateward.actors.store.memory import MemoryJournal


def test_crash_leaves_what_was_synced() -> None:
    """Power loss takes every commit after the last sync."""
    journal = MemoryJournal()
    journal.commit({b"a": b"1", b"b": b"1"}, sync=False)
    assert rows_of(journal.crash()) == {}
    journal.commit({b"a": b"2"}, sync=True)
    journal.commit({b"a": None, b"c": b"3"}, sync=False)
    assert rows_of(journal.crash()) == {b"a": b"2", b"b": b"1"}
    journal.commit({}, sync=True)
    assert rows_of(journal.crash()) == {b"b": b"1", b"c": b"3"}


def test_killed_leaves_every_commit() -> None:
    """The end of the process takes nothing, and makes nothing synced."""
    journal = MemoryJournal()
    journal.commit({b"a": b"1"}, sync=True)
    journal.commit({b"a": None, b"b": b"2"}, sync=False)
    killed = journal.killed()
    assert rows_of(killed) == {b"b": b"2"}
    assert rows_of(killed.crash()) == {b"a": b"1"}
    killed.commit({}, sync=True)
    assert rows_of(killed.crash()) == {b"b": b"2"}


def test_what_is_left_is_apart() -> None:
    """Neither journal sees what the other commits afterwards."""
    journal = MemoryJournal([(b"a", b"1")])
    for left in (journal.crash(), journal.killed()):
        left.commit({b"b": b"2"}, sync=True)
        journal.commit({b"c": b"3"}, sync=True)
        assert rows_of(left) == {b"a": b"1", b"b": b"2"}
        assert rows_of(journal) == {b"a": b"1", b"c": b"3"}
        journal.commit({b"c": None}, sync=True)


def rows_of(journal: Journal) -> dict[bytes, bytes]:
    """Return every row."""
    return dict(journal.scan(b"", b"z"))
