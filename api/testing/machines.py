"""A state machine of Hypothesis with a manager and its model, for users to extend."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

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

from stateward import (
    CustomScope,
    GlobalScope,
    Limits,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.testing.calls import Call
from stateward.testing.clock import SimulatedClock
from stateward.testing.harness import Harness, Via
from stateward.testing.inline import InlineDispatcher
from stateward.testing.models import Model
from stateward.testing.pair import Pair
from stateward.testing.strategies.commands import commands

Ordinary: TypeAlias = Literal["write", "read", "wait", "drop", "passivate", "transact"]
Rules: TypeAlias = Collection[Ordinary]
F = TypeVar("F", bound=Callable[..., object])  # type: ignore[explicit-any]  # any rule

A_SCOPE: Final[Bundle[StateScope]] = Bundle("scopes")
A_KEY: Final[Bundle[str]] = Bundle("keys")
VIAS: Final = st.sampled_from(("old", "old", "new", "aio"))
SECONDS: Final = st.sampled_from((0.25, 0.5, 1.0, 2.5, 9.0, 60.0))
PLACES: Final = st.sampled_from(("own", "own", "workflow", "step"))
ENDINGS: Final = st.sampled_from(("commit",) * 4 + ("aio", "discard", "raise"))
WRITES: Final = commands("write", keys=A_KEY)
STEPS: Final = st.lists(
    st.tuples(PLACES, commands("transaction", keys=A_KEY)), max_size=3
)
"""Of a transaction: where, and what."""


def _if_ordinary(name: Ordinary) -> Callable[[F], F]:  # type: ignore[explicit-any]  # F's bound
    """Return a decorator that leaves a rule out where `ordinary` does not name it."""
    return precondition(lambda machine: name in machine.ordinary)


class StateMachine(RuleBasedStateMachine):
    """A manager and its model: Hypothesis does things to both, in any order.

    After each rule whatever can be read of the manager is compared with the model.
    Subclass it and add rules that call your code on `self.manager`, and do to
    `self.model` what your code should have done. The ordinary rules are there so that
    other things happen in between; name those you want in `ordinary`.

    The manager runs on `self.clock`, a `SimulatedClock`, and all its background work
    in the thread of the test, so that a failure can be repeated and made smaller. So a
    rule must not wait for something that another thread does, and runs no flow: flows
    need threads, and an `Interleaver` has them.

    Needs the extra `testing`.

    Concurrency: One thread.

    Example:
        >>> from hypothesis import settings
        >>> from hypothesis.stateful import rule
        >>> class Visits(StateMachine):
        ...     scopes = (GlobalScope(),)
        ...     ordinary = frozenset({"wait", "passivate"})
        ...
        ...     @rule(page=StateMachine.a_key)
        ...     def visit(self, page):
        ...         self.manager.global_state().increment(page)  # the code under test
        ...         model = self.model.scope(GlobalScope())
        ...         model[page] = model.get(page, 0) + 1  # what it should do
        >>> TestVisits = Visits.TestCase
        >>> TestVisits.settings = settings(max_examples=5, database=None)
        >>> TestVisits().runTest()
    """

    scopes: Sequence[StateScope] = (
        GlobalScope(),
        WorkflowScope("a"),
        StepScope("a", "b"),
        CustomScope("a"),
    )
    """What is compared; a run uses a few of these."""
    keys: Sequence[str] = ("a", "b", "c")
    """Of which a run uses some."""
    ordinary: ClassVar[Rules] = frozenset(
        {"write", "read", "wait", "drop", "passivate", "transact"}
    )
    """The ordinary rules that are used; those not named are switched off."""
    exact: ClassVar[bool] = False
    """Whether revisions and times have to be the model's too: every rule then makes the
    same commands on both, one for one."""
    limits: Limits = Limits()
    """What each owner may hold."""
    idle_timeout: float | None = None
    """Seconds after which an unused owner is let go."""

    a_scope: ClassVar[Bundle[StateScope]] = A_SCOPE
    """For the arguments of rules: one of the scopes this run uses."""
    a_key: ClassVar[Bundle[str]] = A_KEY
    """For the arguments of rules: one of the keys this run uses."""

    def make_manager(
        self,
        *,
        limits: Limits,
        clock: SimulatedClock,
        dispatcher: InlineDispatcher,
        idle_timeout: float | None,
    ) -> StateManager:
        """Make the manager of one run; for machines that need another one.

        All of the arguments have to be handed on.
        """
        return StateManager(
            limits=limits,
            clock=clock,
            dispatcher=dispatcher,
            idle_timeout=idle_timeout,
        )

    @cached_property
    def harness(self) -> Harness:
        """The manager and its model; made when first asked for."""
        return Harness(
            scopes=self.scopes,
            keys=self.keys,
            limits=self.limits,
            idle_timeout=self.idle_timeout,
            exact=self.exact,
            make=self.make_manager,
        )

    @property
    def manager(self) -> StateManager:
        """What is under test."""
        return self.harness.manager

    @property
    def model(self) -> Model:
        """What the manager should hold."""
        return self.harness.model

    @property
    def clock(self) -> SimulatedClock:
        """What time it is for both; `wait` moves it."""
        return self.harness.clock

    @initialize(target=A_SCOPE, data=st.data())
    def choose_scopes(self, data: st.DataObject) -> MultipleResults[StateScope]:
        """Choose the scopes to use."""
        return multiple(*self.some_scopes(data))

    def some_scopes(self, data: st.DataObject) -> list[StateScope]:
        """Return the scopes that this run uses, and watch them."""
        some = st.lists(
            st.sampled_from(self.scopes), min_size=1, max_size=4, unique=True
        )
        chosen = data.draw(some, "scopes")
        self.harness.watched.update(chosen)
        return chosen

    @initialize(target=A_KEY, data=st.data())
    def choose_keys(self, data: st.DataObject) -> MultipleResults[str]:
        """Choose the keys to use."""
        some = st.lists(st.sampled_from(self.keys), min_size=1, max_size=4, unique=True)
        return multiple(*data.draw(some, "keys"))

    @invariant()
    def everything_reads_as_the_model_says(self) -> None:
        """Look at everything after each rule."""
        self.harness.check()

    def teardown(self) -> None:
        """Look at everything once more, and close the manager."""
        self.harness.close()

    # ------------------------------------------------------------- ordinary rules

    @_if_ordinary("write")
    @rule(scope=A_SCOPE, call=WRITES, via=VIAS | st.just("message"))
    def write(self, scope: StateScope, call: Call, via: Via) -> None:
        """Write in one of the ways there are."""
        self.harness.call(scope, call, via)

    @_if_ordinary("read")
    @rule(scope=A_SCOPE, call=commands("read", keys=A_KEY), via=VIAS)
    def read(self, scope: StateScope, call: Call, via: Via) -> None:
        """Read in one of the ways there are."""
        self.harness.call(scope, call, via)

    @_if_ordinary("wait")
    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.advance(seconds)

    @_if_ordinary("drop")
    @rule(scope=A_SCOPE, via=VIAS)
    def drop(self, scope: StateScope, via: Via) -> None:
        """Drop a workflow with its steps."""
        if isinstance(workflow := scope.owner, WorkflowScope):
            self.harness.drop(workflow, via)

    @_if_ordinary("passivate")
    @rule(scope=A_SCOPE)
    def passivate(self, scope: StateScope) -> None:
        """Let an owner go, which changes nothing that can be read, and only once."""
        self.manager.passivate(scope)
        assert not self.manager.passivate(scope), f"{scope} went twice"  # noqa: S101

    @_if_ordinary("transact")
    @rule(
        scope=A_SCOPE,
        calls=STEPS,
        meanwhile=SECONDS | st.tuples(A_SCOPE, WRITES) | st.none(),
        more=STEPS,
        how=ENDINGS,
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
        pair = Pair(self.harness, scope)
        if not all(pair.go_on(where, call) for where, call in calls):
            return
        if isinstance(meanwhile, tuple):
            self.harness.call(*meanwhile, "old")
        elif meanwhile is not None:
            self.harness.advance(meanwhile)
        if all(pair.go_on(where, call) for where, call in more):
            pair.end(how)
