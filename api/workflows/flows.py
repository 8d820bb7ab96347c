"""What a workflow is made of: steps, and the four ways to put them together.

All of these are values: making one runs nothing, and one can be run any number of
times, for any number of workflow ids at once. What can be known to be wrong is refused
here, before anything is run.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias

from stateward.actors.core.errors import InvalidFlowError, StateError
from stateward.actors.core.scopes import shown
from stateward.actors.core.values import JsonValue, pack
from stateward.workflows.steps import (
    Function,
    Step,
    check_known,
    check_name,
    check_options,
    name_of,
)
from stateward.workflows.strategies import (
    Collect,
    First,
    Last,
    OnError,
    Retry,
    check_count,
    check_seconds,
)

Condition: TypeAlias = Callable[[Any], object]
"""Is given the workflow's state to read; what it returns counts as true or false."""
Node: TypeAlias = "Step | Sequential | Parallel | Conditional | Loop"
Nodes: TypeAlias = "Step | Sequential | Parallel | Conditional | Loop | Function"


class _Workflow:
    """What all four kinds have in common."""

    __slots__ = ()

    name: str

    def __init__(self, name: str, *parts: Any, **options: Any) -> None:
        """Make one; each kind says how."""
        raise NotImplementedError

    def using(self, **options: Any) -> Self:
        """Return the same workflow with other options."""
        check_known(self, options)
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]  # each kind is a dataclass
        values.update(options)
        name = values.pop("name")
        parts = values.pop("branches" if "branches" in values else "steps")
        return type(self)(name, *parts, **values)


@dataclass(frozen=True, slots=True, init=False)  # tidy: its `__init__` is its own
class Sequential(_Workflow):
    """Steps one after the other; its output is that of the last one.

    Example:
        >>> def pay(ctx):
        ...     return ctx.input
        >>> [each.name for each in Sequential("checkout", pay).steps]
        ['pay']
    """

    name: str
    steps: tuple[Node, ...]
    retry: Retry | None
    on_error: OnError | None
    timeout: float | None

    def __init__(
        self,
        name: str,
        *steps: Nodes,
        retry: Retry | None = None,
        on_error: OnError | None = None,
        timeout: float | None = None,
    ) -> None:
        """Put steps in a row.

        Args:
            name: Unique among its siblings.
            *steps: Functions, steps or workflows.
            retry: For every step in it that has none of its own.
            on_error: Likewise; `"fail"` if nothing around it says otherwise.
            timeout: Seconds all of it may take.

        Raises:
            InvalidFlowError: Something about it makes no sense. Effect: none.
        """
        _fill(self, name=name, retry=retry, on_error=on_error, timeout=timeout)
        _fill(self, steps=_children(name, steps))
        check_options(self)


@dataclass(frozen=True, slots=True, init=False)  # tidy: its `__init__` is its own
class Parallel(_Workflow):
    """Branches at the same time; its output is theirs, by name."""

    name: str
    steps: tuple[Node, ...]
    max_concurrency: int | None
    fail_fast: bool
    optional: frozenset[str]
    retry: Retry | None
    on_error: OnError | None
    timeout: float | None

    def __init__(
        self,
        name: str,
        *steps: Nodes,
        max_concurrency: int | None = None,
        fail_fast: bool = True,
        optional: Iterable[str] = (),
        retry: Retry | None = None,
        on_error: OnError | None = None,
        timeout: float | None = None,
    ) -> None:
        """Put branches side by side.

        Args:
            name: Unique among its siblings.
            *steps: Functions, steps or workflows.
            max_concurrency: Branches that run at a time; `None` for all of them, as
                far as there are threads (see `JOBS_MAX` in `stateward.workflows`).
            fail_fast: Whether the first branch that fails cancels the others; if not,
                they are waited for.
            optional: Names of branches whose failure is noted and fails nothing.
            retry: For every step in it that has none of its own.
            on_error: Likewise.
            timeout: Seconds all of it may take.

        Raises:
            InvalidFlowError: Something about it makes no sense. Effect: none.
        """
        children = _children(name, steps)
        if isinstance(optional, str):
            raise InvalidFlowError(f"optional is the string {optional!r}, not names")
        try:
            names = frozenset(optional)
        except TypeError:
            raise InvalidFlowError(
                f"optional is {shown(optional)}, not names"
            ) from None
        _fill(self, name=name, retry=retry, on_error=on_error, timeout=timeout)
        _fill(self, steps=children, max_concurrency=max_concurrency)
        _fill(self, fail_fast=fail_fast, optional=names)
        check_options(self)
        check_count(max_concurrency, f"max_concurrency of {name!r}")
        if type(fail_fast) is not bool:
            raise InvalidFlowError(f"fail_fast is {shown(fail_fast)}, not a bool")
        unknown = sorted(map(repr, names - {child.name for child in children}))
        if unknown:
            raise InvalidFlowError(f"{name!r} has no branch {unknown[0]}")


@dataclass(frozen=True, slots=True)
class Branch:
    """A step of a `Conditional`, and when it is run; `branch` makes one."""

    condition: Condition
    step: Node

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        _check_condition(self.condition, "the condition of a branch")
        _fill(self, step=_node(self.step))


def branch(condition: Condition, step: Nodes) -> Branch:
    """Return a branch: `step`, to be run if `condition(state)` holds.

    Args:
        condition: A plain function of the workflow's state, which it may only read.
        step: A function, a step or a workflow.
    """
    return Branch(condition, _node(step))


@dataclass(frozen=True, slots=True, init=False)  # tidy: its `__init__` is its own
class Conditional(_Workflow):
    """The first branch whose condition holds, or all of them.

    Its output is that of the branch; with `match="all"` theirs, by name; `None` where
    nothing matched.
    """

    name: str
    branches: tuple[Branch, ...]
    otherwise: "Node | None"
    match: Literal["first", "all"]
    retry: Retry | None
    on_error: OnError | None
    timeout: float | None

    def __init__(
        self,
        name: str,
        *branches: Branch,
        otherwise: "Nodes | None" = None,
        match: Literal["first", "all"] = "first",
        retry: Retry | None = None,
        on_error: OnError | None = None,
        timeout: float | None = None,
    ) -> None:
        """Choose between branches.

        Args:
            name: Unique among its siblings.
            *branches: Made by `branch`; looked at in this order. The choice is
                recorded, and not made again when a run is continued.
            otherwise: What to run if no condition holds.
            match: Whether to run the first branch that matches, or all, one by one.
            retry: For every step in it that has none of its own.
            on_error: Likewise.
            timeout: Seconds all of it may take.

        Raises:
            InvalidFlowError: Something about it makes no sense. Effect: none.
        """
        for each in branches:
            if not isinstance(each, Branch):
                raise InvalidFlowError(f"{shown(each)} is not made by branch(...)")
        last = None if otherwise is None else _node(otherwise)
        _fill(self, name=name, retry=retry, on_error=on_error, timeout=timeout)
        _fill(self, branches=branches, otherwise=last, match=match)
        _children(name, self.steps)
        check_options(self)
        if not branches:
            raise InvalidFlowError(f"{name!r} has no branches")
        if match not in ("first", "all"):
            raise InvalidFlowError(f"match is {shown(match)}, not 'first' or 'all'")

    @property
    def steps(self) -> tuple[Node, ...]:
        """All there is to choose from, `otherwise` last."""
        steps = tuple(each.step for each in self.branches)
        return steps if self.otherwise is None else (*steps, self.otherwise)


@dataclass(frozen=True, slots=True, init=False)  # tidy: its `__init__` is its own
class Loop(_Workflow):
    """Steps again and again: over items, while a condition holds, or until one does."""

    name: str
    steps: tuple[Node, ...]
    over: "tuple[JsonValue, ...] | range | Condition | None"
    while_: Condition | None
    until: Condition | None
    max_iterations: int | None
    on_limit: Literal["fail", "stop"]
    collect: Collect
    delay: float
    retry: Retry | None
    on_error: OnError | None
    timeout: float | None

    def __init__(  # noqa: PLR0913  # each is an option of its own
        self,
        name: str,
        *steps: Nodes,
        over: Iterable[JsonValue] | Condition | None = None,
        while_: Condition | None = None,
        until: Condition | None = None,
        max_iterations: int | None = None,
        on_limit: Literal["fail", "stop"] = "fail",
        collect: Collect = "all",
        delay: float = 0.0,
        retry: Retry | None = None,
        on_error: OnError | None = None,
        timeout: float | None = None,
    ) -> None:
        """Repeat steps.

        Args:
            name: Unique among its siblings.
            *steps: Functions, steps or workflows; one iteration runs them in a row.
            over: A range, a collection of JSON values, or a function of the state
                that returns one. Each item is `ctx.item` in its iteration.
            while_: A condition, looked at before each iteration.
            until: A condition, looked at after each iteration.
            max_iterations: How many there may be; `None` for any number.
            on_limit: What to do when it is not over by then.
            collect: What the output is: all outputs of iterations as a list, those
                of the `First(n)` or `Last(n)`, the `"last"` one alone, or `"none"`.
            delay: Seconds between two iterations, in which no thread waits.
            retry: For every step in it that has none of its own.
            on_error: Likewise.
            timeout: Seconds all of it may take.

        Raises:
            InvalidFlowError: Something about it makes no sense. Effect: none.
        """
        _fill(self, name=name, retry=retry, on_error=on_error, timeout=timeout)
        _fill(self, steps=_children(name, steps), over=_items(name, over))
        _fill(self, while_=while_, until=until, max_iterations=max_iterations)
        _fill(self, on_limit=on_limit, collect=collect, delay=delay)
        check_options(self)
        _check_loop(self)


def _check_loop(loop: Loop) -> None:
    what = f"loop {loop.name!r}"
    if loop.while_ is not None and loop.until is not None:
        raise InvalidFlowError(f"{what} has while_ and until; one is enough")
    if loop.over is None and loop.while_ is None and loop.until is None:
        raise InvalidFlowError(f"{what} has neither over nor while_ nor until")
    for condition in (loop.while_, loop.until):
        if condition is not None:
            _check_condition(condition, f"a condition of {what}")
    check_count(loop.max_iterations, f"max_iterations of {what}")
    if loop.on_limit not in ("fail", "stop"):
        raise InvalidFlowError(f"on_limit is {shown(loop.on_limit)}, not fail or stop")
    collects = isinstance(loop.collect, First | Last)
    if not collects and loop.collect not in ("all", "last", "none"):
        raise InvalidFlowError(
            f"collect is {shown(loop.collect)}, not 'all', 'last', 'none', First(n) "
            "or Last(n)"
        )
    if loop.delay != 0:
        check_seconds(loop.delay, f"delay of {what}")


def as_flow(flow: Nodes) -> Node:
    """Return `flow`, or a function as a step."""
    return _node(flow)


def _fill(node: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(node, name, value)


def _children(name: str, steps: Iterable[Nodes]) -> tuple[Node, ...]:
    """Return the nodes in a workflow called `name`."""
    check_name(name, "workflow")
    nodes = tuple(_node(each) for each in steps)
    if not nodes:
        raise InvalidFlowError(f"workflow {name!r} has no steps")
    names: set[str] = set()
    for node in nodes:
        if node.name in names:
            raise InvalidFlowError(
                f"workflow {name!r} has two steps called {node.name!r}; "
                "rename one: step.using(name=...)"
            )
        names.add(node.name)
    return nodes


def _node(step: Nodes) -> Node:
    if isinstance(step, Step | Sequential | Parallel | Conditional | Loop):
        return step
    if isinstance(step, type) or not callable(step):
        raise InvalidFlowError(f"{shown(step)} is neither a step nor a workflow")
    return Step(name=name_of(step), function=step)


def _check_condition(condition: object, what: str) -> None:
    if not callable(condition):
        raise InvalidFlowError(f"{what} is {shown(condition)}, which cannot be called")
    if inspect.iscoroutinefunction(condition):
        raise InvalidFlowError(f"{what} is async; conditions are plain functions")


def _items(
    name: str, over: Iterable[JsonValue] | Condition | None
) -> tuple[JsonValue, ...] | range | Condition | None:
    if over is None or isinstance(over, range):
        return over
    if isinstance(over, str | bytes | Mapping):
        raise InvalidFlowError(f"over of loop {name!r} is {shown(over)}, not items")
    if callable(over):
        _check_condition(over, f"over of loop {name!r}")
        return over
    try:
        items = list(over)
    except TypeError:
        raise InvalidFlowError(
            f"over of loop {name!r} is {shown(over)}, not items"
        ) from None
    try:
        pack(items)
    except StateError as error:
        raise InvalidFlowError(f"over of loop {name!r}: {error}") from None
    return tuple(items)
