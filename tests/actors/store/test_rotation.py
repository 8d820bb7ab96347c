"""Rotation: values go from one key to the next, and may be left between the two."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from stateward import CommitFailedError, StateManager, WrongKeyError
from stateward.actors.core.ports import Rows
from stateward.actors.store import rotation
from stateward.actors.store.checking import inspect
from stateward.actors.store.ciphers import AeadCipher, KeyRing
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import ENTRIES
from stateward.actors.store.records import DamagedError, unguard
from stateward.actors.store.rotation import rekey, reseal, sealed
from stateward.actors.store.store import DurableStore
from stateward.testing import SimulatedClock
from tests.actors.store.kept import (
    EVERYTHING,
    NEW,
    OLD,
    OTHER,
    exported,
    journal_of,
    loaded,
    opened,
    rows_of,
)
from tests.actors.store.stores import A, name_in
from tests.journals import Disk

BOTH = KeyRing(NEW, OLD)
COUNT = 9
"""Values in the stores of these tests."""


class Journal(MemoryJournal):
    """A journal that keeps what each commit left, and lets a number of them through."""

    def __init__(self, rows: Rows) -> None:
        """Begin with rows, and let everything through."""
        super().__init__(rows.items())  # type: ignore[arg-type]  # no deletions
        self.moments: list[MemoryJournal] = []
        self.allowed = 1000

    def commit(self, rows: Rows, *, sync: bool) -> None:
        if not self.allowed:
            raise CommitFailedError("full", effect="none")
        self.allowed -= 1
        super().commit(rows, sync=sync)
        self.moments.append(self.crash())


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return a journal sealed with the old key."""
    return Journal(rows_of(journal_of(tmp_path, key=OLD)))


def rotate(store: DurableStore, key: KeyRing = BOTH) -> int:
    """Seal everything with the newest key; return how much was not."""
    rekey(store, AeadCipher(key))
    return sum(reseal(store, names) for names in sealed(store))


def by_newest(journal: MemoryJournal) -> int:
    """Return how many values are sealed with the new key."""
    new = AeadCipher(NEW)
    return sum(
        new.is_newest(unguard(name, record)[33:])
        for name, record in journal.scan(ENTRIES, EVERYTHING[1])
    )


def test_rotation_seals_everything_anew(journal: Journal, tmp_path: Path) -> None:
    """Afterwards the new key alone opens the store, which holds the same."""
    with opened(journal, tmp_path, key=OLD) as store:
        before, heads = exported(store), dict(store.heads.all())
        told: list[tuple[int, int]] = []
        rekey(store, AeadCipher(BOTH))
        parts = list(sealed(store, progress=lambda *it: told.append(it)))
        assert [reseal(store, names) for names in parts] == [1, 4, 4]
        assert told == [(1, 3), (2, 3), (3, 3)]
        assert exported(store) == before
        assert rotate(store) == 0
        left = journal.crash()
    assert by_newest(left) == COUNT
    with opened(left.killed(), tmp_path, key=NEW) as store:
        assert exported(store) == before
        assert dict(store.heads.all()) == heads
        assert list(inspect(store)) == []
    with pytest.raises(WrongKeyError), opened(left, tmp_path, key=OLD):
        pass


def test_rotation_ended_anywhere_is_opened_with_both_keys(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever commit was the last, both keys read all of it, and one call ends it."""
    monkeypatch.setattr(rotation, "SLICE", 2)
    with opened(journal, tmp_path, key=OLD) as store:
        before = exported(store)
        journal.moments.clear()
        rotate(store)
        moments = list(journal.moments)
    counts = [by_newest(moment) for moment in moments]
    assert counts == [0, 1, 3, 5, 7, 9]
    for moment, count in zip(moments, counts, strict=True):
        with opened(moment.killed(), tmp_path, key=BOTH) as store:
            assert exported(store) == before
            assert list(inspect(store)) == []
            assert rotate(store) == COUNT - count
            ended = moment.killed()
        with pytest.raises(WrongKeyError), opened(ended, tmp_path, key=OLD):
            pass
        with opened(moment, tmp_path, key=NEW) as store:
            if count < COUNT:
                with pytest.raises(WrongKeyError, match="no key"):
                    exported(store)
            else:
                assert exported(store) == before


def test_rotation_ended_by_a_full_disk_goes_on(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that fails leaves what was sealed before, and the call is repeated."""
    monkeypatch.setattr(rotation, "SLICE", 2)
    with opened(journal, tmp_path, key=OLD) as store:
        before = exported(store)
        left = []
        for allowed in (0, 1, 3):
            journal.allowed = allowed
            with pytest.raises(CommitFailedError, match="full"):
                rotate(store)
            left.append(by_newest(journal))
            assert exported(store) == before
        journal.allowed = 1000
        assert rotate(store) == COUNT - left[-1]
        assert left == [0, 0, 3]


def test_rotation_leaves_commits_made_meanwhile_alone(
    journal: Journal, tmp_path: Path
) -> None:
    """What is written, replaced or deleted in between is neither lost nor revived."""
    disk = Disk(tmp_path, MemoryJournal())
    disk.journal = journal
    with disk.manager(key=OLD, clock=SimulatedClock(1_000_010)) as manager:
        state = manager.workflow_state("a")
        store = store_of(manager)
        rekey(store, AeadCipher(BOTH))
        parts = list(sealed(store))
        state["one"] = "replaced"
        state["new"] = "written"
        del state["list"]
        assert sum(reseal(store, names) for names in parts) == COUNT - 2
        assert dict(state) == {"one": "replaced", "later": "kept", "new": "written"}
        left = journal.killed()
    with opened(left, tmp_path, key=NEW) as store:
        assert list(inspect(store)) == []
        own = loaded(store, A).own
        assert {key: cell.thaw() for key, cell in own.items()} == {
            "one": "replaced",
            "later": "kept",
            "new": "written",
        }


def store_of(manager: StateManager) -> DurableStore:
    """Return the store that a manager commits to."""
    vault = manager.engine.directory.vault
    assert vault is not None
    (store,) = vault.placement.stores()
    assert isinstance(store, DurableStore)
    return store


def test_rotation_of_a_store_that_is_not_sealed_is_refused(tmp_path: Path) -> None:
    """No value is sealed where the store says that none is."""
    journal = journal_of(tmp_path)
    before = rows_of(journal)
    with opened(journal, tmp_path) as store:
        with pytest.raises(WrongKeyError, match="not sealed"):
            rekey(store, AeadCipher(BOTH))
        assert rows_of(journal) == before


@pytest.mark.parametrize("key", [NEW, OTHER, KeyRing(NEW, OTHER)], ids=type)
def test_rotation_that_lacks_the_present_key_is_refused(
    journal: Journal, tmp_path: Path, key: bytes | KeyRing
) -> None:
    """Nothing is sealed with a key while nobody could read the rest."""
    before = rows_of(journal)
    with opened(journal, tmp_path, key=OLD) as store:
        with pytest.raises(WrongKeyError, match="no key"):
            rekey(store, AeadCipher(key))
        assert rows_of(journal) == before
        assert len(exported(store)) == 14


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record[:-1],
        lambda _: b"",
        lambda _: b"x" * 60,
        lambda record: bytes([record[0] ^ 1]) + record[1:],
    ],
    ids=["cut", "empty", "other", "checksum"],
)
def test_rotation_does_not_seal_damage(
    journal: Journal, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A damaged value is told and left; it does not become one that opens."""
    name = name_in(A, "one")
    with opened(journal, tmp_path, key=OLD) as store:
        damaged = damage(rows_of(journal)[name])
        journal.commit({name: damaged}, sync=True)
        with pytest.raises(DamagedError):
            rotate(store)
        assert rows_of(journal)[name] == damaged


def test_rotation_goes_on_through_several_keys(
    journal: Journal, tmp_path: Path
) -> None:
    """Key after key, each needs the one before, and no other."""
    keys = [bytes([number]) * 32 for number in range(4)]
    with opened(journal, tmp_path, key=OLD) as store:
        before = exported(store)
        for old, new in pairwise([OLD, *keys]):
            assert rotate(store, KeyRing(new, old)) == COUNT
        assert exported(store) == before
        left = journal.killed()
    with opened(left, tmp_path, key=keys[-1]) as store:
        assert exported(store) == before
