"""A live manager moves to another store: nothing is lost, doubled or brought back."""

from contextlib import suppress

import pytest

from stateward import (
    KeyCountError,
    Limits,
    StateManager,
    StoreError,
    UsageError,
)
from stateward.actors.runtime import moves
from stateward.moving import placement_of
from stateward.testing import SimulatedClock
from tests.guarantees.disks import Disks, disks, everything, fill
from tests.threads import Gate, Job, in_thread

__all__ = ["disks"]

# ------------------------------------------------------------------ single claims


def test_dropped_workflow_stays_so_after_its_move(disks: Disks) -> None:
    """One that moved, came back and was dropped can begin anew after the move."""
    for first in ("memory://", disks.first):
        with StateManager(first) as manager:
            names = [f"w{n}" for n in range(20)]
            for name in names:
                manager.workflow_state(name)["n"] = 1
            manager.persist_to(disks.second, rollout=0.9)
            manager.persist_to(disks.second, rollout=0.1)
            newest = {}
            for name in names:
                newest[name] = manager.workflow_state(name).set("n", 2)
                manager.drop_workflow(name)
            manager.persist_to(disks.second)
            assert list(manager.workflow_ids()) == []
        with StateManager(disks.second) as manager:
            for name in names:
                state = manager.workflow_state(name)
                assert dict(state) == {}
                assert state.set("n", 3) > newest[name], "its revision was reused"
                manager.drop_workflow(name)
            assert manager.check() == []


def test_workflow_dropped_in_the_target_stays_so_in_the_first_store(
    disks: Disks,
) -> None:
    """What ended in the store that is given up begins anew, with new revisions."""
    with StateManager(disks.first) as manager:
        names = [f"w{n}" for n in range(20)]
        for name in names:
            manager.workflow_state(name)["n"] = 1
        manager.persist_to(disks.second, rollout=0.8)
        newest = {}
        for name in names:
            newest[name] = manager.workflow_state(name).set("n", 2)
            manager.drop_workflow(name)
        manager.persist_to(disks.second, rollout=0)
        for name in names[:10]:
            assert manager.workflow_state(name).set("n", 3) > newest[name]
    with StateManager(disks.first) as manager:
        assert set(manager.workflow_ids()) == set(names[:10])
        for name in names[10:]:
            assert manager.workflow_state(name).set("n", 3) > newest[name]
        assert manager.check() == []
        manager.persist_to(disks.second, rollout=0.5)  # it is as good as new


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_workflow_that_was_only_read_can_be_written_after_the_move(
    disks: Disks, scheme: str
) -> None:
    """One that held nothing while all else moved begins in the store there is."""
    first = "memory://" if scheme == "memory" else disks.first
    with StateManager(first) as manager:
        fill(manager)
        assert manager.workflow_state("new").get("n") is None
        manager.workflow_state("over")["n"] = 1
        del manager.workflow_state("over")["n"]
        manager.persist_to(disks.second, rollout=0.5)
        assert manager.workflow_state("newer").get("n") is None
        manager.persist_to(disks.second)
        for name in ("new", "newer", "over"):
            manager.workflow_state(name)["n"] = 1
    with StateManager(disks.second) as manager:
        assert {"new", "newer", "over"} < set(manager.workflow_ids())


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_workflow_dropped_while_it_is_written_ahead_begins_anew(
    disks: Disks, scheme: str
) -> None:
    """Nothing of the former one is mixed into it, nor is it cleared away with that."""
    first = "memory://" if scheme == "memory" else disks.first
    written: list[int] = []
    with StateManager(first) as manager:
        state = manager.workflow_state("w")
        last = state.update({f"k{n}": n for n in range(30)})
        gate = Gate()

        def hold() -> None:
            written.append(1)
            if len(written) == 4:
                gate(None)

        disks.journals[1].before = hold
        job = Job(manager.persist_to, disks.second)
        gate.wait_until_entered()
        drop = Job(manager.drop_workflow, "w")
        if scheme == "memory":
            # Or it would wait for the commit that is held.
            assert drop.result()
            assert state.set("new", 1) > last
        gate.open()
        assert drop.result()
        assert state.set("new", 2) > last
        job.result()
        assert dict(state) == {"new": 2}
        assert manager.check() == []
    with StateManager(disks.second) as manager:
        assert dict(manager.workflow_state("w")) == {"new": 2}


def test_readers_do_not_wait_for_a_switch(disks: Disks) -> None:
    """A reader in the middle of a held switch is answered at once."""
    with StateManager() as manager:
        fill(manager)
        manager.workflow_state("cold")["n"] = 1
        gate = Gate()
        disks.journals[1].before = lambda: gate(None)
        job = Job(manager.persist_to, disks.second)
        gate.wait_until_entered()  # its first commit makes the store
        expected = in_thread(everything, manager)
        gate.open()
        job.result()
        assert everything(manager) == expected


def test_switch_commits_only_what_changed(disks: Disks) -> None:
    """Writers of a large workflow wait for what they wrote, not for all of it."""
    disks._patch.setattr(moves, "SLICE", 100)
    with StateManager(disks.first) as manager:
        state = manager.workflow_state("large")
        state.update({f"k{n}": n for n in range(3000)})
        target = disks.journals[1]
        manager.persist_to(disks.second)
        slices = [size for size in target.sizes if size > 10]
        assert len(slices) == 30
        assert max(slices) <= 102
        assert len(state) == 3000


def test_choice_by_rollout_is_stable_and_grows(disks: Disks) -> None:
    """The same workflows move at the same share; a larger one takes these and more."""
    with StateManager(disks.first) as manager:
        for n in range(40):
            manager.workflow_state(f"w{n}")["n"] = n
        manager.global_state()["g"] = 1
        chosen = []
        for share in (0.2, 0.6, 0.6, 0.2):
            manager.persist_to(disks.second, rollout=share)
            placement = placement_of(manager.engine)
            assert placement.target is not None
            chosen.append({str(it[0]) for it in placement.target.usages()})
        assert chosen[0] < chosen[1] == chosen[2]
        assert chosen[3] == chosen[0]
        assert 2 < len(chosen[0]) < 16 < len(chosen[1]) < 32


def test_new_workflows_begin_where_they_belong(disks: Disks) -> None:
    """During a rollout one that begins is at once where its id puts it."""
    with StateManager(disks.first) as manager:
        manager.persist_to(disks.second, rollout=0.5)
        for n in range(20):
            manager.workflow_state(f"w{n}")["n"] = n
        placement = placement_of(manager.engine)
        assert list(placement.misplaced()) == []
        assert 3 < sum(1 for _ in placement.stores().__next__().usages()) < 17


def test_expiry_limits_and_revisions_are_kept(
    disks: Disks, clock: SimulatedClock
) -> None:
    """What expires does so when it was to, and limits of its own bind a workflow."""
    with StateManager(clock=clock) as manager:
        state = manager.workflow_state("w")
        state.set("soon", 1, ttl=10)
        state.set("later", 1, ttl=100)
        before = state.entry("later")
        manager.set_limits("w", Limits(max_keys=2))
        manager.persist_to(disks.second)
        assert state.entry("later") == before
        with pytest.raises(KeyCountError):
            state["third"] = 1
        clock.advance(11)
        assert dict(state) == {"later": 1}
        state["third"] = 1
        clock.advance(100)
        assert dict(state) == {"third": 1}


def test_first_store_refuses_what_has_moved(disks: Disks) -> None:
    """It says where that is; what has not moved is served."""
    with StateManager(disks.first) as manager:
        fill(manager)
        manager.persist_to(disks.second, rollout=0.7)
    with StateManager(disks.first) as manager:
        refusals = []
        for n in range(4):
            try:
                assert manager.workflow_state(f"w{n}")["n"] == 0
            except StoreError as error:
                refusals.append(str(error))
        assert 0 < len(refusals) < 4
        assert all(disks.second in text for text in refusals)
        with pytest.raises(UsageError, match="under way"):
            manager.persist_to(f"sqlite:///{disks.folder}/2x1")


def test_first_store_takes_nothing_new_while_some_has_moved(disks: Disks) -> None:
    """What begins in it could be one that has begun in the other store meanwhile."""
    with StateManager(disks.first) as manager:
        manager.workflow_state("w0")["n"] = 0
        manager.persist_to(disks.second, rollout=0.9)
        began = [f"new{n}" for n in range(8)]
        for name in began:
            manager.workflow_state(name)["n"] = 1
    with StateManager(disks.first) as manager:
        for name in (*began, "other"):
            with suppress(StoreError):
                assert manager.workflow_state(name)["n"] == 1, "it is there already"
        with pytest.raises(StoreError, match=f"may be in {disks.second}"):
            manager.workflow_state("other")["n"] = 2
        manager.persist_to(disks.second)
        for name in began:
            assert manager.workflow_state(name)["n"] == 1


def test_store_that_was_left_serves_nothing_and_says_where_all_is(
    disks: Disks,
) -> None:
    """Whoever opens the old URL by mistake does not begin anew there."""
    with StateManager(disks.first) as manager:
        fill(manager)
        manager.persist_to(disks.second)
        expected = everything(manager)
    with StateManager(disks.first) as manager:
        for name in ("w1", "new"):
            with pytest.raises(StoreError, match=f"{disks.second}: open that"):
                manager.workflow_state(name)["n"] = 7
        for use in (manager.workflow_ids, manager.stats, manager.run_ids):
            with pytest.raises(StoreError, match=f"{disks.second}: open that"):
                use()
        report = manager.persist_to(disks.second)
        assert (report.owners, report.complete) == (0, True)
        assert everything(manager) == expected


def test_store_that_was_left_can_be_moved_back_into(disks: Disks) -> None:
    """It is as good as a new one, but for revisions, which are not used again."""
    with StateManager(disks.first) as manager:
        fill(manager)
        newest = manager.workflow_state("w1").set("n", 1)
        assert manager.persist_to(disks.second).complete
        manager.drop_workflow("w1")
        assert manager.persist_to(disks.first, rollout=0.5).owners
        assert not manager.persist_to(disks.first, rollout=0).complete
        assert manager.persist_to(disks.first).complete
        expected = everything(manager)
    with StateManager(disks.first) as manager:
        assert everything(manager) == expected
        assert manager.workflow_state("w1").set("n", 2) > newest
        assert manager.check() == []
    with (
        StateManager(disks.second) as manager,
        pytest.raises(StoreError, match=f"{disks.first}: open that"),
    ):
        manager.workflow_ids()


def test_half_filled_target_is_refused_alone(disks: Disks) -> None:
    """Nobody takes it for the whole."""
    with StateManager(disks.first) as manager:
        fill(manager)
        manager.persist_to(disks.second, rollout=0.7)
    with pytest.raises(StoreError, match="being moved"):
        StateManager(disks.second)


def test_target_with_state_of_its_own_is_refused(disks: Disks) -> None:
    """Nothing is mixed up, and everything stays as it was."""
    with StateManager(disks.second) as manager:
        manager.workflow_state("w1")["n"] = "mine"
    with StateManager(disks.first) as manager:
        fill(manager)
        with pytest.raises(StoreError, match="state of its own"):
            manager.persist_to(disks.second)
        manager.workflow_state("w1").increment("n")
    with StateManager() as manager:
        fill(manager)
        with pytest.raises(StoreError, match="in memory"):
            manager.persist_to(disks.second)
        manager.workflow_state("w1").increment("n")
    with StateManager(disks.second) as manager:
        assert everything(manager) == {"": {}, "w1": ({"n": "mine"}, {})}
