"""The vault: what is in the store, and how much of it is in memory."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from stateward.actors.core.limits import Limits
from stateward.actors.core.ports import Clock, Store
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, OwnerState

STATE_BYTES: Final = 1_200
"""What a state takes in memory beyond its entries; measured."""
KEPT_MIN: Final = 64
"""LIMIT: states that stay whatever the bound: who was just loaded must get to work."""
STRIPES: Final = 64
"""LIMIT: loads that go on at once; two owners rarely share a stripe."""
ENTRY_BYTES: Final = 420
"""What an entry takes beyond its key and value; measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where owners commit, and how."""

    store: Store
    synced: bool
    """Whether each commit outlives power loss before it is published."""
    flush_interval: float
    """Seconds after which others do."""
    cache_bytes: int | None
    """About what may stay in memory; all if `None`."""


class Vault:
    """Loads the states of owners from a store, and bounds how many stay.

    Concurrency: Any thread. A load waits for no other, except of the same owner.
    """

    def __init__(
        self,
        store: Store,
        states: dict[OwnerScope, OwnerState],
        *,
        clock: Clock,
        limits_of: Callable[[OwnerScope], Limits],
        cache_bytes: int | None,
        too_much: Callable[[], None],
    ) -> None:
        """Begin with nothing in memory.

        Args:
            store: What to load from.
            states: Of all owners in memory; loaded ones are added.
            clock: Of the owners.
            limits_of: What an owner may hold.
            cache_bytes: What the states may take; `None` for no bound.
            too_much: Called once they take more.
        """
        self.store = store
        self._states = states
        self._clock = clock
        self._limits_of = limits_of
        self._too_much = too_much
        self._loading = [threading.RLock() for _ in range(STRIPES)]
        self._weights: dict[OwnerScope, int] = {}
        self._lock = threading.Lock()
        self.cache_bytes = cache_bytes
        self.held_bytes = 0
        """About what the states take in memory."""

    def load(self, scope: OwnerScope) -> OwnerState:
        """Return what the owner of `scope` knows, loaded if need be.

        Raises:
            CorruptStoreError: It is damaged. Effect: none.

        Cost: O(size of the owner) for one that is not in memory.
        """
        with self._loading_of(scope):
            state = self._states.get(scope)
            if state is None or state.revision == RETIRED:
                state = OwnerState(scope, self._limits_of(scope), 0, self._clock.now())
                self.store.load(state)
                state.make_row()
                # ORDER: last; from here on everybody sees it.
                self._states[scope] = state
                self.weigh(state)
        return state

    def let_go(self, scope: OwnerScope, state: OwnerState) -> None:
        """Have a state leave memory that has no actor, and nothing staged."""
        # Or a load that finds it gone could be undone by what stands here.
        with self._loading_of(scope):
            if self._states.get(scope) is state:
                if state.revision != RETIRED:
                    state.retire()
                del self._states[scope]
                with self._lock:
                    self.held_bytes -= self._weights.pop(scope, 0)

    def _loading_of(self, scope: OwnerScope) -> AbstractContextManager[bool]:
        return self._loading[hash(scope) % STRIPES]

    def weigh(self, state: OwnerState) -> None:
        """Note what a state takes in memory now."""
        weight = STATE_BYTES + state.size + ENTRY_BYTES * state.keys
        with self._lock:
            self.held_bytes += weight - self._weights.get(state.scope, 0)
            self._weights[state.scope] = weight
        if self.cache_bytes is not None and self.held_bytes > self.cache_bytes:
            self._too_much()

    def surplus(self) -> Iterator[OwnerState]:
        """Yield states to let go, least recently used first, while there are too many.

        Cost: O(states n log n); a tenth of the bound is freed at a time.
        """
        if self.cache_bytes is None or self.held_bytes <= self.cache_bytes:
            return
        goal = self.cache_bytes - self.cache_bytes // 10
        states = sorted(self._states.values(), key=lambda it: it.used)
        for state in states[:-KEPT_MIN]:
            if self.held_bytes <= goal:
                return
            yield state
