import pytest
from hypothesis import given

from stateward import InvalidValueError, StateManager
from stateward.testing.strategies import unfit_values
from stateward.testing.strategies.unfit import Unfit


@given(unfit=unfit_values())
def test_unfit_values_are_refused_by_their_place(unfit: Unfit) -> None:
    """The error names the place that the strategy says is wrong."""
    value, place = unfit
    with StateManager() as manager, pytest.raises(InvalidValueError) as caught:
        manager.global_state().set("k", value)
    assert caught.value.context["place"] == place
