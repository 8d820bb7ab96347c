"""A client whose keys expire: it alone writes them, so it knows what must be there."""

import asyncio
from dataclasses import dataclass

from property_tests.simulation.clients import KEYS
from stateward import StateError, StateManager
from stateward.testing.simulation import HandlerBugError, Simulation

TTLS = (0.05, 2.0, 40.0)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a key: its value, and between which moments it expires."""

    value: int
    first: float
    last: float


class Timed:
    """Writes keys that expire, and looks whether they are there while they must be."""

    def __init__(self, simulation: Simulation, operations: int) -> None:
        self.left = operations
        self._simulation = simulation
        self._known: dict[str, Known | None] = {}
        """`None` if a write had an unknown end."""

    async def work(self, manager: StateManager) -> None:
        """Work until all is done; begun again after each crash."""
        for key in KEYS:
            self.look(manager, key)
        while self.left:
            self.left -= 1
            key = KEYS[self._simulation.choose(len(KEYS))]
            ttl = TTLS[self._simulation.choose(len(TTLS))]
            await self.write(manager, key, ttl)
            await asyncio.sleep(0)
            for each in KEYS:
                self.look(manager, each)

    async def write(self, manager: StateManager, key: str, ttl: float) -> None:
        """Write a key; while that goes on nobody knows what it holds."""
        clock, before = self._simulation.clock, self._known.get(key)
        begun = clock.now()
        self._known[key] = None
        try:
            state = manager.custom_state("timed").aio
            await state.set(key, self.left, ttl=ttl)
        except StateError as error:
            if error.effect == "none":
                self._known[key] = before
        except HandlerBugError:
            pass
        else:
            self._known[key] = Known(self.left, begun + ttl, clock.now() + ttl)

    def look(self, manager: StateManager, key: str) -> None:
        """Check that a key is there, or is not, or may be either."""
        known, now = self._known.get(key), self._simulation.clock.now()
        state = manager.custom_state("timed")
        entry = state.entry(key)
        if entry is not None:
            assert entry.expires is not None
            assert entry.expires > now, f"{key} has expired at {entry.expires} < {now}"
        if known is None or self._simulation.options.durability != "synced":
            return
        if now < known.first:
            assert entry is not None, f"{key} is gone, {known.first - now} s too early"
            assert entry.value == known.value
        elif now >= known.last:
            assert entry is None, f"{key} is there, {now - known.last} s too late"
