"""The manager of a simulation: the engine unchanged, on a simulated disk."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import finalize

from stateward.actors.core.limits import Limits
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.vault import Storage
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.replay import replay
from stateward.actors.store.store import DurableStore
from stateward.durability import Durability
from stateward.manager import StateManager
from stateward.testing.clock import SimulatedClock
from stateward.testing.dispatcher import SimulatedDispatcher
from stateward.testing.faulty import Disk

if TYPE_CHECKING:
    from stateward.testing.simulation import Simulation

URL = "simulated://"
LOG: Final = 16 << 10
"""Bytes of the log: little, so that it is full now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the managers of a simulation are made with."""

    durability: Durability | None = "synced"
    """As of `StateManager`; `None` for a manager that stores nothing."""
    limits: Limits
    idle_timeout: float | None
    ask_timeout: float
    flush_interval: float


class SimulatedManager(StateManager):
    """A `StateManager` that has no thread, and is moved on by a simulation."""

    def __init__(
        self,
        options: Options,
        *,
        clock: SimulatedClock,
        dispatcher: SimulatedDispatcher,
        disk: Disk,
        simulation: "Simulation",
    ) -> None:
        """Open what the disk holds."""
        self.simulation = simulation
        """What moves it on, and makes the next one after a crash."""
        self.disk = disk
        self.journal = disk.journal
        self.ledger: Ledger | None = None
        if options.durability is not None:
            self.ledger = Ledger(disk.journal, disk.mark, URL)
        store: DurableStore | None = None
        if self.ledger is not None:
            store = DurableStore(self.ledger, redo=RedoLog(disk.region, size=LOG))
            replay(store)
        self._store = store
        storage = Storage(
            store=store,
            synced=options.durability == "synced",
            flush_interval=options.flush_interval,
            cache_bytes=None,
        )
        self._url = URL if self.ledger is not None else "memory://"
        self._engine = Engine(
            limits=options.limits,
            clock=clock,
            dispatcher=dispatcher,
            idle_timeout=options.idle_timeout,
            ask_timeout=options.ask_timeout,
            storage=storage,
        )
        self._runs = None
        self._making = threading.RLock()
        self._finalizer = finalize(self, _forgotten, self._engine, self._url)

    @property
    def is_synced(self) -> bool:
        """Whether power loss could take nothing that anybody was told."""
        if self._store is None or self.poisoned:
            return False
        return not (self.journal.unsynced or self._store.redo.behind)

    @property
    def poisoned(self) -> bool:
        """Whether it takes no writes until it is opened again."""
        return self.ledger is not None and self.ledger.poisoned is not None

    def perish(self) -> None:
        """End as a process does that crashes: nothing is finished, nothing written."""
        self._finalizer()
        self.journal.close()


def _forgotten(engine: Engine, store: str) -> None:  # noqa: ARG001  # as the manager's
    engine.abandon()
