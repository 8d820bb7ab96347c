"""Strategies for values: everything that can be stored, the edges first."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward import JsonValue
from stateward.testing.strategies.names import FRAGMENTS, characters

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
    whole = st.text(characters(""), max_size=12)
    return st.sampled_from(("", "\0", *FRAGMENTS)) | whole


def scalars() -> SearchStrategy[JsonValue]:
    """Return values that hold no others."""
    return st.one_of(st.none(), st.booleans(), ints(), floats(), texts())


def json_values(
    *, max_leaves: int = 12, max_depth: int | None = None
) -> SearchStrategy[JsonValue]:
    """Return anything that can be stored, numbers and texts at the edge among it.

    Args:
        max_leaves: How many scalars one value may hold; few make runs quicker.
        max_depth: How many lists and dictionaries may stand one in another, 0 for
            scalars only: `Limits.max_depth`. `None` for as many as there happen to be,
            which are few; `deep_values` goes deep.
    """
    drawn: SearchStrategy[JsonValue] = st.recursive(
        scalars(),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(texts(), inner, max_size=5)
        ),
        max_leaves=max_leaves,
    )
    if max_depth is None:
        return drawn
    return drawn.map(lambda value: _cut(value, max_depth))


def small_values() -> SearchStrategy[JsonValue]:
    """Return values as they meet each other in commands: small and often equal."""
    return st.one_of(
        st.sampled_from((0, 1, -1, 1.5, True, None, "", "text", [], {}, [1], {"a": 1}))
        | st.sampled_from((INT_MAX, INT_MIN, -0.0, 1e308, [[[]]], {"a": {"b": 1}}))
        | json_values(max_leaves=4)
    )


def containers() -> SearchStrategy[list[JsonValue] | dict[str, JsonValue]]:
    """Return lists and dictionaries, whose insides somebody could try to change."""
    inner = json_values(max_leaves=6)
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


def _cut(value: JsonValue, depth: int) -> JsonValue:
    """Return `value` with nothing nested deeper than `depth`."""
    if not isinstance(value, list | dict):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [_cut(item, depth - 1) for item in value]
    return {key: _cut(item, depth - 1) for key, item in value.items()}
