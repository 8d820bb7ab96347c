"""Owners come and go under load: let go when idle, dropped, failed and made anew."""

from functools import partial
from random import Random
from typing import Any

from property_tests.stress.rounds import Round, stress, together
from property_tests.stress.test_accounting import check_accounting
from stateward import OwnerFailedError, ScopedState
from stateward.actors.core import faults

THREADS = 3
CALLS = 12


# Seen to fail when `_passivate` does not look at the mail, when a message that comes
# after the end is dropped, and when an owner is activated with an empty state.
@stress(ci=60)
def test_passivation_loses_nothing_under_load(it: Round) -> None:
    """Owners that are let go at any moment come back with every update."""
    order = it.workflow

    def add(state: ScopedState) -> None:
        for number in range(CALLS):
            assert state.increment("k") >= number + 1
            state.append("list", number)

    def let_go(chance: Random) -> None:
        for _ in range(CALLS):
            it.manager.passivate(chance.choice((order, order.step("s"))).scope)

    states = [it.manager.state(order.scope) for _ in range(THREADS - 1)]
    step = it.manager.state(order.step("s").scope)
    adding = [partial(add, state) for state in (*states, step)]
    together(*adding, *map(partial, [let_go] * 2, it.seeds(2)))
    assert order["k"] == len(states) * CALLS
    assert step["k"] == CALLS
    check_accounting(it.manager, order, step)


# Seen to fail when an owner is let go although it was used after `idle_since`, and
# comes back with an empty state.
@stress(ci=60, idle_timeout=4.0)
def test_idle_owners_lose_nothing_under_load(it: Round) -> None:
    """Owners whose time is up in the middle of the work come back with every update."""
    states = [it.manager.state(it.workflow.scope) for _ in range(THREADS)]

    def add(state: ScopedState) -> None:
        for _ in range(CALLS):
            state.increment("k")

    def pass_time() -> None:
        for _ in range(CALLS):
            it.clock.advance(3.0)

    together(pass_time, *(partial(add, state) for state in states))
    assert it.workflow["k"] == THREADS * CALLS


# Seen to fail when a dropped state takes writes, and when a handle goes on reading the
# table it knew.
@stress(ci=60)
def test_drop_is_final_under_load(it: Round) -> None:
    """What was dropped does not come back; what was written since is there."""
    order = it.workflow

    def write(name: int) -> None:
        state = it.manager.workflow_state(order.workflow_id)
        key, newest = f"{name}", 0
        for number in range(CALLS):
            revision = int(state.set(key, number))
            assert revision > newest
            newest = revision
            entry = state.entry(key)
            assert entry is None or (entry.revision, entry.value) == (revision, number)

    def drop(chance: Random) -> None:
        state = it.manager.workflow_state(order.workflow_id)
        for number in range(CALLS):
            state.step("s").set("k", number)
            state.drop()
            assert "k" not in state.step("s"), "it was dropped"
            if chance.random() < 0.3:
                it.manager.passivate(order.scope)

    writers = [partial(write, name) for name in range(THREADS)]
    together(*writers, partial(drop, *it.seeds(1)))
    order.drop()
    assert (len(order), order.steps(), it.manager.workflow_ids()) == (0, [], [])
    assert it.manager.stats().keys == 0


# Seen to fail when `recover` does nothing, when the reply says `none` for a command
# that was published, and when accounting is brought up before the event is staged.
@stress(ci=60)
def test_failed_handlers_leave_no_half_command(it: Round) -> None:
    """A batch on which the owner fails, wherever it does, happens whole or never."""
    order, keys = it.workflow, ("a", "b", "c")
    order.update(dict.fromkeys(keys, 0))
    refused: set[int] = set()
    seen: set[Any] = set()
    failures = iter(sorted(it.chance.sample(range(2 * CALLS), 2)))
    due = [next(failures), next(failures)]
    hits = iter(range(10**9))

    def fail() -> None:
        if due and next(hits) == due[0]:
            del due[0]
            raise ZeroDivisionError

    def write(name: int) -> None:
        for number in range(1, CALLS):
            value = name * CALLS + number
            try:
                order.update(dict.fromkeys(keys, value))
            except OwnerFailedError as error:
                if error.effect == "none":
                    refused.add(value)

    def read() -> None:
        mine = it.manager.workflow_state(order.workflow_id)
        for _ in range(2 * CALLS):
            found = set(mine.snapshot().values())
            assert len(found) == 1, f"half an update: {found}"
            seen.update(found)

    point = it.chance.choice(("owner.decided", "state.staged", "state.published"))
    with faults.arm(point, fail):
        together(partial(write, 0), partial(write, 1), read, read)
    assert not seen & refused, "a value was seen that was refused"
    assert len(set(order.values())) == 1
    check_accounting(it.manager, order)
