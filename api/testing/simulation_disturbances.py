"""What disturbs a simulation: each of these may happen at any step."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stateward.actors.core.messages import Passivate, Release
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import TurnRef
from stateward.testing.faulty import Disk, Fault, MemoryMark

if TYPE_CHECKING:
    from stateward.testing.simulation import Simulation

BUGS: Final = (
    "owner.decided",
    "owner.settled",
    "state.staged",
    "state.published",
    "supervisor.activate",
    "supervisor.passivate",
)
"""Fault points that are in the turn of an actor."""
MOMENTS: Final = (0.001, 0.1)
"""Seconds: what passes where nothing fails, and so nothing times out."""
SECONDS: Final = (0.001, 0.7, 3.0, 31.0, 90.0)
"""Seconds: within a timeout and beyond it, and beyond the one for idle owners."""


class ProcessEnd(BaseException):
    """Not an error: the process ends here, and a new one begins on what is left."""

    def __init__(self, disk: Disk, *, power: bool, seconds: float) -> None:
        """Say what is left.

        Args:
            disk: What the new process finds.
            power: Whether the machine has ended as well.
            seconds: How long it takes until the new process begins.
        """
        super().__init__("the process ends")
        self.disk = disk
        self.power = power
        self.seconds = seconds


class Disturbances:
    """What may happen to a simulation beside its steps."""

    def __init__(
        self, simulation: "Simulation", *, crashes: bool, failures: bool
    ) -> None:
        """Say which of them may happen.

        Args:
            simulation: What they happen to.
            crashes: Whether the process may end.
            failures: Whether commits may fail, and handlers.
        """
        self._it = simulation
        stores = simulation.options.durability is not None
        self._crashes = crashes and stores
        self._seconds = SECONDS if failures else MOMENTS
        # The first is what a failure becomes smaller to, so the mildest.
        kinds: list[Callable[[], None]] = [
            self.pass_time,
            self.occupy,
            self.occupy,
            self.passivate,
            self.occupy_supervisor,
        ]
        if stores:
            kinds += [self.let_go, self.slow, self.slow]
        if failures:
            kinds += [self.bug]
            kinds += [self.refuse, self.refuse] if stores else []
        if self._crashes:
            kinds += [self.break_disk, self.kill, self.lose_power] if failures else []
            kinds += [] if failures else [self.kill, self.lose_power]
        self._kinds = kinds

    def one(self) -> None:
        """Have one of them happen."""
        it = self._it
        if self._crashes and it.manager.poisoned and it.choose(2):
            self.kill()  # Somebody opens the store again.
        self._kinds[it.choose(len(self._kinds))]()

    def pass_time(self) -> None:
        """Let time pass."""
        self._it.advance(self._some_seconds())

    def _owner(self) -> TurnRef[Owner] | None:
        """Choose an owner that is active."""
        owners = self._it.manager.engine.directory.owners
        alive = [owner for owner in owners.values() if owner.is_alive()]
        return alive[self._it.choose(len(alive))] if alive else None

    def occupy(self) -> None:
        """Keep an owner busy, as a long turn in another thread does."""
        owner = self._owner()
        if owner is not None:
            self._it.dispatcher.occupy(owner.actor_inbox)

    def occupy_supervisor(self) -> None:
        """Keep the supervisor busy."""
        self._it.dispatcher.occupy(self._it.manager.engine.supervisor.actor_inbox)

    def passivate(self) -> None:
        """Have an owner be let go if it is idle."""
        directory = self._it.manager.engine.directory
        scopes = list(directory.owners)
        if scopes:
            scope = scopes[self._it.choose(len(scopes))]
            _ = self._it.manager.engine.supervisor.post(Passivate(scope))

    def let_go(self) -> None:
        """Have a state leave memory that has no actor, as one too many does."""
        directory = self._it.manager.engine.directory
        idle = [
            state
            for scope, state in directory.states.items()
            if directory.active(scope) is None and state.is_committed() and state.seal
        ]
        if idle and directory.vault is not None:
            state = idle[self._it.choose(len(idle))]
            directory.vault.let_go(state.scope, state)

    def slow(self) -> None:
        """Have a commit be slow."""
        self._it.manager.journal.faults.append(Fault.SLOW)

    def refuse(self) -> None:
        """Have a commit fail, without effect."""
        kinds = (Fault.REFUSED, Fault.FULL)
        self._it.manager.journal.faults.append(kinds[self._it.choose(2)])

    def break_disk(self) -> None:
        """Have a commit fail of which nobody knows what became of it."""
        if not self._it.choose(2):
            return
        kinds = (Fault.LOST, Fault.KEPT)
        self._it.manager.journal.faults.append(kinds[self._it.choose(2)])

    def bug(self) -> None:
        """Have a handler fail; or release what has failed too often."""
        quarantined = self._it.manager.engine.directory.quarantined
        for scope in quarantined:
            _ = self._it.manager.engine.supervisor.post(Release(scope))
        if not quarantined:
            self._it.bug = BUGS[self._it.choose(len(BUGS))]

    def kill(self) -> None:
        """End the process; what it has committed stays."""
        manager = self._it.manager
        if not manager.poisoned and self._it.choose(4) < 3:  # noqa: PLR2004  # one of 4
            return  # A process that lives longer comes to more.
        left = Disk(
            journal=manager.journal.after_kill(under_way=bool(self._it.choose(2))),
            mark=MemoryMark(manager.disk.mark.slots),
            region=manager.disk.region.after_kill(),
        )
        raise ProcessEnd(left, power=False, seconds=self._some_seconds())

    def lose_power(self) -> None:
        """End the machine; of what was not synced, any first part stays."""
        manager = self._it.manager
        if self._it.choose(4) < 3:  # noqa: PLR2004  # as above
            return
        kept = self._it.choose(manager.journal.unsynced + 1)
        slots = manager.disk.mark.slots[: 2 - self._it.choose(3)]
        left = Disk(
            journal=manager.journal.after_power_loss(kept),
            mark=MemoryMark(slots),
            region=manager.disk.region.after_power_loss(self._loses),
        )
        raise ProcessEnd(left, power=True, seconds=self._some_seconds())

    def _loses(self, _: int) -> bool:
        return bool(self._it.choose(2))

    def _some_seconds(self) -> float:
        return self._seconds[self._it.choose(len(self._seconds))]
