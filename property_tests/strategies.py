"""Hypothesis strategies for everything a user can give the library.

Each leans towards what has gone wrong before: names that look like other names once
they are written, numbers at the edge of their type, text that Unicode allows but code
forgets, nesting at the limit.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from math import inf, nan
from typing import Any, Final, TypeAlias
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward import (
    CustomScope,
    GlobalScope,
    JsonValue,
    StateScope,
    StepScope,
    WorkflowScope,
)

# --------------------------------------------------------------------------- names

FRAGMENTS: Final = (
    *("a", "b", "ab", ":", "::", "%", "%%", "%3A", "%3a", "%25", "%253A", "3A", "25"),
    *("step", ":step:", "workflow:", "custom:", "workflow:a:", "a:step:b", "\n", " "),
    *("é", "e\u0301", "\u0301", "ß", "\u1e9e", "\u200b", "\ufeff", "\u202e", "\u00a0"),
    *("\U0001d4b3", "\U0010ffff", "\uffff", "\x01", "\x7f", "\x85", "\u2028", "\r\n"),
    *("\t", "'", '"', "\\", "/", ".."),
)
"""Parts of names: pieces of the written form, its escapes, and awkward Unicode."""

LOOK_ALIKES: Final = (
    *("a", "b", "a:step:b", "a%3Astep%3Ab", "a%253Astep%253Ab", "a:", ":a", "a:step"),
    *("a:step:", "step:b", "workflow:a", "workflow:a:", "custom:a:", "a%3A", "%3Aa"),
    *("A", "a ", "a\n", "aa", "\u00e1", "a\u0301", "step", "workflow", "custom", ":"),
    *("%", "%3A", "%3a", "%25", "%253A"),
)
"""Names that some way of writing them down takes for one another."""


class Text(str):
    """Text of a type of its own, which may bring its own equality."""

    __slots__ = ()


class Number(IntEnum):
    """Integers of a type of its own."""

    ONE = 1


class Word(StrEnum):
    """Text of an enumeration."""

    ONE = "one"


class Numbers(list[int]):
    """A list of a type of its own."""


@dataclass
class Point:
    """What orjson would write as an object."""

    x: int = 1


def names() -> SearchStrategy[str]:
    """Return ids, step names, namespaces and keys alike: any permitted text."""
    return st.one_of(
        st.sampled_from(LOOK_ALIKES),
        st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=5).map("".join),
        st.text(_characters("\0"), min_size=1, max_size=12),
    )


def plain_names() -> SearchStrategy[str]:
    """Return names without `:` and `%`, which are written as they are."""
    return st.text(_characters("\0:%"), min_size=1, max_size=12)


def unfit_names() -> SearchStrategy[Any]:
    """Return what can be neither an id nor a key."""
    text = st.text(_characters("\0"), max_size=6)
    bad = st.sampled_from(("\0", "\ud800", "\udfff", "\udc80"))
    return st.one_of(
        st.just(""),
        st.tuples(text, bad, text).map("".join),
        st.sampled_from((None, 0, 1.5, True, b"a", ("a",), Text("a"), Word.ONE)),
    )


def scopes() -> SearchStrategy[StateScope]:
    """Return scopes of every kind."""
    return st.one_of(
        st.just(GlobalScope()),
        st.builds(WorkflowScope, names()),
        st.builds(StepScope, names(), names()),
        st.builds(CustomScope, names()),
    )


# -------------------------------------------------------------------------- values

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 64) - 1

EDGE_INTS: Final = (
    *(0, 1, -1, INT_MIN, INT_MIN + 1, (1 << 63) - 1, 1 << 63, INT_MAX - 1, INT_MAX),
    *((1 << 53) - 1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, 1 << 31, -(1 << 31) - 1),
)
EDGE_FLOATS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, -5e-324, 2.225073858507201e-308, 1e15, 1e16),
    *(1e17, 1e22, 1e23, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**53),
    *(2.0**63, 2.0**64, -(2.0**63), 1e-5, 1e-7, 123456789012345680.0, 0.1 + 0.2),
)


def ints() -> SearchStrategy[int]:
    """Return integers of at most 64 bits, signed or not."""
    return st.sampled_from(EDGE_INTS) | st.integers(INT_MIN, INT_MAX)


def floats() -> SearchStrategy[float]:
    """Return finite numbers, subnormal ones and both zeros among them."""
    finite = st.floats(allow_nan=False, allow_infinity=False)
    return st.sampled_from(EDGE_FLOATS) | finite


def texts() -> SearchStrategy[str]:
    """Return any text without lone surrogates; NUL is allowed in a value."""
    whole = st.text(_characters(""), max_size=12)
    return st.sampled_from(("", "\0", *FRAGMENTS)) | whole


def scalars() -> SearchStrategy[JsonValue]:
    """Return values that hold no others."""
    return st.one_of(st.none(), st.booleans(), ints(), floats(), texts())


def values(max_leaves: int = 12) -> SearchStrategy[JsonValue]:
    """Return anything that can be stored, but for deep nesting (see `deep_values`)."""
    return st.recursive(
        scalars(),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(texts(), inner, max_size=5)
        ),
        max_leaves=max_leaves,
    )


def containers() -> SearchStrategy[list[JsonValue] | dict[str, JsonValue]]:
    """Return lists and dictionaries, whose insides somebody could try to change."""
    inner = values(6)
    return st.lists(inner, max_size=5) | st.dictionaries(texts(), inner, max_size=5)


def deep_values(levels: SearchStrategy[int]) -> SearchStrategy[JsonValue]:
    """Return values that nest as many levels as `levels` says, 0 for a scalar."""
    kinds = st.lists(st.booleans(), min_size=1, max_size=7)
    return st.builds(_nested, levels, kinds, scalars())


def _nested(count: int, kinds: list[bool], leaf: JsonValue) -> JsonValue:
    value = leaf
    for level in range(count):
        value = [value] if kinds[level % len(kinds)] else {"k": value}
    return value


# -------------------------------------------------------------------- unfit values

Unfit: TypeAlias = tuple[Any, str]
"""What cannot be stored, and the place in it that an error has to name."""

UNFIT_SCALARS: Final[tuple[Any, ...]] = (
    *(nan, inf, -inf, INT_MIN - 1, INT_MAX + 1, 10**400, "\ud800", "a\udfffb"),
    *((), (1,), {1}, frozenset(), b"", bytearray(b"a"), memoryview(b"a"), 1j),
    *(datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), Decimal(1), UUID(int=1)),
    *(Number.ONE, Word.ONE, Text("a"), Numbers(), OrderedDict(a=1), Point(), Point),
    *(object(), range(3), len, NotImplemented, ..., iter(())),
)
"""What orjson would convert, and what it would refuse without saying where."""


def unfit_values() -> SearchStrategy[Unfit]:
    """Return values of which one part, somewhere, is not JSON."""
    inside = st.one_of(
        st.sampled_from(UNFIT_SCALARS).map(lambda value: (value, "")),
        st.sampled_from((1, None, 1.5, True, ("a",), b"a", Text("a"), Word.ONE)).map(
            lambda key: ({"fit": 1, key: 2}, "")
        ),
        st.just(({"a\ud800": 1}, " key 'a\\ud800'")),
        st.booleans().map(_cycle),
    )
    path = st.lists(st.integers(0, 3) | texts(), max_size=6)
    return st.builds(_buried, inside, path, values(4))


def _cycle(as_list: bool) -> Unfit:
    if as_list:
        items: list[Any] = [1]
        items.append([items])
        return items, "[1][0]"
    names: dict[str, Any] = {"fit": 1}
    names["self"] = names
    return names, "['self']"


def _buried(inside: Unfit, path: list[int | str], fit: JsonValue) -> Unfit:
    """Return `inside` at the end of `path`, with fit values before it."""
    value, place = inside
    for part in reversed(path):
        if isinstance(part, int):
            value = [*([fit] * part), value]
        else:
            value = {f"{part}-fit": fit, part: value}
        place = f"[{part!r}]{place}"
    return value, f"value{place}"


def _characters(excluded: str) -> SearchStrategy[str]:
    return st.characters(exclude_categories=["Cs"], exclude_characters=excluded)
