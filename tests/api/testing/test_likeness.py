from types import MappingProxyType

import pytest

from stateward import JsonValue
from stateward.testing.likeness import alike, levels, thawed


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1], [1.0]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": [0.0]}, {"a": [-0.0]}),
        ([1], (1,)),
        (None, 0),
    ],
)
def test_likeness_is_more_than_equality(left: object, right: object) -> None:
    """What differs in type, sign or shape anywhere is not alike."""
    assert not alike(left, right)


@pytest.mark.parametrize(
    "value", [None, True, 1, -0.0, "a", [], {}, [1, {"a": [2.5, None]}], (1, "a")]
)
def test_likeness_holds_for_equal_values(value: object) -> None:
    """A value is like itself, whatever it is made of."""
    assert alike(value, value)


def test_thawing_gives_lists_and_dictionaries() -> None:
    """A read-only view becomes the value that it shows."""
    view = MappingProxyType({"a": (1, MappingProxyType({"b": ()}))})
    assert alike(thawed(view), {"a": [1, {"b": []}]})


@pytest.mark.parametrize("part", [[1], {"a": 1}])
def test_thawing_refuses_what_could_be_changed(part: object) -> None:
    """A view of which some part is not read-only is a failure."""
    with pytest.raises(AssertionError, match="can be changed"):
        thawed((1, part))


def test_levels_count_nesting() -> None:
    """A scalar has no level, and each list or dictionary around it is one more."""
    values: list[JsonValue] = [1, [], {}, [{"a": []}], {"a": 1, "b": [1]}]
    assert list(map(levels, values)) == [0, 1, 1, 3, 2]
