"""Strategies for what cannot be stored, with the place an error has to name."""

from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf, nan
from typing import Any, Final, TypeAlias
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward import JsonValue
from stateward.testing.strategies.values import INT_MAX, INT_MIN, json_values, texts
from stateward.testing.strategies.words import Number, Numbers, Point, Text, Word

Anything: TypeAlias = Any  # type: ignore[explicit-any]  # whatever is no value
Unfit: TypeAlias = tuple[Anything, str]
"""What cannot be stored, and the place in it that an error has to name."""

UNFIT_SCALARS: Final[tuple[Anything, ...]] = (
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
    return st.builds(_buried, inside, path, json_values(max_leaves=4))


def _cycle(as_list: bool) -> Unfit:
    if as_list:
        items: list[Anything] = [1]
        items.append([items])
        return items, "[1][0]"
    names: dict[str, Anything] = {"fit": 1}
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
