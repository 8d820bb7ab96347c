import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateward import JsonValue, StateManager, UsageError
from stateward.actors.core.errors import InvariantError
from stateward.actors.runtime.durable import DurableOwner
from stateward.durability import Durability
from stateward.testing import Simulation
from stateward.testing.simulation_clients import Work


async def add(manager: StateManager) -> None:
    """Count, and lose what others count meanwhile."""
    state = manager.workflow_state("w").aio
    await state.set("n", number(state) + 1)


def number(state: Mapping[str, JsonValue]) -> int:
    """Return how far clients have counted."""
    found = state.get("n", 0)
    assert isinstance(found, int)
    return found


async def count(manager: StateManager) -> None:
    """Count to five, whatever others do."""
    for _ in range(5):
        await manager.workflow_state("w").aio.increment("n")


def play(work: Work, *, seed: int = 0) -> None:
    """Run one client."""
    with Simulation(seed=seed) as it:
        it.client("a", work)
        it.run()


def total(seed: int, work: Work, **options: Any) -> object:
    """Return what two clients leave in `n`."""
    with Simulation(seed=seed, **options) as it:
        it.client("a", work)
        it.client("b", work)
        it.run()
        return it.manager.workflow_state("w")["n"]


def test_update_is_lost_in_some_order() -> None:
    """A read and a write that belong together are found apart by some seed."""
    assert {total(seed, add, durability=None) for seed in range(20)} == {1, 2}


@pytest.mark.parametrize("durability", ["synced", "buffered", None])
def test_atomic_updates_are_lost_in_no_order(durability: Durability | None) -> None:
    """What one command does is whole in every order."""
    options = {"durability": durability, "crashes": False, "failures": False}
    assert {total(seed, count, **options) for seed in range(20)} == {10}


@pytest.mark.slow
def test_simulation_is_repeated_by_its_seed() -> None:
    """One seed gives the same steps, the same crashes and the same history."""

    def run(seed: int) -> tuple[list[str], int, int]:
        notes: list[str] = []

        async def write(manager: StateManager) -> None:
            state = manager.workflow_state("w").aio
            for number in range(30):
                notes.append(f"{number} {state.get('n')}")
                try:
                    await state.set("n", number)
                except Exception as error:  # noqa: BLE001  # whatever it is
                    notes.append(type(error).__name__)

        with Simulation(seed=seed, disturbed=0.2) as it:
            it.client("a", write)
            it.client("b", write)
            it.run()
            return notes, it.steps, it.crashes

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_sleep_lets_time_pass_when_nothing_else_can_go_on() -> None:
    """An hour of a client's takes no time, and the keys of others expire."""

    async def wait(manager: StateManager) -> None:
        state = manager.workflow_state("w").aio
        await state.set("soon", 1, ttl=60)
        await asyncio.sleep(3600)  # tidy: simulated time
        await state.set("there", [*sorted(state)])

    with Simulation(disturbed=0) as it:
        begun = it.clock.now()
        it.client("a", wait)
        it.run()
        assert it.clock.now() - begun >= 3600
        assert it.stalls
        assert it.manager.workflow_state("w") == {"there": []}


def test_crash_begins_clients_anew_on_what_is_left() -> None:
    """What was acknowledged is there in the next process, and clients go on from it."""
    crashes = 0
    for seed in range(10):
        told: list[int] = []

        async def write(manager: StateManager, done: list[int] = told) -> None:
            state = manager.workflow_state("w").aio
            for each in range(number(state) + 1, 20):
                await state.set("n", each)
                done.append(each)

        with Simulation(seed=seed, disturbed=0.3, failures=False) as it:

            def look(_: bool, it: Simulation = it, done: list[int] = told) -> None:
                left = number(it.manager.workflow_state("w"))
                assert left >= max(done, default=0)

            it.on_reopen.append(look)
            it.client("a", write)
            it.run()
            assert it.manager.workflow_state("w")["n"] == 19
            crashes += it.crashes
    assert crashes > 5


def test_failure_says_how_it_is_repeated() -> None:
    """What a client raises comes out of the run, with its seed."""

    async def fail(manager: StateManager) -> None:
        await manager.workflow_state("w").aio.set("n", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        play(fail, seed=7)
    assert "repeat it with seed=7" in caught.value.__notes__[0]


def test_lost_message_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that forgets to commit is not waited for until a timeout."""
    serve = DurableOwner.serve

    def forget(owner: DurableOwner, message: object) -> object:
        owner._committer.submit = lambda _: None  # broken on purpose
        return serve(owner, message)

    monkeypatch.setattr(DurableOwner, "serve", forget)
    with pytest.raises(InvariantError, match="staged"):
        play(add)


def test_client_that_waits_for_nothing_is_noticed() -> None:
    """A client whose future nobody sets is an error, not an endless run."""

    async def wait(_: StateManager) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(InvariantError, match="never comes"):
        play(wait)


def test_simulation_needs_its_block() -> None:
    """Outside the `with` block there is no manager."""
    with pytest.raises(UsageError):
        _ = Simulation().manager


@pytest.mark.slow
@settings(max_examples=20)
@given(data=st.data())
def test_hypothesis_chooses_every_step(data: st.DataObject) -> None:
    """A simulation runs on what Hypothesis draws."""
    with Simulation(data=data, durability="synced", failures=False) as it:
        it.client("a", count)
        it.run()
        assert number(it.manager.workflow_state("w")) >= 5


def test_choices_may_be_a_list() -> None:
    """A list of choices, then always the first, is a run like any."""
    with Simulation(choices=[0, 1, 999, 3]) as it:
        it.client("a", count)
        it.run()
        assert number(it.manager.workflow_state("w")) >= 5
