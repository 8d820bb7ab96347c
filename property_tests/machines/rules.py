"""The rules of the state machines: what can be done to a manager and its model.

A machine puts some of these classes together. All of them use the scopes and keys that
`start` and `choose_keys` have chosen for the run.
"""

from itertools import chain, repeat
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from property_tests.calls import (
    KEY_BYTES,
    KEYS,
    Call,
    handle_writes,
    keys,
    messages,
    reads,
    transaction_calls,
    writes,
)
from property_tests.machines.harness import (
    SCOPES,
    Harness,
    Outcome,
    Via,
    outcome,
    plain,
)
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

scopes: Final[Bundle[StateScope]] = Bundle("scopes")
"""Those of one run: few, so that calls meet."""
vias: Final = st.sampled_from(("old", "old", "new", "aio"))
seconds: Final = st.sampled_from((0.25, 0.5, 1.0, 2.5, 9.0, 60.0))
sent: Final = st.lists(
    st.tuples(scopes, messages | st.sampled_from(("passivate", "drop"))),
    min_size=2,
    max_size=8,
)
places: Final = st.sampled_from(("own", "own", "workflow", "step"))
endings: Final = st.sampled_from(("commit",) * 4 + ("aio", "discard", "raise"))
transaction_steps: Final = st.lists(st.tuples(places, transaction_calls), max_size=3)
no_limits: Final = st.just(Limits())
limits: Final = st.builds(
    Limits,
    max_value_bytes=st.sampled_from((1 << 20, 1 << 20, None, 12)),
    max_key_bytes=st.sampled_from((512, KEY_BYTES)),
    max_depth=st.sampled_from((128, 128, 2)),
    max_keys=st.sampled_from((None, None, 3, 6)),
    max_bytes=st.sampled_from((None, None, 30, 100)),
    default_ttl=st.sampled_from((None, None, 5.0)),
)


Pools: TypeAlias = tuple[tuple[StateScope, ...], ...]
"""Sets of scopes."""


class Machine(RuleBasedStateMachine):
    """A manager and its model, compared after each step."""

    pools: Pools = (SCOPES,)
    """A run uses some scopes of one of these."""
    limits_at_start = limits

    def __init__(self) -> None:
        """Begin without a manager; `start` makes it."""
        super().__init__()
        self.harness: Harness | None = None
        self.open: list[Pair] = []

    @initialize(target=scopes, data=st.data(), idle_timeout=st.none() | st.just(10.0))
    def start(
        self, data: st.DataObject, idle_timeout: float | None
    ) -> MultipleResults[StateScope]:
        """Make the manager, and choose the scopes to use."""
        pool = data.draw(st.sampled_from(self.pools))
        some = st.lists(st.sampled_from(pool), min_size=1, max_size=4, unique=True)
        chosen = data.draw(some, "scopes")
        limits = data.draw(self.limits_at_start, "limits")
        self.harness = Harness(limits=limits, idle_timeout=idle_timeout)
        self.harness.watched.update(chosen)
        return multiple(*chosen)

    @initialize(
        target=keys,
        chosen=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True),
    )
    def choose_keys(self, chosen: list[str]) -> MultipleResults[str]:
        """Choose the keys to use."""
        return multiple(*chosen)

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
                for call in (Call("get", ("k",)), Call("set", ("k", 1))):
                    with pytest.raises(ClosedError):
                        call.on(self.it.handle(scope))

    # What every machine does, so that there is something to find.

    @rule(scope=scopes, call=writes, via=vias | st.just("message"))
    def write(self, scope: StateScope, call: Call, via: Via) -> None:
        """Write in one of the ways there are."""
        self.it.call(scope, call, via)


class OtherCalls(Machine):
    """Calls of a handle, messages, and calls that are wrong."""

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

    @rule(sent=sent, order=st.lists(st.integers(0, 7), max_size=12))
    def send(self, sent: list[Any], order: list[int]) -> None:
        """Send messages without waiting, to be handled in any order of the owners."""
        choices = chain(order, repeat(0))
        self.it.send(sent, lambda count: next(choices) % count)

    @rule(scope=scopes, key=keys, other=st.sampled_from(KEYS))
    def look_around_in_a_turn(self, scope: StateScope, key: str, other: str) -> None:
        """Read everything inside a turn, and send a message from there."""
        if key != other:
            self.it.look_around_in_a_turn(scope, key, other)

    @rule(scope=scopes)
    def keep(self, scope: StateScope) -> None:
        """Keep a snapshot and views, which must not change any more."""
        self.it.keep(scope)


class Ownership(Machine):
    """Owners that go, with what they hold or without."""

    @rule(scope=scopes, via=vias)
    def drop(self, scope: StateScope, via: Via) -> None:
        """Drop a workflow."""
        if not isinstance(workflow := scope.owner, WorkflowScope):
            return
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


class Time(Machine):
    """Time that passes."""

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.it.advance(seconds, lambda: None)

    @rule(scope=scopes, key=keys, ttl=seconds, number=st.integers(0, 9))
    def set_for_a_while(
        self, scope: StateScope, key: str, ttl: float, number: int
    ) -> None:
        """Set what will expire."""
        self.it.call(scope, Call("set", (key, number), (("ttl", ttl),)), "old")

    @rule(seconds=seconds, scope=scopes, call=writes, via=vias)
    def write_as_entries_expire(
        self, seconds: float, scope: StateScope, call: Call, via: Via
    ) -> None:
        """Write when time has passed and nobody has removed what expired."""
        self.it.advance(seconds, lambda: self.it.call(scope, call, via))


class OtherLimits(Machine):
    """Limits that change."""

    @rule(scope=scopes, limits=limits | st.none())
    def limit(self, scope: StateScope, limits: Limits | None) -> None:
        """Hold a workflow to other limits."""
        if isinstance(workflow := scope.owner, WorkflowScope):
            self.it.manager.set_limits(workflow.workflow_id, limits)
            self.it.model.set_limits(workflow.workflow_id, limits)


class OpenTransactions(Machine):
    """Transactions that are open while other things happen."""

    @precondition(lambda self: len(self.open) < TRANSACTIONS_MAX)
    @rule(scope=scopes)
    def begin(self, scope: StateScope) -> None:
        """Begin a transaction, which stays open for some steps."""
        self.open.append(Pair(self.it, scope))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, TRANSACTIONS_MAX - 1), where=places, call=transaction_calls
    )
    def go_on(self, which: int, where: str, call: Call) -> None:
        """Read or write in a transaction."""
        which %= len(self.open)
        if not self.open[which].go_on(where, call):
            del self.open[which]

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, TRANSACTIONS_MAX - 1), how=endings)
    def end(self, which: int, how: str) -> None:
        """Commit a transaction, or give it up."""
        self.open.pop(which % len(self.open)).end(how)


class Transactions(Machine):
    """Transactions with one thing that happens meanwhile."""

    @rule(
        scope=scopes,
        calls=transaction_steps,
        meanwhile=seconds | st.tuples(scopes, writes) | st.none(),
        more=transaction_steps,
        how=endings,
    )
    def transact(
        self,
        scope: StateScope,
        calls: list[tuple[str, Call]],
        meanwhile: float | tuple[StateScope, Call] | None,
        more: list[tuple[str, Call]],
        how: str,
    ) -> None:
        """Read and write in a transaction, with time passing or a write in between."""
        pair = Pair(self.it, scope)
        if not all(pair.go_on(where, call) for where, call in calls):
            return
        if isinstance(meanwhile, tuple):
            self.it.call(*meanwhile, "old")
        elif meanwhile is not None:
            self.it.advance(meanwhile, lambda: None)
        if all(pair.go_on(where, call) for where, call in more):
            pair.end(how)


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
        with pytest.raises(ClosedError):
            self.real.get("k")
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
    return transaction.step("b"), model.step("b")


def give_up(transaction: Transaction, how: str) -> None:
    """End a transaction without effect."""
    if how == "discard":
        transaction.discard()
        return
    with pytest.raises(ZeroDivisionError), transaction as tx:
        tx["k"] = 1 / 0
