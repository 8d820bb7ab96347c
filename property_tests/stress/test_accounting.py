"""Accounting under load: limits hold, and the counters are those of what is there."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import orjson

from property_tests.stress.rounds import Round, stress, together
from stateward import (
    ConflictError,
    LimitError,
    Limits,
    MissingKeyError,
    ScopedState,
    StateManager,
    WorkflowState,
    WrongTypeError,
)

THREADS = 3
CALLS = 24
KEYS = ("a", "b", "c", "d", "\u00e1")
LIMITS = Limits(max_keys=6, max_bytes=120, max_value_bytes=40)


# Seen to fail when a refused command keeps what it had counted, when a limit is checked
# in the handle, and when a key is counted in characters.
@stress(ci=60, limits=LIMITS)
def test_accounting_is_exact_under_load(it: Round) -> None:
    """After any mix of calls, refused ones too, counters and contents agree."""
    order = it.workflow
    scopes = [order.scope, order.step("s").scope, order.step("t").scope]

    def work(chance: Random) -> None:
        workflow = it.manager.workflow_state(order.workflow_id)
        for _ in range(CALLS):
            state = it.manager.state(chance.choice(scopes))
            try:
                chance.choice(WRITES)(state, chance.choice(KEYS), chance.randrange(60))
                if chance.random() < 0.2:
                    copy_to_step(workflow, chance.choice(KEYS))
            except (LimitError, ConflictError, MissingKeyError, WrongTypeError):
                continue

    def watch() -> None:
        for _ in range(CALLS):
            assert len(order) <= 6, "max_keys is 6"

    together(*map(partial, [work] * THREADS, it.seeds(THREADS)), watch)
    check_accounting(it.manager, *map(it.manager.state, scopes))
    assert it.manager.stats().keys <= 6
    assert it.manager.stats().size_bytes <= 120
    for scope in scopes:
        it.manager.state(scope).clear()
    assert (it.manager.stats().keys, it.manager.stats().size_bytes) == (0, 0)


WRITES: tuple[Callable[[ScopedState, str, int], Any], ...] = (
    lambda state, key, size: state.set(key, "x" * size),
    lambda state, key, size: state.set(key, size, expected=0),
    lambda state, _, size: state.update(dict.fromkeys(KEYS[: size % 5], size)),
    lambda state, key, size: state.append(key, size),
    lambda state, key, size: state.merge(key, {f"{size}": size}),
    lambda state, key, _: state.delete(key),
    lambda state, _, size: state.delete_many(KEYS[size % 5 :]),
    lambda state, _key, _size: state.clear(),
    lambda state, _key, _size: state.popitem(),
)
"""Calls with a key and a number to make something of."""


def copy_to_step(workflow: WorkflowState, key: str) -> None:
    """Copy one entry from the workflow's scope to a step's."""
    with workflow.transaction() as tx:
        tx.step("s")[key] = tx[key]


def check_accounting(manager: StateManager, *states: ScopedState) -> None:
    """Compare the counters with what there is, which is in `states`."""
    stats = manager.stats()
    assert stats.keys == sum(map(len, states))
    assert stats.size_bytes == sum(map(size_bytes, states))


def size_bytes(state: ScopedState) -> int:
    """Return what the scope has to be counted as."""
    return sum(
        len(key.encode()) + len(orjson.dumps(value)) for key, value in state.items()
    )
