"""Input that a store of JSON is offered, by mistake or in malice."""

import enum
import re
import sys
import uuid
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from types import MappingProxyType
from typing import Final

from stateward import JsonValue


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    A = "a"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Items(list[int]):
    pass


@dataclass
class Point:
    x: int


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  # the untyped one is meant

EXACT: Final[tuple[JsonValue, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    (1 << 64) - 1,
    (1 << 63) - 1,
    -(1 << 63),
    0.0,
    -0.0,
    1.0,
    1e16,
    0.1,
    5e-324,
    sys.float_info.max,
    -sys.float_info.max,
    "",
    "a\0b",
    '\n\r\t"\\/\x7f\x85\u2028',
    "\ufeff\uffff\N{PILE OF POO}",
    "</script>",
    "e\u0301\xe9",
    [],
    {},
    [[]],
    {"": {"\0": None, "a:b%": [True, 1, 1.0, "1"]}},
    [None, True, 0, -0.0, "", [], {}],
    {str(index): index for index in range(100)},
    [[index, float(index)] for index in range(100)],
    "x" * 10_000,
)
"""Values that come back equal and of the same type, at every level."""

ALIEN: Final[tuple[tuple[object, str], ...]] = (
    (nan, "is nan, not a finite number"),
    (inf, "is inf, not a finite number"),
    (-inf, "is -inf, not a finite number"),
    (1 << 64, "is an integer of 65 bits, more than 64"),
    (-(1 << 63) - 1, "is an integer of 64 bits, more than 64"),
    (10**5000, "is an integer of 16610 bits, more than 64"),
    ("a\ud800", "has a lone surrogate at index 1"),
    ("\udc00", "has a lone surrogate at index 0"),
    ((), "is of type tuple, which is not JSON"),
    ((1, 2), "is of type tuple, which is not JSON"),
    (Pair(1, 2), "is of type Pair, which is not JSON"),
    ({1}, "is of type set, which is not JSON"),
    (frozenset(), "is of type frozenset, which is not JSON"),
    (b"a", "is of type bytes, which is not JSON"),
    (bytearray(b"a"), "is of type bytearray, which is not JSON"),
    (memoryview(b"a"), "is of type memoryview, which is not JSON"),
    (1j, "is of type complex, which is not JSON"),
    (Decimal(1), "is of type Decimal, which is not JSON"),
    (Fraction(1, 2), "is of type Fraction, which is not JSON"),
    (uuid.UUID(int=1), "is of type UUID, which is not JSON"),
    (datetime(2026, 1, 1, tzinfo=UTC), "is of type datetime, which is not JSON"),
    (date(2026, 1, 1), "is of type date, which is not JSON"),
    (Colour.RED, "is of type Colour, which is not JSON"),
    (Level.LOW, "is of type Level, which is not JSON"),
    (Name.A, "is of type Name, which is not JSON"),
    (Text("a"), "is of type Text, which is not JSON"),
    (Whole(1), "is of type Whole, which is not JSON"),
    (Real(1), "is of type Real, which is not JSON"),
    (Items(), "is of type Items, which is not JSON"),
    (OrderedDict(a=1), "is of type OrderedDict, which is not JSON"),
    (UserDict(a=1), "is of type UserDict, which is not JSON"),
    (MappingProxyType({}), "is of type mappingproxy, which is not JSON"),
    (Point(1), "is of type Point, which is not JSON"),
    (range(2), "is of type range, which is not JSON"),
    (iter([]), "is of type list_iterator, which is not JSON"),
    (len, "is of type builtin_function_or_method, which is not JSON"),
    (int, "is of type type, which is not JSON"),
    (object(), "is of type object, which is not JSON"),
    (..., "is of type ellipsis, which is not JSON"),
)

ALIEN_KEYS: Final[tuple[object, ...]] = (
    1,
    1.0,
    True,
    None,
    b"a",
    (1,),
    Text("a"),
    Name.A,
    uuid.UUID(int=1),
    10**5000,
)

WRAPPERS: Final[tuple[tuple[str, Callable[[object], object]], ...]] = (
    ("value", lambda value: value),
    ("value[0]", lambda value: [value]),
    ("value['a']", lambda value: {"a": value}),
    ("value[1]['b'][0]", lambda value: [0, {"a": None, "b": [value, nan]}]),
    ("value[40]", lambda value: [*range(40), value]),
    ("value[3][0][0][0]", lambda value: [{}, [], 1.5, [[[value]]]]),
    ("value['k39']['v']", lambda value: {f"k{i}": {"v": value} for i in range(39, 80)}),
)
"""What a value can be inside of, and the name of its first place there."""

RFC_7396: Final[tuple[tuple[JsonValue, JsonValue, JsonValue], ...]] = (
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
)
"""RFC 7396, appendix A: original, patch, result."""

AWKWARD_NAMES: Final = (
    "a:step:b",
    "a:",
    ":",
    "%",
    "%3A",
    "%3a",
    "%25",
    "%253A",
    "workflow:a:",
    "custom:a",
    "step",
    "line\nfeed\r\ttab",
    " ",
    "\x7f\x85\u2028",
    "\N{GREEK SMALL LETTER ALPHA}\N{PILE OF POO}",
    "e\u0301",
    "\xe9",
    "x" * 10_000,
)
"""Texts that are allowed, and that a careless naming scheme would mix up."""

REFUSED_NAMES: Final = (
    ("", "is empty"),
    ("a\0b", "has NUL at index 1"),
    ("\0", "has NUL at index 0"),
    ("ab\ud800", "has a lone surrogate at index 2"),
    ("\udfffx", "has a lone surrogate at index 0"),
    (None, "is of type NoneType, not str"),
    (1, "is of type int, not str"),
    (b"a", "is of type bytes, not str"),
    (["a"], "is of type list, not str"),
    (type("Name", (str,), {})("a"), "is of type Name, not str"),
)


def label(value: object) -> str:
    """Return a name for a parameter, short, printable, and not new in each run."""
    try:
        return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:40]
    except ValueError:
        return f"huge {type(value).__name__}"
