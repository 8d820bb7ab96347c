"""Closing: every write is answered, every thread ends, whatever else goes on."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from stateward import (
    AskTimeoutError,
    ClosedError,
    JsonValue,
    Limits,
    OwnerStoppedError,
    ReentrantCallError,
    StateManager,
    WorkflowState,
)
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import BUSY, TurnRef
from stateward.messages import SetState
from tests.threads import (
    WAIT,
    Gate,
    Job,
    eventually,
    frequent_switches,
    in_thread,
    run_script,
)

ROUNDS = 40


def own_threads() -> set[threading.Thread]:
    """Return the threads of managers that run now."""
    return {it for it in threading.enumerate() if it.name.startswith("stateward-")}


def add_until_closed(state: WorkflowState, begun: threading.Barrier) -> list[int]:
    """Increment until the manager is closed; return every sum that was answered."""
    sums: list[int] = []
    begun.wait(WAIT)
    with pytest.raises(ClosedError) as caught:
        add_for_ever(state, sums)
    assert caught.value.effect == "none"
    return sums


def add_for_ever(state: WorkflowState, sums: list[int]) -> None:
    """Increment, and note every sum."""
    while True:
        sums.append(int(state.increment("n")))


def has_reached(state: WorkflowState, revision: int) -> bool:
    """Return whether others have written so often."""
    return state.revision >= revision


@pytest.mark.slow
def test_close_answers_every_write_of_other_threads() -> None:
    """A write that races `close` either counts and is answered, or never happens."""
    for round_number in range(ROUNDS):
        manager, begun = StateManager(), threading.Barrier(5)
        state = manager.workflow_state("w")
        with frequent_switches():
            jobs = [
                Job(add_until_closed, manager.workflow_state("w"), begun)
                for _ in range(4)
            ]
            begun.wait(WAIT)
            eventually(partial(has_reached, state, round_number), "they write")
            manager.close()
        check_all_answered([number for job in jobs for number in job.result()])


def check_all_answered(sums: list[int]) -> None:
    """Check that nothing happened twice, nor once without being answered."""
    assert sorted(sums) == list(range(1, len(sums) + 1))


@pytest.mark.slow
def test_close_answers_every_write_of_the_main_thread() -> None:
    """So it is for the main thread, whose waiting messages only a worker may run."""

    def close(manager: StateManager, begun: threading.Barrier) -> None:
        begun.wait(WAIT)
        manager.close()

    for _ in range(ROUNDS):
        manager, begun = StateManager(), threading.Barrier(4)
        with frequent_switches():
            closer = Job(close, manager, begun)
            jobs = [
                Job(add_until_closed, manager.workflow_state("w"), begun)
                for _ in range(2)
            ]
            sums = add_until_closed(manager.workflow_state("w"), begun)
            closer.result()
        check_all_answered(sums + [it for job in jobs for it in job.result()])


@pytest.mark.parametrize("caller", ["main", "other", "future"])
def test_write_is_answered_when_its_worker_has_just_gone(
    caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message queued after the last worker ended is given back at once."""
    manager = StateManager()
    state = manager.workflow_state("w")
    state.set("k", 1)
    owner = manager.engine.directory.owners[state.scope.owner]
    message = SetState(state.scope, "k", 2)
    check = TurnRef._check_alive

    def close_after(ref: TurnRef[Owner]) -> None:
        check(ref)
        monkeypatch.undo()
        in_thread(manager.close)

    # The actor is found alive, and gone when the message is queued.
    monkeypatch.setattr(TurnRef, "_check_alive", close_after)
    monkeypatch.setattr(TurnRef, "attempt", lambda *_: BUSY)
    calls: dict[str, Callable[[], object]] = {
        "main": partial(owner.ask, message, timeout=WAIT),
        "other": partial(in_thread, partial(owner.ask, message, timeout=WAIT)),
        "future": lambda: owner.post(message).get(timeout=WAIT),
    }
    with pytest.raises(OwnerStoppedError) as caught:
        calls[caller]()
    assert caught.value.effect == "none"


@pytest.mark.parametrize("active", [True, False])
def test_close_ends_reads_of_handles_that_know_their_way(active: bool) -> None:
    """What a handle has read before it reads no more, its owner active or not."""
    manager = StateManager()
    state = manager.workflow_state("w")
    state.update({"number": 1, "list": [1]})
    reads: tuple[Callable[[], object], ...] = (
        *(
            partial(read, key)
            for read in (state.get, state.view, state.entry)
            for key in ("number", "list", "none")
        ),
        partial(state.get_many, ["number"]),
        partial(state.__contains__, "number"),
        state.snapshot,
        partial(len, state),
        partial(list, state),
        state.steps,
    )
    for read in reads:
        read()
    if not active:
        assert manager.passivate(state.scope)
    manager.close()
    for read in reads:
        with pytest.raises(ClosedError):
            read()


def test_close_by_several_threads_closes_once() -> None:
    """All who close at the same time return when everything has ended."""
    for _ in range(10):
        before = own_threads()
        manager = StateManager()
        for number in range(20):
            manager.workflow_state(f"w{number}").set("k", 1)
        with frequent_switches():
            jobs = [Job(manager.close) for _ in range(4)]
            for job in jobs:
                job.result()
        assert own_threads() <= before
        manager.close()


def test_close_inside_a_turn_is_refused_while_another_thread_closes() -> None:
    """A function that closes is told at once, though a closing thread waits for it."""
    manager = StateManager(ask_timeout=WAIT)
    gate = Gate()
    errors: list[ReentrantCallError] = []

    def close(value: JsonValue) -> JsonValue:
        gate(value)
        with pytest.raises(ReentrantCallError) as caught:
            manager.close()
        errors.append(caught.value)
        return value

    holder = Job(manager.workflow_state("w").modify, "k", close)
    gate.wait_until_entered()
    closer = Job(manager.close)
    eventually(lambda: manager.engine.directory.closed, "the other thread closes")
    begun = time.monotonic()
    gate.open()
    holder.result()
    closer.result()
    assert len(errors) == 1
    assert time.monotonic() - begun < WAIT / 2


def test_close_is_reported_and_repeated_when_turns_do_not_end() -> None:
    """The others are closed meanwhile, and what is under way is still answered."""
    before = own_threads()
    manager = StateManager(ask_timeout=0.2)
    other = manager.workflow_state("other")
    other.set("k", 1)
    gate = Gate()
    holders = [
        Job(manager.workflow_state(f"w{number}").modify, "k", gate, default=number)
        for number in range(4)
    ]
    eventually(lambda: manager.stats().owners == 5, "all are in their turns")
    gate.wait_until_entered()
    begun = time.monotonic()
    with pytest.raises(AskTimeoutError, match="w0") as caught:
        manager.close()
    assert caught.value.effect == "unknown"
    assert time.monotonic() - begun < 4 * 0.2, "each took its time after the other"
    with pytest.raises(ClosedError):
        other.set("k", 2)
    with pytest.raises(ClosedError):
        other.get("k")
    gate.open()
    assert sorted(str(holder.result()) for holder in holders) == ["0", "1", "2", "3"]
    manager.close()
    assert own_threads() <= before


def test_close_says_the_same_when_the_mailbox_is_full() -> None:
    """A mailbox without room for one message more does not keep `close` from trying."""
    manager = StateManager(ask_timeout=0.2, limits=Limits(max_pending=1))
    state, gate = manager.workflow_state("w"), Gate()
    holder = Job(state.modify, "k", gate)
    gate.wait_until_entered()
    owner = manager.engine.directory.owners[state.scope.owner]
    waiting = owner.post(SetState(state.scope, "k", 2))
    with pytest.raises(AskTimeoutError):
        manager.close()
    gate.open()
    holder.result()
    waiting.get(timeout=WAIT)
    manager.close()


def test_managers_live_side_by_side() -> None:
    """One process holds several, which share nothing, and closing one ends one."""
    before = own_threads()
    managers = [StateManager() for _ in range(5)]
    states = [manager.workflow_state("w") for manager in managers]
    for number, state in enumerate(states):
        state.set("k", number)
    for number, manager in enumerate(managers):
        assert [state.get("k") for state in states[number:]] == [*range(number, 5)]
        manager.close()
        with pytest.raises(ClosedError):
            states[number].get("k")
    assert own_threads() <= before


@pytest.mark.slow
def test_stopping_many_owners_takes_linear_time() -> None:
    """Stopping 20,000 owners takes about ten times as long as stopping 2,000."""
    few = min(seconds_to_stop(2_000) for _ in range(3))
    assert seconds_to_stop(20_000) < 25 * few  # a search of a list: 50 and more


def seconds_to_stop(owners: int) -> float:
    """Return how long it takes to let half of many owners go, and close the others."""
    manager = StateManager()
    states = [manager.workflow_state(f"w{number}") for number in range(owners)]
    for state in states:
        state.set("k", 1)
    begun = time.monotonic()
    # The youngest first: a list is searched from the other end.
    for state in states[: owners // 2 : -1]:
        manager.passivate(state.scope)
    manager.close()
    return time.monotonic() - begun


def test_forgotten_manager_ends_its_threads_when_warnings_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that turns warnings into errors does not keep the threads alive by it."""
    before = own_threads()
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: told.append(it.exc_type))
    manager = StateManager()
    manager.workflow_state("w").set("k", 1, ttl=1000)
    engine = weakref.ref(manager.engine)
    del manager
    gc.collect()
    eventually(lambda: own_threads() <= before, "its threads end")
    assert told == [ResourceWarning]
    assert engine() is None


UNCLOSED = """
import threading
from stateward import StateManager
manager = StateManager()
state = manager.workflow_state("w")
state.set("k", 1, ttl=1000)
entered = threading.Event()
def block(value):
    entered.set()
    threading.Event().wait()
"""

ENDINGS = {
    "unclosed": "",
    "used by a daemon thread": """
def write():
    while True:
        state.increment("n")
        entered.set()
threading.Thread(target=write, daemon=True).start()
entered.wait()
""",
    "blocked in a daemon thread": """
threading.Thread(target=state.modify, args=("k", block), daemon=True).start()
entered.wait()
""",
    "blocked in a worker": """
from stateward.messages import ModifyState
manager.supervisor.tell(ModifyState(state.scope, "k", block))
entered.wait()
""",
    "held by a cycle": """
manager.myself = manager
del manager, state
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
def test_interpreter_exits_when_a_manager_was_left_open(name: str) -> None:
    """No thread of ours keeps the interpreter alive, nor delays its end."""
    source = f"{UNCLOSED}\n{ENDINGS[name]}\nprint('end')"
    assert run_script(source, timeout=20) == "end\n"
