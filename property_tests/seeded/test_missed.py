"""Tests that seeded bugs showed to be missing."""

from pathlib import Path
from typing import Any

import pytest

from stateward import OwnerFailedError, WorkflowScope
from stateward.actors.core import faults
from stateward.actors.runtime import inbox, vault
from stateward.actors.runtime.supervisor import Evict
from stateward.actors.runtime.turns import TurnActor
from tests.journals import Disk, WatchedJournal, held_back
from tests.threads import Gate, Job, eventually

SOON = 5.0
"""Seconds after which a message that should be handled counts as forgotten."""


class Caller(TurnActor):
    """An actor that calls what it is sent."""

    def on_receive(self, message: Any) -> Any:
        """Return what `message` returns."""
        return message(1)


def test_turn_that_ends_wakes_whoever_came_meanwhile() -> None:
    """What is queued while a caller runs its own turn is handled after that."""
    gate, ref = Gate(), Caller.start()
    first = Job(ref.ask, gate)
    gate.wait_until_entered()
    second = Job(ref.ask, lambda _: 2, timeout=SOON)
    eventually(lambda: bool(ref.actor_inbox.mail), "the second one to wait")
    gate.open()
    assert (first.result(), second.result()) == (1, 2)
    assert ref.stop()


def test_turn_that_lets_go_leaves_the_rest_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a turn leaves that has handled enough does not wait for others to come."""
    monkeypatch.setattr(inbox, "TURN_MESSAGES_MAX", 2)
    gate, ref = Gate(), Caller.start()
    ref.tell(gate)
    gate.wait_until_entered()
    jobs = [Job(ref.ask, lambda it: it, timeout=SOON) for _ in range(3)]
    eventually(lambda: len(ref.actor_inbox.mail) == 3, "all to wait")
    gate.open()
    assert [job.result() for job in jobs] == [1, 1, 1]
    assert ref.stop()


def fail() -> None:
    """Raise what no handler should."""
    raise RuntimeError("a bug")


def test_eviction_spares_an_owner_that_failed_with_writes_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state leaves memory only when nothing of it waits for its commit."""
    monkeypatch.setattr(vault, "KEPT_MIN", 1)
    disk = Disk(tmp_path, WatchedJournal())
    with disk.manager(cache_bytes=1) as manager:
        state, other = manager.workflow_state("w"), manager.workflow_state("v")
        state["a"] = 1
        with held_back() as gate:
            first = Job(state.set, "a", 2)
            gate.wait_until_entered()
            with faults.arm("owner.decided", fail):
                second = Job(state.set, "a", 3)
                with pytest.raises(OwnerFailedError):
                    second.result()
            third = Job(other.set, "a", 1)
            eventually(lambda: WorkflowScope("v") in owners(manager), "the other owner")
            manager.supervisor.ask(Evict())
            assert manager.workflow_state("w")["a"] == 1
        assert (first.result(), third.result()) == (2, 1)
        assert manager.workflow_state("w")["a"] == 2


def owners(manager: Any) -> Any:
    """Return the owners that are active."""
    return manager.engine.directory.owners
