from math import inf, nan
from typing import Any

import pytest

from stateward import InvalidFlowError, InvalidScopeError, InvalidValueError, JsonValue
from stateward.workflows import Access, First, Last, Retry, Skip
from stateward.workflows.strategies import (
    DELAY_MAX,
    check_count,
    check_on_error,
    check_retry,
    check_seconds,
    checked_exceptions,
)


def delays(retry: Retry, seed: str = "w/s") -> list[float]:
    """Return the delays after the first four attempts."""
    return [retry.delay(attempt, seed) for attempt in range(1, 5)]


def test_retry_delay_grows_by_its_factor() -> None:
    """Without jitter, each delay is the one before times `factor`."""
    assert delays(Retry(backoff=0.5, factor=3, jitter=0)) == [0.5, 1.5, 4.5, 13.5]
    assert delays(Retry(backoff=0.5, factor=1, jitter=0)) == [0.5] * 4
    assert delays(Retry(backoff=0, jitter=1)) == [0.0] * 4


def test_retry_delay_is_capped() -> None:
    """No delay before jitter is longer than `max_delay`, even past any float."""
    retry = Retry(backoff=1, factor=10, max_delay=50, jitter=0)
    assert delays(retry) == [1, 10, 50, 50]
    assert retry.delay(10_000, "w/s") == 50
    assert Retry(backoff=1e6, jitter=0).delay(1, "w/s") == DELAY_MAX


def test_retry_jitter_stays_in_its_share() -> None:
    """Jitter moves a delay up or down by at most its share, and does move it."""
    retry = Retry(backoff=8, factor=1, jitter=0.25)
    found = [retry.delay(1, f"w{number}/s") for number in range(200)]
    assert all(6 <= delay <= 10 for delay in found)
    assert min(found) < 6.5
    assert max(found) > 9.5


def test_retry_jitter_can_be_repeated() -> None:
    """The same workflow, step and attempt wait equally long each time."""
    retry = Retry(backoff=8, jitter=1)
    assert delays(retry, "w/s") == delays(Retry(backoff=8, jitter=1), "w/s")
    assert delays(retry, "w/s") != delays(retry, "x/s")


def test_retry_applies_to_its_exceptions_alone() -> None:
    """Another attempt follows what `on` names, as long as there are attempts."""
    retry = Retry(attempts=3, on=(OSError, KeyError))
    assert retry.applies(TimeoutError(), 1)
    assert retry.applies(KeyError(), 2)
    assert not retry.applies(KeyError(), 3)
    assert not retry.applies(ValueError(), 1)
    assert not Retry().applies(KeyboardInterrupt(), 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("attempts", value) for value in (0, -1, 1.0, True, "3", None)),
        *(("backoff", value) for value in (-0.1, nan, inf, "1", None, True)),
        *(("factor", value) for value in (0.9, 0, -2, nan, inf, "2")),
        *(("max_delay", value) for value in (-1, nan, inf, None)),
        *(("jitter", value) for value in (-0.1, 1.1, nan, "0")),
        *(("on", value) for value in ("Exception", (int,), [OSError], (1,), None)),
    ],
)
def test_retry_refuses_what_makes_no_sense(option: str, value: Any) -> None:
    """The error names the option and shows the value."""
    with pytest.raises(InvalidFlowError, match=rf"Retry\.{option} is ") as caught:
        Retry(**{option: value})
    assert repr(value) in str(caught.value)


def test_exceptions_may_be_one_class_alone() -> None:
    """A class stands for the tuple that holds it."""
    assert Retry(on=OSError).on == (OSError,)  # type: ignore[arg-type]  # as documented
    assert Skip(on=OSError).on == (OSError,)  # type: ignore[arg-type]  # as documented
    assert checked_exceptions("on", ()) == ()


def test_skip_output_is_packed() -> None:
    """What later steps find is kept as any other output is."""
    assert Skip([1]).packing() == (b"[1]", 3, 1)
    assert Skip().packing()[0] is None


@pytest.mark.parametrize("output", [{1: 2}, (1,), nan, object(), {"a": {1}}])
def test_skip_refuses_an_output_that_is_no_json(output: Any) -> None:
    """An output that could not be recorded is refused when the flow is made."""
    with pytest.raises(InvalidValueError):
        Skip(output)


def test_access_is_decided_by_namespace() -> None:
    """A level holds for all custom namespaces, or for those that are named."""
    assert Access().level("any") == "none"
    assert Access().global_state == "write"
    assert Access(custom_state="read").level("any") == "read"
    access = Access(custom_state={"a": "write", "b": "read"})
    assert [access.level(name) for name in "abc"] == ["write", "read", "none"]


def test_access_keeps_a_copy_of_its_levels() -> None:
    """What a run may reach cannot be changed while it runs."""
    levels: dict[str, Any] = {"a": "read"}
    access = Access(custom_state=levels)
    levels["a"] = "write"
    assert access.level("a") == "read"
    with pytest.raises(TypeError):
        access.custom_state["a"] = "write"  # type: ignore[index]  # it is frozen


@pytest.mark.parametrize(
    "options",
    [
        {"global_state": "all"},
        {"global_state": None},
        {"global_state": ["read"]},
        {"custom_state": "any"},
        {"custom_state": 1},
        {"custom_state": {"a": "rw"}},
    ],
)
def test_access_refuses_what_is_no_level(options: dict[str, Any]) -> None:
    """The error lists the levels there are."""
    with pytest.raises(InvalidFlowError, match="not 'none', 'read' or 'write'"):
        Access(**options)
    with pytest.raises(InvalidScopeError):
        Access(custom_state={"": "read"})


@pytest.mark.parametrize("kind", [First, Last])
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_collect_refuses_what_is_no_count(kind: Any, count: Any) -> None:
    """`First` and `Last` take an integer of at least one."""
    with pytest.raises(InvalidFlowError, match=rf"{kind.__name__}\.count is "):
        kind(count)
    assert kind(2).count == 2


@pytest.mark.parametrize("value", ["stop", "", 1, True, Skip, Retry(), ["fail"], {}])
def test_on_error_is_one_of_the_strategies(value: Any) -> None:
    """Anything but `fail`, `continue`, a `Skip` or nothing is refused."""
    with pytest.raises(InvalidFlowError, match=r"on_error of it is .*'fail'"):
        check_on_error(value, "it")
    for known in (None, "fail", "continue", Skip()):
        check_on_error(known, "it")


@pytest.mark.parametrize("value", [3, True, Retry, "3", {"attempts": 3}])
def test_retry_option_is_a_retry(value: Any) -> None:
    """A number of attempts alone is refused, and the error says what is wanted."""
    with pytest.raises(InvalidFlowError, match=r"retry of it is .*, not Retry"):
        check_retry(value, "it")
    check_retry(None, "it")
    check_retry(Retry(), "it")


@pytest.mark.parametrize("value", [0, -1, nan, inf, "1", True, [1]])
def test_seconds_are_finite_and_positive(value: Any) -> None:
    """A timeout of no time, or without an end, is refused."""
    with pytest.raises(InvalidFlowError, match="timeout of it is "):
        check_seconds(value, "timeout of it")
    for known in (None, 1, 0.001):
        check_seconds(known, "timeout of it")


@pytest.mark.parametrize("value", [0, -3, 1.0, True, "1"])
def test_counts_are_positive_integers(value: Any) -> None:
    """A limit of nothing, or of half a thing, is refused."""
    with pytest.raises(InvalidFlowError, match=r"limit is .*, not an integer >= 1"):
        check_count(value, "limit")
    for known in (None, 1):
        check_count(known, "limit")


def test_skip_keeps_a_copy_of_its_output() -> None:
    """Changing a list after it was given as an output changes no strategy."""
    output: list[JsonValue] = [1]
    skip = Skip(output)
    output.append(2)
    assert skip.output == [1]
