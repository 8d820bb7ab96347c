"""One round: a simulation of clients that do anything, and all that must hold of it."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

from property_tests.simulation.clients import (
    OWNERS,
    Recorder,
    Worker,
    contents,
    scopes_of,
)
from property_tests.simulation.owners import OwnerSpecification
from property_tests.simulation.timed import Timed
from stateward import JsonValue, LimitError
from stateward.actors.core.values import dumps
from stateward.testing.calls import Call
from stateward.testing.histories import Operation, Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.simulation import Simulation

CLIENTS = 4
OPERATIONS = 60
"""Of each client."""
ROUNDS_MAX = 10
"""How often what is due is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of a round."""

    operations: int
    steps: int
    crashes: int
    undecided: int
    """Parts of histories for which the checker would have taken too long."""


class Round:
    """A simulation, what its clients have done since the process began, and checks."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        clients: int = CLIENTS,
        operations: int = OPERATIONS,
    ) -> None:
        self.simulation = simulation
        self.operations = 0
        self.undecided = 0
        self._start()
        simulation.on_reopen.append(self.reopened)
        self.synced: Counter[str] = Counter()
        """Revisions that power loss may not take."""
        self.seen: dict[str, dict[int, dict[str, JsonValue]]] = {}
        """What each owner held, by its revision; only where power loss may go back."""
        if simulation.options.durability == "buffered":
            self.seen = {owner: {} for owner in OWNERS}
            simulation.after_step = self.see
        values = count(1)
        for number in range(clients):
            worker = Worker(f"c{number}", operations, lambda: self.recorder, values)
            simulation.client(worker.name, worker.work)
        timed = Timed(simulation, operations)
        simulation.client("timed", timed.work)

    def _start(self) -> None:
        self.recorder = Recorder(self.simulation)
        self.initial = {
            owner: (contents(self.simulation.manager, owner), self._revision(owner))
            for owner in OWNERS
        }

    def _revision(self, owner: str) -> int:
        """Return the revision of an owner, or what it would go on from."""
        state = self.simulation.manager.engine.state(OWNERS[owner].owner)
        return 0 if state is None else max(state.revision, 0)

    def run(self) -> Told:
        """Let the clients do all they have to do, and check that."""
        self.simulation.run()
        self.check_end()
        return Told(
            operations=self.operations,
            steps=self.simulation.steps,
            crashes=self.simulation.crashes,
            undecided=self.undecided,
        )

    def check_end(self) -> None:
        """Check what the last process has done, and that its books are right."""
        self._check_process(power=False)
        self.check_accounting()
        self.check_flush()

    def check_flush(self) -> None:
        """Check that what waits for a sync is synced once it is due, or tried again."""
        simulation = self.simulation
        simulation.manager.journal.faults.clear()
        manager = simulation.manager
        for _ in range(ROUNDS_MAX):
            simulation.advance(2 * simulation.options.flush_interval)
            simulation.settle()
            # What expires meanwhile has to be written as well.
            if manager.is_synced or manager.poisoned or manager.ledger is None:
                return
        raise AssertionError("what is due is not synced")

    def reopened(self, power: bool) -> None:
        """Check what the process that has ended did, and what is left of it."""
        self._check_process(power=power)
        self.check_accounting()
        if power:
            self._check_power_loss()
        self._start()

    def _check_process(self, *, power: bool) -> None:
        self.operations += len(self.recorder.history)
        operations = self.recorder.history.operations
        self.synced |= self.recorder.synced
        for owner in OWNERS:
            mine = [it for it in operations if it.on == owner]
            if not power or self.simulation.options.durability == "synced":
                left = contents(self.simulation.manager, owner)
                mine.append(_final(owner, left, mine))
            self._check(mine, OwnerSpecification(*self.initial[owner]))

    def see(self) -> None:
        """Note what each owner holds, if that is something new."""
        states = self.simulation.manager.engine.directory.states
        for owner, seen in self.seen.items():
            state = states.get(OWNERS[owner].owner)
            if state is not None and state.revision not in seen and state.revision > 0:
                seen[state.revision] = contents(self.simulation.manager, owner)

    def _check_power_loss(self) -> None:
        """Check that each owner is as it was once, and not before it was synced."""
        for owner, seen in self.seen.items():
            revision, synced = self._revision(owner), self.synced[owner]
            assert revision >= synced, f"{owner} is at {revision} < {synced}"
            left = contents(self.simulation.manager, owner)
            if left and revision in seen:
                assert left == seen[revision], f"{owner} at {revision} was otherwise"
            for lost in [it for it in seen if it > revision]:
                del seen[lost]

    def _check(
        self, operations: list[Operation], specification: OwnerSpecification
    ) -> None:
        try:
            verdict = check_history(operations, specification, configurations_max=5_000)
        except LimitError:
            self.undecided += 1
            return
        assert verdict.ok, str(verdict)

    def check_accounting(self) -> None:
        """Check that what is counted is what is there, where nothing is under way."""
        manager = self.simulation.manager
        states = [
            manager.state(scope)
            for owner in OWNERS
            for scope in scopes_of(owner).values()
        ]
        states.append(manager.custom_state("timed"))
        found = [item for state in states for item in state.items()]
        sizes = [len(key.encode()) + len(dumps(value)) for key, value in found]
        stats = manager.stats()
        assert (stats.keys, stats.size_bytes) == (len(sizes), sum(sizes))


def _final(
    owner: str, left: dict[str, JsonValue], operations: list[Operation]
) -> Operation:
    """Return a look at all that an owner holds, after everything else."""
    last = max((it.returned or it.invoked for it in operations), default=0)
    return Operation(
        client="afterwards",
        call=Call("contents", ()),
        on=owner,
        invoked=last + 1,
        returned=last + 2,
        outcome=Outcome.RETURNED,
        result=left,
    )


def play(
    *, clients: int = CLIENTS, operations: int = OPERATIONS, **options: Any
) -> Told:
    """Play one round; what fails says how it is repeated."""
    with Simulation(**options) as simulation:
        return Round(simulation, clients=clients, operations=operations).run()


def options_of(seed: int) -> dict[str, Any]:
    """Return the sizes of the round with this seed: any round will do for a replay."""
    return {
        "seed": seed,
        "durability": ("synced", "buffered", None)[seed % 3],
        "disturbed": (0.05, 0.01, 0.15, 0.0)[seed // 3 % 4],
        "clients": 2 + seed // 12 % 5,
    }
