from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from stateward import GlobalScope, Limits, StateManager, StateScope
from stateward.testing import InlineDispatcher, SimulatedClock, StateMachine
from stateward.testing.machines import Ordinary, Rules

FEW = settings(
    max_examples=20,
    derandomize=True,
    phases=[Phase.generate],  # To make failures small would take most of the time.
)
ORDINARY: tuple[Ordinary, ...] = (
    *("write", "read", "wait", "drop", "passivate", "transact"),
)


def run(machine: type[StateMachine]) -> None:
    """Run a machine, the same each time."""
    run_state_machine_as_test(machine, settings=FEW)


class Visits(StateMachine):
    """A page counter, as a user would test it."""

    scopes: Sequence[StateScope] = (GlobalScope(),)
    ordinary: ClassVar[Rules] = frozenset({"wait", "passivate"})
    lost: ClassVar[bool] = False

    @rule(page=StateMachine.a_key)
    def visit(self, page: str) -> None:
        """Count a visit with two commands, where the model needs one."""
        state = self.manager.global_state()
        state.setdefault(page, 0)
        if not self.lost or state.get(page) != 2:
            state.increment(page)
        model = self.model.scope(GlobalScope())
        model.increment(page)


class LostVisits(Visits):
    """The same with a bug."""

    lost = True


@pytest.mark.slow
def test_machine_passes_when_the_code_does_what_the_model_does() -> None:
    """Code of more commands than the model's passes if the contents are the same."""
    run(Visits)


@pytest.mark.slow
def test_machine_fails_when_the_code_does_something_else() -> None:
    """The third visit of a page, which is not counted, is found and told."""
    with pytest.raises(AssertionError, match=r"holds .*: 2.*, the model .*: 3"):
        run(LostVisits)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDINARY)
def test_machine_uses_the_ordinary_rules_it_names(name: Ordinary) -> None:
    """Of the ordinary rules those named are used, and no other is."""
    used: set[str] = set()

    class Only(StateMachine):
        """Names one."""

        ordinary: ClassVar[Rules] = frozenset({name})

        @rule()
        def nothing(self) -> None:
            """Be there, for machines without another rule."""

    machine = Only()
    for each in machine.rules:
        if all(applies(machine) for applies in each.preconditions):
            used.add(each.function.__name__)
    assert used == {name, "nothing"}
    run(Only)


class Made(StateMachine):
    """Makes its own manager."""

    ordinary: ClassVar[Rules] = frozenset({"write"})
    scopes: Sequence[StateScope] = (GlobalScope(),)
    limits = Limits(max_keys=1)
    made: ClassVar[list[StateManager]] = []

    def make_manager(
        self,
        *,
        limits: Limits,
        clock: SimulatedClock,
        dispatcher: InlineDispatcher,
        idle_timeout: float | None,
    ) -> StateManager:
        """Make one with a limit the model does not know."""
        assert limits == self.limits
        manager = StateManager(
            limits=Limits(max_keys=2),
            clock=clock,
            dispatcher=dispatcher,
            idle_timeout=idle_timeout,
        )
        self.made.append(manager)
        return manager


@pytest.mark.slow
def test_machine_tests_the_manager_it_is_given() -> None:
    """A manager that allows more than the limits of the machine is found out."""
    with pytest.raises(AssertionError, match=r"KeyCountError|holds"):
        run(Made)
    assert Made.made
