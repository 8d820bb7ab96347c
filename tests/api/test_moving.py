"""Moving through the public face: the report, and what is refused."""

from pathlib import Path

import pytest

from stateward import ClosedError, InvalidStoreError, StateManager, UsageError
from stateward.actors.core.errors import InvariantError
from stateward.actors.runtime.placement import share_of
from stateward.moving import committer_of, placement_of, stores_of
from stateward.offline import copy_store


def test_report_counts_what_has_moved(tmp_path: Path) -> None:
    """Owners, keys and bytes are those that changed their place, and how long."""
    seen: list[tuple[int, int]] = []
    with StateManager() as manager:
        manager.workflow_state("w")["key"] = 12
        manager.workflow_state("w").step("s")["k"] = "x"
        manager.global_state()["g"] = 1
        report = manager.persist_to(
            f"sqlite:///{tmp_path}/s", on_progress=lambda *it: seen.append(it)
        )
        assert (report.owners, report.keys, report.size_bytes) == (2, 3, 11)
        assert report.complete
        assert 0 < report.longest_pause <= report.seconds
        assert seen == [(1, 2), (2, 2)]
        assert manager.store == f"sqlite:///{tmp_path}/s"


def test_share_moves_no_global_state(tmp_path: Path) -> None:
    """Global and custom state follow once all workflows have moved."""
    with StateManager() as manager:
        manager.global_state()["g"] = 1
        manager.custom_state("n")["c"] = 1
        report = manager.persist_to(f"sqlite:///{tmp_path}/s", rollout=0.9999)
        assert (report.owners, report.complete) == (0, False)
        assert len(list(stores_of(manager.engine))) == 1
        assert manager.persist_to(f"sqlite:///{tmp_path}/s").owners == 2


def test_move_to_where_it_is_is_refused(tmp_path: Path) -> None:
    """There is nothing to do, and to memory there is no way but back."""
    url = f"sqlite:///{tmp_path}/s"
    with StateManager(url) as manager:
        with pytest.raises(UsageError, match="already"):
            manager.persist_to(url)
        with pytest.raises(UsageError, match="rollout=0"):
            manager.persist_to("memory://")
        with pytest.raises(InvalidStoreError):
            manager.persist_to("nowhere://x")
        manager.workflow_state("w")["k"] = 1


def test_error_of_who_follows_the_progress_ends_the_move(tmp_path: Path) -> None:
    """It is raised where the move was begun, and the move can go on."""

    def fail(*_: int) -> None:
        raise ZeroDivisionError

    with StateManager() as manager:
        manager.workflow_state("w")["k"] = 1
        with pytest.raises(ZeroDivisionError):
            manager.persist_to(f"sqlite:///{tmp_path}/s", on_progress=fail)
        assert manager.persist_to(f"sqlite:///{tmp_path}/s").complete


def test_move_of_a_closed_manager_is_refused(tmp_path: Path) -> None:
    """Nothing is opened that nobody would close."""
    manager = StateManager(f"sqlite:///{tmp_path}/a")
    manager.close()
    with pytest.raises(ClosedError):
        manager.persist_to(f"sqlite:///{tmp_path}/b")
    with StateManager(f"sqlite:///{tmp_path}/b"):
        pass


def test_manager_in_memory_has_no_store() -> None:
    """Who needs one is told that it is our mistake."""
    with StateManager() as manager:
        assert list(stores_of(manager.engine)) == []
        for find in (placement_of, committer_of):
            with pytest.raises(InvariantError):
                find(manager.engine)


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_workflow_that_went_back_to_memory_has_ended_with_it(
    tmp_path: Path, scheme: str
) -> None:
    """Once the process is gone, the store serves what it has, and can move on."""
    url = f"{scheme}:///{tmp_path}/s"
    with StateManager() as manager:
        for number in range(20):
            manager.workflow_state(f"w{number}")["k"] = number
        manager.persist_to(url, rollout=0.8)
        there = {it for it in manager.workflow_ids() if share_of(it) < 0.8}
        manager.persist_to(url, rollout=0.2)
        kept = {it for it in there if share_of(it) < 0.2}
    assert kept < there
    back = next(iter(there - kept))
    copied = f"{scheme}:///{tmp_path}/copy"
    assert copy_store(url, copied) == len(kept)
    with StateManager(url) as manager:
        assert set(manager.workflow_ids()) == kept
        state = manager.workflow_state(back)
        assert dict(state) == {}
        assert state.set("k", "anew") > 1
        assert manager.check() == []
        assert manager.persist_to(f"{scheme}:///{tmp_path}/t").complete
        assert set(manager.workflow_ids()) == kept | {back}
