import pytest

from stateward import ConflictError, MissingKeyError, StepScope, WorkflowScope
from stateward.testing import Model, TransactionModel

WORKFLOW = WorkflowScope("w")


def test_transaction_sees_what_it_wrote_and_nobody_else_does() -> None:
    """Writes show inside at once, and outside when all of them are committed."""
    model = Model()
    transaction = TransactionModel(model, WORKFLOW)
    own, step = transaction.workflow(), transaction.step("s")
    own["a"] = 1
    step.increment("b", 2)
    assert (own["a"], dict(step), model.keys) == (1, {"b": 2}, 0)
    transaction.commit()
    assert model.scope(WORKFLOW).snapshot() == {"a": 1}
    assert model.scope(StepScope("w", "s")).snapshot() == {"b": 2}
    assert model.owner(WORKFLOW).revision == 1


def test_transaction_conflicts_with_a_write_to_what_it_read() -> None:
    """A read that is stale stops the commit, and a write to something else does not."""
    model = Model()
    state = model.scope(WORKFLOW)
    state.update({"a": 1, "b": 2})
    transaction = TransactionModel(model, WORKFLOW)
    view = transaction.workflow()
    view["c"] = view["a"]
    state["b"] = 3
    assert not transaction.may_conflict
    state["a"] = 3
    assert transaction.must_conflict
    with pytest.raises(ConflictError):
        transaction.commit()
    assert "c" not in state


def test_transaction_that_scanned_may_conflict_before_it_must() -> None:
    """A scope that was read whole and has the same keys again leaves it open."""
    model = Model()
    state = model.scope(WORKFLOW)
    transaction = TransactionModel(model, WORKFLOW)
    assert list(transaction.workflow()) == []
    state["a"] = 1
    assert transaction.must_conflict
    del state["a"]
    assert (transaction.must_conflict, transaction.may_conflict) == (False, True)


def test_transaction_keeps_expiry_unless_it_sets() -> None:
    """A changed entry expires when it would have, and one that is set does not."""
    now = [0.0]
    model = Model(now=lambda: now[0])
    state = model.scope(WORKFLOW)
    state.set("a", 1, ttl=5)
    state.set("b", [1], ttl=5)
    transaction = TransactionModel(model, WORKFLOW)
    transaction.workflow().increment("a")
    transaction.workflow().append("b", 2)
    transaction.workflow().set("c", 1)
    transaction.commit()
    now[0] = 5.0
    assert dict(state) == {"c": 1}


def test_transaction_removes_what_is_there() -> None:
    """Removing tells whether there was something, as a mapping does."""
    model = Model()
    model.scope(WORKFLOW).update({"a": 1, "b": {"x": 1}})
    transaction = TransactionModel(model, WORKFLOW)
    view = transaction.workflow()
    assert (view.delete("a"), view.delete("a"), len(view)) == (True, False, 1)
    with pytest.raises(MissingKeyError):
        del view["a"]
    with pytest.raises(MissingKeyError):
        view["a"]
    assert view.merge("b", {"x": None}) == {}
    view.clear()
    transaction.commit()
    assert model.keys == 0
