"""When two JSON values are the same, which for Python's `==` is not the question.

`1 == 1.0 == True` and `0.0 == -0.0`, but a value that comes back as another type has
been changed. What is read-only is compared by the value it shows.
"""

# ruff: noqa: S101  # these are checks of tests

from collections.abc import Mapping
from math import copysign
from types import MappingProxyType
from typing import cast

from stateward.actors.core.values import JsonValue


def alike(left: object, right: object) -> bool:
    """Return whether both are equal and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            alike(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right and copysign(1.0, left) == copysign(1.0, right)
    return left == right


def thawed(view: object) -> JsonValue:
    """Return a read-only value as lists and dictionaries.

    Raises:
        AssertionError: Some part of it could be changed in place.
    """
    if isinstance(view, MappingProxyType):
        return {key: thawed(item) for key, item in view.items()}
    if isinstance(view, tuple):
        return [thawed(item) for item in view]
    assert not isinstance(view, list | Mapping), f"{view!r} can be changed"
    return cast(JsonValue, view)


def levels(value: JsonValue) -> int:
    """Return how many lists and dictionaries stand one in another; 0 for a scalar."""
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels, value), default=0)
    return 0
