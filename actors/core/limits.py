"""Limits: how much one owner may hold, exact at the boundary."""

from dataclasses import dataclass, field
from sys import float_info, maxsize

from stateward.actors.core.errors import KeyTooLongError, UsageError
from stateward.actors.core.scopes import shown, utf8_bytes

DEPTH_MAX = 250
"""LIMIT: the codec refuses more than 254 levels; a few are left for wrapping."""
SECONDS_MAX = float_info.max
"""LIMIT: an `int` may be above it, and then cannot be added to a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one owner, that is one workflow with all its steps, may hold.

    `None` means no limit. A call that would pass a limit raises the `LimitError` that
    names it and changes nothing; a call that exactly meets it is served.

    Example:
        >>> Limits(max_keys=2).max_keys
        2
    """

    max_value_bytes: int | None = 1 << 20
    """Bytes of one value once encoded as JSON."""
    max_key_bytes: int = 512
    """Bytes of UTF-8 of one key or id."""
    max_depth: int = 128
    """Levels of lists and dictionaries in one value, 1 to 250; a scalar has none."""
    max_keys: int | None = None
    """Keys of a workflow and all its steps, of a custom namespace, or of global."""
    max_bytes: int | None = None
    """UTF-8 bytes of the keys plus encoded bytes of the values; as for `max_keys`."""
    max_pending: int = 10_000
    """Messages that may wait for one owner; at a few us each, some 50 ms of delay."""
    default_ttl: float | None = None
    """Seconds until a key expires that is set without a `ttl`."""
    value_bytes: int = field(init=False, repr=False, compare=False)
    """`max_value_bytes` as an integer to compare with, out of reach for `None`."""
    total_bytes: int = field(init=False, repr=False, compare=False)
    """`max_bytes`, likewise."""

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        check_ttl(self.default_ttl, "default_ttl")
        for name in ("max_value_bytes", "max_keys", "max_bytes"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        for name in ("max_key_bytes", "max_depth", "max_pending"):
            _check_count(name, getattr(self, name))
        if self.max_depth > DEPTH_MAX:
            raise UsageError(f"max_depth is {self.max_depth}, at most {DEPTH_MAX}")
        for name, most in (
            ("value_bytes", self.max_value_bytes),
            ("total_bytes", self.max_bytes),
        ):
            object.__setattr__(self, name, maxsize if most is None else most)

    def check_key_bytes(self, text: str) -> None:
        """Raise `KeyTooLongError` if `text` is too long for a key or an id."""
        size_bytes = utf8_bytes(text)
        if size_bytes > self.max_key_bytes:
            raise KeyTooLongError(
                f"{text[:40]!r}... takes {size_bytes} bytes, "
                f"max_key_bytes is {self.max_key_bytes}",
                limit="max_key_bytes",
                allowance=self.max_key_bytes,
                actual=size_bytes,
            )


def check_ttl(ttl: object, what: str = "ttl") -> None:
    """Raise `UsageError` unless `ttl` is `None` or a finite number of seconds > 0."""
    if ttl is not None:
        check_seconds(ttl, what)


def check_seconds(seconds: object, what: str) -> None:
    """Raise `UsageError` unless `seconds` is a finite number > 0."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= SECONDS_MAX:  # type: ignore[operator]  # a number here
        raise UsageError(
            f"{what} is {shown(seconds)}, not a finite number of seconds > 0"
        )


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise UsageError(f"{name} is {shown(value)}, not an integer >= 1")
