import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from stateward import JsonValue, StateManager
from stateward.testing.likeness import alike, levels
from stateward.testing.strategies import (
    containers,
    deep_values,
    json_values,
    scalars,
    small_values,
)

ANY = settings(  # What is found need not be made small, and is the same each time.
    max_examples=2000, derandomize=True, phases=[Phase.generate]
)


@pytest.mark.slow
@given(value=json_values() | small_values() | containers() | scalars())
def test_values_can_be_stored(value: JsonValue) -> None:
    """Every value comes back as it was."""
    with StateManager() as manager:
        state = manager.global_state()
        state["k"] = value
        assert alike(state["k"], value)


@pytest.mark.slow
@given(data=st.data(), depth=st.integers(0, 4))
def test_values_nest_no_deeper_than_asked_for(data: st.DataObject, depth: int) -> None:
    """`max_depth` is kept to, and 0 is for scalars."""
    assert levels(data.draw(json_values(max_depth=depth))) <= depth


@pytest.mark.slow
@pytest.mark.slow
@given(data=st.data(), depth=st.integers(0, 40))
def test_deep_values_nest_exactly(data: st.DataObject, depth: int) -> None:
    """A deep value has as many levels as was asked for."""
    assert levels(data.draw(deep_values(st.just(depth)))) == depth


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_values_nest_as_deep_as_they_may(depth: int) -> None:
    """The depth that is allowed is also reached."""
    found = find(
        json_values(max_depth=2), lambda value: levels(value) == depth, settings=ANY
    )
    assert levels(found) == depth
