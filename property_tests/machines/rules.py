"""The rules of our own machines: what else can be done to a manager and its model.

A machine puts some of these classes together, and says which of the ordinary rules of
`StateMachine` it uses.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import chain, repeat
from typing import Any, ClassVar, Final, TypeAlias

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    MultipleResults,
    initialize,
    multiple,
    precondition,
    rule,
)
from hypothesis.strategies import SearchStrategy

from property_tests.machines.harness import KEY_BYTES, KEYS, SCOPES, OurHarness
from property_tests.machines.refusals import REFUSALS, Refusal
from stateward import ClosedError, Limits, StateScope, WorkflowScope
from stateward.testing.calls import Call
from stateward.testing.harness import Via
from stateward.testing.machines import (
    A_KEY,
    A_SCOPE,
    ENDINGS,
    PLACES,
    SECONDS,
    VIAS,
    WRITES,
    StateMachine,
)
from stateward.testing.pair import Pair
from stateward.testing.strategies import commands

TRANSACTIONS_MAX: Final = 3
"""Transactions that are open at a time."""

mappings: Final = commands("mapping", keys=A_KEY)
messages: Final = commands("message", keys=A_KEY)
transaction_calls: Final = commands("transaction", keys=A_KEY)
sent: Final = st.lists(
    st.tuples(A_SCOPE, messages | st.sampled_from(("passivate", "drop"))),
    min_size=2,
    max_size=8,
)
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


class Machine(StateMachine):
    """A manager and its model, compared after each step, revisions and all."""

    pools: ClassVar[Pools] = (SCOPES,)
    """A run uses some scopes of one of these."""
    limits_at_start: ClassVar[SearchStrategy[Limits]] = limits
    keys: Sequence[str] = KEYS

    def __init__(self) -> None:
        """Begin without a manager; `choose_scopes` makes it."""
        super().__init__()
        self.open: list[Pair] = []

    @initialize(target=A_SCOPE, data=st.data(), idle_timeout=st.none() | st.just(10.0))
    def choose_scopes(
        self, data: st.DataObject, idle_timeout: float | None
    ) -> MultipleResults[StateScope]:
        """Make the manager, and choose the scopes to use."""
        self.scopes = data.draw(st.sampled_from(self.pools))
        self.limits = data.draw(self.limits_at_start, "limits")
        self.idle_timeout = idle_timeout
        return multiple(*self.some_scopes(data))

    @cached_property
    def harness(self) -> OurHarness:
        """The manager and its model."""
        return OurHarness(limits=self.limits, idle_timeout=self.idle_timeout)

    @property
    def it(self) -> OurHarness:
        """The same, for short."""
        return self.harness

    def teardown(self) -> None:
        """Close, and find it closed."""
        super().teardown()
        for scope in SCOPES:
            for call in (Call("get", ("k",)), Call("set", ("k", 1))):
                with pytest.raises(ClosedError):
                    call.on(self.it.handle(scope))


class OtherCalls(Machine):
    """Calls of a handle, messages, and calls that are wrong."""

    @rule(scope=A_SCOPE, call=mappings, via=st.sampled_from(("old", "new")))
    def write_through_a_handle(self, scope: StateScope, call: Call, via: Via) -> None:
        """Write as to any mapping."""
        self.it.call(scope, call, via)

    @rule(scope=A_SCOPE, refusal=st.sampled_from(REFUSALS))
    def refuse(self, scope: StateScope, refusal: Refusal) -> None:
        """Make a call that is wrong whatever is stored."""
        with pytest.raises(refusal.error):
            refusal.call(self.it.handle(scope))

    @rule(sent=sent, order=st.lists(st.integers(0, 7), max_size=12))
    def send(self, sent: list[Any], order: list[int]) -> None:
        """Send messages without waiting, to be handled in any order of the owners."""
        choices = chain(order, repeat(0))
        self.it.send(sent, lambda count: next(choices) % count)

    @rule(scope=A_SCOPE, key=A_KEY, other=st.sampled_from(KEYS))
    def look_around_in_a_turn(self, scope: StateScope, key: str, other: str) -> None:
        """Read everything inside a turn, and send a message from there."""
        if key != other:
            self.it.look_around_in_a_turn(scope, key, other)

    @rule(scope=A_SCOPE)
    def keep(self, scope: StateScope) -> None:
        """Keep a snapshot and views, which must not change any more."""
        self.it.keep(scope)


class Time(Machine):
    """Time that passes."""

    @rule(scope=A_SCOPE, key=A_KEY, ttl=SECONDS, number=st.integers(0, 9))
    def set_for_a_while(
        self, scope: StateScope, key: str, ttl: float, number: int
    ) -> None:
        """Set what will expire."""
        self.it.call(scope, Call("set", (key, number), (("ttl", ttl),)), "old")

    @rule(seconds=SECONDS, scope=A_SCOPE, call=WRITES, via=VIAS)
    def write_as_entries_expire(
        self, seconds: float, scope: StateScope, call: Call, via: Via
    ) -> None:
        """Write when time has passed and nobody has removed what expired."""
        self.it.advance(seconds, lambda: self.it.call(scope, call, via))


class OtherLimits(Machine):
    """Limits that change."""

    @rule(scope=A_SCOPE, limits=limits | st.none())
    def limit(self, scope: StateScope, limits: Limits | None) -> None:
        """Hold a workflow to other limits."""
        if isinstance(workflow := scope.owner, WorkflowScope):
            self.it.manager.set_limits(workflow.workflow_id, limits)
            self.it.model.set_limits(workflow.workflow_id, limits)


class OpenTransactions(Machine):
    """Transactions that are open while other things happen."""

    @precondition(lambda self: len(self.open) < TRANSACTIONS_MAX)
    @rule(scope=A_SCOPE)
    def begin(self, scope: StateScope) -> None:
        """Begin a transaction, which stays open for some steps."""
        self.open.append(Pair(self.it, scope))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, TRANSACTIONS_MAX - 1), where=PLACES, call=transaction_calls
    )
    def go_on(self, which: int, where: str, call: Call) -> None:
        """Read or write in a transaction."""
        which %= len(self.open)
        if not self.open[which].go_on(where, call):
            del self.open[which]

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, TRANSACTIONS_MAX - 1), how=ENDINGS)
    def end(self, which: int, how: str) -> None:
        """Commit a transaction, or give it up."""
        self.open.pop(which % len(self.open)).end(how)
