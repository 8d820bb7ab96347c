"""Bugs that the simulation has found, each as the shortest story that shows it."""

import asyncio

from stateward import StateManager
from stateward.actors.store.ledger import Ledger
from stateward.testing import FaultyJournal, Simulation
from stateward.testing.faulty import MemoryMark


def test_modify_after_a_staged_deletion_begins_with_its_default() -> None:
    """A key that is deleted, though not yet committed, is absent to `modify`."""
    seen: list[object] = []

    async def work(manager: StateManager) -> None:
        state = manager.workflow_state("w").aio
        await state.set("n", 5)

        def note(value: int) -> int:
            seen.append(value)
            return 1

        await asyncio.gather(state.delete("n"), state.modify("n", note, default=0))

    with Simulation(choices=(), disturbed=0) as it:
        it.client("a", work)
        it.run()
    assert seen == [0]


def test_store_is_synced_before_it_is_read() -> None:
    """What a crashed process had written and not synced is synced by the next one."""
    journal, mark = FaultyJournal(), MemoryMark()
    ledger = Ledger(journal, mark, "simulated://")
    ledger.write({b"\x01a": b"1"}, sync=False)
    left = journal.after_kill()
    reopened = Ledger(left, mark, "simulated://")
    assert reopened.journal.get(b"\x01a") == b"1"
    assert left.after_power_loss(0).get(b"\x01a") == b"1"
