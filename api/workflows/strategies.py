"""What becomes of a step that fails, and what a run may reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args
from zlib import crc32

from stateward.actors.core.errors import InvalidFlowError
from stateward.actors.core.limits import check_ttl
from stateward.actors.core.scopes import check_id, shown
from stateward.actors.core.values import JsonValue, Packing, pack, unpack

Level: TypeAlias = Literal["none", "read", "write"]
"""What a step may do with a scope that is not its workflow's."""

DELAY_MAX: Final = 60.0
"""Seconds between attempts at most, unless `Retry.max_delay` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try a failed step again, after a delay that grows with each attempt.

    The delay before attempt *n + 1* is `backoff * factor ** (n - 1)` seconds, at most
    `max_delay`, then moved up or down by at most the share `jitter`. Where in that
    range it falls follows from workflow, step and attempt: many workflows that failed
    together do not come back together, and yet each run can be repeated exactly.

    Example:
        >>> retry = Retry(attempts=4, backoff=0.5, jitter=0)
        >>> [retry.delay(attempt, "order-123") for attempt in (1, 2, 3)]
        [0.5, 1.0, 2.0]
    """

    attempts: int = 3
    """How often the step is tried at most, the first time included; >= 1."""
    backoff: float = 0.1
    """Seconds before the second attempt; 0 for at once."""
    factor: float = 2.0
    """By which the delay grows; >= 1."""
    max_delay: float = DELAY_MAX
    """Seconds the delay never exceeds, before jitter."""
    jitter: float = 0.1
    """Share of the delay, 0 to 1."""
    on: tuple[type[BaseException], ...] = (Exception,)
    """Which exceptions to try again after; a timeout is a `StepTimeoutError`."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if type(self.attempts) is not int or self.attempts < 1:
            raise _wrong("Retry.attempts", self.attempts, "an integer >= 1")
        for name, least, most in (
            ("backoff", 0, float("inf")),
            ("factor", 1, float("inf")),
            ("max_delay", 0, float("inf")),
            ("jitter", 0, 1),
        ):
            value = getattr(self, name)
            if type(value) not in {int, float} or not isfinite(value):
                raise _wrong(f"Retry.{name}", value, "a finite number")
            if not least <= value <= most:
                raise _wrong(f"Retry.{name}", value, f"{least} to {most}")
        object.__setattr__(self, "on", checked_exceptions("Retry.on", self.on))

    def delay(self, attempt: int, seed: str) -> float:
        """Return the seconds between `attempt`, 1 for the first, and the next one."""
        try:
            grown = self.backoff * self.factor ** (attempt - 1)
        except OverflowError:
            grown = self.max_delay
        share = crc32(f"{seed}:{attempt}".encode()) / 0xFFFFFFFF
        return min(grown, self.max_delay) * (1 + self.jitter * (2 * share - 1))

    def applies(self, error: BaseException, attempt: int) -> bool:
        """Return whether there is to be another attempt after this one."""
        return attempt < self.attempts and isinstance(error, self.on)


@dataclass(frozen=True, slots=True)
class Skip:
    """Count a failed step as skipped, not as failed, and go on without it.

    Example:
        >>> Skip({"score": None}).output
        {'score': None}
    """

    output: JsonValue = None
    """What later steps find as its output."""
    on: tuple[type[BaseException], ...] = (Exception,)
    """After which exceptions; any other fails the step."""

    def __post_init__(self) -> None:
        """Refuse an output that is not JSON."""
        # A copy: what the caller does with his own afterwards changes no strategy.
        object.__setattr__(self, "output", unpack(pack(self.output)[0]))
        object.__setattr__(self, "on", checked_exceptions("Skip.on", self.on))

    def packing(self) -> Packing:
        """Return the output as the engine keeps it."""
        return pack(self.output)


OnError: TypeAlias = Literal["fail", "continue"] | Skip
"""What a failed step does to the workflow around it: end it; or be noted, the next step
being run; or be skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the steps of a run may reach beyond their own workflow.

    Example:
        >>> access = Access(global_state="read", custom_state={"metrics": "write"})
        >>> access.level("metrics"), access.level("billing")
        ('write', 'none')
    """

    global_state: Level = "write"
    custom_state: Level | Mapping[str, Level] = "none"
    """For every namespace, or by namespace; those not named cannot be reached."""

    def __post_init__(self) -> None:
        """Refuse what is no level."""
        _check_level("Access.global_state", self.global_state)
        if isinstance(self.custom_state, Mapping):
            levels = dict(self.custom_state)
            for namespace, level in levels.items():
                check_id(namespace, "namespace")
                _check_level(f"Access.custom_state[{namespace!r}]", level)
            object.__setattr__(self, "custom_state", MappingProxyType(levels))
        else:
            _check_level("Access.custom_state", self.custom_state)

    def level(self, namespace: str) -> Level:
        """Return what may be done with a custom namespace."""
        if isinstance(self.custom_state, str):
            return self.custom_state
        return self.custom_state.get(namespace, "none")


@dataclass(frozen=True, slots=True)
class First:
    """Collect the outputs of the first `count` iterations."""

    count: int

    def __post_init__(self) -> None:
        """Refuse what is no count."""
        check_count(self.count or 0, "First.count")


@dataclass(frozen=True, slots=True)
class Last:
    """Collect the outputs of the last `count` iterations."""

    count: int

    def __post_init__(self) -> None:
        """Refuse what is no count."""
        check_count(self.count or 0, "Last.count")


Collect: TypeAlias = Literal["all", "last", "none"] | First | Last


def check_on_error(on_error: object, what: str) -> None:
    """Raise `InvalidFlowError` unless `on_error` is a strategy, or `None`."""
    known = on_error is None or isinstance(on_error, Skip)
    if not known and on_error not in ("fail", "continue"):
        raise _wrong(f"on_error of {what}", on_error, "'fail', 'continue' or Skip(...)")


def check_retry(retry: object, what: str) -> None:
    """Raise `InvalidFlowError` unless `retry` is a `Retry`, or `None`."""
    if retry is not None and not isinstance(retry, Retry):
        raise _wrong(f"retry of {what}", retry, "Retry(...)")


def check_seconds(seconds: object, what: str) -> None:
    """Raise `InvalidFlowError` unless `seconds` is a finite number > 0, or `None`."""
    try:
        check_ttl(seconds, what)
    except ValueError as error:
        raise InvalidFlowError(str(error)) from None


def check_count(count: object, what: str) -> None:
    """Raise `InvalidFlowError` unless `count` is an integer >= 1, or `None`."""
    if count is not None and (type(count) is not int or count < 1):
        raise _wrong(what, count, "an integer >= 1")


def checked_exceptions(what: str, kinds: object) -> tuple[type[BaseException], ...]:
    """Return `kinds` as a tuple of exception classes; one alone will do."""
    if isinstance(kinds, type):
        kinds = (kinds,)
    if not isinstance(kinds, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
    ):
        raise _wrong(what, kinds, "exception classes")
    return kinds


def _check_level(what: str, level: object) -> None:
    if level not in get_args(Level):
        raise _wrong(what, level, "'none', 'read' or 'write'")


def _wrong(what: str, value: object, wanted: str) -> InvalidFlowError:
    return InvalidFlowError(f"{what} is {shown(value)}, not {wanted}")
