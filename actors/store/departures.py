"""Departures: a store forgets owners that have gone from it to somewhere else.

Until then it has a note of each, which keeps a crash from bringing back what went, and
who asks for it here from being told that there is nothing.
"""

from stateward.actors.core.ports import IN_MEMORY
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.batches import Seal
from stateward.actors.store.names import head_name
from stateward.actors.store.records import Head
from stateward.actors.store.store import DurableStore


def forget(store: DurableStore, scope: OwnerScope, seal: Seal | None = None) -> None:
    """Have a store know nothing of an owner that has moved away.

    Args:
        store: Where it was.
        scope: Of the owner.
        seal: Of what has begun anew there, and is in memory.
    """
    head = store.heads.find(scope)
    if head is not None and head.moved:
        after = Head(revision=head.revision, version=head.version)
        seal = seal or Seal(store, b"", head_name(scope), head)
        store.write({}, [(seal, after)], sync=False)


def forget_departed(store: DurableStore) -> None:
    """Have a store know of nothing that has moved away; nobody uses it."""
    while store.clear_some():
        pass
    for scope in store.heads.moved():
        forget(store, scope)


def forget_all(store: DurableStore) -> None:
    """Have a store be whole by itself, which nobody uses: what went away is gone."""
    forget_departed(store)
    store.ledger.note(origin=None, moved_to=None)


def forget_what_memory_kept(store: DurableStore) -> None:
    """Have owners be gone that went back to a memory that has ended since."""
    if store.ledger.about.moved_to == IN_MEMORY:
        forget_all(store)
