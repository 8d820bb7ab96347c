"""Histories of real threads and tasks on a real manager are linearizable.

A round is one short history on a workflow of its own. How many there are says the
profile; 10,000 of each kind under `soak`.
"""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

import pytest

from property_tests.profiles import rounds
from property_tests.stress.rounds import Round, eager_switching, stress, together
from stateward import ConflictError, ScopedState, StateManager, WorkflowState
from stateward.durability import Durability
from stateward.testing import Call
from stateward.testing.histories import Client, Footprint, History
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import (
    Counter,
    Register,
    Transactions,
)
from stateward.testing.transitions import Specification

THREADS: Final = 4
TASKS: Final = 2
CALLS: Final = 10
KEYS: Final = ("a", "b")
PLACES: Final = ("a", "b", "step:a")
STORED_MAX: Final = 300  # LIMIT: at some 0.1 s each
S = TypeVar("S", bound=Hashable)


def agreed(history: History, specification: Specification[S]) -> None:
    """Fail with the explanation, unless the history is linearizable."""
    verdict = check_history(history, specification)
    assert verdict.ok, str(verdict)


@stress(ci=20)
def test_registers_are_linearizable_under_threads_and_tasks(it: Round) -> None:
    """Reads, writes, writes that expect a revision and deletions have an order."""
    history = record(it, register_calls)
    agreed(history, Register())


@stress(ci=20)
def test_counters_are_linearizable_under_threads_and_tasks(it: Round) -> None:
    """Increments, each with the sum it returned, and reads have an order."""
    history = record(it, counter_calls)
    agreed(history, Counter())


@stress(ci=20)
def test_transactions_are_strictly_serializable(it: Round) -> None:
    """Transactions on a workflow and a step have an order, and so have snapshots."""
    history, order = History(), it.workflow

    def work(number: int, chance: Random) -> None:
        client = history.client(f"thread {number}")
        for _ in range(CALLS):
            transact(client, order, chance)

    together(*(partial(work, *each) for each in enumerate(it.seeds(THREADS))))
    agreed(history, Transactions())


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["synced", "buffered"])
def test_stored_state_is_linearizable(
    tmp_path: Path, request: pytest.FixtureRequest, durability: Durability
) -> None:
    """The same holds for what is committed to SQLite, where turns overlap commits."""
    seed = request.config.getoption("hypothesis_seed") or 0
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with StateManager(url, durability=durability) as manager, eager_switching():
        for number in range(min(rounds(ci=3), STORED_MAX)):
            store_round(manager, number, Random(f"{seed}/{number}"))


def store_round(manager: StateManager, number: int, chance: Random) -> None:
    """Record and check one history of registers and one of transactions."""
    registers, moves = History(), History()
    one = manager.workflow_state(f"registers:{number}")
    other = manager.workflow_state(f"moves:{number}")

    def work(name: int, own: Random) -> None:
        client = registers.client(f"thread {name}")
        mover = moves.client(f"thread {name}")
        for _ in range(CALLS // 2):
            make(client, register_calls(own, one), one)
            transact(mover, other, own)

    seeds = [Random(chance.getrandbits(64)) for _ in range(THREADS)]
    together(*(partial(work, *each) for each in enumerate(seeds)))
    agreed(registers, Register())
    agreed(moves, Transactions())


def record(it: Round, calls: Callable[[Random, ScopedState], Call]) -> History:
    """Return what threads and tasks did to one workflow."""
    history, order = History(), it.workflow
    seeds = it.seeds(THREADS + TASKS)

    def work(number: int) -> None:
        client, chance = history.client(f"thread {number}"), seeds[number]
        mine = it.manager.workflow_state(order.workflow_id)
        for _ in range(CALLS):
            make(client, calls(chance, mine), mine)

    async def task(number: int) -> None:
        client, chance = history.client(f"task {number}"), seeds[THREADS + number]
        mine = order.aio
        for _ in range(CALLS):
            call = calls(chance, order)
            try:
                await client.awaited(call, partial(call.awaited, mine))
            except ConflictError:
                continue

    async def tasks() -> None:
        await asyncio.gather(*map(task, range(TASKS)))

    threads = [partial(work, number) for number in range(THREADS)]
    together(*threads, lambda: asyncio.run(tasks()))
    return history


def make(client: Client, call: Call, state: ScopedState) -> None:
    """Make a call, which may be refused."""
    try:
        client.call(call, partial(call.on, state))
    except ConflictError:
        return


def register_calls(chance: Random, state: ScopedState) -> Call:
    """Return a call of a register; what it expects is true now, or was."""
    key = chance.choice(KEYS)
    value = chance.randrange(1, 1_000_000)
    match chance.randrange(6):
        case 0:
            return Call("get", (key,))
        case 1 | 2:
            return Call("entry", (key,))
        case 3:
            return Call("set", (key, value))
        case 4:
            entry = state.entry(key)
            return Call(
                "set", (key, value), (("expected", entry.revision if entry else 0),)
            )
        case _:
            return Call("delete", (key,))


def counter_calls(chance: Random, _: ScopedState) -> Call:
    """Return a call of a counter."""
    key = chance.choice(KEYS)
    if chance.random() < 0.4:
        return Call("get", (key, 0))
    return Call("increment", (key, chance.randrange(-2, 4)))


def transact(client: Client, order: WorkflowState, chance: Random) -> None:
    """Make one attempt to read two places, and most times to add to both."""
    chosen, writes = chance.sample(PLACES, 2), chance.random() < 0.7

    def move(seen: Footprint) -> None:
        with order.transaction() as tx:
            scopes = {"": tx, "step": tx.step("s")}
            for place in chosen:
                scope, _, key = place.rpartition(":")
                found = seen.read(place, scopes[scope].get(key))
                if writes:
                    total = (found or 0) + chance.randrange(1, 9)  # type: ignore[operator]  # a number
                    scopes[scope][key] = seen.wrote(place, total)

    try:
        client.transact(move)
    except ConflictError:
        return
