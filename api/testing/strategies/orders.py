"""Strategies for the order in which branches go on."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


def interleavings(
    *, branches: int = 4, max_choices: int = 60
) -> SearchStrategy[list[int]]:
    """Return choices for an `Interleaver`; they shrink to few switches, late ones.

    Args:
        branches: About how many can go on at a time, >= 1.
        max_choices: For how many accesses a choice is made; 0 always means that the
            same branch goes on, and so does the end of the list.
    """
    # A plain list would be five long on average, and end before most accesses.
    choices = st.integers(0, branches - 1)
    return st.integers(0, max_choices).flatmap(
        lambda count: st.lists(choices, min_size=count, max_size=count)
    )
