"""Values of types that are almost those of JSON, which have to be refused."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


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


@dataclass(frozen=True, slots=True)
class Point:
    """What orjson would write as an object."""

    x: int = 1
