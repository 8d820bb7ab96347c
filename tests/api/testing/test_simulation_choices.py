import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward import UsageError
from stateward.testing import Simulation
from stateward.testing.simulation_choices import chooser


def test_choices_are_taken_in_turn_and_then_the_first() -> None:
    """A choice is taken as far as there are things to choose from, and then 0."""
    choose = chooser(None, [1, 7, 2], None)
    assert [choose(5) for _ in range(5)] == [1, 2, 2, 0, 0]


def test_seed_gives_the_same_choices_again() -> None:
    """One seed gives one series within bounds, and another one another."""
    series = []
    for seed in (1, 1, 2):
        choose = chooser(seed, None, None)
        series.append([choose(1000) for _ in range(50)])
    assert series[0] == series[1] != series[2]
    assert all(0 <= each < 1000 for each in series[0])


@given(data=st.data(), count=st.integers(1, 1000))
def test_hypothesis_chooses_within_bounds(data: st.DataObject, count: int) -> None:
    """What Hypothesis draws is a choice."""
    assert 0 <= chooser(None, None, data)(count) < count


def test_sources_of_choices_exclude_each_other() -> None:
    """Two sources at once are refused."""
    with pytest.raises(UsageError):
        Simulation(seed=1, choices=[1])
