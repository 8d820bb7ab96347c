"""Commits in any order: what is staged, written, refused, published and told.

The committer runs by hand, in one thread: Hypothesis says who stages something, when a
group is written, whether that works, and when each owner hears of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward import CommitFailedError, WorkflowScope
from stateward.actors.core.decider import decide
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import SetState
from stateward.actors.core.reader import find
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.core.values import unpack
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.store.redo import RedoLog
from tests.actors.runtime.rigs import RecordingSeal

Effect = Literal["none", "unknown"]
INTERVAL = 10.0
"""Seconds after which a buffered write is synced."""


class Store:
    """A store that keeps what it is given, unless it is told to fail."""

    def __init__(self) -> None:
        self.fails: Effect | None = None
        """How the next commit fails, if it does."""
        self.written: dict[str, list[int]] = defaultdict(list)
        """Revisions that were committed, by workflow."""
        self.failed: dict[tuple[str, int], Effect] = {}
        """Revisions that were to be committed, and how that failed."""
        self.redo = RedoLog(None)
        self.unsynced = 0
        """Commits since the last sync."""
        self.wrong: list[str] = []
        """What should never have come here."""

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Write a group, or fail."""
        group = [
            (state.scope.prefix(), event[0]) for state, some in work for event in some
        ]
        fails, self.fails = self.fails, None
        if fails is not None:
            self.failed.update(dict.fromkeys(group, fails))
            raise CommitFailedError("told to fail", effect=fails)
        for name, revision in group:
            before = self.written[name]
            if revision != (before[-1] if before else 0) + 1:
                # Not raised: the committer would take it for a failed commit.
                self.wrong.append(f"{name} {revision} rests on what was not committed")
            before.append(revision)
        self.unsynced = 0 if sync else self.unsynced + 1


class Sender:
    """Who waits for an answer, and looks at once whether it can be read."""

    def __init__(self, state: OwnerState, value: int, revision: int) -> None:
        self.state = state
        self.value = value
        self.revision = revision
        self.answers: list[int] = []
        self.error: CommitFailedError | None = None

    def done(self) -> bool:
        """Return whether anything came; this one is to be told once."""
        return False

    def set(self, value: int) -> None:
        """Take the answer."""
        assert seen(self.state) == self.value, "answered before it can be read"
        self.answers.append(value)

    def refuse(self, error: BaseException) -> None:
        """Take a refusal."""
        assert isinstance(error, CommitFailedError)
        assert self.error is None
        self.error = error


def seen(state: OwnerState) -> object:
    """Return what a reader sees; `None` before the first value."""
    cell = find(state, None, "a", 0.0)
    return None if cell is None else unpack(cell.value)


class Rig:
    """Three owners, their senders, a store, and a committer that is run by hand."""

    def __init__(self, *, synced: bool) -> None:
        self.now = 0.0
        self.store = Store()
        self.signals: list[Committed] = []
        self.senders: list[Sender] = []
        self.taken: set[Sender] = set()
        self.states = [OwnerState(WorkflowScope(it), Limits(), 0, 0.0) for it in "abc"]
        for state in self.states:
            state.make_row()
            state.seal = RecordingSeal(self.store)
        self.committer = Committer(
            self.signals.append,
            lambda _: None,
            lambda: None,
            list,
            synced=synced,
            flush_interval=INTERVAL,
            reply_timeout=1.0,
            now=lambda: self.now,
        )

    def send(self, which: int) -> None:
        """Stage a value that nobody has written before."""
        state, value = self.states[which], len(self.senders) + 1
        event, revision = decide(state, SetState(state.scope, "a", value), 0.0)
        sender = Sender(state, value, revision)
        stage(state, Staged(sender, event=event, answer=lambda: revision))
        self.senders.append(sender)
        self.committer.submit(state)

    def turn(self, fails: Effect | None = None) -> None:
        """Write what waits."""
        self.store.fails = fails
        self.committer.turn(wait=False)
        self.store.fails = None

    def hear(self, which: int) -> None:
        """Have an owner hear of a commit."""
        if self.signals:
            self.signals.pop(which % len(self.signals)).carry_out()

    def check(self) -> None:
        """Check that readers see nothing but what is committed, and all told of it."""
        assert self.store.wrong == []
        for state in self.states:
            written = self.store.written[state.scope.prefix()]
            known = {
                it.value
                for it in self.senders
                if it.state is state and it.error is None and it.revision in written
            }
            assert seen(state) is None or seen(state) in known, "not committed"

    def end(self) -> None:
        """Write and tell what is left; check that everybody was told the truth."""
        while not self.committer.idle() or self.signals:
            self.turn()
            self.hear(0)
            self.check()
        for it in self.senders:
            name = it.state.scope.prefix()
            if it.error is None:
                assert it.answers == [it.revision], "nobody was told"
                assert it.revision in self.store.written[name]
            else:
                assert it.answers == []
        for state in self.states:
            mine = [it for it in self.senders if it.state is state and not it.error]
            assert seen(state) == (mine[-1].value if mine else None)
            assert state.revision == state.latest == len(mine)


steps = st.lists(
    st.tuples(st.just("send"), st.integers(0, 2))
    | st.tuples(st.just("turn"), st.sampled_from([None, None, "none", "unknown"]))
    | st.tuples(st.just("hear"), st.integers(0, 3)),
    max_size=40,
)


@pytest.mark.slow
@given(some=steps)
def test_commits_in_any_order_tell_the_truth(some: list[tuple[str, Any]]) -> None:
    """Whatever fails, who waits is told what happened, and readers see only that."""
    rig = Rig(synced=True)
    for name, argument in some:
        getattr(rig, name)(argument)
        rig.check()
        assert rig.store.unsynced == 0, "promised, and not synced"
    rig.end()


@pytest.mark.slow
@given(some=steps)
def test_refusals_say_whether_anything_may_have_happened(
    some: list[tuple[str, Any]],
) -> None:
    """A refusal has effect `none` exactly if its write never reached the store so."""
    rig = Rig(synced=True)
    for name, argument in some:
        handed = dict(rig.store.failed)
        getattr(rig, name)(argument)
        for it in rig.senders:
            if it.error is None or it in rig.taken:
                continue
            rig.taken.add(it)
            place = (it.state.scope.prefix(), it.revision)
            effect = handed.pop(place, "none")
            assert it.error.effect == effect
            rig.store.failed.pop(place, None)  # Its revision will be given out again.
    rig.end()


@pytest.mark.slow
@given(some=steps)
def test_buffered_commits_are_synced_once_their_time_is_up(
    some: list[tuple[str, Any]],
) -> None:
    """Nothing stays unsynced for longer than the interval that was set."""
    rig = Rig(synced=False)
    for name, argument in some:
        getattr(rig, name)(argument)
        rig.check()
    rig.end()
    rig.now += INTERVAL
    rig.turn()
    assert rig.store.unsynced == 0
