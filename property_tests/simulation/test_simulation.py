"""Whole runs, of which every step is chosen: by seeds here, and by Hypothesis."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from property_tests.profiles import rounds
from property_tests.simulation.rounds import options_of, play
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import OwnerState


@pytest.mark.slow
@given(
    data=st.data(),
    durability=st.sampled_from(["synced", "buffered", None]),
    clients=st.integers(1, 4),
)
def test_guarantees_hold_in_any_order(
    data: st.DataObject, durability: Any, clients: int
) -> None:
    """Whatever Hypothesis chooses at each step, everything that is promised holds."""
    play(data=data, durability=durability, clients=clients, operations=6)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_guarantees_hold_over_many_seeds(part: int) -> None:
    """Longer runs, by chance, with crashes, failures and time that passes."""
    first = 10_000 * part
    told = [play(**options_of(seed)) for seed in range(first, first + rounds(36))]
    assert sum(it.operations for it in told) > 100 * len(told)
    assert sum(it.crashes for it in told) > len(told) // 3
    assert sum(it.undecided for it in told) <= len(told) // 10


@pytest.mark.slow
@settings(max_examples=5)
@given(seed=st.integers(0, 1_000_000))
def test_rounds_are_repeated_by_their_seed(seed: int) -> None:
    """A round comes out the same again, so that a failure can be looked at."""
    assert play(**options_of(seed)) == play(**options_of(seed))


def test_early_publication_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that shows a write before it is committed fails some round."""

    def publish(state: OwnerState, entry: Staged) -> None:
        stage(state, entry)
        if entry.event is not None:
            state.revision = entry.event[0]

    monkeypatch.setattr("stateward.actors.runtime.durable.stage", publish)
    check_fails("not linearizable")


def test_forgotten_accounting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that miscounts what it takes back fails some round."""
    undo = OwnerState.undo

    def miscount(state: OwnerState, event: Any) -> None:
        undo(state, event)
        state.size += 1

    monkeypatch.setattr(OwnerState, "undo", miscount)
    check_fails("")


def check_fails(text: str) -> None:
    """Check that some round fails, and says how it is repeated."""
    for seed in range(100):
        found = failure(seed)
        if found is not None:
            assert text in str(found)
            assert f"seed={seed}" in found.__notes__[0]
            return
    pytest.fail("no round has failed")


def failure(seed: int) -> AssertionError | None:
    """Return what a round fails with."""
    try:
        play(**options_of(seed))
    except AssertionError as error:
        return error
    return None
