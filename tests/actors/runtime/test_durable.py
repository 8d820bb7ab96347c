"""Owners with a store: what they tell anybody waits for what it rests on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from stateward import (
    CommitFailedError,
    ConflictError,
    MissingKeyError,
    OwnerFailedError,
    StateManager,
    StepRevokedError,
    WorkflowScope,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.actors.runtime.durable import DurableOwner
from stateward.actors.runtime.fences import Fence, Fenced
from stateward.actors.store.redo import RedoLog
from stateward.messages import (
    DropState,
    GetManyState,
    GetSnapshot,
    GetState,
    Message,
    SetState,
)
from stateward.moving import placement_of
from tests.journals import Disk, WatchedJournal, held_back
from tests.threads import Job, eventually

W = WorkflowScope("w")


@pytest.fixture(name="journal")
def new_journal() -> WatchedJournal:
    """Return a journal that holds nothing."""
    return WatchedJournal()


@pytest.fixture(name="disk")
def new_disk(tmp_path: Path, journal: WatchedJournal) -> Disk:
    """Return a disk with nothing on it."""
    return Disk(tmp_path, journal)


@pytest.fixture(name="manager")
def durable_manager(disk: Disk) -> Iterator[StateManager]:
    """Return a manager on that disk."""
    with disk.manager() as manager:
        yield manager


@pytest.fixture(name="state")
def seeded_state(manager: StateManager) -> WorkflowState:
    """Return a workflow that holds `a` = 1 at revision 1."""
    state = manager.workflow_state("w")
    state["a"] = 1
    return state


def staged(state: WorkflowState) -> int:
    """Return how many commands and answers wait for a commit."""
    return len(state.manager.engine.directory.states[W].staged or ())


def given(job: Job[Any, Any], state: WorkflowState, entries: int) -> None:
    """Wait until that many entries are staged and check that `job` waits too."""
    eventually(lambda: job.is_over() or staged(state) == entries, "an entry")
    assert not job.is_over(), "it was told before its time"


def missing(value: Any) -> Any:
    """Raise an error of the application's own."""
    raise LookupError(value)


ANSWERS: Final[dict[str, tuple[Callable[[WorkflowState], object], object]]] = {
    "setdefault": (lambda state: state.setdefault("b", 9), 2),
    "delete of nothing": (lambda state: state.delete("a"), False),
    "clear": (lambda state: state.step("s").clear(), None),
    "get": (lambda state: state.ask(GetState(W, "b")), 2),
    "get many": (lambda state: state.ask(GetManyState(W, ("a", "b"))), {"b": 2}),
    "snapshot": (lambda state: state.ask(GetSnapshot(W)), {"b": 2}),
    "pop": (lambda state: state.pop("b"), 2),
}
Ask: TypeAlias = Callable[[WorkflowState], object]
REFUSALS: Final[dict[str, tuple[Ask, type[Exception]]]] = {
    "conflict": (lambda state: state.set("b", 3, expected=0), ConflictError),
    "pop": (lambda state: state.pop("a"), KeyError),
    "modify": (lambda state: state.modify("b", missing), LookupError),
}


def replace_all(state: WorkflowState) -> object:
    """Put `b` = 2 in place of `a`, in one command."""

    def change(tx: Any) -> None:
        del tx["a"]
        tx["b"] = 2

    return state.transact(change)


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_that_rests_on_staged_state_waits(
    state: WorkflowState, name: str
) -> None:
    """An answer is given once what it saw is committed."""
    ask, answer = ANSWERS[name]
    with held_back() as gate:
        first = Job(replace_all, state)
        gate.wait_until_entered()
        second = Job(ask, state)
        given(second, state, 2)
    first.result()
    assert second.result() == answer


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_that_rests_on_staged_state_waits(
    state: WorkflowState, name: str
) -> None:
    """A refusal is told once what it saw is committed."""
    ask, kind = REFUSALS[name]
    with held_back() as gate:
        first = Job(replace_all, state)
        gate.wait_until_entered()
        second = Job(ask, state)
        given(second, state, 2)
    first.result()
    with pytest.raises(kind):
        second.result()


@pytest.mark.parametrize("name", [*ANSWERS, *REFUSALS])
def test_what_rests_on_a_failed_commit_is_never_told(
    state: WorkflowState, name: str
) -> None:
    """Nobody is told what was only staged, if it never happens."""
    ask = (ANSWERS | REFUSALS)[name][0]
    with held_back() as gate:
        first = Job(replace_all, state)
        gate.wait_until_entered()
        second = Job(ask, state)
        given(second, state, 2)
        store: Any = placement_of(state.manager.engine).origin
        store.ledger.journal.before = fail_commit
    for job in (first, second):
        with pytest.raises(CommitFailedError):
            job.result()
    assert dict(state) == {"a": 1}


def fail_commit() -> None:
    """Fail as a journal that has written nothing."""
    raise CommitFailedError("no disk", effect="none")


def fail() -> None:
    """Fail as a bug."""
    raise RuntimeError("seeded")


def test_query_to_the_supervisor_waits_for_what_was_told_before(
    manager: StateManager, state: WorkflowState
) -> None:
    """A host that tells and then asks is answered with what it told."""
    with held_back() as gate:
        manager.supervisor.tell(SetState(W, "a", 2))
        gate.wait_until_entered()
        job = Job(manager.supervisor.ask, GetState(W, "a"))
        given(job, state, 2)
    assert job.result() == 2


def test_drop_is_committed_and_leaves_the_owner(
    manager: StateManager, state: WorkflowState
) -> None:
    """A drop waits for its commit; what comes after it goes on from there."""
    with held_back() as gate:
        drop = Job(state.drop)
        gate.wait_until_entered()
        later = Job(state.set, "b", 2)
        given(later, state, 2)
        assert dict(state) == {"a": 1}
    assert drop.result() is True
    assert later.result() == 3
    assert dict(state) == {"b": 2}
    assert manager.supervisor.ask(DropState(W)) is True
    assert manager.supervisor.ask(DropState(W)) is False


def fenced(state: WorkflowState, command: Message, fence: Fence) -> Job[Any, Any]:
    """Send the last command of an attempt, in a thread of its own."""
    engine = state.manager.engine
    return Job(engine.ask_owner, W, Fenced(command, fence, ends_as="it is over"))


def test_fence_is_opened_again_when_its_last_command_is_taken_back(
    state: WorkflowState,
) -> None:
    """An attempt whose last command did not happen may write again, once."""
    fence = Fence()
    with faults.arm("store.commit", fail_commit), pytest.raises(CommitFailedError):
        fenced(state, SetState(W, "a", 2), fence).result()
    assert [fence.reason] == [None]
    assert fenced(state, SetState(W, "a", 3), fence).result() == 2
    assert [fence.reason] == ["it is over"]
    with pytest.raises(StepRevokedError):
        fenced(state, SetState(W, "a", 4), fence).result()
    assert state["a"] == 3


def test_fence_that_ended_otherwise_stays_closed(state: WorkflowState) -> None:
    """Taking back a command does not reopen a fence that somebody else has ended."""
    fence = Fence()
    with faults.arm("store.commit", lambda: end(fence)):
        job = fenced(state, SetState(W, "a", 2), fence)
        with pytest.raises(CommitFailedError):
            job.result()
    assert fence.reason == "given up"


def end(fence: Fence) -> None:
    """End `fence` while its command is staged, and fail the commit."""
    eventually(lambda: fence.reason is not None, "the end of the attempt")
    fence.reason = "given up"
    fail_commit()


@pytest.mark.parametrize(
    ("point", "effect", "left"),
    [("owner.decided", "none", 2), ("state.staged", "none", 2)],
)
def test_owner_that_fails_loses_nothing_staged(
    state: WorkflowState, point: str, effect: str, left: int
) -> None:
    """What others have staged on an owner that fails is published all the same."""
    with held_back() as gate:
        first = Job(state.set, "a", 2)
        gate.wait_until_entered()
        with faults.arm(point, fail), pytest.raises(OwnerFailedError) as caught:
            state.set("a", 3)
        assert caught.value.effect == effect
        later = Job(state.set, "b", 4)
        given(later, state, 2)
    assert (first.result(), later.result()) == (2, 3)
    assert dict(state) == {"a": left, "b": 4}


def test_owner_that_fails_after_staging_says_unknown(state: WorkflowState) -> None:
    """A command that was staged before the bug happens, and its sender is warned."""
    with faults.arm("owner.settled", fail), pytest.raises(OwnerFailedError) as caught:
        state.set("a", 3)
    assert caught.value.effect == "unknown"
    eventually(lambda: state["a"] == 3, "the commit")
    assert state.set("a", 4) == 3


def interrupt() -> None:
    """Raise what a signal raises."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("point", "happens"),
    [("owner.decided", False), ("state.staged", False), ("owner.settled", True)],
)
def test_interrupted_owner_stays_usable(
    disk: Disk, state: WorkflowState, point: str, happens: bool
) -> None:
    """An interrupted command happens whole or not at all, also after reopening."""
    with faults.arm(point, interrupt), pytest.raises(KeyboardInterrupt):
        state.update({"a": 5, "b": 5})
    if happens:
        eventually(lambda: state.get("b") == 5, "the commit")
    expected = {"a": 5, "b": 5} if happens else {"a": 1}
    assert dict(state) == expected
    assert state.set("c", 6) == (3 if happens else 2)
    assert dict(state) == expected | {"c": 6}
    left = disk.after("left", WatchedJournal(rows_of(disk)))
    with left.manager() as again:
        assert dict(again.workflow_state("w")) == expected | {"c": 6}


def rows_of(disk: Disk) -> Any:
    """Return what power loss now would leave."""
    return disk.journal.crash().scan(b"", b"\xff" * 9)


def test_owner_with_something_staged_does_not_go(
    manager: StateManager, state: WorkflowState
) -> None:
    """Passivation waits for nobody: it is refused while a commit is under way."""
    with held_back() as gate:
        job = Job(state.set, "a", 2)
        gate.wait_until_entered()
        going = Job(manager.passivate, W)
        given(going, state, 2)
    assert job.result() == 2
    assert going.result() is False
    assert manager.passivate(W) is True
    assert state["a"] == 2
    with pytest.raises(MissingKeyError):
        state.pop("b")


def test_owners_of_a_store_are_durable(manager: StateManager) -> None:
    """A manager with a store makes owners that stage."""
    ref = manager.engine.owner(W)
    assert ref.actor_class is DurableOwner


@pytest.fixture(name="logging")
def logging_state(disk: Disk) -> Iterator[WorkflowState]:
    """Return a workflow of a manager that logs, of which all is committed."""
    with disk.manager(durability="buffered", flush_interval=1e6) as manager:
        state = manager.workflow_state("w")
        state["a"] = 1  # from here on there is a log
        yield state


def test_logged_write_waits_for_no_commit(logging: WorkflowState) -> None:
    """Any command that need not be synced is over in its turn."""
    with held_back():
        logging["a"] = 2
        logging["b"] = 3
        assert logging.increment("a", 5) == 7
        del logging["b"]
        assert dict(logging) == {"a": 7}
        assert staged(logging) == 0


def test_logged_write_wakes_who_commits(
    logging: WorkflowState, journal: WatchedJournal
) -> None:
    """The first one after a while does, of either kind."""
    committer: Any = logging.manager.engine.directory.committer
    for key in ("a", "new"):
        eventually(lambda: committer.resting, "nothing to be written")
        journal.syncs.clear()
        logging[key] = 9
        eventually(lambda: bool(journal.syncs), "a commit")


def test_logged_write_is_read_by_nobody_before_it_is_logged(
    logging: WorkflowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then a crash of the process would take it back."""
    seen: list[object] = []
    log, overwrite = RedoLog.log, RedoLog.overwrite

    def look(*args: Any) -> bool:
        seen.append(dict(logging))
        return log(*args) if len(args) == 3 else overwrite(*args)

    monkeypatch.setattr(RedoLog, "log", look)
    monkeypatch.setattr(RedoLog, "overwrite", look)
    logging["a"] = 2
    logging["b"] = 3
    assert seen == [{"a": 1}, {"a": 2}]
    assert dict(logging) == {"a": 2, "b": 3}


def test_write_that_the_log_refuses_is_committed(
    logging: WorkflowState, journal: WatchedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered then, with the revision it would have had."""
    monkeypatch.setattr(RedoLog, "log", lambda *_: False)
    monkeypatch.setattr(RedoLog, "overwrite", lambda *_: False)
    commits = len(journal.syncs)
    assert logging.set("a", 2) == 2
    assert logging.update(b=3, c=4) == 3
    assert len(journal.syncs) >= commits + 2
    assert dict(logging) == {"a": 2, "b": 3, "c": 4}


def test_logged_write_is_committed_although_the_committer_has_failed(
    logging: WorkflowState, journal: WatchedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that hits it when it was woken is no reason to sleep for ever."""
    committer: Any = logging.manager.engine.directory.committer
    eventually(lambda: committer.resting, "nothing to be written")
    drain, failures = committer._drain, list[int]()

    def fail_once() -> None:
        failures.append(1)
        if len(failures) == 1:
            raise RuntimeError("a bug")
        drain()

    monkeypatch.setattr(committer, "_drain", fail_once)
    journal.syncs.clear()
    logging["a"] = 5
    eventually(lambda: bool(failures), "the bug")
    eventually(lambda: bool(journal.syncs), "a commit")
