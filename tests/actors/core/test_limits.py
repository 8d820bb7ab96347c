from dataclasses import FrozenInstanceError, replace
from math import inf, nan
from sys import maxsize
from typing import Any, Final

import pytest

from stateward import KeyTooLongError, Limits, UsageError
from stateward.actors.core.limits import DEPTH_MAX, check_ttl

COUNTS: Final = (
    "max_value_bytes",
    "max_key_bytes",
    "max_depth",
    "max_keys",
    "max_bytes",
    "max_pending",
)


def test_limits_are_as_documented_by_default() -> None:
    """What a manager holds its owners to when nothing is said."""
    assert Limits() == Limits(
        max_value_bytes=1 << 20,
        max_key_bytes=512,
        max_depth=128,
        max_keys=None,
        max_bytes=None,
        max_pending=10_000,
        default_ttl=None,
    )


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [0, -1, 1.0, True, "1", nan])
def test_limits_refuse_what_is_no_count(name: str, count: object) -> None:
    """A count is an integer from 1 up, and the message names the field."""
    with pytest.raises(UsageError, match=rf"^{name} is .*, not an integer >= 1$"):
        with_limit(name, count)


@pytest.mark.parametrize("name", COUNTS)
def test_limits_take_one_as_the_least_count(name: str) -> None:
    """The strictest limit of each kind is 1."""
    assert getattr(with_limit(name, 1), name) == 1


@pytest.mark.parametrize("name", ["max_key_bytes", "max_depth", "max_pending"])
def test_limits_must_be_set_where_endless_is_unsafe(name: str) -> None:
    """Keys, depth and waiting messages are always bounded."""
    with pytest.raises(UsageError, match=name):
        with_limit(name, None)


def test_limits_let_no_value_nest_deeper_than_the_codec_can() -> None:
    """The depth may be limited to 250 levels and to no more."""
    assert Limits(max_depth=DEPTH_MAX).max_depth == 250
    with pytest.raises(UsageError, match="max_depth is 251, at most 250"):
        Limits(max_depth=DEPTH_MAX + 1)


def test_limits_cannot_be_changed() -> None:
    """Other limits are another object."""
    limits = Limits(max_keys=2)
    with pytest.raises(FrozenInstanceError):
        limits.max_keys = 3  # type: ignore[misc]  # what must not be possible
    assert replace(limits, max_keys=3) == Limits(max_keys=3)


def test_limits_compare_with_sizes_when_endless() -> None:
    """No limit is greater than any size, a limit is itself."""
    assert Limits().total_bytes >= maxsize
    assert Limits(max_bytes=3).total_bytes == 3
    assert Limits(max_value_bytes=None).value_bytes >= maxsize
    assert Limits(max_value_bytes=3).value_bytes == 3


@pytest.mark.parametrize("text", ["abcd", "\xe9\xe9", "\N{PILE OF POO}", "a"])
def test_key_bytes_are_accepted_up_to_the_limit(text: str) -> None:
    """A key of exactly `max_key_bytes` bytes of UTF-8 is served."""
    Limits(max_key_bytes=4).check_key_bytes(text)


@pytest.mark.parametrize("text", ["abcde", "\xe9\xe9a", "\N{PILE OF POO}a"])
def test_key_bytes_are_refused_from_one_more(text: str) -> None:
    """One byte more is refused with limit, allowance and actual figure."""
    with pytest.raises(KeyTooLongError) as caught:
        Limits(max_key_bytes=4).check_key_bytes(text)
    error = caught.value
    assert (error.limit, error.allowance, error.actual) == ("max_key_bytes", 4, 5)
    assert error.effect == "none"


@pytest.mark.parametrize("ttl", [None, 1, 0.5, 5e-324, 10**12, 1.7976931348623157e308])
def test_ttl_is_any_finite_number_above_zero(ttl: float | None) -> None:
    """A time to live is a positive number of seconds."""
    check_ttl(ttl)
    assert Limits(default_ttl=ttl).default_ttl == ttl


@pytest.mark.parametrize(
    "ttl", [0, 0.0, -1, nan, inf, -inf, True, "1", b"", [], 10**309, 1j]
)
def test_ttl_is_refused_when_it_is_no_such_number(ttl: object) -> None:
    """Everything else is refused, integers too large for a float included."""
    with pytest.raises(UsageError, match=r"^ttl is .*, not a finite number of seconds"):
        check_ttl(ttl)
    with pytest.raises(UsageError, match=r"^default_ttl is "):
        with_limit("default_ttl", ttl)


def with_limit(name: str, value: Any) -> Limits:
    """Return limits that differ from the usual ones in one field."""
    return Limits(**{name: value})
