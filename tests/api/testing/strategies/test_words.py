import pytest

from stateward import InvalidValueError, StateManager
from stateward.testing.strategies.words import Number, Numbers, Point, Text, Word


@pytest.mark.parametrize("value", [Number.ONE, Word.ONE, Text("a"), Numbers(), Point()])
def test_words_are_almost_values(value: object) -> None:
    """Each looks like JSON, and is refused for its type."""
    with StateManager() as manager, pytest.raises(InvalidValueError):
        manager.global_state().set("k", value)  # type: ignore[arg-type]  # that is the point
