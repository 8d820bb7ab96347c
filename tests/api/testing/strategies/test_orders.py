from hypothesis import find, given

from stateward.testing.strategies import interleavings


@given(choices=interleavings(branches=3, max_choices=5))
def test_interleavings_stay_within_their_bounds(choices: list[int]) -> None:
    """Neither more choices nor higher ones than are asked for come up."""
    assert len(choices) <= 5
    assert set(choices) <= {0, 1, 2}


def test_interleavings_shrink_to_one_late_switch() -> None:
    """What is not needed for a failure is 0, or gone."""
    assert find(interleavings(), lambda found: 1 in found[3:]) == [0, 0, 0, 1]
    assert find(interleavings(), lambda found: len(found) >= 40) == [0] * 40
