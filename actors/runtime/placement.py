"""Placement: which store keeps which owner, also while a manager moves to another."""

import hashlib
from collections.abc import Iterator

from stateward.actors.core.ports import Store
from stateward.actors.core.scopes import OwnerScope, WorkflowScope
from stateward.actors.core.state import OwnerState


class Placement:
    """Where each owner is, and where it is to be.

    Concurrency: Read by everybody. The stores and the share are changed in the
    supervisor's turns; `moving` and `void` by the thread that moves, or between two
    commits.
    """

    def __init__(self, origin: Store | None) -> None:
        """Begin with everything in `origin`, or in memory if that is `None`."""
        self.origin = origin
        self.target: Store | None = None
        """Where some or all owners are moving to."""
        self.rollout = 0.0
        """Which share of the workflows is to be there; all else follows at 1."""
        self.moving: dict[OwnerScope, Store | None] = {}
        """Where an owner is that is on its way. One that begins anew meanwhile does so
        there: pieces of the former one are in its new place."""
        self.void: set[OwnerScope] = set()
        """Owners in memory of which the target may hold something that counts not."""
        self.least = 0
        """Highest revision of what memory alone has kept and forgotten."""

    def stores(self) -> Iterator[Store]:
        """Yield every store there is."""
        if self.origin is not None:
            yield self.origin
        if self.target is not None:
            yield self.target

    def wanted(self, scope: OwnerScope) -> Store | None:
        """Return where an owner is to be; `None` for memory."""
        if self.target is None:
            return self.origin
        chosen = self.rollout >= 1 or (
            isinstance(scope, WorkflowScope)
            and share_of(scope.workflow_id) < self.rollout
        )
        return self.target if chosen else self.origin

    def load(self, state: OwnerState) -> bool:
        """Fill a new state from where its owner is; `False` if that is memory.

        Raises:
            CorruptStoreError: Something of it is damaged or missing.
        """
        if self.target is None:
            store = self.origin
            if store is not None:
                store.load(state)
        else:
            store = self._find(state.scope)
            if store is not None:
                store.load(state, anew=True)
        if store is None:
            return False
        state.make_row()
        if state.is_empty():
            # It may have been dropped where it was before.
            state.begin_at(max(state.revision, self.floor), 0, 0)
        return True

    def _find(self, scope: OwnerScope) -> Store | None:
        """Return the store an owner is in, or is to begin in."""
        found = [
            (revision, store)
            for store in self.stores()
            if not self._is_void(scope, store)
            and (revision := store.holds(scope)) is not None
        ]
        if not found:
            if scope in self.moving:
                return self.moving[scope]
            return self.wanted(scope)
        # Both have it after a crash in the middle of its move. The later one counts,
        # of equals the one it was moving to.
        _, store = max(found, key=lambda it: (it[0], it[1] is self.target))
        return store

    @property
    def floor(self) -> int:
        """Revision that no owner which holds nothing may begin below."""
        return max([self.least, *(store.floor for store in self.stores())])

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield what each owner in a store holds; see `Store.usages`.

        Raises:
            StoreError: The only store is one that all was moved from.
        """
        if self.origin is not None and self.target is None:
            self.origin.check_here()
        for store in self.stores():
            for usage in store.usages():
                if not self._is_void(usage[0], store):
                    yield usage

    def misplaced(self) -> Iterator[OwnerScope]:
        """Yield each owner that is in another store than it is to be."""
        for store in self.stores():
            for scope, _, _, _ in store.usages():
                if self.wanted(scope) is not store and not self._is_void(scope, store):
                    yield scope

    def _is_void(self, scope: OwnerScope, store: Store) -> bool:
        """Return whether what a store may hold of an owner counts for nothing."""
        return store is self.target and scope in self.void


def share_of(workflow_id: str) -> float:
    """Return a number that stays with an id, evenly spread from 0 to below 1."""
    digest = hashlib.blake2b(workflow_id.encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
