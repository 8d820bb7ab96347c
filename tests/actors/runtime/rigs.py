"""A committer on a store that only notes what it is told to write."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stateward import WorkflowScope
from stateward.actors.core.decider import decide
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import SetState
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.store.redo import RedoLog
from tests.threads import WAIT


class RecordingStore:
    """A `Store` that keeps what it is told to commit."""

    time = 0.0
    offset = 0.0

    def __init__(self) -> None:
        """Begin with nothing committed."""
        self.commits: list[tuple[list[str], bool]] = []
        """Owners in each commit, by id, and whether it was synced."""
        self.error: Exception | None = None
        """What to raise."""
        self.refused = 0
        """How often it was raised."""
        self.closed = 0
        self.redo = RedoLog(None)

    def load(self, state: OwnerState) -> None:
        """Leave `state` as it is."""

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Note the commit."""
        if self.error is not None:
            self.refused += 1
            raise self.error
        names = [f"{state.scope.owner}:{len(events)}" for state, events in work]
        self.commits.append(([it.split("'")[-2] + it[-2:] for it in names], sync))

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield nothing."""
        return iter(())

    def close(self) -> None:
        """Note that it was closed."""
        self.closed += 1


class RecordingSeal:
    """A `Seal` of any store, of which nothing is logged."""

    version = 0
    behind = False

    def __init__(self, store: object) -> None:
        """Belong to `store`."""
        self.store: Any = store

    def reached(self) -> tuple[int, int, int]:
        """Say that nothing is committed."""
        return 0, 0, 0


class Rig:
    """A committer on a recording store, whose signals are carried out or kept."""

    def __init__(self, *, synced: bool = True, flush_interval: float = 1e6) -> None:
        """Start the committer."""
        self.store = RecordingStore()
        self.kept: list[Committed] = []
        self.keeps = False
        """Whether signals wait for the test."""
        self.changed: list[OwnerState] = []
        stores: Any = [self.store]
        self.committer = Committer(
            self.deliver,
            self.changed.append,
            lambda: None,
            lambda: stores,
            synced=synced,
            flush_interval=flush_interval,
            reply_timeout=WAIT,
        )
        self.committer.start()

    def deliver(self, signal: Committed) -> None:
        """Carry `signal` out, or keep it."""
        if self.keeps:
            self.kept.append(signal)
        else:
            signal.carry_out()

    def send(
        self, state: OwnerState, value: int, *, sync: bool = False, submit: bool = True
    ) -> Deferred:
        """Set `a`, and have that committed."""
        reply = Deferred(self.committer.wakes)
        if state.seal is None:
            state.seal = RecordingSeal(self.store)
        event, revision = decide(state, SetState(state.scope, "a", value), 0.0)
        stage(state, Staged(reply, event=event, answer=lambda: revision, sync=sync))
        if submit:
            self.committer.submit(state)
        return reply


@contextmanager
def rig(*, synced: bool = True, flush_interval: float = 1e6) -> Iterator[Rig]:
    """Return a rig, closed at the end."""
    made = Rig(synced=synced, flush_interval=flush_interval)
    try:
        yield made
    finally:
        made.committer.close()


def owner(name: str) -> OwnerState:
    """Return the state of an owner with a store."""
    state = OwnerState(WorkflowScope(name), Limits(), 0, 0.0)
    state.make_row()
    return state
