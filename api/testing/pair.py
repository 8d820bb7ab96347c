"""A transaction and its model, side by side."""

# ruff: noqa: S101  # what is asserted here is what a test fails with

from stateward import (
    ClosedError,
    ConflictError,
    StateScope,
    StepScope,
    Transaction,
    TransactionScope,
    WorkflowScope,
)
from stateward.testing.calls import Call, DeliberateError
from stateward.testing.harness import Harness, Outcome, outcome, plain
from stateward.testing.transaction_models import TransactionModel, TransactionScopeModel

STEP = "b"
"""Name of the step that a transaction reaches beside its own scope."""


class Pair:
    """A transaction and its model."""

    def __init__(self, harness: Harness, scope: StateScope) -> None:
        """Begin both."""
        self.harness = harness
        self.real = harness.handle(scope).transaction()
        self.model = TransactionModel(harness.model, scope)

    def go_on(self, where: str, call: Call) -> bool:
        """Make a call in both; return whether they go on."""
        real_view, model_view = views(self.real, self.model, where)
        may_conflict = self.model.may_conflict
        real = outcome(lambda: plain(call, call.on(real_view)))
        if real.error is ConflictError:
            assert may_conflict, f"{call}: nothing it read has changed"
            self.real.discard()
            return False
        expected = outcome(lambda: plain(call, call.on(model_view)))
        assert real.matches(expected), f"{call} gave {real}, expected {expected}"
        return True

    def end(self, how: str) -> None:
        """Commit both, or give them up."""
        if how in {"discard", "raise"}:
            give_up(self.real, how)
            return
        may_conflict, must_conflict = self.model.may_conflict, self.model.must_conflict
        if how == "aio":
            runner = self.harness.runner
            real = outcome(lambda: runner.run(self.real.commit_soon()))
        else:
            real = outcome(self.real.commit)
        assert outcome(lambda: self.real.get("k")).error is ClosedError
        if real.error is ConflictError and not must_conflict:
            assert may_conflict, "nothing it read has changed"
            return
        owner, before = self.model.owner, self.model.owner.revision
        expected = outcome(self.model.commit)
        if expected.error is None and owner.revision == before:
            # It says where the owner is, expired entries removed.
            expected = Outcome(self.harness.handle(owner.scope).revision)
        if self.model.writes or real.error is not None:
            assert real.matches(expected), f"commit gave {real}, expected {expected}"


def views(
    transaction: Transaction, model: TransactionModel, where: str
) -> tuple[TransactionScope, TransactionScopeModel]:
    """Return both views of a scope of the transaction's owner."""
    scope = model.scope
    if where == "own" or not isinstance(scope, WorkflowScope | StepScope):
        return transaction, model.on(scope)
    if where == "workflow":
        return transaction.workflow(), model.workflow()
    return transaction.step(STEP), model.step(STEP)


def give_up(transaction: Transaction, how: str) -> None:
    """End a transaction without effect."""
    if how == "discard":
        transaction.discard()
        return
    try:
        with transaction as tx:
            tx["k"] = 1
            raise DeliberateError
    except DeliberateError:
        pass
