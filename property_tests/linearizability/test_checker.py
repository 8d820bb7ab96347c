"""The checker says what trying every order says, on small histories of every kind."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import pytest
from hypothesis import event, given, settings

from property_tests.linearizability import draws
from property_tests.linearizability.brute import is_linearizable
from stateward.testing.histories import Operation, Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import (
    Counter,
    Register,
    Transactions,
)
from stateward.testing.transitions import Specification

pytestmark = pytest.mark.slow

S = TypeVar("S", bound=Hashable)

EXAMPLES: Final = settings(max_examples=min(10_000, 10 * settings().max_examples))
"""Ten times what the profile says: most of what can go wrong takes several replies."""


@EXAMPLES
@given(operations=draws.histories(draws.plain_calls))
def test_register_is_checked_as_by_brute_force(operations: list[Operation]) -> None:
    """Reads, writes, deletions and comparisons are judged as by trying all orders."""
    agree(Register(), operations)


@EXAMPLES
@given(operations=draws.histories(draws.revised_calls, most=4))
def test_revisions_are_checked_as_by_brute_force(operations: list[Operation]) -> None:
    """Revisions that are told, expected, refused or not known are judged likewise."""
    agree(Register(), operations)


@EXAMPLES
@given(operations=draws.histories(draws.counts))
def test_counter_is_checked_as_by_brute_force(operations: list[Operation]) -> None:
    """Increments of either sign, and reads, are judged likewise."""
    agree(Counter(), operations)


@EXAMPLES
@given(operations=draws.histories(draws.rising_counts))
def test_rising_counter_is_checked_as_by_brute_force(
    operations: list[Operation],
) -> None:
    """To know that sums only rise changes no verdict."""
    agree(Counter(rising=True), operations)


@EXAMPLES
@given(operations=draws.histories(draws.transactions))
def test_transactions_are_checked_as_by_brute_force(
    operations: list[Operation],
) -> None:
    """Transactions on two places are judged likewise."""
    agree(Transactions(), operations)


def agree(specification: Specification[S], operations: list[Operation]) -> None:
    """Compare both verdicts, and what the checker says of a contradiction."""
    verdict = check_history(operations, specification)
    event(f"linearizable: {verdict.ok}")
    assert verdict.ok == is_linearizable(operations), str(verdict)
    if not verdict.ok:
        assert_contradiction(operations, verdict.contradiction)


def assert_contradiction(
    operations: Sequence[Operation], contradiction: Sequence[Operation]
) -> None:
    """Check that no order explains these replies, and that they are the earliest."""
    last = contradiction[-1]
    assert last.returned is not None

    def forgotten(each: Operation) -> Operation:
        # What a reply says is lost, but a refusal has no effect whatever it says.
        if each.outcome is Outcome.REFUSED:
            return replace(each, error="LimitError")
        return replace(each, outcome=Outcome.UNKNOWN, returned=None, result=None)

    kept = [each if each in contradiction else forgotten(each) for each in operations]
    assert not is_linearizable(kept), "the contradiction is none"
    before = [
        each if each.returned and each.returned < last.returned else forgotten(each)
        for each in operations
        if each.invoked < last.returned
    ]
    assert is_linearizable(before), "an earlier reply has no explanation either"
