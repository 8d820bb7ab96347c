"""Transactions are serializable: what one read still holds when it is committed."""

from collections.abc import Callable
from typing import Any

import pytest

from stateward import (
    ConflictError,
    StateManager,
    Transaction,
    UsageError,
    WorkflowState,
)
from stateward.actors.core import faults, reader
from stateward.actors.core.cells import Cell
from stateward.actors.core.state import OwnerState
from stateward.testing import SimulatedClock
from tests.support import refused, unchanged

STALE: dict[str, Callable[[Transaction], object]] = {
    "value": lambda tx: tx["a"],
    "absence": lambda tx: tx.get("new"),
    "presence": lambda tx: "a" in tx,
    "all keys": list,
    "length": len,
    "step": lambda tx: tx.step("s").get("a"),
    "phantom": lambda tx: list(tx.step("other")),
}


@pytest.mark.parametrize("read", STALE.values(), ids=STALE)
def test_commit_is_refused_when_something_read_has_changed(
    state: WorkflowState, read: Callable[[Transaction], object]
) -> None:
    """One stale read of any kind, and nothing of the transaction happens."""
    state["a"] = 1
    state.step("s")["a"] = 1
    tx = state.transaction()
    read(tx)
    tx["out"] = 1
    state.update({"a": 2, "new": 2})
    state.step("s")["a"] = 2
    state.step("other")["b"] = 2
    with refused(ConflictError, state, state.step("s"), state.step("other")):
        tx.commit()


def test_commit_is_served_when_only_other_things_have_changed(
    state: WorkflowState,
) -> None:
    """Writers of other keys and steps do not disturb; nor does a blind write."""
    state.update({"a": 1, "b": 1})
    tx = state.transaction()
    tx["sum"] = tx.increment("a", 1)
    tx["blind"] = 1
    state.update({"b": 2, "blind": 0})
    state.step("s")["a"] = 1
    assert tx.commit() == state.revision
    assert dict(state) == {"a": 2, "b": 2, "sum": 2, "blind": 1}


def test_reads_conflict_at_once_when_they_would_not_fit_together(
    state: WorkflowState,
) -> None:
    """A transaction never sees two values that never were there together."""
    state.update({"a": 1, "b": 1})
    tx = state.transaction()
    assert tx["a"] == 1
    state.update({"a": 2, "b": 2})
    with refused(ConflictError, state, key="a", expected=1, actual=2):
        tx["b"]


def test_scan_conflicts_at_once_when_the_keys_have_changed(
    state: WorkflowState,
) -> None:
    """All keys read, then another added: the next read of anything is refused."""
    state.step("s")["a"] = 1
    tx = state.transaction()
    assert list(tx.step("s")) == ["a"]
    state.step("s")["b"] = 1
    with refused(ConflictError, state, expected=1):
        tx.get("anything")


def test_scan_conflicts_while_the_change_is_being_published(
    state: WorkflowState,
) -> None:
    """A reader between publication and settling does not miss the new key."""
    state["a"] = 1
    tx = state.transaction()
    assert list(tx) == ["a"]
    caught: list[ConflictError] = []

    def read() -> None:
        try:
            tx.step("s").get("b")
        except ConflictError as error:
            caught.append(error)

    with faults.arm("state.published", read), state.transaction() as other:
        other["new"] = 1
        other.step("s")["b"] = 1
    assert len(caught) == 1


def test_scan_meets_no_conflict_after_a_change_was_taken_back(
    state: WorkflowState,
) -> None:
    """An interrupted write, undone, is no reason to refuse for ever."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    state["a"] = 1
    with pytest.raises(KeyboardInterrupt), faults.arm("state.staged", interrupt):
        state["b"] = 1
    assert state.transact(lambda tx: [*tx, tx.setdefault("c", 1)]) == ["a", 1]
    assert dict(state) == {"a": 1, "c": 1}


def test_write_skew_is_refused(state: WorkflowState) -> None:
    """Two who each read what the other writes do not both succeed."""
    state.update({"on call": 2, "alice": True, "bob": True})
    first, second = state.transaction(), state.transaction()
    for tx, other, me in ((first, "bob", "alice"), (second, "alice", "bob")):
        assert tx[other]
        tx[me] = False
    first.commit()
    with refused(ConflictError, state):
        second.commit()
    assert [state["alice"], state["bob"]] == [False, True]


def test_transaction_sees_a_dropped_workflow_as_a_conflict(
    state: WorkflowState,
) -> None:
    """What was read of a workflow that is gone, or came anew, is stale."""
    state["a"] = 1
    for afterwards in (None, 2):
        state["a"] = 1
        tx = state.transaction()
        assert tx["a"] == 1
        tx["b"] = 2
        state.drop()
        if afterwards:
            state["a"] = afterwards
        with pytest.raises(ConflictError):
            tx.commit()
        assert state.transaction().get("a") == afterwards
        assert "b" not in state


def test_transaction_reads_nothing_where_nothing_ever_was(state: WorkflowState) -> None:
    """A workflow that holds nothing can be read, and its first write conflicts."""
    tx = state.transaction()
    assert dict(tx) == {}
    assert tx.get("a") is None
    tx["b"] = 1
    state["a"] = 1
    with refused(ConflictError, state):
        tx.commit()


def test_expired_key_is_absent_in_transactions(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """A key that expires between reading and commit was a stale read."""
    state.set("a", 1, ttl=10)
    tx, blind = state.transaction(), state.transaction()
    assert tx["a"] == 1
    tx["b"] = 1
    blind["c"] = 1
    clock.advance(10)
    with pytest.raises(ConflictError, match="'a' is absent"):
        tx.commit()
    blind.commit()
    assert dict(state) == {"c": 1}
    assert state.transaction().get("a") is None
    assert list(state.transaction()) == ["c"]


def test_read_is_stale_when_its_key_expires_unswept(
    paused: StateManager, clock: SimulatedClock
) -> None:
    """A key read before its instant and looked at after it is a conflict."""
    state = paused.workflow_state("w")
    state.set("a", 1, ttl=10)
    tx = state.transaction()
    assert tx["a"] == 1
    clock.advance(10)
    with pytest.raises(ConflictError, match="read at revision 1 and is at 0 now"):
        tx.get("a")


def test_read_is_taken_again_when_a_write_overtakes_it(
    state: WorkflowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found as another revision came is found anew, as of that one."""
    state.update({"a": 1, "b": 1})
    meddle(monkeypatch, lambda: state.set("b", 2))
    with state.transaction() as tx:
        assert (tx["a"], tx["b"]) == (1, 2)
    assert tx.revision == 2


def test_read_finds_nothing_when_the_workflow_is_dropped_under_it(
    state: WorkflowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow that goes while it is looked at is looked for again."""
    state["a"] = 1
    meddle(monkeypatch, state.drop)
    with state.transaction() as tx:
        assert tx.get("a") is None


def meddle(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have `action` done once, just before a read looks at the table."""
    find, actions = reader.find, [action]

    def meddled(
        state: OwnerState, step_name: str | None, key: str, now: float
    ) -> Cell | None:
        if actions:
            actions.pop()()
        return find(state, step_name, key, now)

    monkeypatch.setattr(reader, "find", meddled)


def test_transact_repeats_after_each_conflict(state: WorkflowState) -> None:
    """The function runs again until its transaction fits, and its result is given."""
    state["a"] = 0
    rounds = []

    def add(tx: Transaction) -> str:
        rounds.append(tx["a"])
        if len(rounds) < 4:
            state["a"] = len(rounds)
        tx.increment("a", 10)
        return "done"

    assert state.transact(add) == "done"
    assert rounds == [0, 1, 2, 3]
    assert state["a"] == 13


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_transact_gives_up_after_the_last_attempt(
    state: WorkflowState, attempts: int
) -> None:
    """The conflict of the last attempt goes to the caller, and nothing happened."""
    rounds = []

    def clash(tx: Transaction) -> None:
        rounds.append(tx.get("a"))
        state["a"] = len(rounds)
        tx["b"] = 1

    with pytest.raises(ConflictError):
        state.transact(clash, attempts=attempts)
    assert len(rounds) == attempts
    assert dict(state) == {"a": attempts}


def test_transact_does_not_repeat_other_errors(state: WorkflowState) -> None:
    """What the function raises ends it at once, without a trace."""
    rounds = []

    def fail(tx: Transaction) -> None:
        rounds.append(1)
        tx["a"] = 1
        raise ZeroDivisionError

    with unchanged(state), pytest.raises(ZeroDivisionError):
        state.transact(fail)
    assert rounds == [1]


@pytest.mark.parametrize("attempts", [0, -1, True, 1.0, "2", None])
def test_transact_refuses_what_is_no_number_of_attempts(
    state: WorkflowState, attempts: Any
) -> None:
    """A function is tried at least once."""
    with pytest.raises(UsageError, match=r"^attempts is .*, not an integer >= 1$"):
        state.transact(Transaction.clear, attempts=attempts)
