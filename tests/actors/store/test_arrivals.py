"""Arrivals: whatever ends one, the owner is there as a whole or not at all."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from stateward import CommitFailedError, CorruptStoreError, StateManager, StoreError
from stateward.actors.core.cells import Cell
from stateward.actors.core.ports import Rows
from stateward.actors.core.state import OwnerState
from stateward.actors.store import store as store_module
from stateward.actors.store.arrivals import Arrival
from stateward.actors.store.checking import inspect
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import entry_range, head_name
from stateward.actors.store.store import DurableStore
from tests.actors.store.kept import (
    cells,
    exported,
    journal_of,
    loaded,
    opened,
    rows_of,
    write_some,
)
from tests.actors.store.stores import A, B

ELSEWHERE: Final = "sqlite:///elsewhere"
KEYS: Final = 30


class Journal(MemoryJournal):
    """A journal that keeps what each moment would leave, and fails when told to."""

    def __init__(self, rows: Rows | None = None) -> None:
        """Begin with nothing to raise."""
        super().__init__((rows or {}).items())  # type: ignore[arg-type]  # no deletions
        self.moments: list[MemoryJournal] = []
        self.error: Exception | None = None

    def commit(self, rows: Rows, *, sync: bool) -> None:
        if self.error is not None:
            raise self.error
        super().commit(rows, sync=sync)
        self.moments += [self.crash(), self.killed()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """An owner on its way, before and after a change, and a store for it."""

    before: list[Cell]
    after: list[Cell]
    state: OwnerState
    """As after the change."""
    wanted: list[bytes]
    """What the store must hold in the end."""
    journal: Journal
    """Of the store it comes to, which holds another owner."""


def write_large(manager: StateManager) -> None:
    """Write to one owner."""
    state = manager.workflow_state("a")
    for number in range(KEYS):
        state[f"{number:02}"] = number
    state.step("s")["list"] = [1]


def change(manager: StateManager) -> None:
    """Change the same owner: an entry is new, one replaced, one deleted."""
    write_large(manager)
    state = manager.workflow_state("a")
    state["new"] = "new"
    state["00"] = "replaced"
    del state["29"]


def write_other(manager: StateManager) -> None:
    """Write to another owner."""
    manager.workflow_state("b")["one"] = 1


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it take several commits to clear something away."""
    monkeypatch.setattr(store_module, "CLEAR_ROWS", 3)


@pytest.fixture
def coming(tmp_path: Path) -> Coming:
    """Return an owner on its way to a store that holds another."""
    with opened(journal_of(tmp_path, write_large), tmp_path) as store:
        before = cells(loaded(store, A))

    def both(manager: StateManager) -> None:
        change(manager)
        write_other(manager)

    with opened(journal_of(tmp_path, both), tmp_path) as store:
        state, wanted = loaded(store, A), exported(store)
    journal = Journal(rows_of(journal_of(tmp_path, write_other)))
    return Coming(
        before=before, after=cells(state), state=state, wanted=wanted, journal=journal
    )


def send(arrival: Arrival, entries: Sequence[Cell]) -> None:
    """Write entries in some commits."""
    for start in range(0, len(entries), 10):
        arrival.put(entries[start : start + 10])
    arrival.verify()


def finish(arrival: Arrival, coming: Coming) -> None:
    """Write what has changed."""
    state = coming.state
    arrival.finish(
        coming.after,
        revision=state.revision,
        keys=state.keys,
        size=state.size,
        version=0,
    )


def is_whole(store: DurableStore, coming: Coming) -> bool:
    """Return whether the owner is there; check that it is whole or nothing of it."""
    assert list(inspect(store)) == []
    left = list(store.ledger.journal.scan(*entry_range(A)))
    if store.holds(A) is None:
        assert loaded(store, A).is_empty()
        assert left == [] or store.ledger.read_only
        return False
    assert exported(store) == coming.wanted
    return True


@pytest.mark.parametrize("ahead", ["nothing", "before", "after"])
def test_arrival_that_ends_well_is_exact(
    coming: Coming, tmp_path: Path, ahead: str
) -> None:
    """However much was sent ahead, in the end all is as where it came from."""
    sent = {"nothing": [], "before": coming.before, "after": coming.after}[ahead]
    with opened(coming.journal, tmp_path) as store:
        arrival = store.arrive(A)
        if sent:
            send(arrival, sent)
            assert store.holds(A) is None
            assert loaded(store, A).is_empty()
        finish(arrival, coming)
        assert is_whole(store, coming)
        left = coming.journal.crash()
    with opened(left, tmp_path) as store:
        assert is_whole(store, coming)


def test_arrival_gives_a_seal_to_go_on_with(coming: Coming, tmp_path: Path) -> None:
    """The seal says what is stored now, so that the next commit fits."""
    with opened(coming.journal, tmp_path) as store:
        state = coming.state
        seal = store.arrive(A).finish(
            coming.after,
            revision=state.revision,
            keys=state.keys,
            size=state.size,
            version=0,
        )
        assert seal.head == store.heads.find(A)
        state.seal = seal
        store.commit([(state, [])], sync=True)
        assert is_whole(store, coming)


def test_arrival_ended_by_a_crash_leaves_all_or_nothing(
    coming: Coming, tmp_path: Path
) -> None:
    """Between any two commits power loss and a kill leave a whole owner or none."""
    with opened(coming.journal, tmp_path) as store:
        coming.journal.moments.clear()
        arrival = store.arrive(A)
        send(arrival, coming.before)
        finish(arrival, coming)
        moments = list(coming.journal.moments)
    assert len(moments) > 10
    found = []
    for moment in moments:
        with opened(moment.killed(), tmp_path, read_only=True) as store:
            found.append(is_whole(store, coming))
        with opened(moment, tmp_path) as store:
            assert is_whole(store, coming) == found[-1]
            assert loaded(store, B).own["one"].value == 1
            assert store.ledger.about.clearing is None
    assert found == [False] * (len(found) - 2) + [True] * 2


@pytest.mark.parametrize("how", ["lose", "flip", "add"])
def test_arrival_reads_what_it_wrote(coming: Coming, tmp_path: Path, how: str) -> None:
    """A record that reads otherwise than it was written is noticed before the end."""
    with opened(coming.journal, tmp_path) as store:
        arrival = store.arrive(A)
        send(arrival, coming.before)
        (name, record), *_ = store.ledger.journal.scan(*entry_range(A))
        damaged = {"lose": None, "flip": record[:-1] + b"9", "add": record}[how]
        name += b"2" if how == "add" else b""
        coming.journal.commit({name: damaged}, sync=False)
        with pytest.raises(CorruptStoreError, match="records were written"):
            arrival.verify()


def test_arrival_reads_what_it_wrote_last(
    coming: Coming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last commit wrote is read as well."""
    with opened(coming.journal, tmp_path) as store:
        arrival = store.arrive(A)
        get = coming.journal.get

        def forgetful(name: bytes) -> bytes | None:
            return None if name.startswith(entry_range(A)[0]) else get(name)

        monkeypatch.setattr(coming.journal, "get", forgetful)
        with pytest.raises(CorruptStoreError, match="does not read"):
            finish(arrival, coming)


def test_arrival_that_failed_can_begin_again(coming: Coming, tmp_path: Path) -> None:
    """What an arrival left that a full disk ended is cleared by the next one."""
    with opened(coming.journal, tmp_path) as store:
        arrival = store.arrive(A)
        arrival.put(coming.after)
        coming.journal.error = CommitFailedError("full", effect="none")
        with pytest.raises(CommitFailedError, match="full"):
            finish(arrival, coming)
        coming.journal.error = None
        again = store.arrive(A)
        assert list(coming.journal.scan(*entry_range(A))) == []
        send(again, coming.before)
        finish(again, coming)
        assert is_whole(store, coming)


def fail_after(journal: Journal, act: Callable[[], object]) -> None:
    """Have the disk be full after `act`, for one commit."""
    act()
    journal.error = CommitFailedError("full", effect="none")


def test_arrival_leaves_no_other_owner_uncleared(
    coming: Coming, tmp_path: Path
) -> None:
    """What was left of an owner that went away is cleared before another comes."""
    with opened(coming.journal, tmp_path) as store:
        fail_after(coming.journal, lambda: store.depart(B, ELSEWHERE))
        with pytest.raises(CommitFailedError, match="full"):
            store.clear_some()
        coming.journal.error = None
        arrival = store.arrive(A)
        send(arrival, coming.before)
        finish(arrival, coming)
        assert list(coming.journal.scan(*entry_range(B))) == []
        assert list(inspect(store)) == []


def test_owners_that_depart_are_cleared_one_by_one(tmp_path: Path) -> None:
    """One whose rest was not cleared is, before the next one departs."""
    journal = Journal(rows_of(journal_of(tmp_path)))
    with opened(journal, tmp_path) as store:
        store.depart(A, ELSEWHERE)
        store.depart(B, ELSEWHERE)
        while store.clear_some():
            pass
        for scope in (A, B):
            assert list(journal.scan(*entry_range(scope))) == []
        assert list(inspect(store)) == []


def test_owner_that_departed_is_refused_where_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks for it is told where it is; the others go on, and it may come back."""
    caplog.set_level(logging.CRITICAL)
    journal = Journal(rows_of(journal_of(tmp_path, write_some)))
    with opened(journal, tmp_path) as store:
        whole, state = exported(store), loaded(store, A)
        store.leave(A, ELSEWHERE)
        for use in (lambda: loaded(store, A), lambda: store.holds(A)):
            with pytest.raises(
                StoreError, match=r"may have moved .* to sqlite:///else"
            ):
                use()
        store.depart(A, ELSEWHERE)
        assert store.ledger.about.leaving is None
        for _ in range(2):
            assert store.holds(A) is None
            with pytest.raises(StoreError, match="was moved to sqlite:///elsewhere"):
                loaded(store, A)
            assert A not in [usage[0] for usage in store.usages()]
            assert loaded(store, B).keys == 4
            while store.clear_some():
                pass
        store.arrive(A).finish(
            cells(state),
            revision=state.revision,
            keys=state.keys,
            size=state.size,
            version=0,
        )
        assert exported(store) == whole
        assert list(inspect(store)) == []


@pytest.mark.parametrize("how", ["crash", "killed"])
def test_owner_on_its_way_back_is_whole_or_elsewhere(tmp_path: Path, how: str) -> None:
    """One that comes back among what it left is here once all of it is, not before."""
    journal = Journal(rows_of(journal_of(tmp_path)))
    with opened(journal, tmp_path) as store:
        state, whole = loaded(store, A), exported(store)
        store.depart(A, ELSEWHERE)
        journal.moments.clear()
        arrival = store.arrive(A)
        arrival.put(cells(state)[:2])
        arrival.finish(
            cells(state),
            revision=state.revision,
            keys=state.keys,
            size=state.size,
            version=0,
        )
        moments = journal.moments[how == "killed" :: 2]
    for moment in moments:
        with opened(moment, tmp_path) as store:
            assert list(inspect(store)) == []
            if moment is moments[-1]:
                assert exported(store) == whole
            else:
                assert store.heads.find(A) is not None
                assert store.holds(A) is None


def test_head_of_an_owner_that_left_holds_nothing(tmp_path: Path) -> None:
    """It says where the owner is not, and its revision, so that none is given twice."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        before = store.heads.find(A)
        store.depart(A, ELSEWHERE)
        head = store.heads.find(A)
        assert before is not None
        assert head is not None
        assert (head.moved, head.entries, head.keys, head.size) == (True, 0, 0, 0)
        assert head.revision == before.revision
        assert store.ledger.journal.get(head_name(A)) is not None
