"""The whole public face against the model, one call after another, in any order.

Background work runs inline (see `dispatchers`), so that a failing run can be repeated
and made smaller. `stress` is what runs the same calls on threads.

Seen to fail, each with a run of a few steps, when the engine was broken like this:
see the list in `README.md`.
"""

from itertools import chain, repeat
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from property_tests.calls import (
    KEY_BYTES,
    Call,
    handle_writes,
    keys,
    messages,
    reads,
    transaction_calls,
    writes,
)
from property_tests.machines.harness import SCOPES, Harness, Via, outcome, plain
from property_tests.machines.refusals import REFUSALS, Refusal
from property_tests.transaction_models import TransactionModel, TransactionScopeModel
from stateward import (
    ClosedError,
    ConflictError,
    Limits,
    StateScope,
    StepScope,
    Transaction,
    TransactionScope,
    WorkflowScope,
)

TRANSACTIONS_MAX: Final = 3
"""Transactions that are open at a time."""

scopes: Final = st.sampled_from(SCOPES)
workflows: Final = st.sampled_from([s for s in SCOPES if isinstance(s, WorkflowScope)])
vias: Final = st.sampled_from(("old", "old", "new", "aio"))
seconds: Final = st.sampled_from((0.25, 0.5, 1.0, 2.5, 9.0, 60.0))
limits: Final = st.builds(
    Limits,
    max_value_bytes=st.sampled_from((1 << 20, 1 << 20, None, 12)),
    max_key_bytes=st.sampled_from((512, KEY_BYTES)),
    max_depth=st.sampled_from((128, 128, 2)),
    max_keys=st.sampled_from((None, None, 3, 6)),
    max_bytes=st.sampled_from((None, None, 30, 100)),
    default_ttl=st.sampled_from((None, None, 5.0)),
)
sent: Final = st.tuples(scopes, messages) | st.tuples(
    scopes, st.sampled_from(("passivate", "drop"))
)


class PublicFace(RuleBasedStateMachine):
    """Calls on a manager and its model."""

    def __init__(self) -> None:
        """Begin without a manager; `start` makes it."""
        super().__init__()
        self.harness: Harness | None = None
        self.open: list[tuple[Transaction, TransactionModel]] = []

    @initialize(limits=limits, idle_timeout=st.none() | st.just(10.0))
    def start(self, limits: Limits, idle_timeout: float | None) -> None:
        """Make the manager."""
        self.harness = Harness(limits=limits, idle_timeout=idle_timeout)

    @property
    def it(self) -> Harness:
        """The manager and its model."""
        assert self.harness is not None
        return self.harness

    @invariant()
    def everything_reads_as_the_model_says(self) -> None:
        """Look at everything after each step."""
        if self.harness is not None:
            self.it.check()

    def teardown(self) -> None:
        """Close, and find it closed."""
        if self.harness is not None:
            self.it.close()
            for scope in SCOPES:
                with pytest.raises(ClosedError):
                    self.it.handle(scope).set("k", 1)

    # ------------------------------------------------------------ single calls

    @rule(scope=scopes, call=writes, via=vias | st.just("message"))
    def write(self, scope: StateScope, call: Call, via: Via) -> None:
        """Write in one of the ways there are."""
        self.it.call(scope, call, via)

    @rule(scope=scopes, call=handle_writes, via=st.sampled_from(("old", "new")))
    def write_through_a_handle(self, scope: StateScope, call: Call, via: Via) -> None:
        """Write as to any mapping."""
        self.it.call(scope, call, via)

    @rule(scope=scopes, call=reads, via=vias)
    def read(self, scope: StateScope, call: Call, via: Via) -> None:
        """Read in one of the ways there are."""
        self.it.call(scope, call, via)

    @rule(scope=scopes, refusal=st.sampled_from(REFUSALS))
    def refuse(self, scope: StateScope, refusal: Refusal) -> None:
        """Make a call that is wrong whatever is stored."""
        with pytest.raises(refusal.error):
            refusal.call(self.it.handle(scope))

    @rule(
        sent=st.lists(sent, min_size=2, max_size=8),
        order=st.lists(st.integers(0, 7), max_size=12),
    )
    def send(self, sent: list[Any], order: list[int]) -> None:
        """Send messages without waiting, to be handled in any order of the owners."""
        choices = chain(order, repeat(0))
        self.it.send(sent, lambda count: next(choices) % count)

    @rule(scope=scopes, pair=st.lists(keys, min_size=2, max_size=2, unique=True))
    def look_around_in_a_turn(self, scope: StateScope, pair: list[str]) -> None:
        """Read everything inside a turn, and send a message from there."""
        self.it.look_around_in_a_turn(scope, *pair)

    # ------------------------------------------------------- time and ownership

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.it.advance(seconds, lambda: None)

    @rule(seconds=seconds, scope=scopes, call=writes, via=vias)
    def write_as_entries_expire(
        self, seconds: float, scope: StateScope, call: Call, via: Via
    ) -> None:
        """Write when time has passed and nobody has removed what expired."""
        self.it.advance(seconds, lambda: self.it.call(scope, call, via))

    @rule(workflow=workflows, limits=limits | st.none())
    def limit(self, workflow: WorkflowScope, limits: Limits | None) -> None:
        """Hold a workflow to other limits."""
        self.it.manager.set_limits(workflow.workflow_id, limits)
        self.it.model.set_limits(workflow.workflow_id, limits)

    @rule(workflow=workflows, via=vias)
    def drop(self, workflow: WorkflowScope, via: Via) -> None:
        """Drop a workflow."""
        call = Call("drop", ())
        handle = self.it.handle(workflow, via)
        if via == "aio":
            held = self.it.runner.run(call.awaited(handle.aio))
        else:
            held = call.on(handle)
        assert held is self.it.model.drop_workflow(workflow.workflow_id)

    @rule(scope=scopes)
    def passivate(self, scope: StateScope) -> None:
        """Let an owner go; it cannot go twice."""
        self.it.manager.passivate(scope)
        assert not self.it.manager.passivate(scope)

    @rule(scope=scopes)
    def keep(self, scope: StateScope) -> None:
        """Keep a snapshot and views, which must not change any more."""
        self.it.keep(scope)

    # ------------------------------------------------------------ transactions

    @precondition(lambda self: len(self.open) < TRANSACTIONS_MAX)
    @rule(scope=scopes)
    def begin(self, scope: StateScope) -> None:
        """Begin a transaction, which stays open for some steps."""
        model = TransactionModel(self.it.model, scope)
        self.open.append((self.it.handle(scope).transaction(), model))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, TRANSACTIONS_MAX - 1),
        where=st.sampled_from(("own", "workflow", "step")),
        call=transaction_calls,
    )
    def go_on(self, which: int, where: str, call: Call) -> None:
        """Read or write in a transaction."""
        which %= len(self.open)
        transaction, model = self.open[which]
        real_view, model_view = views(transaction, model, where)
        may_conflict = model.may_conflict
        real = outcome(lambda: plain(call, call.on(real_view)))
        expected = outcome(lambda: plain(call, call.on(model_view)))
        if real.error is ConflictError:
            assert may_conflict, f"{call}: nothing it read has changed"
            transaction.discard()
            del self.open[which]
        else:
            assert real.matches(expected), f"{call} gave {real}, expected {expected}"

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, TRANSACTIONS_MAX - 1),
        how=st.sampled_from(("commit", "commit", "aio", "discard", "raise")),
    )
    def end(self, which: int, how: str) -> None:
        """Commit a transaction, or give it up."""
        transaction, model = self.open.pop(which % len(self.open))
        if how in {"discard", "raise"}:
            give_up(transaction, how)
            return
        may_conflict = model.may_conflict
        if how == "aio":
            real = outcome(lambda: self.it.runner.run(transaction.commit_soon()))
        else:
            real = outcome(transaction.commit)
        if real.error is ConflictError and not model.must_conflict:
            assert may_conflict, "nothing it read has changed"
            return
        expected = outcome(model.commit)
        if not model.writes and real.error is None:
            return  # It is as of some revision in the past.
        assert real.matches(expected), f"commit gave {real}, expected {expected}"
        with pytest.raises(ClosedError):
            transaction.get("k")


def views(
    transaction: Transaction, model: TransactionModel, where: str
) -> tuple[TransactionScope, TransactionScopeModel]:
    """Return both views of a scope of the transaction's owner."""
    scope = model.scope
    if where == "own" or not isinstance(scope, WorkflowScope | StepScope):
        return transaction, model.on(scope)
    if where == "workflow":
        return transaction.workflow(), model.workflow()
    return transaction.step("b"), model.step("b")


def give_up(transaction: Transaction, how: str) -> None:
    """End a transaction without effect."""
    if how == "discard":
        transaction.discard()
        return
    with pytest.raises(ZeroDivisionError), transaction as tx:
        tx["k"] = 1 / 0


TestPublicFace = PublicFace.TestCase
# One failure at a time: making several smaller at once takes minutes.
TestPublicFace.settings = settings(report_multiple_bugs=False)
