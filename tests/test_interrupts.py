"""Interrupts: the main thread may be interrupted at any instant of a write.

Each kind of write is interrupted at every point where CPython can do so, one after the
other. `test_signals` does it with real signals, and judges whether the points are all.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pykka
import pytest

from stateward import JsonValue, Limits, StateManager, WorkflowScope, WorkflowState
from stateward.testing import SimulatedClock
from tests.interrupts import Interrupter, points
from tests.threads import ByHand, Gate, Job, eventually, in_thread
from tests.workflows import Contents, check_usable, contents, fill, filled

Write = Callable[[WorkflowState], object]


def write_transaction(state: WorkflowState) -> None:
    """Write to the workflow, to a step there is and to one there is not."""
    with state.transaction() as transaction:
        transaction["a"] = 10
        transaction.step("s")["x"] = 20
        transaction.step("new")["y"] = 1


WRITES: Final[dict[str, Write]] = {
    "overwrite": lambda state: state.set("a", 99),
    "new key": lambda state: state.set("new", 99),
    "expiring key": lambda state: state.set("soon", 1, ttl=10),
    "batch": lambda state: state.update({"a": 7, "b": 7, "c": 7, "e": 7, "f": 7}),
    "delete": lambda state: state.delete("a"),
    "delete all of a step": lambda state: state.step("s").delete("x"),
    "clear": lambda state: state.clear(),
    "pop": lambda state: state.pop("a"),
    "increment": lambda state: state.increment("n"),
    "append": lambda state: state.append("c", 3),
    "merge": lambda state: state.merge("c", {"z": 1}),
    "modify": lambda state: state.modify("n", lambda number: number + 1),
    "transaction": write_transaction,
    "limits": lambda state: state.manager.set_limits("w", Limits(max_keys=100)),
    "passivate": lambda state: state.manager.passivate(state.scope),
    "drop": lambda state: state.drop(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITES)
def test_write_happens_or_not_when_interrupted_at_any_point(name: str) -> None:
    """Wherever a write is interrupted, it happened or it did not, and others go on."""
    write = WRITES[name]
    with filled() as state:
        before = contents(state)
        total = points(lambda: write(state))
        after = contents(state)
    for point in range(1, total + 1):
        with filled() as state:
            interrupter = Interrupter(point)
            assert interrupter.run(lambda: write(state)), f"no point {point}"
            check_usable(state, (before, after), interrupter.place)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overwrite", "batch", "transaction", "drop"])
def test_write_happens_or_not_when_interrupted_twice(name: str) -> None:
    """A second interrupt on the way out of the first leaves nothing half-way either."""
    write = WRITES[name]
    with filled() as state:
        before = contents(state)
        total = points(lambda: write(state))
        after = contents(state)
    twice = 0
    for point in range(1, total + 1):
        for second in (1, 2, 3):
            with filled() as state:
                interrupter = Interrupter(point, second)
                assert interrupter.run(lambda: write(state))
                twice += ", then " in interrupter.place
                check_usable(state, (before, after), interrupter.place)
    assert twice > 2


@pytest.mark.slow
def test_first_write_leaves_a_working_engine_when_interrupted_at_any_point() -> None:
    """An interrupted activation stops neither the alarms nor the search for idle."""

    def write(manager: StateManager) -> None:
        manager.workflow_state("w").set("a", 1, ttl=1000)

    with StateManager() as manager:
        total = points(lambda: write(manager))
    for point in range(1, total + 1):
        clock, hand = SimulatedClock(), ByHand()
        manager = StateManager(clock=clock, dispatcher=hand, ask_timeout=5)
        interrupter = Interrupter(point)
        assert interrupter.run(partial(write, manager))
        place = interrupter.place
        hand.run()
        in_thread(manager.workflow_state("v").set, "a", 1)
        for _ in range(6):
            clock.advance(30)
            hand.run()
        assert manager.stats().owners == 0, place
        in_thread(manager.workflow_state("w").set, "b", 1, ttl=1000)
        for _ in range(2):
            clock.advance(1000)
            hand.run()
        assert manager.stats().keys == 1, place
        with hand.served():
            manager.close()


@pytest.mark.slow
def test_handle_finds_the_new_owner_when_interrupted_on_its_way_there() -> None:
    """A handle that has learnt half of a new route writes to what there is now."""

    def begin(manager: StateManager) -> WorkflowState:
        state = manager.workflow_state("w")
        state.set("a", "old")
        manager.workflow_state("w").drop()
        manager.workflow_state("w").set("a", "new")
        return state

    with StateManager() as manager:
        state = begin(manager)
        total = points(lambda: state.set("b", 1))
    for point in range(1, total + 1):
        with StateManager() as manager:
            state, interrupter = begin(manager), Interrupter(point)
            interrupter.run(lambda it=state: it.set("b", 1))  # type: ignore[misc]  # mypy cannot infer a default's type
            state.set("a", "newest")
            assert manager.workflow_state("w")["a"] == "newest", interrupter.place


@pytest.mark.slow
def test_waiting_write_leaves_the_scope_usable_when_interrupted_at_any_point() -> None:
    """An interrupt while a write waits for its turn blocks nobody."""
    total = len(list(waits_interrupted(0)))
    for point in range(1, total + 1):
        for _ in waits_interrupted(point):
            pass


@pytest.mark.slow
def test_close_can_be_repeated_when_interrupted_at_any_point() -> None:
    """Wherever closing is interrupted, closing again ends every thread and actor."""

    def begin() -> StateManager:
        manager = StateManager(ask_timeout=5)
        fill(manager.workflow_state("w"))
        return manager

    before = set(threading.enumerate())
    total = points(begin().close)
    for point in range(1, total + 1):
        manager = begin()
        interrupter = Interrupter(point)
        interrupter.run(manager.close)
        manager.close()
        assert set(threading.enumerate()) <= before, interrupter.place
        assert not manager.supervisor.is_alive(), interrupter.place
        left = pykka.ActorRegistry.get_all()
        assert manager.supervisor not in left, interrupter.place


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), ValueError("no"), StopIteration()]
)
def test_modify_lets_an_exception_reach_only_its_caller(error: BaseException) -> None:
    """Whatever the function raises, nobody else notices and nothing changes."""

    def fail(_: JsonValue) -> JsonValue:
        raise error

    with filled() as state:
        before = contents(state)
        modify = partial(state.modify, "n", fail)
        for call in (modify, partial(in_thread, modify)):
            with pytest.raises(type(error)) as caught:
                call()
            assert caught.value is error
        check_usable(state, (before,), "afterwards")
        state.set("a", 2)
        assert state.manager.stats().restarts == 0


def test_modify_lets_an_exception_of_a_queued_function_reach_only_its_caller() -> None:
    """Run by a worker, a function that wants to end the process ends nothing."""

    def leave(_: JsonValue) -> JsonValue:
        raise SystemExit(3)

    with filled() as state:
        gate = Gate()
        holder = Job(state.modify, "n", gate)
        gate.wait_until_entered()
        inbox = state.manager.engine.owner(WorkflowScope("w")).actor_inbox
        leaver, writer = Job(state.modify, "a", leave), Job(state.set, "b", 3)
        eventually(lambda: len(inbox.mail) == 2, "both wait")
        gate.open()
        holder.result()
        with pytest.raises(SystemExit):
            leaver.result()
        writer.result()
        assert state.get("b") == 3
        check_usable(state, (contents(state),), "afterwards")


def waits_interrupted(point: int) -> Iterator[int]:
    """Interrupt a write that waits for another one's turn; yield once per point."""
    with filled() as state:
        gate, before = Gate(), contents(state)
        inbox = state.manager.engine.owner(WorkflowScope("w")).actor_inbox
        holder = Job(state.modify, "n", gate)
        gate.wait_until_entered()
        interrupter = Interrupter(point)
        # Let go as soon as the write waits, so that every point is met.
        mail_came = Job(open_when, gate, lambda: bool(inbox.mail), interrupter)
        interrupter.run(lambda: state.set("a", 99))
        gate.open()
        holder.result()
        mail_came.result()
        check_usable(state, (before, WRITTEN), interrupter.place)
        if not point:
            yield from range(interrupter.passed)


WRITTEN: Final[Contents] = (
    {"a": 99, "b": 2, "c": [1, 2], "d": 4, "n": 0, "late": 5},
    {"x": 1},
)


def open_when(
    gate: Gate, condition: Callable[[], bool], interrupter: Interrupter
) -> None:
    """Open `gate` once `condition()` holds, or the interrupt has been delivered."""
    pause = threading.Event()
    while not (condition() or interrupter.place or gate.is_open()):
        pause.wait(0.0005)
    gate.open()
