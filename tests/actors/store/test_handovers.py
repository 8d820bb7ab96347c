"""Handovers: two stores are never mistaken for halves of a move that they are not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stateward import StoreError, UsageError
from stateward.actors.store.handovers import (
    check_free,
    conclude,
    join,
    reopen,
    send_on,
    under_way,
)
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.store import DurableStore
from tests.actors.store.kept import journal_of, opened
from tests.actors.store.stores import A, B

ELSEWHERE = "sqlite:///elsewhere"


def perform(action: Callable[[], None]) -> None:
    """Do something at once: nobody else commits."""
    action()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[DurableStore]]:
    """Lend three stores: the first holds something, the others are new."""
    with ExitStack() as stack:
        journals = journal_of(tmp_path), MemoryJournal(), MemoryJournal()
        yield [stack.enter_context(opened(it, tmp_path)) for it in journals]


def leave(first: DurableStore, second: DurableStore) -> None:
    """Have all of a store be noted as moved to another."""
    join(first, second, second.text, perform)
    for scope, _ in list(first.heads.here()):
        first.depart(scope, second.text)
    conclude(second, first, 0, perform)
    send_on(first, second)


def noted(store: DurableStore) -> set[str]:
    """Return which notes of a move a store has."""
    about = store.ledger.about
    names = "origin", "moved_to", "left_for", "came_from"
    return {name for name in names if getattr(about, name) is not None}


def test_notes_of_a_move_go_down_the_table_and_up(stores: list[DurableStore]) -> None:
    """Joined, concluded, sent on; opened again for a share; and undone."""
    first, second, _ = stores
    join(first, second, second.text, perform)
    join(first, second, second.text, perform)  # as after a crash
    assert (noted(first), noted(second)) == ({"moved_to"}, {"origin"})
    conclude(second, first, 99, perform)
    assert (noted(first), noted(second)) == ({"moved_to", "left_for"}, {"came_from"})
    assert second.floor == 99
    send_on(first, second)
    assert (noted(first), noted(second)) == ({"left_for"}, {"came_from"})
    join(first, second, second.text, perform)
    assert (noted(first), noted(second)) == ({"left_for"}, {"came_from"})
    reopen(first, second, perform)
    reopen(first, second, perform)  # There is nothing to do any more.
    assert (noted(first), noted(second)) == ({"moved_to"}, {"origin"})
    conclude(first, second, 0, perform)
    send_on(second, first)
    assert (noted(first), noted(second)) == ({"came_from"}, {"left_for"})


def test_store_that_was_left_goes_on_in_no_other(stores: list[DurableStore]) -> None:
    """Neither elsewhere, nor in another store at the URL, nor in one that went on."""
    first, second, third = stores
    leave(first, second)
    with pytest.raises(StoreError, match=f"{second.text}: open that"):
        join(first, third, third.text, perform)
    with pytest.raises(StoreError, match="is another store now"):
        join(first, third, second.text, perform)
    second.ledger.note(moved_to=ELSEWHERE)
    with pytest.raises(StoreError, match="has gone on"):
        join(first, second, second.text, perform)


def test_half_of_a_move_is_joined_with_its_other_half_alone(
    stores: list[DurableStore],
) -> None:
    """Another store where that was, or one elsewhere, has not what has moved."""
    first, second, third = stores
    join(first, second, second.text, perform)
    first.depart(A, second.text)
    with pytest.raises(UsageError, match="under way"):
        join(first, third, third.text, perform)
    with pytest.raises(StoreError, match="not the store that some"):
        join(first, third, second.text, perform)
    assert (noted(first), noted(third)) == ({"moved_to"}, set())


def test_target_that_others_look_for_is_refused(stores: list[DurableStore]) -> None:
    """With state of its own, with owners elsewhere, or the half of another move."""
    first, second, third = stores
    with pytest.raises(StoreError, match="state of its own"):
        join(second, first, first.text, perform)
    second.ledger.note(moved_to=ELSEWHERE)
    with pytest.raises(StoreError, match="a move from"):
        join(first, second, second.text, perform)
    second.ledger.note(moved_to=None, origin="00")
    with pytest.raises(StoreError, match="being moved"):
        join(first, second, second.text, perform)
    second.ledger.note(origin=None, left_for=ELSEWHERE, moved_to=ELSEWHERE)
    with pytest.raises(StoreError, match="to end the move"):
        join(first, second, second.text, perform)
    assert noted(first) == set()
    check_free(third)
    join(first, third, third.text, perform)


def test_store_that_was_left_is_free_and_keeps_its_floor(
    stores: list[DurableStore],
) -> None:
    """Notes of what has gone are removed, and no revision is given out again."""
    first, second, _ = stores
    newest = max(head.revision for _, head in first.heads.here())
    leave(first, second)
    first.ledger.note(moved_to=second.text)  # as if a crash had come before the last
    join(second, first, first.text, perform)
    assert first.heads.moved() == []
    assert first.floor >= newest
    assert noted(first) == {"origin"}


def test_owner_that_came_back_is_refused_until_it_is_settled(tmp_path: Path) -> None:
    """Alone, the first store may not have it end: it could be in the second too."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        store.ledger.note(moved_to=ELSEWHERE)
        store.depart(A, ELSEWHERE)
        seal = store.arrive(A).finish([], revision=9, keys=0, size=0, version=None)
        assert seal.store is store
        assert store.ledger.about.arrived is not None
        with pytest.raises(StoreError, match="may be in"):
            store.ledger.check_alone(A)
        store.ledger.check_alone(B)
        store.ledger.note(arrived=None, moved_to=None)
        store.ledger.check_alone(A)


def test_move_under_way_tells_what_to_do() -> None:
    """It names the URL, and both ways on."""
    assert "sqlite:///x" in under_way("sqlite:///x")
