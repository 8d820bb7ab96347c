"""Batches and transactions: readers see all of one, or nothing of it.

Every batch writes one number everywhere; whoever sees two different ones has seen half.
The last number grows, so that single reads one after another must not go back.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from property_tests.stress.rounds import Round, stress, together
from stateward import ConflictError, ScopedState, Transaction

BATCHES = 12
KEYS = ("a", "b", "c", "d")


# Seen to fail when `stage` publishes before all cells are in their tables, when `find`
# and `find_all` take cells without looking at the revision, and when `find_all` leaves
# out its check of `settled`.
@stress(ci=60)
def test_update_is_atomic_to_every_reader(it: Round) -> None:
    """A reader of several keys finds all of an update in them, or nothing of it."""
    state = it.workflow
    state.update(dict.fromkeys(KEYS, 0))

    def write() -> None:
        for number in range(1, BATCHES):
            state.update(dict.fromkeys(KEYS, number))

    def read(way: Callable[[ScopedState], Any]) -> None:
        mine, newest = it.manager.workflow_state(state.workflow_id), 0
        for _ in range(BATCHES):
            seen = set(way(mine))
            assert len(seen) == 1, f"half an update: {seen}"
            assert seen >= {newest} or seen.pop() > newest
            newest = mine["a"]  # type: ignore[assignment]  # a number

    ways: list[Callable[[ScopedState], Any]] = [
        lambda state: state.get_many(KEYS).values(),
        lambda state: state.snapshot().values(),
        lambda state: state.values(),
        lambda state: [value for _, value in state.items()],
        lambda state: settled(state, lambda tx: [tx[key] for key in KEYS]),
        lambda state: settled(state, lambda tx: list(tx.values())),
        lambda state: in_turn(state, KEYS),
    ]
    together(write, *(partial(read, way) for way in it.chance.sample(ways, 3)))


# Seen to fail when the revision is published per scope, and when `_commit` sends each
# scope's writes by themselves.
@stress(ci=60)
def test_transaction_is_atomic_over_scopes(it: Round) -> None:
    """Reads of a workflow and its steps, one by one, never meet half a transaction."""
    order = it.workflow
    places: list[ScopedState] = [order, order.step("one"), order.step("two")]

    def commit(number: int, tx: Transaction) -> None:
        for view in it.chance.sample(views(tx), 3):
            view["k"] = number
            view["more"] = number

    def write() -> None:
        for number in range(1, BATCHES):
            order.transact(partial(commit, number))

    fresh = [it.manager.state(state.scope) for state in reversed(places)]
    readers = [
        partial(read_one_by_one, places),
        partial(read_one_by_one, fresh),
        partial(read_each, places),
        partial(read_all, order),
    ]
    together(write, *it.chance.sample(readers, 3))


def read_one_by_one(states: list[ScopedState]) -> None:
    """Read single values, each of which is at least as new as the one before."""
    newest = 0
    for _ in range(BATCHES):
        for state in states:
            seen: Any = state.get("k", 0)
            assert seen >= newest, f"{seen} was read after {newest}"
            newest = seen


def read_each(states: list[ScopedState]) -> None:
    """Read both keys of each scope, which belong together."""
    for _ in range(BATCHES):
        for state in states:
            seen = state.get_many(("k", "more"))
            assert len(set(seen.values())) <= 1, f"half a transaction: {seen}"
            assert len(seen) in {0, 2}


def read_all(state: ScopedState) -> None:
    """Read one key of all scopes, in a transaction."""
    for _ in range(BATCHES):
        seen = settled(state, lambda tx: [view.get("k") for view in views(tx)])
        assert len(set(seen)) == 1, f"half a transaction: {seen}"


# Seen to fail when `settle` removes deleted cells before the revision is published, and
# when `count` takes the length of the table without asking whether all is settled.
@stress(ci=60)
def test_deletion_is_atomic_to_every_reader(it: Round) -> None:
    """Keys that come and go in one command are there all together, or not at all."""
    state = it.chance.choice((it.workflow, it.workflow.step("s")))
    remove = it.chance.choice((state.clear, partial(state.delete_many, KEYS)))

    def write() -> None:
        for number in range(BATCHES):
            state.update(dict.fromkeys(KEYS, number))
            remove()

    def read(way: Callable[[ScopedState], int]) -> None:
        mine = it.manager.state(state.scope)
        for _ in range(2 * BATCHES):
            seen = way(mine)
            assert seen in {0, len(KEYS)}, f"{seen} of {len(KEYS)} keys"

    ways: list[Callable[[ScopedState], int]] = [
        len,
        lambda state: len(list(state)),
        lambda state: len(state.get_many(KEYS)),
        lambda state: len(state.snapshot()),
        lambda state: len(state.items()),
        lambda state: settled(state, len),
        lambda state: settled(state, lambda tx: sum(key in tx for key in KEYS)),
    ]
    together(write, *(partial(read, way) for way in it.chance.sample(ways, 3)))
    assert it.manager.stats().keys == 0


# Seen to fail when `drop` clears the tables one after another instead of retiring all.
@stress(ci=60)
def test_drop_is_atomic_over_scopes(it: Round) -> None:
    """A dropped workflow goes from its own scope and its steps at one instant."""
    order = it.workflow

    def write() -> None:
        for number in range(BATCHES):
            with order.transaction() as tx:
                for view in views(tx):
                    view["k"] = number
            assert order.drop()

    def read() -> None:
        mine = it.manager.workflow_state(order.workflow_id)
        for _ in range(2 * BATCHES):
            seen = settled(mine, lambda tx: [view.get("k") for view in views(tx)])
            assert len(set(seen)) == 1, f"half a workflow: {seen}"

    together(write, read, read)


def views(tx: Transaction) -> list[Any]:
    """Return the views of the three scopes that are written to."""
    return [tx.workflow(), tx.step("one"), tx.step("two")]


def settled(state: ScopedState, read: Callable[[Transaction], Any]) -> Any:
    """Read in a transaction, as often as it takes."""
    while True:
        try:
            with state.transaction() as tx:
                return read(tx)
        except ConflictError:
            continue


def in_turn(state: ScopedState, keys: tuple[str, ...]) -> set[Any]:
    """Read `keys` one by one; return the newest if they never went back."""
    seen: list[Any] = [state[key] for key in keys]
    assert seen == sorted(seen), f"reads went back: {seen}"
    return {seen[-1]}
