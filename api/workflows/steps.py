"""Steps: a function, and how it is run."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias, overload

from stateward.actors.core.errors import InvalidFlowError, StateError
from stateward.actors.core.scopes import check_id, shown
from stateward.workflows.strategies import (
    OnError,
    Retry,
    check_on_error,
    check_retry,
    check_seconds,
)

Function: TypeAlias = Callable[[Any], Any]
"""What a step runs; it is given a `StepContext`."""
RESERVED: Final = frozenset("/[]")
"""What paths are written with, and names of steps therefore cannot hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A function and how it is run; `step` makes one."""

    name: str
    function: Function
    retry: Retry | None = None
    """`None` for that of the workflow around it."""
    on_error: OnError | None = None
    """`None` for that of the workflow around it."""
    timeout: float | None = None
    """Seconds one attempt may take; `None` for no end."""
    atomic: bool = False
    """Whether what it writes is committed together with its being finished."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_name(self.name, "step")
        check_options(self)
        check_function(self.function, f"step {self.name!r}")
        if type(self.atomic) is not bool:
            raise InvalidFlowError(f"atomic is {shown(self.atomic)}, not a bool")

    def using(self, **options: Any) -> "Step":
        """Return the same step with other options: another name, timeout and so on."""
        check_known(self, options)
        return replace(self, **options)

    def __call__(self, context: Any) -> Any:
        """Call the function alone, as a test may."""
        return self.function(context)


@overload
def step(function: Function, /) -> Step: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    on_error: OnError | None = None,
    timeout: float | None = None,
    atomic: bool = False,
) -> Callable[[Function], Step]: ...
def step(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    on_error: OnError | None = None,
    timeout: float | None = None,
    atomic: bool = False,
) -> Step | Callable[[Function], Step]:
    """Make a step of a function, plain or `async`; used as a decorator.

    Args:
        function: Is given a `StepContext`; what it returns is recorded as its output,
            and has to be JSON.
        name: Of the step; that of the function if `None`.
        retry: Whether and when to try again what failed.
        on_error: What a failure does to the workflow: `"fail"`, `"continue"` or `Skip`.
        timeout: Seconds one attempt may take.
        atomic: Whether its writes to the workflow are committed together with its
            being finished, in one command. It can then write to no other owner.

    Raises:
        InvalidFlowError: An option makes no sense. Effect: none.

    Example:
        >>> @step(retry=Retry(attempts=3), timeout=30)
        ... def load(ctx):
        ...     return {"rows": 3}
        >>> load.name, load(None)
        ('load', {'rows': 3})
    """

    def make(function: Function) -> Step:
        return Step(
            name=name_of(function) if name is None else name,
            function=function,
            retry=retry,
            on_error=on_error,
            timeout=timeout,
            atomic=atomic,
        )

    return make if function is None else make(function)


def check_name(name: object, what: str) -> None:
    """Raise `InvalidFlowError` unless a step can be called `name`."""
    try:
        check_id(name, f"{what} name")
    except StateError as error:
        raise InvalidFlowError(str(error)) from None
    held = sorted(RESERVED.intersection(str(name)))
    if held:
        raise InvalidFlowError(
            f"{what} name {shown(name)} holds {held[0]!r}, which paths are written with"
        )


def check_known(node: Any, options: Mapping[str, object]) -> None:
    """Raise `InvalidFlowError` if a node has not all of `options`."""
    known = {each.name for each in fields(node)}
    for name in options:
        if name not in known:
            raise InvalidFlowError(
                f"{type(node).__name__} has no option {name!r}; it has "
                + ", ".join(sorted(known))
            )


def check_options(node: Any) -> None:
    """Check what steps and workflows have in common."""
    what = f"{type(node).__name__.lower()} {node.name!r}"
    check_retry(node.retry, what)
    check_on_error(node.on_error, what)
    check_seconds(node.timeout, f"timeout of {what}")


def name_of(function: Function) -> str:
    """Return the name of a function; raise `InvalidFlowError` if it has none."""
    inner = inspect.unwrap(function)
    name = getattr(inner, "__name__", None) or getattr(
        getattr(inner, "func", None), "__name__", None
    )
    if not isinstance(name, str):
        raise InvalidFlowError(f"{shown(function)} has no name: step(name=...)")
    return name


def check_function(function: Function, what: str) -> None:
    """Raise `InvalidFlowError` unless a step can be made of `function`."""
    if not callable(function):
        raise InvalidFlowError(f"{what} is {shown(function)}, which cannot be called")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidFlowError(f"{what} is a generator, which returns no output")
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # Some built-in functions do not tell.
    try:
        signature.bind(None)
    except TypeError as error:
        raise InvalidFlowError(
            f"{what} must take one argument, the context: {error}"
        ) from None
