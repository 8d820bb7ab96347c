"""Lost updates: what many threads add up is there in full."""

from functools import partial
from itertools import chain
from random import Random
from typing import Any

from property_tests.stress.rounds import Round, stress, times, together
from stateward import ConflictError, MissingKeyError, ScopedState, Transaction

THREADS = 4
CALLS = 12


def handles(it: Round) -> list[ScopedState]:
    """Return a handle for each thread: of one workflow, or of one of its steps."""
    scope = it.chance.choice((it.workflow, it.workflow.step("s"))).scope
    return [it.manager.state(scope) for _ in range(THREADS)]


# Seen to fail when the turn lock is released before the handler runs, and when the
# caller of a queued message runs it without the lock.
@stress(ci=60)
def test_increment_is_exact_from_many_threads(it: Round) -> None:
    """Every increment counts, and returns a sum nobody else is given."""
    states = handles(it)
    sums: list[int] = []

    def add(state: ScopedState) -> None:
        for _ in range(CALLS):
            sums.append(int(state.increment("k")))
            state.increment("by three", 3)

    together(*(partial(add, state) for state in states))
    assert sorted(sums) == list(range(1, THREADS * CALLS + 1))
    assert states[0].get("by three") == 3 * THREADS * CALLS


# Seen to fail when the turn lock is released before the handler runs.
@stress(ci=60)
def test_append_is_exact_from_many_threads(it: Round) -> None:
    """Every item is there once, and the items of one thread are in their order."""
    states = handles(it)

    def add(name: int, state: ScopedState) -> None:
        for number in range(CALLS):
            state.append("k", [name, number])

    together(*(partial(add, name, state) for name, state in enumerate(states)))
    items: Any = states[0]["k"]
    assert len(items) == THREADS * CALLS
    for name in range(THREADS):
        assert [item for item in items if item[0] == name] == [
            [name, number] for number in range(CALLS)
        ]


# Seen to fail when `modify` reads the value before it has the turn.
@stress(ci=60)
def test_modify_is_exact_from_many_threads(it: Round) -> None:
    """Every function is given what the one before it returned."""
    states = handles(it)

    def add(state: ScopedState) -> None:
        state.modify("k", lambda items: [*items, len(items)], default=[])

    together(*(times(CALLS, partial(add, state)) for state in states))
    assert states[0]["k"] == list(range(THREADS * CALLS))


# Seen to fail when `_commit` does not look at the revisions that were read.
@stress(ci=40)
def test_transact_is_exact_from_many_threads(it: Round) -> None:
    """What transactions read, work out and write over two scopes adds up."""

    def move(tx: Transaction) -> None:
        taken: Any = tx.workflow().get("left", THREADS * CALLS)
        tx.workflow()["left"] = taken - 1
        tx.step("s").increment("done")

    def work() -> None:
        mine = it.manager.workflow_state(it.workflow.workflow_id)
        for _ in range(CALLS):
            mine.transact(move, attempts=10_000)

    together(*[work] * THREADS)
    assert it.workflow["left"] == 0
    assert it.workflow.step("s")["done"] == THREADS * CALLS


# Seen to fail when `expected` is compared in the handle instead of in the owner's turn.
@stress(ci=40)
def test_expected_is_exact_from_many_threads(it: Round) -> None:
    """Of all who expect one revision, one sets the key and the others are told."""
    states = handles(it)

    def add(state: ScopedState) -> None:
        done = 0
        while done < CALLS:
            entry = state.entry("k")
            number: Any = 0 if entry is None else entry.value
            revision = 0 if entry is None else entry.revision
            try:
                state.set("k", number + 1, expected=revision)
            except ConflictError:
                continue
            done += 1

    together(*(partial(add, state) for state in states))
    assert states[0]["k"] == THREADS * CALLS


# Seen to fail when `merge` reads the value in the handle.
@stress(ci=60)
def test_merge_is_exact_from_many_threads(it: Round) -> None:
    """Every name that somebody merged is there."""
    states = handles(it)

    def add(name: int, state: ScopedState) -> None:
        for number in range(CALLS):
            state.merge("k", {f"{name}": {f"{number}": number}})

    together(*(partial(add, name, state) for name, state in enumerate(states)))
    each = {f"{number}": number for number in range(CALLS)}
    assert states[0]["k"] == {f"{name}": each for name in range(THREADS)}


# Seen to fail when `setdefault` sets after it has found the key absent.
@stress(ci=60)
def test_setdefault_has_one_winner_among_many_threads(it: Round) -> None:
    """All who set a default for one key are given the same value, which stays."""
    states = handles(it)
    given: list[list[Any]] = [[] for _ in states]

    def claim(name: int, state: ScopedState) -> None:
        for number in range(CALLS):
            given[name].append(state.setdefault(f"{number}", [name]))

    together(*(partial(claim, name, state) for name, state in enumerate(states)))
    assert all(each == given[0] for each in given)
    assert [states[0][f"{number}"] for number in range(CALLS)] == given[0]


# Seen to fail when `pop` reads in the handle and then deletes.
@stress(ci=60)
def test_pop_takes_each_entry_once(it: Round) -> None:
    """Of all who try to take an entry, one is given it."""
    states = handles(it)
    states[0].update({f"{number}": number for number in range(3 * CALLS)})
    taken: list[list[Any]] = [[] for _ in states]

    def take(name: int, state: ScopedState, chance: Random) -> None:
        while True:
            try:
                if chance.random() < 0.5:
                    taken[name].append(state.popitem()[1])
                else:
                    key = f"{chance.randrange(3 * CALLS)}"
                    taken[name].append(state.pop(key))
            except MissingKeyError:
                if not state:
                    return

    together(*map(partial, [take] * THREADS, range(THREADS), states, it.seeds(THREADS)))
    assert sorted(chain(*taken)) == list(range(3 * CALLS))
