"""The public face against the model, one call after another, in any order.

Background work runs inline, so that a failing run can be repeated
and made smaller; `stress` runs the same calls on threads. Of the machines here one can
do everything there is; the others do less, and so come upon what takes several steps
in a row: a conflict, an expiry, a limit.

The breaks of the engine that each was seen to find stand in `property_tests/README.md`.
"""

from typing import ClassVar

from hypothesis import HealthCheck, settings

from property_tests.machines.harness import SCOPES
from property_tests.machines.rules import (
    Machine,
    OpenTransactions,
    OtherCalls,
    OtherLimits,
    Pools,
    Time,
    no_limits,
)
from stateward import GlobalScope, StepScope, WorkflowScope
from stateward.testing.machines import Rules

WORKFLOW = (WorkflowScope("a"), StepScope("a", "b"))
"""A workflow and one of its steps, which one transaction reaches."""


class PublicFace(OtherCalls, Time, OtherLimits, OpenTransactions):
    """Everything."""


class Conflicts(OpenTransactions):
    """Transactions over few entries that others write to as well."""

    pools: ClassVar[Pools] = (WORKFLOW, WORKFLOW[:1], (GlobalScope(),))
    limits_at_start = no_limits
    ordinary: ClassVar[Rules] = frozenset({"write", "transact", "drop", "passivate"})


class ExpiringTransactions(Time):
    """Transactions over entries that expire."""

    pools: ClassVar[Pools] = (WORKFLOW, WORKFLOW[:1])
    ordinary: ClassVar[Rules] = frozenset({"write", "transact", "wait"})


class Expiry(Time):
    """Entries that expire, and owners that come and go meanwhile."""

    pools: ClassVar[Pools] = (WORKFLOW, WORKFLOW[:1], SCOPES)
    ordinary: ClassVar[Rules] = frozenset({"write", "wait", "drop", "passivate"})


class Quotas(OtherLimits, Time):
    """Limits that are always near."""

    pools: ClassVar[Pools] = (WORKFLOW, (*WORKFLOW, StepScope("a", "b:step:c")))
    ordinary: ClassVar[Rules] = frozenset({"write", "wait"})


def one_failure(machine: type[Machine]) -> type[Machine]:
    """Have a machine report one failure; to make several small takes minutes."""
    machine.TestCase.settings = settings(
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],  # Other tests run beside it.
    )
    return machine


TestPublicFace = one_failure(PublicFace).TestCase
TestConflicts = one_failure(Conflicts).TestCase
TestExpiringTransactions = one_failure(ExpiringTransactions).TestCase
TestExpiry = one_failure(Expiry).TestCase
TestQuotas = one_failure(Quotas).TestCase
