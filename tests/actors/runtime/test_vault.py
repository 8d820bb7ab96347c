"""The vault: states are loaded once, and leave memory when there are too many."""

import threading
from collections.abc import Iterable, Iterator, Sequence

import pytest

from stateward import CorruptStoreError, WorkflowScope
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, Event, OwnerState
from stateward.actors.runtime.placement import Placement
from stateward.actors.runtime.vault import ENTRY_BYTES, KEPT_MIN, STATE_BYTES, Vault
from stateward.testing import SimulatedClock
from tests.actors.runtime.rigs import RecordingSeal
from tests.threads import Gate, Job, in_thread


class LoadedStore:
    """A `Store` that counts what is loaded."""

    time = 0.0
    offset = 0.0
    floor = 0
    text = "the store"

    def __init__(self) -> None:
        """Begin with nothing loaded."""
        self.loads: list[OwnerScope] = []
        self.gate: Gate | None = None
        self.empty = False
        self.error: Exception | None = None

    def load(self, state: OwnerState, *, anew: bool = False) -> None:
        """Have any owner hold 10 keys of 1,000 bytes."""
        self.loads.append(state.scope)
        if self.gate is not None:
            self.gate(None)
        if self.error is not None:
            raise self.error
        assert not anew
        state.begin_at(7, 0 if self.empty else 10, 1000)
        state.seal = RecordingSeal(self)

    def commit(
        self, work: Iterable[tuple[OwnerState, Sequence[Event]]], *, sync: bool
    ) -> None:
        """Do nothing."""

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield nothing."""
        return iter(())

    def close(self) -> None:
        """Do nothing."""


WEIGHT = STATE_BYTES + 1000 + 10 * ENTRY_BYTES


class Rig:
    """A vault, its store, and how often it said that there is too much."""

    def __init__(self, cache_bytes: int | None = None) -> None:
        """Begin with nothing in memory."""
        self.store = LoadedStore()
        self.states: dict[OwnerScope, OwnerState] = {}
        self.clock = SimulatedClock()
        self.alarms = 0
        self.vault = Vault(
            Placement(self.store),  # type: ignore[arg-type]  # enough of one
            self.states,
            clock=self.clock,
            limits_of=lambda scope: Limits(max_keys=20 if scope == W else None),
            lift=None,
            cache_bytes=cache_bytes,
            too_much=self.alarm,
        )

    def load(self, scope: OwnerScope) -> OwnerState:
        """Load an owner that the store keeps."""
        state = self.vault.load(scope)
        assert state is not None
        return state

    def alarm(self) -> None:
        """Count."""
        self.alarms += 1


W = WorkflowScope("w")


def test_load_fills_a_state_that_can_stage() -> None:
    """A loaded state is listed, goes on from what is stored, and has a row."""
    rig = Rig()
    state = rig.load(W)
    assert rig.states == {W: state}
    assert (state.revision, state.latest, state.keys, state.size) == (7, 7, 10, 1000)
    assert state.staged is not None
    assert state.limits.max_keys == 20
    assert rig.vault.held_bytes == WEIGHT


def test_load_happens_once_for_many_threads() -> None:
    """Threads that want one cold owner get one state, loaded once."""
    rig = Rig()
    rig.store.gate = Gate()
    jobs = [Job(rig.load, W) for _ in range(16)]
    rig.store.gate.wait_until_entered()
    assert rig.states == {}, "nobody sees a state that is half loaded"
    rig.store.gate.open()
    states = {id(job.result()) for job in jobs}
    assert len(states) == 1
    assert rig.store.loads == [W]


def test_load_does_not_wait_for_another_owner() -> None:
    """A long load holds up nobody who wants another owner."""
    rig = Rig()
    rig.store.gate = gate = Gate()
    job = Job(rig.load, W)
    gate.wait_until_entered()
    rig.store.gate = None
    loading = hash(W) % 64
    names = (WorkflowScope(f"o{n}") for n in range(1000))
    other = next(name for name in names if hash(name) % 64 != loading)
    assert in_thread(rig.load, other).scope == other
    gate.open()
    job.result()


def test_load_that_fails_leaves_nothing() -> None:
    """A damaged owner is not listed, weighs nothing, and may be tried again."""
    rig = Rig()
    rig.store.error = CorruptStoreError("damaged")
    with pytest.raises(CorruptStoreError):
        rig.load(W)
    assert (rig.states, rig.vault.held_bytes) == ({}, 0)
    rig.store.error = None
    rig.load(W)


def test_load_replaces_a_retired_state() -> None:
    """What serves no more is loaded anew, and weighs once."""
    rig = Rig()
    old = rig.load(W)
    old.retire()
    assert rig.load(W) is not old
    assert rig.vault.held_bytes == WEIGHT


def test_let_go_retires_and_forgets() -> None:
    """A state that was let go serves no more and weighs nothing."""
    rig = Rig()
    state = rig.load(W)
    rig.vault.let_go(W, state)
    assert (rig.states, rig.vault.held_bytes) == ({}, 0)
    assert (state.revision, state.last) == (RETIRED, 7)
    rig.vault.let_go(W, state)
    assert rig.vault.held_bytes == 0


def test_let_go_keeps_the_revision_of_a_dropped_state() -> None:
    """A state that was retired before keeps the revision it ended with."""
    rig = Rig()
    state = rig.load(W)
    state.retire()
    state.latest = 99
    rig.vault.let_go(W, state)
    assert state.last == 7


def test_let_go_spares_a_successor() -> None:
    """A state that another has replaced does not take that one with it."""
    rig = Rig()
    old = rig.load(W)
    old.retire()
    new = rig.load(W)
    rig.vault.let_go(W, old)
    assert rig.states == {W: new}
    assert rig.vault.held_bytes == WEIGHT


def test_weigh_alarms_beyond_the_bound_only() -> None:
    """Too much is said once there is more than the bound, and without one never."""
    rig, unbounded = Rig(2 * WEIGHT), Rig()
    for n in range(3):
        assert rig.alarms == 0
        rig.load(WorkflowScope(f"w{n}"))
        unbounded.vault.load(WorkflowScope(f"w{n}"))
    assert (rig.alarms, unbounded.alarms) == (1, 0)
    assert list(unbounded.vault.surplus()) == []


def test_weigh_replaces_what_was_noted() -> None:
    """A state that grew or shrank weighs what it takes now."""
    rig = Rig()
    state = rig.load(W)
    state.size = 5000
    rig.vault.weigh(state)
    assert rig.vault.held_bytes == WEIGHT + 4000
    state.size = 0
    rig.vault.weigh(state)
    assert rig.vault.held_bytes == WEIGHT - 1000


def test_surplus_is_the_least_recently_used() -> None:
    """What nobody used for longest goes, until a tenth of the bound is free."""
    rig = Rig(10 * WEIGHT)
    states = []
    for n in range(10 + KEPT_MIN):
        rig.clock.advance(1)
        states.append(rig.load(WorkflowScope(f"w{n}")))
    states[0].used = rig.clock.now() + 1
    gone = []
    for state in rig.vault.surplus():
        gone.append(state)
        rig.vault.let_go(state.scope, state)
    assert gone == states[1 : 1 + min(10, KEPT_MIN + 1)]
    assert list(rig.vault.surplus()) == []


def test_pinned_state_stays_in_memory() -> None:
    """What is about to move is neither chosen to go nor let go."""
    rig = Rig(WEIGHT)
    states = [rig.load(WorkflowScope(f"w{n}")) for n in range(KEPT_MIN + 2)]
    first = states[0]
    assert first is not None
    assert rig.vault.pin(first)
    assert first not in list(rig.vault.surplus())
    rig.vault.let_go(first.scope, first)
    assert rig.states[first.scope] is first
    assert first.revision == 7
    rig.vault.placement.moving.clear()
    rig.vault.let_go(first.scope, first)
    assert first.revision == RETIRED
    assert not rig.vault.pin(first), "it has gone"


def test_wait_for_loads_ends_after_those_before() -> None:
    """Whoever changed the placement can wait for loads that do not know it yet."""
    rig = Rig()
    rig.store.gate = Gate()
    load = Job(rig.load, W)
    rig.store.gate.wait_until_entered()

    def wait() -> list[OwnerScope]:
        rig.vault.wait_for_loads()
        return list(rig.states)

    waits = Job(wait)
    rig.store.gate.open()
    assert waits.result() == [W]
    load.result()


def test_load_begins_above_what_was_retired() -> None:
    """An owner that begins anew uses no revision of the one that it replaces."""
    rig = Rig()
    old = OwnerState(W, Limits(), 50, 0.0)
    old.retire()
    rig.states[W] = old
    rig.store.empty = True
    state = rig.load(W)
    assert state is not None
    assert (state.revision, state.latest) == (50, 50)


def test_loads_and_departures_of_many_threads_add_up() -> None:
    """However threads load and let go, what is noted is what is in memory."""
    rig = Rig()
    scopes = [WorkflowScope(f"w{n}") for n in range(8)]
    start = threading.Barrier(4)

    def churn(first: int) -> None:
        start.wait()
        for n in range(200):
            scope = scopes[(first + n) % 8]
            rig.vault.let_go(scope, rig.load(scope))

    for job in [Job(churn, first) for first in range(4)]:
        job.result()
    assert rig.vault.held_bytes == WEIGHT * len(rig.states)
