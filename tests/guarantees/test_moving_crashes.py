"""A move that is broken off anywhere loses nothing, and can be finished."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from stateward import (
    CommitFailedError,
    StateManager,
    StoreError,
    StoreFullError,
    StorePoisonedError,
)
from tests.guarantees.disks import Disks, disks, everything, fill
from tests.journals import WatchedJournal

__all__ = ["disks"]

# ------------------------------------------------------------------------ crashes


class Crashes:
    """What a crash before each commit would have left, and what was acknowledged."""

    def __init__(self, disks: Disks) -> None:
        """Take a picture whenever one of `disks` commits."""
        self.disks = disks
        self.told: dict[str, int] = {}
        self.left: list[tuple[Any, Any, list[bytes], dict[str, int]]] = []
        for journal in disks.journals:
            journal.before = self.note

    def note(self) -> None:
        """Take a picture, killed and powerless in turn."""
        one, two = self.disks.journals
        left = one.crash(), two.crash()
        self.left.append((*left, self.disks.marks(), dict(self.told)))

    def write(self, manager: StateManager) -> None:
        """Have every workflow change, and one come and go."""
        for n in range(4):
            name = f"w{n}"
            state = manager.workflow_state(name)
            self.told[name] = int(state.increment("n"))
        manager.workflow_state("large")["k3"] = self.told["w0"]
        self.told["large"] = self.told["w0"]
        if self.told["w0"] == 3:
            manager.drop_workflow("gone")
            self.told.pop("gone", None)


def counted(manager: StateManager) -> dict[str, int]:
    """Return what `Crashes` has written, as a manager has it."""
    found: dict[str, Any] = {}
    for name in manager.workflow_ids():
        state = manager.workflow_state(name)
        found[name] = state["k3" if name == "large" else "n"]
    return found


def check_crash(disks: Disks, told: dict[str, int]) -> None:
    """Raise unless the move can be finished, and then all is there once."""
    try:
        with StateManager(disks.second) as manager:
            found = counted(manager)
        if found:
            assert found == told
            return  # It was over.
    except StoreError:
        pass  # It is the half of a move.
    # Alone it serves only what is certainly here, which may end, and stays so.
    with StateManager(disks.first) as manager, suppress(StoreError):
        manager.drop_workflow("w1")
        told = {name: told[name] for name in told if name != "w1"}
    with StateManager(disks.first) as manager:
        report = manager.persist_to(disks.second)
        assert report.complete
        assert counted(manager) == told
    with StateManager(disks.second) as manager:
        assert counted(manager) == told
        assert manager.check() == []


@pytest.mark.slow
def test_crash_at_any_commit_of_a_move_loses_nothing(disks: Disks) -> None:
    """Wherever it is broken off, the first store and the same call finish it."""
    with StateManager(disks.first) as manager:
        fill(manager)
        manager.workflow_state("gone")["n"] = 0
        manager.global_state().clear()
        crashes = Crashes(disks)
        crashes.told.update(dict.fromkeys(("w0", "w1", "w2", "w3", "gone"), 0))
        crashes.told["large"] = 3
        manager.persist_to(
            disks.second,
            rollout=0.6,
            on_progress=lambda *_: crashes.write(manager),
        )
        manager.persist_to(disks.second, rollout=0.1)
        manager.persist_to(disks.second, on_progress=lambda *_: crashes.write(manager))
        crashes.write(manager)
    assert len(crashes.left) > 60
    for one, two, marks, told in crashes.left:
        if not list(two._rows):
            continue
        check_crash(disks.after((one, two), marks), told)


# ----------------------------------------------------------------------- failures


@contextmanager
def failing(journal: WatchedJournal, at: int, error: Exception) -> Iterator[list[int]]:
    """Have one commit of a journal fail."""
    seen = [0]

    def fail() -> None:
        seen[0] += 1
        if seen[0] == at:
            raise error

    journal.before = fail
    try:
        yield seen
    finally:
        journal.before = lambda: None


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 40))
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("rollout", [0, 1])
def test_full_disk_leaves_owners_usable_and_can_be_continued(
    disks: Disks, which: int, at: int, rollout: int
) -> None:
    """Whichever commit has no space, everybody goes on, and the next call goes on."""
    with StateManager(disks.first, cache_bytes=1) as manager:
        fill(manager)
        if rollout == 0:
            manager.persist_to(disks.second, rollout=0.7)
        with failing(disks.journals[which], at, StoreFullError("no space")):
            try:
                failed = False
                manager.persist_to(disks.second, rollout=rollout)
            except StoreFullError:
                failed = True
        for n in range(4):
            assert manager.workflow_state(f"w{n}").increment("n") == 1
        expected = everything(manager)
        if failed:
            manager.persist_to(disks.second, rollout=rollout)
        assert everything(manager) == expected
        assert manager.check() == []
    with StateManager(disks.second if rollout else disks.first) as manager:
        assert everything(manager) == expected


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 40))
@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_unknown_commit_is_settled_after_reopening(
    disks: Disks, which: int, at: int, *, written: bool
) -> None:
    """After a commit that may have happened, all acknowledged is there exactly once."""
    journal = disks.journals[which]
    told = {f"w{n}": 0 for n in range(4)} | {"large": 3}
    with StateManager(disks.first) as manager:
        fill(manager)
        error = CommitFailedError("no disk", effect="unknown")
        real = journal.commit
        seen = 0

        def commit(rows: Any, *, sync: bool) -> None:
            nonlocal seen
            seen += 1
            if seen == at:
                if written:
                    real(rows, sync=True)
                raise error
            real(rows, sync=sync)

        journal.commit = commit  # type: ignore[method-assign]  # fails once
        try:
            manager.persist_to(disks.second)
        except CommitFailedError:
            pass
        else:
            return  # There are no more commits, or only the last ones do not matter.
        journal.commit = real  # type: ignore[method-assign]  # as it was
        for name in told:
            key = "k3" if name == "large" else "n"
            state = manager.workflow_state(name)
            try:
                told[name] = int(state.increment(key))
            except CommitFailedError:
                assert state[key] == told[name], "readers go on"
        try:
            manager.persist_to(disks.second)
        except StorePoisonedError:
            pass
        else:
            assert (which, at <= 2) == (1, True), "it was not even opened"
    check_crash(disks, told)


def test_poisoned_target_gives_memory_back_what_it_had(disks: Disks) -> None:
    """What has moved out of memory can be taken back from a store that failed."""
    with StateManager() as manager:
        fill(manager)
        expected = everything(manager)
        manager.persist_to(disks.second, rollout=0.7)
        error = CommitFailedError("no disk", effect="unknown")
        with (
            failing(disks.journals[1], 2, error),
            pytest.raises(CommitFailedError),
        ):
            manager.persist_to(disks.second, rollout=0.9999)
        manager.persist_to(disks.second, rollout=0)
        assert everything(manager) == expected
        for n in range(4):
            manager.drop_workflow(f"w{n}")
            assert manager.workflow_state(f"w{n}").get("n") is None
        manager.persist_to(disks.first)
        assert set(manager.workflow_ids()) == {"large"}
