"""A move that is broken off anywhere loses nothing, and can be finished."""

from collections.abc import Callable, Iterator
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
        self.urls = disks.first, disks.second
        """Of the store that is moved from, and of the other one."""
        self.left: list[tuple[Any, list[bytes], dict[str, int], tuple[str, str]]] = []
        for journal in disks.journals:
            journal.before = self.note

    def note(self) -> None:
        """Take a picture, killed and powerless in turn."""
        one, two = self.disks.journals
        left = one.crash(), two.crash()
        if left[1]._rows:  # or there is no second store yet
            self.left.append((left, self.disks.marks(), dict(self.told), self.urls))

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


def serves(url: str) -> bool:
    """Return whether a store takes something new, with no other beside it."""
    try:
        with StateManager(url) as manager:
            manager.workflow_state("new")["n"] = 0
            manager.drop_workflow("new")
    except StoreError:
        return False
    return True


def check_whole(kept: str, left: str, told: dict[str, int]) -> None:
    """Raise unless one store has everything, and the other one says so."""
    with StateManager(kept) as manager:
        assert counted(manager) == told
        assert manager.check() == []
    with StateManager(left) as manager:
        for use in (manager.workflow_ids, manager.stats, manager.global_state().clear):
            with pytest.raises(StoreError, match=f"all of .* {kept}: open that"):
                use()
    assert serves(kept)
    assert not serves(left)


def finish(first: str, second: str, told: dict[str, int]) -> None:
    """Go on with the move to its end."""
    # Alone it serves only what is certainly here, which may end, and stays so.
    with StateManager(first) as manager, suppress(StoreError):
        manager.drop_workflow("w1")
        told = {name: told[name] for name in told if name != "w1"}
    with StateManager(first) as manager:
        assert manager.persist_to(second).complete
        assert counted(manager) == told
    check_whole(second, first, told)


def take_back(first: str, second: str, told: dict[str, int]) -> None:
    """Undo the move."""
    with StateManager(first) as manager:
        manager.persist_to(second, rollout=0)
        assert counted(manager) == told
        newest = int(manager.workflow_state("w1").increment("n"))
    check_whole(first, second, told | {"w1": newest})


def open_second(first: str, second: str, told: dict[str, int]) -> None:
    """Open the second store alone: it is the whole, or nothing, or refused."""
    # Nobody must begin something in either that the other knows nothing of.
    assert told["w0"] == 0 or not (serves(first) and serves(second))
    try:
        with StateManager(second) as manager:
            found = counted(manager)
    except StoreError:
        return  # It is the half of a move, which is finished from the first.
    if found:
        assert found == told
    else:
        assert told["w0"] == 0, "it was new, and the first move had not begun"
        with StateManager(first) as manager:
            assert counted(manager) == told


def check_crash(disks: Disks, told: dict[str, int]) -> None:
    """Raise unless the move can be finished, or was, and then all is there once."""
    finish(disks.first, disks.second, told)


def crashes_of_moves(disks: Disks) -> Crashes:
    """Move there, and from the first store part of the way back, and at last back."""
    crashes = Crashes(disks)
    first, second = disks.first, disks.second

    def move(manager: StateManager, url: str, rollout: float = 1) -> None:
        def write(*_: int) -> None:
            crashes.write(manager)

        manager.persist_to(url, rollout=rollout, on_progress=write)

    with StateManager(first) as manager:
        fill(manager)
        manager.workflow_state("gone")["n"] = 0
        manager.global_state().clear()
        crashes.told.update(dict.fromkeys(("w0", "w1", "w2", "w3", "gone"), 0))
        crashes.told["large"] = 3
        move(manager, second, 0.6)
        manager.persist_to(second, rollout=0.1)
        move(manager, second)
        crashes.write(manager)
    with StateManager(first) as manager:  # as if nobody knew that it was over
        move(manager, second, 0.1)
        move(manager, second)
        crashes.write(manager)
        crashes.urls = second, first
        move(manager, first, 0.6)
        move(manager, first, 0)
        crashes.write(manager)
        move(manager, first)
        crashes.write(manager)
    return crashes


@pytest.mark.slow
@pytest.mark.parametrize("go_on", [finish, take_back, open_second])
def test_crash_at_any_commit_of_a_move_loses_nothing(
    disks: Disks, go_on: Callable[[str, str, dict[str, int]], None]
) -> None:
    """Wherever it is broken off, there is a way to the end, and one back."""
    left = crashes_of_moves(disks).left
    assert len(left) > 150
    for journals, marks, told, urls in left:
        disks.after(journals, marks)
        go_on(*urls, told)


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
