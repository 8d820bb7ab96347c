import gc
import threading

import pykka
import pytest

from stateward import ClosedError, StateManager
from stateward.testing import Simulation
from stateward.testing.faulty import Disk


def test_manager_has_no_thread() -> None:
    """Neither the engine nor the committer of a simulated manager has a thread."""
    before = threading.active_count()
    with Simulation() as it:
        assert threading.active_count() == before
        assert (it.manager.store, it.manager.poisoned) == ("simulated://", False)


def test_manager_without_a_store_says_so() -> None:
    """One that stores nothing has the URL of memory."""
    with Simulation(durability=None) as it:
        assert it.manager.store == "memory://"


def test_manager_that_perishes_leaves_nothing_behind() -> None:
    """After a crash no actor is left, and nobody can use the old manager."""

    async def write(manager: StateManager) -> None:
        await manager.workflow_state("w").aio.set("n", 1)

    actors = len(pykka.ActorRegistry.get_all())
    with Simulation(disturbed=0) as it:
        it.client("a", write)
        it.run()
        old = it.manager
        old.perish()
        assert len(pykka.ActorRegistry.get_all()) == actors
        with pytest.raises(ClosedError):
            old.workflow_state("w").get("m")
        it._open(Disk(journal=old.journal.after_kill(), mark=old.disk.mark))
        assert it.manager.workflow_state("w") == {"n": 1}
    gc.collect()
