"""The vault: what is in the store, and how much of it is in memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import get_ident
from typing import Final, TypeAlias

from stateward.actors.core.errors import ReentrantCallError
from stateward.actors.core.limits import Limits
from stateward.actors.core.ports import Clock, Store
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import publish
from stateward.actors.core.state import RETIRED, Event, OwnerState
from stateward.actors.runtime.placement import Placement

STATE_BYTES: Final = 1_200
"""What a state takes in memory beyond its entries; measured."""
KEPT_MIN: Final = 64
"""LIMIT: states that stay whatever the bound: who was just loaded must get to work."""
STRIPES: Final = 64
"""LIMIT: loads that go on at once; two owners rarely share a stripe."""
ENTRY_BYTES: Final = 420
"""What an entry takes beyond its key and value; measured."""


Lift: TypeAlias = Callable[[OwnerState, Clock], Sequence[Event]]
"""Takes a state that nobody can see yet through the migrations it has not been
through, and returns what they did, staged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where owners commit, and how."""

    store: Store | None
    """`None` for memory, which they may move out of later."""
    synced: bool
    """Whether each commit outlives power loss before it is published."""
    flush_interval: float
    """Seconds after which others do."""
    cache_bytes: int | None
    """About what may stay in memory; all if `None`."""
    version: int | None = None
    """Of the newest migration there is; `None` leaves owners as they are stored."""
    lift: Lift | None = None


class Vault:
    """Loads the states of owners from where they are, and bounds how many stay.

    Concurrency: Any thread. A load waits for no other, except of the same owner.
    """

    def __init__(
        self,
        placement: Placement,
        states: dict[OwnerScope, OwnerState],
        *,
        clock: Clock,
        limits_of: Callable[[OwnerScope], Limits],
        lift: Lift | None,
        cache_bytes: int | None,
        too_much: Callable[[], None],
    ) -> None:
        """Begin with nothing in memory.

        Args:
            placement: Where each owner is.
            states: Of all owners in memory; loaded ones are added.
            clock: Of the owners.
            limits_of: What an owner may hold.
            lift: Takes an owner through the migrations it has not been through.
            cache_bytes: What the states may take; `None` for no bound.
            too_much: Called once they take more.
        """
        self.placement = placement
        self.perform: Callable[[Callable[[], bool]], bool] = _at_once
        """Does what writes to a store, between two commits."""
        self._states = states
        self._clock = clock
        self._limits_of = limits_of
        self._lift = lift
        self._lifting: set[tuple[int, OwnerScope]] = set()
        self._too_much = too_much
        self._loading = [threading.RLock() for _ in range(STRIPES)]
        self._weights: dict[OwnerScope, int] = {}
        self._lock = threading.Lock()
        self.cache_bytes = cache_bytes
        self.held_bytes = 0
        """About what the states take in memory."""

    def load(self, scope: OwnerScope) -> OwnerState | None:
        """Return what the owner of `scope` knows, loaded if need be.

        Returns:
            `None` if it holds nothing and would be kept in memory alone.

        Raises:
            CorruptStoreError: It is damaged. Effect: none.
            MigrationError: It cannot be lifted to the newest migration. Effect: none.

        Cost: O(size of the owner) for one that is not in memory.
        """
        with self.loading_of(scope):
            state = self._states.get(scope)
            if state is None or state.revision == RETIRED:
                last = 0 if state is None else state.last
                state = self._read(scope)
                if state is not None:
                    if state.is_empty() and state.revision < last:
                        state.begin_at(last, 0, 0)
                    # ORDER: last; from here on everybody sees it.
                    self._states[scope] = state
                    self.weigh(state)
        return state

    def _read(self, scope: OwnerScope) -> OwnerState | None:
        """Return a state that nobody can see yet, all migrations done."""
        while True:
            state = OwnerState(scope, self._limits_of(scope), 0, self._clock.now())
            if not self.placement.load(state):
                return None
            seal = state.seal
            if (
                self._lift is None
                or seal is None
                or not seal.store.is_outdated(state)
                or self._migrate(state, self._lift, seal.store)
            ):
                return state

    def _migrate(self, state: OwnerState, lift: Lift, store: Store) -> bool:
        """Migrate an owner and commit that; `False` if it was done meanwhile."""
        mine = (get_ident(), state.scope)
        if mine in self._lifting:
            raise ReentrantCallError(
                f"a migration of {state.scope} asked for its state"
            )
        self._lifting.add(mine)
        try:
            events = lift(state, self._clock)
            lifted = self.perform(lambda: store.lift(state, events))
        finally:
            self._lifting.discard(mine)
        if lifted:
            publish(state, len(state.staged or ()))
        return lifted

    def let_go(self, scope: OwnerScope, state: OwnerState) -> None:
        """Have a state leave memory that has no actor, and nothing staged."""
        # Or a load that finds it gone could be undone by what stands here.
        with self.loading_of(scope):
            if self._states.get(scope) is state:
                if state.revision != RETIRED:
                    if scope in self.placement.moving:
                        return
                    state.retire()
                del self._states[scope]
                with self._lock:
                    self.held_bytes -= self._weights.pop(scope, 0)

    def pin(self, state: OwnerState) -> bool:
        """Have a state that is about to move stay in memory; `False` if it has gone."""
        with self.loading_of(state.scope):
            if self._states.get(state.scope) is not state or state.revision == RETIRED:
                return False
            seal = state.seal
            self.placement.moving[state.scope] = None if seal is None else seal.store
            return True

    def wait_for_loads(self) -> None:
        """Return once every load has ended that may not know the placement."""
        for loading in self._loading:
            with loading:
                pass

    def loading_of(self, scope: OwnerScope) -> AbstractContextManager[bool]:
        """Return what keeps an owner from being loaded meanwhile."""
        return self._loading[hash(scope) % STRIPES]

    def weigh(self, state: OwnerState) -> None:
        """Note what a state takes in memory now."""
        weight = STATE_BYTES + state.size + ENTRY_BYTES * state.keys
        if self._weights.get(state.scope) != weight:
            with self._lock:
                self.held_bytes += weight - self._weights.get(state.scope, 0)
                self._weights[state.scope] = weight
        self.check()

    def check(self) -> None:
        """Have states let go if there are too many, now that some of them can be."""
        if self.cache_bytes is not None and self.held_bytes > self.cache_bytes:
            self._too_much()

    def surplus(self) -> Iterator[OwnerState]:
        """Yield states to let go, least recently used first, while there are too many.

        Cost: O(states n log n); a tenth of the bound is freed at a time.
        """
        if self.cache_bytes is None or self.held_bytes <= self.cache_bytes:
            return
        goal = self.cache_bytes - self.cache_bytes // 10
        # What no store keeps stays.
        kept = [
            state for state in list(self._states.values()) if state.seal is not None
        ]
        kept.sort(key=lambda it: it.used)
        for state in kept[:-KEPT_MIN]:
            if self.held_bytes <= goal:
                return
            if state.scope not in self.placement.moving:
                yield state


def _at_once(action: Callable[[], bool]) -> bool:
    return action()
