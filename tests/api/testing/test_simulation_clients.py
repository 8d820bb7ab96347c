import asyncio

import pytest

from stateward import StateManager
from stateward.actors.core.errors import InvariantError
from stateward.testing import SimulatedClock
from stateward.testing.simulation_clients import Client


def test_client_ends_with_what_it_raises(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """What a client raises comes out of the step in which it does."""

    async def fail(manager: StateManager) -> None:
        await asyncio.sleep(0)  # tidy: simulated time
        raise ZeroDivisionError(manager.store)

    client = Client("c", fail)
    client.begin(manager, clock)
    client.step()
    with pytest.raises(ZeroDivisionError, match="memory"):
        client.step()
    assert client.ended


def test_client_is_cancelled_and_begun_anew(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """One that was ended before its end begins from the start again."""
    seen: list[str] = []

    async def work(_: StateManager) -> None:
        seen.append("begins")
        try:
            await asyncio.sleep(1)  # tidy: simulated time
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        seen.append("ends")

    client = Client("c", work)
    for _ in range(2):
        client.begin(manager, clock)
        client.step()
        client.end()
    assert seen == ["begins", "cancelled"] * 2
    client.begin(manager, clock)
    client.step()
    clock.advance(1)
    client.loop.wake()
    while client.loop.ready:
        client.step()
    client.end()
    assert (client.ended, seen[4:]) == (True, ["begins", "ends"])


def test_client_that_does_not_end_is_reported(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """One that goes on waiting when it is cancelled is a bug of the test."""

    async def stay(_: StateManager) -> None:
        while True:
            try:
                await asyncio.sleep(1)  # tidy: simulated time
            except asyncio.CancelledError:
                continue

    client = Client("stubborn", stay)
    client.begin(manager, clock)
    client.step()
    with pytest.raises(InvariantError, match="stubborn"):
        client.end()
