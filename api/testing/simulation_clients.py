"""Clients of a simulation: coroutines, each on a loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from stateward.actors.core.errors import InvariantError
from stateward.actors.core.ports import Clock
from stateward.manager import StateManager
from stateward.testing.simulation_loops import SimulatedLoop

Work: TypeAlias = Callable[[StateManager], Coroutine[Any, Any, object]]  # type: ignore[explicit-any]  # as asyncio's


class Client:
    """A coroutine on a loop of its own."""

    def __init__(self, name: str, work: Work) -> None:
        """Hold what it does."""
        self.name = name
        self.ended = False
        """Whether it has come to its end by itself."""
        self._work = work

    def begin(self, manager: StateManager, clock: Clock) -> None:
        """Begin, or begin anew."""
        self.loop = SimulatedLoop(clock)  # type: ignore[abstract]  # asyncio calls no more
        self._task: asyncio.Task[object] = self.loop.create_task(self._work(manager))

    def done(self) -> bool:
        """Return whether nothing is left to do."""
        return self.ended

    def step(self) -> None:
        """Go on; raise what comes out of it."""
        self.loop.step()
        if self._task.done() and not self.ended:
            self.ended = True
            if not self._task.cancelled():
                self._task.result()

    def end(self) -> None:
        """End here, wherever that is; without effect on one that has."""
        if self.ended:
            return
        self._task.cancel()
        while not self._task.done():
            if not self.loop.ready:
                raise InvariantError(f"client {self.name} does not end")
            self.loop.step()
