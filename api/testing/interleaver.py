"""Flows whose branches go on one at a time, in an order that a test chooses.

The accesses that can be overtaken are the methods of handles and of transactions. While
an `Interleaver` is open each of them first offers the baton to the other branches; in
every other thread, and in any other manager, it only looks whether it is one of those.
"""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar

from stateward.actors.core.errors import UsageError
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core.values import JsonValue
from stateward.handles import ScopedState, WorkflowState
from stateward.manager import StateManager
from stateward.reads import ReadableState
from stateward.resumption import UNSET
from stateward.testing.batons import Batons
from stateward.testing.clock import SimulatedClock
from stateward.transactions import Transaction, TransactionScope
from stateward.workflows import Access as AccessTo
from stateward.workflows import Run, RunResult, atomic
from stateward.workflows.flows import Nodes

R = TypeVar("R")

TICK: Final = 0.25
"""Seconds that pass when no branch can go on."""
TICKS_MAX: Final = 100_000  # LIMIT: for a run that waits for nothing to end
SHOWN: Final = frozenset(
    {"delete", "entry", "get", "get_many", "increment", "merge", "modify", "pop"}
    | {"popitem", "setdefault", "steps", "view"}
    | {"__contains__", "__getitem__", "__len__"}
)
"""Methods of which the trace says what they gave."""
ACCESSES: Final = SHOWN | frozenset(
    {"append", "clear", "commit", "delete_many", "drop", "items", "keys", "set"}
    | {"snapshot", "update", "values", "__delitem__", "__iter__", "__setitem__"}
)
"""Methods before which another branch may go on."""


class Interleaver:
    """A manager under which the branches of a flow go on one at a time.

    Before each access of a step to the state another branch may go on: which one is a
    choice, taken from `choices` or by chance from a seed. So a race between branches is
    found in any run of the test or in none, and Hypothesis makes its list of choices
    small: 0 lets the same branch go on, and so does the end of the list.

    Time stands still while a branch can go on, and passes when none can, so that
    delays and timeouts take no time.

    Plain steps only: an `async` step runs on an event loop, which nobody here steers.

    Concurrency: One thread makes, uses and closes it; one is open at a time.

    Example:
        >>> from stateward.workflows import Parallel
        >>> def add(ctx):
        ...     ctx.state["n"] = ctx.state.get("n", 0) + 1
        >>> def add_too(ctx):
        ...     add(ctx)
        >>> for choices in ([], [0, 0, 1]):
        ...     with Interleaver(choices) as it:
        ...         result = it.run(Parallel("both", add, add_too))
        ...         print(it.manager.workflow_state("workflow")["n"])
        2
        1
        >>> print(it)
        add: state.get('n', 0) gives 0
        add_too: state.get('n', 0) gives 0
        add_too: state['n'] = 1
        add: state['n'] = 1
    """

    def __init__(
        self,
        choices: Iterable[int] = (),
        *,
        seed: int | None = None,
        accesses: bool = True,
    ) -> None:
        """Choose the order; entering the `with` block makes the manager.

        Args:
            choices: One number >= 0 for each access, and for each branch that begins:
                how many of those that wait are passed over, beginning with the one that
                went on last. `strategies.interleavings` draws them.
            seed: Of chance, which then makes every choice.
            accesses: Whether branches are overtaken at each access to the state; else
                only where a step calls `pause`.

        Raises:
            UsageError: Both `choices` and `seed` are given. Effect: none.
        """
        if seed is not None:
            if choices:
                raise UsageError("either choices or a seed, not both")
            choices = _chances(seed)
        self.clock = SimulatedClock()
        """What time it is for the manager."""
        self.batons = Batons(choices)
        self.trace: list[str] = []
        """What the branches did to the state, in order: `path: call`."""
        self._accesses = accesses
        self._inside = False
        self._open = ExitStack()
        self._manager: StateManager | None = None

    @property
    def manager(self) -> StateManager:
        """What the flow runs on, in memory.

        Raises:
            UsageError: The `with` block has not been entered.
        """
        if self._manager is None:
            raise UsageError("an Interleaver is used in a `with` block")
        return self._manager

    def run(
        self,
        flow: Nodes,
        workflow_id: str = "workflow",
        *,
        input: JsonValue = UNSET,  # noqa: A002  # its name
        access: AccessTo | None = None,
    ) -> RunResult:
        """Run a flow to its end, as `StateManager.run`, in the order that was chosen.

        Raises:
            TimeoutError: A step waits for something other than the state, such as a
                lock that another branch holds; or the run does not end.
        """
        run = self.manager.start(flow, workflow_id, input=input, access=access)
        self.finish(run)
        return run.result(0)

    def finish(self, run: Run) -> None:
        """Let everybody go on, and time pass, until a run is over.

        Raises:
            TimeoutError: As `run`.
        """
        ticks = 0
        while not run.done():
            if not self.batons.step():
                ticks += 1
                if ticks > TICKS_MAX:
                    raise TimeoutError(f"the run of {run.workflow_id!r} does not end")
                self.clock.advance(TICK)

    def pause(self) -> None:
        """Let another branch go on here; for steps, and without effect elsewhere."""
        self.batons.pause()

    def wait_for_others(self) -> None:
        """As `pause`, but until no other branch can go on."""
        self.batons.wait_for_others()

    def __str__(self) -> str:
        """Show what the branches did to the state, a line each."""
        return "\n".join(self.trace)

    def __enter__(self) -> Self:
        """Make the manager."""
        with ExitStack() as opening:
            opening.enter_context(_no_courtesy())
            if self._accesses:
                opening.enter_context(_overtaken(self))
            self._manager = opening.enter_context(
                StateManager(clock=self.clock, dispatcher=self.batons, ask_timeout=5)
            )
            opening.callback(self.batons.drain)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let what is left come to its end, and close the manager."""
        if error is not None and self.trace:
            error.add_note(f"The branches went on like this:\n{self}")
        self._open.close()

    def access(self, call: "Access", method: Callable[[], R]) -> R:
        """Make one access, after others if that is chosen, and note it."""
        if self._inside or not self.batons.holds:
            return method()
        path = self.batons.path  # now: another step may use this handle as well
        self.batons.pause()
        self._inside = True
        try:
            value = method()
        except Exception as error:
            self.trace.append(f"{path}: {call} raises {type(error).__name__}")
            raise
        finally:
            self._inside = False
        shown = f" gives {value!r}" if call.name in SHOWN else ""
        self.trace.append(f"{path}: {call}{shown}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A call of a method of a handle, or of a scope in a transaction."""

    scope: StateScope
    name: str
    args: tuple[object, ...]

    def __str__(self) -> str:
        """Show it as it stands in a step, more or less."""
        where = reached_by(self.scope)
        match self.name, self.args:
            case "__setitem__", (key, value):
                return f"{where}[{key!r}] = {value!r}"
            case "__getitem__", (key,):
                return f"{where}[{key!r}]"
            case "__delitem__", (key,):
                return f"del {where}[{key!r}]"
            case "__contains__", (key,):
                return f"{key!r} in {where}"
            case "__len__" | "__iter__" as name, ():
                return f"{name.strip('_')}({where})"
        return f"{where}.{self.name}({', '.join(map(repr, self.args))})"


def reached_by(scope: StateScope) -> str:
    """Return how a step reaches a scope, from its workflow's state."""
    match scope:
        case WorkflowScope():
            return "state"
        case StepScope(step_name=name):
            return f"step({name!r})"
        case GlobalScope():
            return "global_state()"
        case CustomScope(namespace):
            return f"custom_state({namespace!r})"


def _chances(seed: int) -> Iterator[int]:
    chance = random.Random(seed)  # noqa: S311  # for tests, to be repeated
    while True:
        # As often as not the same branch goes on, so that all orders come up.
        yield chance.choice((0, chance.randrange(64)))


@contextmanager
def _no_courtesy() -> Iterator[None]:
    """Let no atomic step wait for a lock: it would keep the baton from who holds it."""
    before = atomic.COURTESY
    atomic.COURTESY = 0.0  # type: ignore[misc]  # Final, but for this
    try:
        yield
    finally:
        atomic.COURTESY = before  # type: ignore[misc]  # Final, but for this


_one: Final = threading.Lock()
"""Held while the methods ask somebody."""


@contextmanager
def _overtaken(interleaver: Interleaver) -> Iterator[None]:
    """Have each access ask the interleaver first, until the block ends."""
    if not _one.acquire(blocking=False):
        raise UsageError("another Interleaver is open")
    kinds = (ReadableState, ScopedState, WorkflowState, TransactionScope, Transaction)
    replaced = [
        (kind, name, vars(kind)[name])
        for kind in kinds
        for name in ACCESSES
        if name in vars(kind)
    ]
    try:
        for kind, name, method in replaced:
            setattr(kind, name, _asking(interleaver, name, method))
        yield
    finally:
        for kind, name, method in replaced:
            setattr(kind, name, method)
        _one.release()


def _asking(  # type: ignore[explicit-any]  # any method
    interleaver: Interleaver, name: str, method: Callable[..., R]
) -> Callable[..., R]:
    @wraps(method)
    def access(target: "Target", *args: object, **named: object) -> R:
        call = partial(method, target, *args, **named)
        return interleaver.access(
            Access(scope=target.scope, name=name, args=args), call
        )

    return access


Target: TypeAlias = ReadableState | TransactionScope
