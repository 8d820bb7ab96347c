"""The test kit: what tests of stateful code need, for users and for ourselves.

Clocks that obey, models to compare with, branches that go on in a chosen order,
histories and their checker, and a suite for journals need nothing but the library.
`StateMachine` and `strategies` need the extra `testing`, and are imported when they are
first asked for.

May import everything; nothing else imports it.
"""

from typing import TYPE_CHECKING

from stateward.testing.calls import Call
from stateward.testing.clock import SimulatedClock
from stateward.testing.dispatcher import SimulatedDispatcher
from stateward.testing.faulty import Fault, FaultyJournal
from stateward.testing.histories import (
    Client,
    Footprint,
    History,
    Operation,
    Outcome,
)
from stateward.testing.inline import InlineDispatcher
from stateward.testing.interleaver import Interleaver
from stateward.testing.journals import JournalContract
from stateward.testing.linearizability import Verdict, check_history
from stateward.testing.models import Model, ScopeModel
from stateward.testing.plans import StepPlan, TreePlan, flow_of
from stateward.testing.simulation import Simulation
from stateward.testing.specifications import Counter, Register, Transactions
from stateward.testing.transaction_models import TransactionModel
from stateward.testing.transitions import Specification, Transition

if TYPE_CHECKING:
    from stateward.testing import strategies
    from stateward.testing.machines import StateMachine

__all__ = [
    "Call",
    "Client",
    "Counter",
    "Fault",
    "FaultyJournal",
    "Footprint",
    "History",
    "InlineDispatcher",
    "Interleaver",
    "JournalContract",
    "Model",
    "Operation",
    "Outcome",
    "Register",
    "ScopeModel",
    "SimulatedClock",
    "SimulatedDispatcher",
    "Simulation",
    "Specification",
    "StateMachine",
    "StepPlan",
    "TransactionModel",
    "Transactions",
    "Transition",
    "TreePlan",
    "Verdict",
    "check_history",
    "flow_of",
    "strategies",
]


def __getattr__(name: str) -> object:
    """Import what needs Hypothesis.

    Raises:
        ImportError: The extra `testing` is not installed.
    """
    if name == "strategies":
        import stateward.testing.strategies

        return stateward.testing.strategies
    if name == "StateMachine":
        import stateward.testing.extra  # first: it says what is missing
        from stateward.testing.machines import StateMachine

        return StateMachine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
