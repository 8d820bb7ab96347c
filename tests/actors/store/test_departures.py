"""Departures: what went away is forgotten, and its revisions are not used again."""

from pathlib import Path

import pytest

from stateward import StoreError
from stateward.actors.core.ports import IN_MEMORY
from stateward.actors.store.checking import inspect
from stateward.actors.store.departures import (
    forget,
    forget_all,
    forget_what_memory_kept,
)
from tests.actors.store.kept import journal_of, loaded, opened
from tests.actors.store.stores import A, B

ELSEWHERE = "sqlite:///elsewhere"


def test_owner_that_is_forgotten_begins_anew_above(tmp_path: Path) -> None:
    """It holds nothing, and goes on from the revision it had come to."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        newest = loaded(store, A).revision
        store.depart(A, ELSEWHERE)
        with pytest.raises(StoreError, match="not in"):
            loaded(store, A)
        forget(store, A)
        forget(store, A)  # It has been, and so has what was never there.
        with pytest.raises(StoreError, match="may be in"):
            loaded(store, A)  # It could begin there too.
        store.ledger.note(moved_to=None)
        state = loaded(store, A)
        assert (state.is_empty(), state.revision >= newest) == (True, True)
        assert loaded(store, B).keys > 0


def test_store_forgets_all_that_has_departed(tmp_path: Path) -> None:
    """Afterwards it is a store by itself, with nothing that lies about."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        for scope in (A, B):
            store.depart(scope, ELSEWHERE)
        forget_all(store)
        about = store.ledger.about
        assert (about.moved_to, about.clearing, store.heads.moved()) == (None, None, [])
        assert list(inspect(store)) == []
        store.check_complete()


@pytest.mark.parametrize("to", [IN_MEMORY, ELSEWHERE])
def test_only_what_memory_kept_is_forgotten_by_itself(tmp_path: Path, to: str) -> None:
    """Another store has what went there, and whoever wants it has to say so."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        store.depart(A, to)
        forget_what_memory_kept(store)
        assert store.heads.moved() == ([] if to == IN_MEMORY else [A])
