"""A whole application in one thread, where every step is a choice.

The engine that runs here is the one that runs everywhere. Only what it asks for who is
next, what time it is and what is written (its three ports) is simulated. Clients are
coroutines that use the asyncio face of a manager. At each step a choice decides what
goes on: a client, an actor with mail, the committer. Now and then another one disturbs:
time passes, an owner is let go or kept busy, a commit is slow or fails, a handler has a
bug, the process or the machine crashes.

A commit that is slow goes on within others' steps: whoever writes waits in the middle
of the committer's turn, as a disk makes it wait, until that is chosen to go on.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from stateward.actors.core import faults
from stateward.actors.core.errors import InvariantError, UsageError
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import ExpireState
from stateward.durability import Durability
from stateward.testing.clock import SimulatedClock
from stateward.testing.dispatcher import SimulatedDispatcher
from stateward.testing.faulty import Disk, FaultyJournal
from stateward.testing.simulation_choices import Drawing, chooser
from stateward.testing.simulation_clients import Client, Work
from stateward.testing.simulation_disturbances import Disturbances, ProcessEnd
from stateward.testing.simulation_managers import Options, SimulatedManager

STEPS_MAX: Final = 10_000_000  # LIMIT: a client that goes on for ever is stopped here
SETTLE_MAX: Final = 100_000  # LIMIT: as above, for what is to come to its end
THOUSAND: Final = 1000

logger: Final = logging.getLogger("stateward")


class Simulation:
    """Clients on a manager, in one thread, in an order that is chosen.

    A client is a function of the manager that returns a coroutine; it writes through
    `aio`, for a write that blocked would wait for itself. `asyncio.sleep` takes no real
    time, and lets others go on. After a crash, each client that had not come to its end
    is begun again, with the manager of the new process.

    The same seed, or the same choices, give the same run.

    Concurrency: One thread.

    Example:
        >>> async def add(manager):
        ...     state = manager.workflow_state("order-123").aio
        ...     await state.set("n", state.get("n", 0) + 1)
        >>> totals = set()
        >>> for seed in range(60):
        ...     with Simulation(seed=seed, durability=None, failures=False) as it:
        ...         it.client("alice", add)
        ...         it.client("bob", add)
        ...         it.run()
        ...         totals.add(it.manager.workflow_state("order-123")["n"])
        >>> sorted(totals)  # an update is lost now and then
        [1, 2]
    """

    def __init__(  # noqa: PLR0913  # each stands for a choice of the test
        self,
        *,
        seed: int | None = None,
        choices: Iterable[int] | None = None,
        data: Drawing | None = None,
        durability: Durability | None = "synced",
        disturbed: float = 0.05,
        crashes: bool = True,
        failures: bool = True,
        limits: Limits | None = None,
        ask_timeout: float = 30.0,
    ) -> None:
        """Choose the order; entering the `with` block makes the manager.

        Args:
            seed: Of chance, which then makes every choice; 0 if nothing else is given.
            choices: Numbers >= 0, one for each choice, then 0: what waited first.
            data: What Hypothesis' `data()` has drawn, which then makes every choice,
                and makes a failing run smaller.
            durability: As of `StateManager`; `None` stores nothing.
            disturbed: The share of steps that are none of a client, of an actor or of
                the committer, 0 to 1.
            crashes: Whether the process and the machine may crash.
            failures: Whether commits may fail, and handlers.
            limits: What each owner may hold; `Limits()` if `None`.
            ask_timeout: As of `StateManager`, in simulated seconds.

        Raises:
            UsageError: There is more than one of `seed`, `choices` and `data`.
        """
        if sum(it is not None for it in (seed, choices, data)) > 1:
            raise UsageError("one of seed, choices and data")
        self._source = (seed, choices, data)
        self.choose: Callable[[int], int] = chooser(seed, choices, data)
        """Returns a number from 0 to below the one it is given: a choice."""
        self.options = Options(
            durability=durability,
            limits=limits or Limits(),
            idle_timeout=60.0,
            ask_timeout=ask_timeout,
            flush_interval=1.0,
        )
        self.clock = SimulatedClock()
        """What time it is, in the process as it is now."""
        self.dispatcher = SimulatedDispatcher()
        """Of the process as it is now."""
        self.steps = 0
        """Choices of what goes on so far."""
        self.crashes = 0
        """Times that the process has ended without being asked to."""
        self.stalls = 0
        """Times that nothing could go on before time had passed."""
        self.on_reopen: list[Callable[[bool], object]] = []
        """Called when there is a new process, before clients go on; with whether the
        machine had lost power."""
        self.after_step: Callable[[], object] = _nothing
        """Called after each step; what it raises comes out of `run`."""
        self.bug: str | None = None
        """The fault point at which the next step meets a bug."""
        self.slow = 0
        """How many commits are under way."""
        self._calm = THOUSAND - round(disturbed * THOUSAND)
        self._disturbances = Disturbances(self, crashes=crashes, failures=failures)
        self._clients: list[Client] = []
        self._manager: SimulatedManager | None = None
        self._flush = False
        self._over = False
        self._level = logging.NOTSET

    @property
    def manager(self) -> SimulatedManager:
        """Of the process as it is now.

        Raises:
            UsageError: The `with` block has not been entered.
        """
        if self._manager is None:
            raise UsageError("a Simulation is used in a `with` block")
        return self._manager

    def client(self, name: str, work: Work) -> None:
        """Have a client begin, and begin anew after each crash until it ends.

        Args:
            name: For errors.
            work: What it does; what it raises comes out of `run`.
        """
        client = Client(name, work)
        client.begin(self.manager, self.clock)
        self._clients.append(client)

    def run(self) -> None:
        """Choose steps until every client has come to its end, and all is quiet.

        Raises:
            Exception: Whatever a client has raised.
            InvariantError: The engine has lost a message or a reply, or a client goes
                on for ever.
        """
        while any(not it.done() for it in self._clients):
            self.step()
        self.settle()

    def settle(self) -> None:
        """Choose steps, and disturb none, until nothing can go on without time passing.

        Raises:
            Exception: As `run`.
        """
        for _ in range(SETTLE_MAX):
            if not self._go_on():
                break
        else:
            raise InvariantError(f"it is not quiet after {SETTLE_MAX} steps")
        self.check_nothing_is_left()

    def step(self) -> None:
        """Choose one step, and take it."""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise InvariantError(f"it is not over after {STEPS_MAX} steps")
        try:
            if self.choose(THOUSAND) >= self._calm:
                self._disturbances.one()
            elif not self._go_on():
                self.stalls += 1
                self.check_nothing_is_left()
                self.advance(self._until_next())
        except ProcessEnd as end:
            if self.slow:
                raise  # out of the commit that is under way
            self._reopen(end)
        self.after_step()

    def _go_on(self) -> bool:
        """Choose who goes on, and let them; return whether anybody can."""
        ready = [it for it in self._clients if it.loop.ready]
        dispatcher = self.dispatcher
        tasks, occupied = dispatcher.waiting, dispatcher.occupied
        committing = self._has_to_commit()
        total = len(ready) + tasks + committing + occupied
        if not total:
            return False
        index = self.choose(total)
        if index < len(ready):
            self._guarded(ready[index].step)
            return True
        index -= len(ready)
        if index < tasks:
            self._guarded(lambda: dispatcher.run(index))
            return True
        index -= tasks
        if index < committing:
            self._commit()
        else:
            dispatcher.vacate(index - committing)
        return True

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step, which meets a bug of a handler if that was chosen."""
        point, self.bug = self.bug, None
        if point is None:
            step()
            return

        def fail() -> None:
            faults.armed.pop(point, None)
            raise HandlerBugError(point)

        with ExitStack() as bug:
            bug.callback(faults.armed.pop, point, None)
            faults.armed[point] = fail
            step()

    def _has_to_commit(self) -> bool:
        if self.slow:
            return True  # The one that is under way.
        committer = self.manager.engine.directory.committer
        return committer is not None and (self._flush or not committer.idle())

    def _commit(self) -> None:
        if self.slow:
            self.slow += 1  # It goes on; see `_wait`.
            return
        committer = self.manager.engine.directory.committer
        if committer is not None:
            self._flush = False
            try:
                committer.turn(wait=False)
            except HandlerBugError:
                pass  # Its thread outlives everything as well.

    def _wait(self) -> None:
        """Let others go on while a commit is under way, until it is chosen to go on."""
        self.slow = 1
        try:
            while self.slow == 1 and not self._over:
                self.step()
        finally:
            self.slow = 0

    # ------------------------------------------------------------------- time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        for client in self._clients:
            client.loop.wake()
        self._flush = True

    def _until_next(self) -> float:
        """Return how many seconds it takes until somebody has something to do."""
        whens = [timer.when() for it in self._clients for timer in it.loop.timers]
        if not whens:
            raise InvariantError("clients wait for what never comes")
        return max(0.0, min(whens) - self.clock.now())

    def check_nothing_is_left(self) -> None:
        """Raise `InvariantError` if the engine has work that nobody will ever do."""
        directory = self.manager.engine.directory
        left = [
            f"mail of {scope}"
            for scope, owner in directory.owners.items()
            if owner.actor_inbox.mail and owner.is_alive()
        ]
        left += [
            f"staged in {it.scope}" for it in directory.states.values() if it.staged
        ]
        if self.manager.engine.supervisor.actor_inbox.mail:
            left.append("mail of the supervisor")
        if left and not self.slow:
            raise InvariantError(f"nobody will see to this: {', '.join(left)}")

    # ------------------------------------------------------------- beginnings

    def _open(self, disk: Disk) -> None:
        self.dispatcher = SimulatedDispatcher()
        self._flush = False
        self._manager = SimulatedManager(
            self.options,
            clock=self.clock,
            dispatcher=self.dispatcher,
            disk=disk,
            simulation=self,
        )

    def _reopen(self, end: ProcessEnd) -> None:
        """Begin a new process on what the old one has left."""
        self.crashes += 1
        self.bug = None
        for client in self._clients:
            client.end()
        self.manager.perish()
        self.clock = SimulatedClock(self.clock.now() + end.seconds)
        self._open(end.disk)
        for watcher in self.on_reopen:
            watcher(end.power)
        for client in self._clients:
            if not client.ended:
                client.begin(self.manager, self.clock)

    def __str__(self) -> str:
        """Say what repeats it, and how far it has come."""
        seed, choices, data = self._source
        how = f"seed={seed or 0}"
        if data is not None:
            how = "what Hypothesis has drawn"
        elif choices is not None:
            how = f"choices={choices!r}"
        return f"{how}, which came to step {self.steps}"

    def __enter__(self) -> Self:
        """Make the manager."""
        # What was made to fail is logged with all that led there, which takes longer
        # than all the rest.
        self._level = logger.level
        logger.setLevel(logging.CRITICAL)
        self._open(Disk(journal=FaultyJournal(wait=self._wait)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every client, and close the manager; say how a failure is repeated."""
        self._over = True
        self.bug = None
        try:
            self._leave(error)
        finally:
            logger.setLevel(self._level)

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            error.add_note(f"repeat it with {self}")
        for client in self._clients:
            client.end()
        try:
            if error is None:
                self._close()
        finally:
            self.manager.perish()  # without effect on one that is closed

    def _close(self) -> None:
        """Close the manager, which leaves it to nobody to commit anything."""
        manager = self.manager
        manager.journal.faults.clear()
        self.settle()
        if manager.poisoned:
            return
        for scope, owner in list(manager.engine.directory.owners.items()):
            if owner.is_alive():
                # Or what has expired would be removed, and committed, by `close`.
                owner.tell(ExpireState(scope))
        self.settle()
        manager.close()


class HandlerBugError(Exception):
    """A bug that was put into a handler."""


def _nothing() -> None:
    pass
