import functools
from typing import Any

import pytest

from stateward import InvalidFlowError, StateManager
from stateward.workflows import Retry, Skip, Step, StepContext, step


def work(ctx: StepContext) -> str:
    """Return where it runs."""
    return ctx.path


class Callable:
    """Something with a `__call__`, and a name if it is given one."""

    def __call__(self, ctx: StepContext) -> str:
        return ctx.path

    def method(self, ctx: StepContext) -> str:
        return ctx.path

    async def later(self, ctx: StepContext) -> str:
        return ctx.path


def test_step_is_called_as_its_function() -> None:
    """The name is that of the function, also of a wrapped or partial one."""

    @functools.wraps(work)
    def wrapper(*args: Any) -> Any:
        return work(*args)

    assert step(work).name == "work"
    assert step(wrapper).name == "work"
    assert step(functools.partial(work)).name == "work"
    assert step(Callable().method).name == "method"
    assert step(name="other")(work).name == "other"


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (work, "s"),
        (Callable(), "s"),
        (Callable().method, "s"),
        (Callable().later, "s"),
        (functools.partial(lambda extra, ctx: ctx.path + extra, "!"), "s!"),
        (functools.partial(Callable().later), "s"),
        (lambda *args: len(args), 1),
        (lambda _, more=2: more, 2),
        (type, None),
    ],
)
def test_step_runs_whatever_takes_one_argument(
    manager: StateManager, function: Any, output: Any
) -> None:
    """Methods, partial functions and objects that can be called are functions too."""
    result = manager.run(step(name="s")(function), "w")
    assert result.output == output
    assert result.ok is (function is not type)


def test_step_can_be_called_alone() -> None:
    """A test of the function needs no workflow around it."""
    double = step(timeout=3)(lambda ctx: 2 * ctx)
    assert double(21) == 42


def test_step_using_returns_another_step() -> None:
    """A copy has the options that were named, and the others as they were."""
    first = step(retry=Retry(attempts=2), timeout=5)(work)
    second = first.using(name="again", timeout=None, on_error=Skip())
    assert (first.name, first.timeout, first.on_error) == ("work", 5, None)
    assert (second.name, second.timeout, second.on_error) == ("again", None, Skip())
    assert second.retry == Retry(attempts=2)
    assert second.function is work


def test_step_cannot_be_changed() -> None:
    """A step is a value: it can be part of many flows."""
    with pytest.raises(AttributeError):
        step(work).timeout = 3  # type: ignore[misc]  # that is the point


def generator(ctx: Any) -> Any:
    """Yield, and so return no output."""
    yield ctx


async def async_generator(ctx: Any) -> Any:
    """Yield, and so return no output."""
    yield ctx


def no_argument() -> None:
    """Take nothing."""


def two_arguments(ctx: Any, other: Any) -> None:
    """Take too much."""


def by_keyword(*, ctx: Any) -> None:
    """Take it by name alone."""


async def async_no_argument() -> None:
    """Take nothing."""


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (generator, "is a generator"),
        (async_generator, "is a generator"),
        (functools.partial(generator), "is a generator"),
        (no_argument, "must take one argument, the context"),
        (async_no_argument, "must take one argument, the context"),
        (two_arguments, "must take one argument, the context"),
        (by_keyword, "must take one argument, the context"),
        (7, "is 7, which cannot be called"),
        ("work", "is 'work', which cannot be called"),
        (None, "is None, which cannot be called"),
    ],
)
def test_step_refuses_what_is_no_step_function(function: Any, reason: str) -> None:
    """A function that could only fail is refused when the flow is made."""
    with pytest.raises(InvalidFlowError, match=f"step 's' {reason}"):
        Step(name="s", function=function)


def test_step_refuses_a_function_without_a_name() -> None:
    """What has no name is given one by `step(name=...)`, says the error."""
    with pytest.raises(InvalidFlowError, match=r"has no name: step\(name=\.\.\.\)"):
        step(Callable())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("a/b", "holds '/', which paths are written with"),
        ("a[0]", r"holds '\[', which"),
        ("]", "holds ']', which"),
        ("a\0b", "NUL"),
        ("\ud800", "step name"),
        (7, "is of type int, not str"),
        (b"a", "is of type bytes, not str"),
    ],
)
def test_step_refuses_a_name_no_path_can_hold(name: Any, reason: str) -> None:
    """The error says what is wrong with the name."""
    with pytest.raises(InvalidFlowError, match=reason):
        Step(name=name, function=work)
    with pytest.raises(InvalidFlowError, match=reason):
        step(work).using(name=name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry", 3),
        ("retry", Retry),
        ("on_error", "stop"),
        ("on_error", Skip),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "5"),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("atomic", 1),
        ("atomic", None),
    ],
)
def test_step_refuses_an_option_that_makes_no_sense(option: str, value: Any) -> None:
    """The error names the option, whether it is given at first or later."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(InvalidFlowError, match=option):
        step(**options)(work)
    with pytest.raises(InvalidFlowError, match=option):
        step(work).using(**options)


def test_step_refuses_an_unknown_option() -> None:
    """An option that no step has is refused, and those it has are listed."""
    with pytest.raises(TypeError, match="retries"):
        step(retries=3)  # type: ignore[call-overload]  # that is the point
    with pytest.raises(InvalidFlowError, match="no option 'retries'; it has atomic, "):
        step(work).using(retries=3)
