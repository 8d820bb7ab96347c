"""Real signals: what a handler does to a write, and what it may do inside one."""

import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Final, cast

import pytest

from stateward import (
    ConflictError,
    JsonValue,
    OwnerStoppedError,
    ReentrantCallError,
    StateManager,
    WorkflowState,
)
from stateward.messages import GetState
from tests.interrupts import alarm
from tests.threads import Gate, Job, frequent_switches, in_thread, run_script
from tests.workflows import Contents, check_usable, contents, filled, recount

Write = Callable[[], object]

SEED: Final = 20_260_101
ROUNDS: Final = 10_000


def test_function_is_ended_by_a_real_signal_without_effect() -> None:
    """Ctrl-C while a function runs in a turn changes nothing and holds nobody up."""

    def press(value: JsonValue) -> JsonValue:
        signal.raise_signal(signal.SIGINT)
        return value

    with filled() as state:
        before = contents(state)
        with pytest.raises(KeyboardInterrupt):
            state.modify("n", press)
        check_usable(state, (before,), "afterwards")


@pytest.mark.parametrize("name", ["write", "other scope", "close"])
def test_signal_handler_is_told_when_it_interrupts_a_turn(name: str) -> None:
    """A handler that would wait inside the turn it interrupts is refused at once."""
    told: list[BaseException] = []
    with filled() as state:
        calls: dict[str, Callable[[], object]] = {
            "write": lambda: state.set("a", 2),
            "other scope": lambda: state.global_state().set("a", 2),
            "close": state.manager.close,
        }

        def handle(_number: int, _frame: object) -> None:
            try:
                calls[name]()
            except ReentrantCallError as error:
                told.append(error)

        def ring(value: JsonValue) -> JsonValue:
            signal.raise_signal(signal.SIGUSR1)
            return value

        before = signal.signal(signal.SIGUSR1, handle)
        try:
            state.modify("n", ring)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert len(told) == 1
        check_usable(state, (contents(state),), "afterwards")


def test_signal_handler_may_close_while_the_manager_is_being_closed() -> None:
    """A handler that closes what its own thread is closing does not wait for itself."""
    with filled() as state:
        manager, gate = state.manager, Gate()
        holder = Job(state.modify, "n", gate)
        gate.wait_until_entered()
        closed: list[bool] = []

        def handle(_number: int, _frame: object) -> None:
            gate.open()
            manager.close()
            closed.append(True)

        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            manager.close()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        holder.result()
        assert closed == [True]


@pytest.mark.slow
def test_write_happens_or_not_when_interrupted_by_real_signals() -> None:
    """Thousands of interrupted writes leave no half, no wrong count, no stuck scope."""
    # In a process of its own: whatever measures the coverage of this one has locks that
    # an interrupt leaves taken.
    root = str(Path(__file__).resolve().parents[1])
    run_script(
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from tests.test_signals import storm\n"
        "storm()",
        timeout=120,
    )


def storm() -> None:
    """Interrupt writes of every kind, and look after each at what it has done."""
    chance = random.Random(SEED)
    with (
        alarm() as bell,
        frequent_switches(2e-5),
        StateManager(ask_timeout=10) as manager,
    ):
        state, other = manager.workflow_state("w"), manager.workflow_state("w")
        watch = Watch(manager)
        found = contents(state)
        interrupted = 0
        for number in range(ROUNDS):
            write, after = chance.choice(STEPS)(state, number, deepcopy(found))
            delay = chance.uniform(1e-6, 150e-6)
            again = chance.choice((0.0, 0.0, 5e-6, 20e-6))
            before = found
            cut = bell.during(write, delay, again)
            interrupted += cut
            settle(state)
            found = contents(state)
            where = f"seed {SEED}, round {number}, {write}"
            assert found == after or (cut and found == before), where
            if cut and not number % 8:
                in_thread(other.set, "probe", number)
                found[0]["probe"] = number
                stats = manager.stats()
                assert (stats.keys, stats.size_bytes) == recount(manager), where
        watch.stop()
        assert interrupted > ROUNDS / 20, "too few interrupts to show anything"


def settle(state: WorkflowState) -> None:
    """Wait for what a worker may be carrying out of a write that was waited for."""
    manager, scope = state.manager, state.scope
    manager.release(scope)
    owner = manager.engine.directory.owners.get(scope.owner)
    if owner is not None:
        with suppress(OwnerStoppedError):
            owner.ask(GetState(scope, "k"))
    manager.release(scope)


class Watch:
    """A thread that looks for half of a batch, or of a transaction."""

    def __init__(self, manager: StateManager) -> None:
        """Begin to look."""
        self._state = manager.workflow_state("w")
        self._over = threading.Event()
        self._job = Job(self._look)

    def _look(self) -> None:
        keys = [f"b{index}" for index in range(5)]
        while not self._over.is_set():
            assert len(set(map(str, self._state.get_many(keys).values()))) <= 1
            try:
                with self._state.transaction() as transaction:
                    one = transaction.get("t")
                    assert transaction.step("s").get("t") == one
            except ConflictError:
                continue

    def stop(self) -> None:
        """End, and tell what was seen."""
        self._over.set()
        self._job.result()


Step = Callable[[WorkflowState, int, Contents], tuple[Callable[[], object], Contents]]
"""From a state, a number and what the state holds: a write, and what it then holds."""


def _set(state: WorkflowState, number: int, then: Contents) -> tuple[Write, Contents]:
    then[0]["k"] = number
    return partial(state.set, "k", number), then


def _set_new(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    key = f"new{number}"
    then[0][key] = number
    return partial(state.set, key, number), then


def _set_expiring(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    then[0]["late"] = number
    return partial(state.set, "late", number, ttl=1000.0), then


def _update(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    batch: dict[str, JsonValue] = {f"b{index}": number for index in range(5)}
    then[0].update(batch)
    return partial(state.update, batch), then


def _delete(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    keys = sorted(key for key in then[0] if key.startswith("new"))
    key = keys[number % len(keys)] if keys else "k"
    then[0].pop(key, None)
    return partial(state.delete, key), then


def _increment(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    then[0]["n"] = cast("int", then[0].get("n", 0)) + number
    return partial(state.increment, "n", number), then


def _append(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    then[0]["list"] = [*cast("list[JsonValue]", then[0].get("list", [])), number]
    return partial(state.append, "list", number), then


def _modify(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    then[0]["m"] = [then[0].get("k"), number]
    return partial(state.modify, "m", lambda _: [state.get("k"), number]), then


def _transact(
    state: WorkflowState, number: int, then: Contents
) -> tuple[Write, Contents]:
    def write() -> None:
        with state.transaction() as transaction:
            transaction["t"] = number
            transaction.step("s")["t"] = number

    then[0]["t"] = then[1]["t"] = number
    return write, then


def _passivate(state: WorkflowState, _: int, then: Contents) -> tuple[Write, Contents]:
    return partial(state.manager.passivate, state.scope), then


def _drop(state: WorkflowState, number: int, then: Contents) -> tuple[Write, Contents]:
    if number % 4:
        return _set(state, number, then)
    return state.drop, ({}, {})


STEPS: Final[tuple[Step, ...]] = (
    _set,
    _set_new,
    _set_expiring,
    _update,
    _delete,
    _increment,
    _append,
    _modify,
    _transact,
    _passivate,
    _drop,
)
