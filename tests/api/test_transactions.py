from collections.abc import Callable
from typing import Any

import pytest

from stateward import (
    ClosedError,
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    JsonValue,
    KeyCountError,
    Limits,
    MissingKeyError,
    StateManager,
    StepScope,
    Transaction,
    UsageError,
    WorkflowScope,
    WorkflowState,
    WrongTypeError,
)
from stateward.testing import SimulatedClock
from tests.hostile import ALIEN, REFUSED_NAMES, RFC_7396, label
from tests.support import refused, unchanged


def test_transaction_commits_workflow_and_steps_as_one(state: WorkflowState) -> None:
    """Everything written in the block happens in one revision, and not before."""
    state.update({"a": 1, "b": 1})
    with state.transaction() as tx:
        tx["a"] = 2
        del tx["b"]
        tx.step("s")["a"] = tx["a"]
        assert tx.revision is None
        assert dict(state.items()) == {"a": 1, "b": 1}
        assert state.steps() == []
    assert (dict(state), dict(state.step("s"))) == ({"a": 2}, {"a": 2})
    assert tx.revision == state.revision == 2


def test_transaction_begun_at_a_step_reaches_the_whole_workflow(
    state: WorkflowState,
) -> None:
    """Any scope of a workflow will do to begin with; the view is of that scope."""
    with state.step("s").transaction() as tx:
        assert tx.scope == StepScope("w", "s")
        tx["a"] = 1
        tx.workflow()["b"] = 2
        tx.step("t")["c"] = 3
    assert tx.workflow().scope == WorkflowScope("w")
    assert repr(tx) == "<Transaction of StepScope(workflow_id='w', step_name='s')>"
    assert (dict(state), dict(state.step("s"))) == ({"b": 2}, {"a": 1})
    assert state.step("t")["c"] == 3


def test_transaction_leaves_nothing_when_its_block_raises(state: WorkflowState) -> None:
    """An exception ends the transaction as if it had never been, and goes on."""
    state["a"] = 1
    begun = []

    def fail() -> None:
        with state.transaction() as tx:
            begun.append(tx)
            tx["a"] = 2
            tx.step("s")["a"] = 1
            raise ZeroDivisionError

    with unchanged(state), pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ClosedError):
        begun[0]["a"]


def test_transaction_reads_its_own_writes(state: WorkflowState) -> None:
    """Within the block every read shows what the block has written so far."""
    state.update({"a": 1, "b": 1, "c": 1})
    with state.transaction() as tx:
        tx["a"] = [1]
        tx["new"] = {"x": 1}
        del tx["b"]
        assert tx["a"] == [1]
        assert "b" not in tx
        assert tx.get("b", 7) == 7
        assert list(tx) == ["a", "c", "new"]
        assert len(tx) == 3
        assert dict(tx.items()) == {"a": [1], "c": 1, "new": {"x": 1}}
        tx["b"] = 2
        assert tx["b"] == 2
        del tx["b"]
        with pytest.raises(MissingKeyError):
            tx["b"]
        with pytest.raises(MissingKeyError):
            del tx["b"]
        assert tx.step("s").get("a") is None
        tx.step("s")["z"] = 1
        assert list(tx) == ["a", "c", "new"]
    assert dict(state) == {"a": [1], "c": 1, "new": {"x": 1}}


def test_transaction_values_are_private_copies(state: WorkflowState) -> None:
    """What is read or written can be changed without changing the transaction."""
    state["a"] = [1]
    with state.transaction() as tx:
        mine: Any = tx["a"]
        mine.append(2)
        assert tx["a"] == [1]
        tx["b"] = mine
        mine.append(3)
        assert tx["b"] == [1, 2]
        written: Any = tx["b"]
        written.append(4)
        assert tx["b"] == [1, 2]
    assert dict(state) == {"a": [1], "b": [1, 2]}


def test_read_only_transaction_takes_no_revision(state: WorkflowState) -> None:
    """What was only read is as of one revision, and commits nothing."""
    state["a"] = 1
    with unchanged(state), state.transaction() as tx:
        assert dict(tx) == {"a": 1}
    assert tx.revision == 1
    with state.transaction() as empty:
        pass
    assert empty.revision == 0


def test_transaction_without_a_net_change_takes_no_revision(
    state: WorkflowState,
) -> None:
    """A key that was set and deleted again, or was never there, is no change."""
    state["a"] = 1
    with unchanged(state), state.transaction() as tx:
        tx["b"] = 1
        assert tx.delete("b")
        assert not tx.delete("c")
    assert tx.revision == 1


def test_transaction_is_closed_after_its_end(state: WorkflowState) -> None:
    """Neither reading nor writing nor committing is possible once it is over."""
    uses: list[Callable[[Transaction], object]] = [
        lambda tx: tx["a"],
        lambda tx: "a" in tx,
        list,
        len,
        lambda tx: tx.set("a", 1),
        lambda tx: tx.delete("a"),
        lambda tx: tx.increment("a"),
        lambda tx: tx.step("s").clear(),
        lambda tx: tx.commit(),
    ]
    for end in (Transaction.commit, Transaction.discard):
        for use in uses:
            tx = state.transaction()
            end(tx)
            with pytest.raises(ClosedError, match="the transaction is over"):
                use(tx)
    assert state.revision == 0


@pytest.mark.parametrize("end", [Transaction.commit, Transaction.discard])
def test_block_may_end_its_transaction_early(
    state: WorkflowState, end: Callable[[Transaction], object]
) -> None:
    """After an early commit or discard the end of the block adds nothing."""
    with state.transaction() as tx:
        tx["a"] = 1
        end(tx)
    assert state.get("a") == (1 if end is Transaction.commit else None)
    assert tx.over

    def fail() -> None:
        with state.transaction() as tx:
            end(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    tx.discard()


def test_change_keeps_the_expiry_exactly(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """A changed value goes when the old one would have, however long that took."""
    state.set("a", 1, ttl=10)
    state.set("list", [1], ttl=10)
    with state.transaction() as tx:
        tx.increment("a")
        tx.append("list", 2)
        tx.increment("a")
        clock.advance(3)
    for key in ("a", "list"):
        entry = state.entry(key)
        assert entry is not None
        assert entry.expires == clock.now() + 7
    assert dict(state) == {"a": 3, "list": [1, 2]}


def test_set_gives_a_new_expiry_and_changes_keep_it(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """What a transaction sets lives from the commit for as long as it said."""
    state.set("a", 1, ttl=10)
    state.set("b", 1, ttl=10)
    with state.transaction() as tx:
        tx.set("a", 5, ttl=20)
        tx.increment("a")
        tx["b"] = 2
        tx.increment("new")
        clock.advance(3)
    expiries = {key: state.entry(key).expires for key in state}  # type: ignore[union-attr]  # it is there
    assert expiries == {"a": clock.now() + 20, "b": None, "new": None}


def test_change_of_a_lasting_key_is_not_given_the_default_ttl(
    clock: SimulatedClock,
) -> None:
    """The default is for keys that come into being, in a transaction as elsewhere."""
    with StateManager(clock=clock) as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        manager.set_limits("w", Limits(default_ttl=5))
        with state.transaction() as tx:
            tx.increment("a")
            tx.increment("new")
        expiries = [state.entry(key).expires for key in ("a", "new")]  # type: ignore[union-attr]  # it is there
        assert expiries == [None, clock.now() + 5]


def test_increment_adds_to_what_the_transaction_sees(state: WorkflowState) -> None:
    """Sums are of stored and of written numbers, from `initial` if there is none."""
    state.update({"a": 1, "text": "1", "flag": True, "none": None})
    with state.transaction() as tx:
        assert tx.increment("a", 2) == 3
        assert tx.increment("a", 0.5) == 3.5
        assert tx.increment("new", 1, initial=10) == 11
        for key in ("text", "flag", "none"):
            with pytest.raises(WrongTypeError, match="holds no number"):
                tx.increment(key)
        for by in (True, "1", None):
            with pytest.raises(WrongTypeError, match=r"^by is "):
                tx.increment("a", by)  # type: ignore[arg-type]  # what is to be refused
        with pytest.raises(WrongTypeError, match=r"^initial is "):
            tx.increment("a", initial="1")  # type: ignore[arg-type]  # to be refused
        with pytest.raises(InvalidValueError):
            tx.increment("a", 10**400)
    assert state.get_many(["a", "new"]) == {"a": 3.5, "new": 11}


def test_append_adds_to_what_the_transaction_sees(state: WorkflowState) -> None:
    """Items go to the end of a stored or a written list, or begin a new one."""
    state["a"] = [1]
    state["b"] = {}
    with state.transaction() as tx:
        tx.append("a", 2, [3])
        tx.append("new", 1)
        tx.append("new")
        with pytest.raises(WrongTypeError, match="holds no list"):
            tx.append("b", 1)
    assert dict(state) == {"a": [1, 2, [3]], "b": {}, "new": [1]}


@pytest.mark.parametrize(("target", "patch", "merged"), RFC_7396)
def test_merge_gives_the_results_of_the_rfc(
    state: WorkflowState, target: JsonValue, patch: JsonValue, merged: JsonValue
) -> None:
    """A patch in a transaction comes out as RFC 7396 prints it."""
    state["k"] = target
    with state.transaction() as tx:
        assert tx.merge("k", patch) == merged
        assert tx["k"] == merged
    assert state["k"] == merged


def test_clear_removes_what_the_transaction_sees(state: WorkflowState) -> None:
    """Stored and written keys go; those of steps, and later ones, stay."""
    state.update({"a": 1, "b": 1})
    state.step("s")["a"] = 1
    with state.transaction() as tx:
        tx["new"] = 1
        tx.clear()
        tx["later"] = 1
        assert dict(tx) == {"later": 1}
    assert (dict(state), dict(state.step("s"))) == ({"later": 1}, {"a": 1})


def test_transaction_is_a_mutable_mapping(state: WorkflowState) -> None:
    """What Python's mappings can do, a transaction can."""
    state.update({"a": 1, "b": 2})
    with state.transaction() as tx:
        assert tx.setdefault("a", 7) == 1
        assert tx.setdefault("c", 3) == 3
        assert tx.pop("b") == 2
        assert tx.pop("b", 7) == 7
        tx.update({"d": 4}, e=5)
        assert tx == {"a": 1, "c": 3, "d": 4, "e": 5}
        assert tx.popitem() == ("e", 5)
        assert tx.step("s").setdefault("x", 1) == 1
        assert tx.step("s").popitem() == ("x", 1)
        with pytest.raises(MissingKeyError):
            tx.step("s").popitem()
    assert dict(state) == {"a": 1, "c": 3, "d": 4}


@pytest.mark.parametrize("alien", [it[0] for it in ALIEN], ids=label)
def test_transaction_refuses_what_is_not_json_at_once(
    state: WorkflowState, alien: Any
) -> None:
    """A bad value is refused where it is written, and the transaction goes on."""
    with state.transaction() as tx:
        tx["a"] = 1
        for write in (tx.set, tx.append, tx.merge):
            with pytest.raises(InvalidValueError):
                write("b", alien)
    assert dict(state) == {"a": 1}


@pytest.mark.parametrize("key", [it[0] for it in REFUSED_NAMES], ids=label)
def test_transaction_refuses_what_is_no_key_at_once(
    state: WorkflowState, key: Any
) -> None:
    """A bad key is refused by every call but `in`, and the transaction goes on."""
    with state.transaction() as tx:
        assert key not in tx
        calls: list[Callable[[], object]] = [
            lambda: tx[key],
            lambda: tx.get(key),
            lambda: tx.set(key, 1),
            lambda: tx.delete(key),
            lambda: tx.increment(key),
            lambda: tx.append(key, 1),
            lambda: tx.merge(key, {}),
        ]
        for call in calls:
            with pytest.raises(InvalidKeyError):
                call()
        with pytest.raises(InvalidScopeError):
            tx.step(key)
        tx["a"] = 1
    assert dict(state) == {"a": 1}


@pytest.mark.parametrize("ttl", [0, -1, True, "1", float("nan")])
def test_transaction_refuses_what_is_no_time_to_live(
    state: WorkflowState, ttl: Any
) -> None:
    """A bad ttl is refused where it is given."""
    with state.transaction() as tx, pytest.raises(UsageError, match=r"^ttl is "):
        tx.set("a", 1, ttl=ttl)
    assert state.revision == 0


def test_commit_is_refused_as_a_whole_when_it_passes_a_limit(
    manager: StateManager, state: WorkflowState
) -> None:
    """The last key too many, in whatever step, undoes all that came before."""
    manager.set_limits("w", Limits(max_keys=2))
    state["a"] = 1
    with (
        refused(KeyCountError, state, limit="max_keys", allowance=2, actual=3),
        state.transaction() as tx,
    ):
        tx["a"] = 2
        tx["b"] = 1
        tx.step("s")["c"] = 1
    assert tx.over
    assert state.steps() == []


@pytest.mark.parametrize("scope", ["global", "custom"])
def test_transaction_outside_a_workflow_has_no_steps(
    manager: StateManager, scope: str
) -> None:
    """Global and custom state have transactions of their own, over one scope."""
    state = manager.global_state() if scope == "global" else manager.custom_state("c")
    with state.transaction() as tx:
        tx["a"] = 1
        with pytest.raises(UsageError, match="is not in a workflow"):
            tx.step("s")
        with pytest.raises(UsageError, match="is not in a workflow"):
            tx.workflow()
    assert dict(state) == {"a": 1}
