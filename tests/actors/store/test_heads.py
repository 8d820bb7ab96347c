"""Heads: each owner has one, and none that is lost goes unnoticed."""

from pathlib import Path

import pytest

from stateward import CorruptStoreError
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.heads import Heads
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import head_name
from stateward.actors.store.records import DamagedError, Head, head_record
from tests.actors.store.kept import RATES, journal_of, opened, workflow
from tests.actors.store.stores import A, B


@pytest.fixture
def journal(tmp_path: Path) -> MemoryJournal:
    """Return a journal with three owners."""
    return journal_of(tmp_path)


def test_heads_are_found(journal: MemoryJournal, tmp_path: Path) -> None:
    """What every owner's records add up to is found, alone and among all."""
    with opened(journal, tmp_path) as store:
        everything = dict(store.heads.all())
        assert list(everything) == [RATES, A, B]
        assert store.heads.find(workflow(1)) is None
        for scope, head in everything.items():
            assert store.heads.find(scope) == head
            assert store.heads.find(scope) is not head
        assert everything[A] == Head(4, 4, 10, 4, 43)


@pytest.mark.parametrize("index", range(56))
def test_heads_damaged_anywhere_are_told(
    journal: MemoryJournal, tmp_path: Path, index: int
) -> None:
    """A flipped bit of a head is damage to whoever asks for it."""
    name = head_name(A)
    record = bytearray(journal.get(name) or b"")
    assert len(record) == 56
    record[index] ^= 1 << index % 8
    with opened(journal, tmp_path) as store:
        journal.commit({name: bytes(record)}, sync=True)
        with pytest.raises(DamagedError):
            store.heads.find(A)
        assert store.heads.find(B) is not None
        with pytest.raises(CorruptStoreError, match=r"heads are damaged at .*wa"):
            list(store.heads.all())


@pytest.mark.parametrize("scope", [RATES, A, B])
def test_heads_that_are_lost_are_told(
    journal: MemoryJournal, tmp_path: Path, scope: OwnerScope
) -> None:
    """Where one is missing, an owner that is not found may be the one."""
    with opened(journal, tmp_path) as store:
        journal.commit({head_name(scope): None}, sync=True)
        with pytest.raises(CorruptStoreError, match=r"2 owners .* 3 were committed"):
            list(store.heads.all())
        for _ in range(2):
            with pytest.raises(DamagedError, match="may be lost"):
                store.heads.check_order()


def test_heads_too_many_are_told(journal: MemoryJournal, tmp_path: Path) -> None:
    """A head that nobody committed is damage, though it is whole."""
    name = head_name(workflow(1))
    with opened(journal, tmp_path) as store:
        journal.commit({name: head_record(name, Head(1, 1, 1))}, sync=True)
        with pytest.raises(CorruptStoreError, match=r"4 owners .* 3 were committed"):
            list(store.heads.all())


def test_heads_of_no_owner_are_told(journal: MemoryJournal, tmp_path: Path) -> None:
    """What stands among the heads and names no owner is damage."""
    with opened(journal, tmp_path) as store:
        journal.commit({b"\x01x\0": b"1"}, sync=True)
        with pytest.raises(CorruptStoreError, match="names no owner"):
            list(store.heads.all())


def test_heads_in_order_are_looked_at_once(
    journal: MemoryJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That none is missing costs a scan the first time, and nothing later."""
    with opened(journal, tmp_path) as store:
        heads = Heads(store.ledger)
        heads.check_order()
        monkeypatch.setattr(journal, "scan", None)
        heads.check_order()
