"""Options: what a manager is told of how it works is checked first."""

from typing import Any

import pytest

from stateward import Limits, UsageError
from stateward.options import check_options
from stateward.testing import SimulatedClock
from tests.threads import ByHand

USUAL: dict[str, Any] = {
    "limits": None,
    "clock": None,
    "dispatcher": None,
    "idle_timeout": 30.0,
    "ask_timeout": 30.0,
}


@pytest.mark.parametrize(
    "option",
    [
        {},
        {"limits": Limits(), "clock": SimulatedClock(), "dispatcher": ByHand()},
        {"idle_timeout": None, "ask_timeout": 1},
    ],
)
def test_options_that_make_sense_are_taken(option: dict[str, Any]) -> None:
    """Also parts of a host's own, which have what is called of them."""
    check_options(**{**USUAL, **option})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"limits": 5}, "limits is 5, not Limits or None"),
        ({"idle_timeout": 0}, "idle_timeout is 0, not a finite number"),
        ({"ask_timeout": None}, "ask_timeout is None, not a finite number"),
        ({"ask_timeout": float("inf")}, "ask_timeout is inf"),
        ({"clock": 5}, r"clock is 5, which has no now\(\)"),
        ({"dispatcher": "pool"}, r"dispatcher is 'pool', which has no submit\(\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    option: dict[str, Any], message: str
) -> None:
    """The message names the option, what it is, and what it should be."""
    with pytest.raises(UsageError, match=message):
        check_options(**{**USUAL, **option})
