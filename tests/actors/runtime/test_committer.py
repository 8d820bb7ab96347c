"""The committer: what all owners have staged is written in groups, or taken back."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stateward import (
    ClosedError,
    CommitFailedError,
    StoreFullError,
    StorePoisonedError,
    WorkflowScope,
)
from stateward.actors.core import faults
from stateward.actors.core.limits import Limits
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime import committer
from stateward.actors.runtime.committer import GATHERS_MAX
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.runtime.wakes import Wakes
from tests.actors.core.ledger import audit, contents
from tests.actors.runtime.rigs import RecordingSeal, RecordingStore, Rig, owner, rig
from tests.journals import held_back
from tests.threads import WAIT, Job, eventually


def test_committer_publishes_and_answers() -> None:
    """What is staged is committed, then published, then answered."""
    state = owner("w")
    with rig() as it:
        assert it.send(state, 1).wait() == 1
        assert contents(state) == {"a": 1}
        assert it.store.commits == [(["w:1"], True)]
    assert it.changed == [state]


def ways_made(
    rig: Rig, states: Sequence[OwnerState], monkeypatch: pytest.MonkeyPatch
) -> list[Deferred | None]:
    """Have one of `states` write whenever the committer makes way; return who did."""
    left, made = iter(states), list[Deferred | None]()

    def come() -> None:
        state = next(left, None)
        made.append(None if state is None else rig.send(state, 2))

    monkeypatch.setattr(committer, "make_way", come)
    return made


def together(rig: Rig, states: Sequence[OwnerState]) -> None:
    """Have all of `states` written in one commit, after one of the first alone."""
    with held_back() as gate:
        replies = [rig.send(states[0], 0)]
        gate.wait_until_entered()
        replies += [rig.send(state, 1) for state in states]
    for reply in replies:
        reply.wait()


def test_committer_waits_for_those_who_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those whose commands were in one commit are so again if they come in a row."""
    states = [owner(name) for name in "abc"]
    with rig() as it:
        together(it, states)
        made = ways_made(it, states[1:], monkeypatch)
        it.send(states[0], 2).wait()
    assert it.store.commits[-1] == (["a:1", "b:1", "c:1"], True)
    assert len(made) == 2


def test_committer_goes_on_without_those_who_stay_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is waited for once nobody came, nor from the next commit on."""
    states = [owner(name) for name in "abc"]
    with rig() as it:
        together(it, states)
        made = ways_made(it, [], monkeypatch)
        it.send(states[0], 2).wait()
        it.send(states[0], 3).wait()
    assert it.store.commits[-2:] == [(["a:1"], True), (["a:1"], True)]
    assert len(made) == 1


def test_committer_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came first is written while others still come."""
    states = [owner(str(number)) for number in range(2 * GATHERS_MAX)]
    with rig() as it:
        together(it, states)
        ways_made(it, states[1:], monkeypatch)
        it.send(states[0], 2).wait()
        assert len(it.store.commits[2][0]) == 1 + GATHERS_MAX


def test_committer_writes_in_one_commit_what_waited() -> None:
    """All that was staged during one commit is in the next, in order."""
    first, second, third = owner("1"), owner("2"), owner("3")
    with rig() as it:
        with held_back() as gate:
            replies = [it.send(first, 1)]
            gate.wait_until_entered()
            replies += [it.send(second, 1), it.send(first, 2), it.send(third, 1)]
            replies += [it.send(second, 2)]
            assert contents(first) == {}
        assert [reply.wait() for reply in replies] == [1, 1, 2, 1, 2]
        assert it.store.commits == [(["1:1"], True), (["2:2", "1:1", "3:1"], True)]
    for state in (first, second, third):
        audit(state)


def test_committer_writes_nothing_for_answers_alone() -> None:
    """An answer that waits in the row costs no commit."""
    state, reply = owner("w"), Deferred(Wakes(WAIT))
    with rig() as it:
        stage(state, Staged(reply, answer=lambda: "read"))
        it.committer.submit(state)
        assert reply.wait() == "read"
        assert it.store.commits == []


def test_committer_ignores_an_owner_with_nothing_staged() -> None:
    """An owner submitted twice, or without a store, is no reason to commit."""
    state, plain = owner("w"), OwnerState(WorkflowScope("p"), Limits(), 0, 0.0)
    with rig() as it:
        it.committer.submit(plain)
        it.committer.submit(state)
        it.send(state, 1).wait()
        it.committer.submit(state)
    assert it.store.commits == [(["w:1"], True)]


def test_buffered_commit_is_synced_on_demand() -> None:
    """Without `synced` a commit syncs only if one of its commands says so."""
    state, other = owner("w"), owner("o")
    with rig(synced=False) as it:
        it.send(state, 1).wait()
        with held_back() as gate:
            _ = it.send(state, 2)
            gate.wait_until_entered()
            replies = [it.send(state, 3), it.send(other, 1, sync=True)]
        for reply in replies:
            reply.wait()
        flags = [sync for _, sync in it.store.commits]
        assert flags == [False, False, True]
    assert len(it.store.commits) == 3, "what was synced is flushed no more"


def test_buffered_commit_is_flushed_after_the_interval() -> None:
    """What was not synced is, once `flush_interval` has passed."""
    with rig(synced=False, flush_interval=0.01) as it:
        it.send(owner("w"), 1).wait()
        eventually(lambda: ([], True) in it.store.commits, "a flush")


def test_close_flushes_and_closes_the_store_once() -> None:
    """Closing commits, syncs, ends the thread; a second time it does nothing."""
    state = owner("w")
    with rig(synced=False) as it:
        with held_back() as gate:
            replies = [it.send(state, 1)]
            gate.wait_until_entered()
            replies.append(it.send(state, 2))
            it.committer.abandon()
        it.committer.close()
        assert [reply.wait() for reply in replies] == [1, 2]
        assert it.store.commits == [(["w:1"], False), (["w:1"], False), ([], True)]
    assert it.store.closed == 1


def test_flush_that_failed_without_effect_comes_again() -> None:
    """A full disk may have space later; what was promised stays promised."""
    with rig(synced=False, flush_interval=0.01) as it:
        assert it.send(owner("w"), 1).wait() == 1
        it.store.error = StoreFullError("no space")
        eventually(lambda: it.store.refused > 1, "a second try")
        it.store.error = None
        eventually(lambda: ([], True) in it.store.commits, "a flush")


def test_poisoned_store_is_not_flushed_again() -> None:
    """It takes nothing until it is reopened; saying so once is enough."""
    with rig(synced=False, flush_interval=0.01) as it:
        assert it.send(owner("w"), 1).wait() == 1
        it.store.error = StorePoisonedError("poisoned")
        eventually(lambda: it.store.refused > 0, "a try")
    assert it.store.refused == 1


def test_failed_flush_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A sync that fails after the answers is said in the log, and not again."""
    with rig(synced=False) as it:
        it.send(owner("w"), 1).wait()
        it.store.error = CommitFailedError("no disk", effect="unknown")
    assert "A sync failed" in caplog.text
    assert it.store.closed == 1


@pytest.mark.parametrize(
    ("error", "kind", "effect"),
    [
        (StoreFullError("full", effect="none"), StoreFullError, "none"),
        (CommitFailedError("?", effect="unknown"), CommitFailedError, "unknown"),
        (OSError("odd"), CommitFailedError, "unknown"),
    ],
)
def test_failed_commit_tells_each_sender(
    error: Exception, kind: type[CommitFailedError], effect: str
) -> None:
    """Every sender of the group is told why, and whether it may have happened."""
    first, second = owner("1"), owner("2")
    with rig() as it:
        it.store.error = error
        with held_back() as gate:
            _ = it.send(first, 1)
            gate.wait_until_entered()
            replies = [it.send(second, 1), it.send(second, 2)]
        for reply in replies:
            with pytest.raises(kind) as caught:
                reply.wait()
            assert caught.value.effect == effect
        it.store.error = None
        assert it.send(first, 3).wait() == 1
        assert it.send(second, 3).wait() == 1
    audit(first)
    audit(second)


def test_owner_is_not_committed_before_it_has_taken_back() -> None:
    """What is staged on a failed commit is never written; others go on."""
    broken, other = owner("b"), owner("o")
    with rig() as it:
        it.keeps, it.store.error = True, CommitFailedError("no", effect="unknown")
        replies = [it.send(broken, 1)]
        eventually(lambda: bool(it.kept), "a signal")
        it.store.error = None
        replies += [it.send(broken, 2), it.send(broken, 3)]
        _ = it.send(other, 1)
        eventually(lambda: len(it.kept) == 2, "the other's signal")
        assert it.store.commits == [(["o:1"], True)]
        it.keeps = False
        for signal in it.kept:
            signal.carry_out()
        effects = []
        for reply in replies:
            with pytest.raises(CommitFailedError) as caught:
                reply.wait()
            effects.append(caught.value.effect)
        assert effects == ["unknown", "none", "none"]
        assert contents(other) == {"a": 1}
        assert it.send(broken, 4).wait() == 1
    audit(broken)


def test_what_is_staged_after_a_group_is_not_published_with_it() -> None:
    """A signal publishes what was written, and no entry that came since."""
    state = owner("w")
    with rig() as it:
        it.keeps = True
        _ = it.send(state, 1)
        eventually(lambda: bool(it.kept), "a signal")
        _ = it.send(state, 2, submit=False)
        it.keeps = False
        it.kept[0].carry_out()
        assert contents(state) == {"a": 1}
        assert len(state.staged or ()) == 1
        it.committer.submit(state)
        eventually(lambda: contents(state) == {"a": 2}, "the second")
    audit(state)


def test_no_entry_is_committed_twice() -> None:
    """What is committed and not yet published is not written with what follows."""
    state = owner("w")
    with rig() as it:
        it.keeps = True
        replies = [it.send(state, 1)]
        eventually(lambda: bool(it.kept), "a signal")
        replies.append(it.send(state, 2))
        eventually(lambda: len(it.kept) == 2, "the second")
        for signal in it.kept:
            signal.carry_out()
        assert [reply.wait() for reply in replies] == [1, 2]
    assert it.store.commits == [(["w:1"], True), (["w:1"], True)]


def test_committer_outlives_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody expected is logged; the next commit goes on."""
    state, other = owner("w"), owner("o")
    failures: list[Callable[[], Any]] = []

    def fail() -> None:
        failures.append(fail)
        raise RuntimeError("seeded")

    with rig() as it:
        with faults.arm("store.committed", fail):
            _ = it.send(state, 1)
            eventually(lambda: bool(failures), "the bug")
        it.send(other, 1).wait()
        eventually(lambda: "The committer failed" in caplog.text, "a log line")


def test_committer_writes_one_commit_for_each_store() -> None:
    """What waited goes to the store of its owner; one that fails fails alone."""
    here, there = owner("h"), owner("t")
    other = RecordingStore()
    with rig() as it:
        there.seal = RecordingSeal(other)
        other.error = StoreFullError("no space")
        with held_back() as gate:
            first = it.send(owner("0"), 1)
            gate.wait_until_entered()
            replies = it.send(here, 1), it.send(there, 1)
        assert (first.wait(), replies[0].wait()) == (1, 1)
        with pytest.raises(StoreFullError):
            replies[1].wait()
    assert it.store.commits == [(["0:1"], True), (["h:1"], True)]


def test_owner_that_no_store_keeps_any_more_is_answered() -> None:
    """What was staged by an owner that has left its store is published unwritten."""
    state = owner("w")
    with rig() as it:
        reply = it.send(state, 1, submit=False)
        state.seal = None
        it.committer.submit(state)
        assert reply.wait() == 1
    assert it.store.commits == []


def test_chore_is_done_after_what_was_staged_before() -> None:
    """What else writes has its turn between commits, in the committer's thread."""
    state, seen = owner("w"), list[str]()
    with rig() as it:

        def chore() -> str:
            seen.append(threading.current_thread().name)
            return it.committer.perform(lambda: str(len(it.store.commits)))

        with held_back() as gate:
            reply = it.send(state, 1)
            gate.wait_until_entered()
            job = Job(it.committer.perform, chore)
        assert (reply.wait(), job.result()) == (1, "1")
    assert seen == ["stateward-committer"]


def test_chore_that_fails_raises_where_it_is_waited_for() -> None:
    """The committer goes on after it."""
    with rig() as it:
        with pytest.raises(ZeroDivisionError):
            it.committer.perform(lambda: 1 // 0)
        assert it.send(owner("w"), 1).wait() == 1


def test_chore_after_the_end_is_refused() -> None:
    """Who comes too late is told so, and does not wait for ever."""
    with rig() as it:
        it.committer.close()
        with pytest.raises(ClosedError):
            it.committer.perform(lambda: None)


def test_forgotten_store_is_flushed_no_more() -> None:
    """A store about to be closed is not synced after that."""
    with rig(synced=False) as it:
        it.send(owner("w"), 1).wait()
        it.committer.perform(lambda: it.committer.forget(it.store))  # type: ignore[arg-type]  # enough of one
    assert it.store.commits == [(["w:1"], False)]
