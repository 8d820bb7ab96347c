"""Engines that are broken on purpose are found out, each by its own specification.

They stand before a real manager. Barriers make the race happen in each run.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from property_tests.stress.rounds import together
from stateward import JsonValue, StateManager, WorkflowState
from stateward.testing import Call
from stateward.testing.histories import Client, Footprint, History
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import Counter, Register, Transactions

WAIT_SECONDS: Final = 30.0


class Torn:
    """A counter that reads, lets others do so too, and then writes."""

    def __init__(self, state: WorkflowState) -> None:
        """Stand before `state`."""
        self.state = state
        self.both = threading.Barrier(2)

    def increment(self, key: str, by: int) -> int:
        """Lose what others add."""
        total = int(str(self.state.get(key, 0))) + by
        self.both.wait(WAIT_SECONDS)
        self.state[key] = total
        return total


class Stale:
    """A register that remembers what it has read, and never looks again."""

    def __init__(self, state: WorkflowState) -> None:
        """Stand before `state`."""
        self.state = state
        self.cache: dict[str, JsonValue] = {}

    def get(self, key: str) -> JsonValue:
        """Return what was there the first time."""
        return self.cache.setdefault(key, self.state.get(key))

    def set(self, key: str, value: JsonValue) -> int:
        """Write through, and leave the cache as it is."""
        return self.state.set(key, value)


class Careless:
    """A register that sets a key whatever revision is expected."""

    def __init__(self, state: WorkflowState) -> None:
        """Stand before `state`."""
        self.state = state

    def set(self, key: str, value: JsonValue, *, expected: int) -> int:
        """Forget what is expected."""
        assert expected >= 0
        return self.state.set(key, value)


def recorded(*work: Callable[[Client], object]) -> History:
    """Return what happens if each does its work at the same time."""
    history = History()
    clients = [history.client(f"thread {number}") for number in range(len(work))]
    together(*map(partial, work, clients))
    return history


def test_increment_that_is_not_atomic_is_found() -> None:
    """Two increments that return the same sum contradict each other."""
    with StateManager() as manager:
        torn = Torn(manager.workflow_state("w"))
        call = Call("increment", ("n", 1))

        def add(client: Client) -> None:
            client.call(call, partial(call.on, torn))

        verdict = check_history(recorded(add, add), Counter())
    assert not verdict.ok
    assert [each.result for each in verdict.contradiction] == [1, 1]


def test_read_that_is_stale_is_found() -> None:
    """A read of what was overwritten before it began contradicts both writes."""
    with StateManager() as manager:
        stale = Stale(manager.workflow_state("w"))
        client = History().client("only")
        for call in (
            Call("set", ("k", 1)),
            Call("get", ("k",)),
            Call("set", ("k", 2)),
            Call("get", ("k",)),
        ):
            client.call(call, partial(call.on, stale))
        verdict = check_history(client.history, Register())
    assert not verdict.ok
    assert [each.invoked for each in verdict.contradiction] == [0, 4, 6]


def test_write_that_forgets_what_it_expects_is_found() -> None:
    """Two writes cannot both have found the same revision."""
    with StateManager() as manager:
        careless = Careless(manager.workflow_state("w"))
        client = History().client("only")
        for value in (1, 2):
            call = Call("set", ("k", value), (("expected", 0),))
            client.call(call, partial(call.on, careless))
        verdict = check_history(client.history, Register())
    assert not verdict.ok
    assert len(verdict.contradiction) == 2


def test_transactions_that_do_not_look_again_are_found() -> None:
    """Write skew, of which each transaction alone is right, is no order of both."""
    both = threading.Barrier(2)
    with StateManager() as manager:
        order = manager.workflow_state("w")

        def skew(mine: str, client: Client) -> None:
            def claim(seen: Footprint) -> None:
                taken = [seen.read(key, order.get(key)) for key in ("a", "b")]
                both.wait(WAIT_SECONDS)
                if taken == [None, None]:
                    order[mine] = seen.wrote(mine, True)

            client.transact(claim)

        verdict = check_history(
            recorded(partial(skew, "a"), partial(skew, "b")), Transactions()
        )
    assert not verdict.ok
    assert len(verdict.contradiction) == 2
