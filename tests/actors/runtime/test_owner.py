"""Owners: they decide, publish, answer, and a bug in one stays in it."""

from collections.abc import Iterator

import pytest

from stateward import (
    ConflictError,
    Limits,
    OwnerFailedError,
    QuarantinedError,
    StateManager,
    WorkflowScope,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.actors.runtime.owner import Owner, tell
from stateward.actors.runtime.turns import TurnRef
from stateward.messages import ExpireState, GetState
from stateward.testing import SimulatedClock
from tests.threads import Gate, Job, eventually

SCOPE = WorkflowScope("w")


class SeededError(Exception):
    """A bug, as a fault point makes it."""


def fail() -> None:
    """Raise the seeded bug."""
    raise SeededError("seeded")


@pytest.fixture(name="clock")
def still_clock() -> SimulatedClock:
    """Return a clock that stands still."""
    return SimulatedClock()


@pytest.fixture(name="state")
def seeded_state(clock: SimulatedClock) -> Iterator[WorkflowState]:
    """Return a workflow with something in it, on a clock that stands still."""
    with StateManager(clock=clock) as manager:
        state = manager.workflow_state("w")
        state.update({"a": 1, "b": [2]})
        state.step("s")["x"] = 3
        yield state


def owner_of(state: WorkflowState) -> TurnRef[Owner]:
    """Return the live owner."""
    return state.manager.engine.owner(SCOPE)


@pytest.mark.parametrize(
    ("point", "effect", "happened"),
    [
        ("owner.decided", "none", False),
        ("state.staged", "none", False),
        ("state.published", "unknown", True),
        ("owner.settled", "unknown", True),
    ],
)
def test_owner_that_fails_goes_on_from_what_was_published(
    state: WorkflowState, point: str, effect: str, *, happened: bool
) -> None:
    """Whatever point a bug strikes at, a command has happened whole or not at all."""
    before = owner_of(state)
    kept = state.manager.stats()
    tx = state.transaction()
    tx["a"] = 10
    del tx["b"]
    tx.step("t")["y"] = [1]
    with faults.arm(point, fail), pytest.raises(OwnerFailedError) as caught:
        tx.commit()
    assert caught.value.effect == effect
    assert isinstance(caught.value.__cause__, SeededError)
    expected: dict[str, object] = {"a": 10} if happened else {"a": 1, "b": [2]}
    assert dict(state.items()) == expected
    assert state.steps() == (["s", "t"] if happened else ["s"])
    stats = state.manager.stats()
    assert stats.keys == sum(len(it) for it in (state, *map(state.step, state.steps())))
    assert (stats.size_bytes == kept.size_bytes) is not happened
    state["a"] = 11
    assert owner_of(state) is not before
    assert not before.is_alive()
    assert state["a"] == 11
    assert state.manager.stats().restarts == 1


def test_owner_answers_what_waits_behind_its_failure(state: WorkflowState) -> None:
    """Messages queued when the bug struck are served by the next owner."""
    gate = Gate()
    holder = Job(state.modify, "a", gate)
    gate.wait_until_entered()
    behind = Job(state.set, "late", 1)
    eventually(lambda: bool(owner_of(state).actor_inbox.mail), "a message waits")
    with faults.arm("owner.decided", fail):
        armed_for = owner_of(state)
        gate.open()
        with pytest.raises(OwnerFailedError):
            holder.result()
        eventually(lambda: not armed_for.is_alive(), "the owner has ended")
    # The message may have met the armed point as well; then its sender was told so.
    try:
        behind.result()
    except OwnerFailedError:
        state.set("late", 1)
    assert state["late"] == 1


def test_owner_does_not_take_a_functions_error_for_its_own(
    state: WorkflowState,
) -> None:
    """What `modify` calls may raise anything; the owner stays, nothing changes."""
    owner = owner_of(state)
    for error in (
        ValueError("x"),
        SystemExit(3),
        KeyboardInterrupt(),
        ConflictError(""),
    ):

        def raise_it(_: object, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            state.modify("a", raise_it)
        assert caught.value is error
    assert owner_of(state) is owner
    assert (state["a"], state.revision) == (1, 2)


def test_owner_lets_a_function_read_but_not_write(state: WorkflowState) -> None:
    """Inside `modify` the state is seen as before; a write is refused."""

    def look(value: int) -> int:
        seen = state["a"]
        assert isinstance(seen, int)
        return value + seen + len(state.step("s"))

    assert state.modify("a", look) == 3
    with pytest.raises(ValueError, match="inside a turn"):
        state.modify("a", lambda _: state.set("b", 1))
    assert state["a"] == 3


def test_owner_sweeps_in_the_background_when_the_time_comes(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """An expired key leaves the tables without anybody asking for it."""
    state.set("soon", 1, ttl=5)
    state.set("later", 1, ttl=50)
    owner = state.manager.engine.state(SCOPE)
    assert owner is not None
    clock.advance(5)
    eventually(lambda: "soon" not in owner.own, "the key is removed")
    state.set("sooner", 1, ttl=1)
    clock.advance(1)
    eventually(lambda: "sooner" not in owner.own, "a shorter one is removed too")
    clock.advance(50)
    eventually(lambda: "later" not in owner.own, "the last is removed")
    assert dict(state.items()) == {"a": 1, "b": [2]}


def test_owner_is_woken_for_what_expires_while_it_is_away(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """A passivated owner comes back to sweep."""
    state.set("soon", 1, ttl=5)
    assert state.manager.passivate(SCOPE)
    known = state.manager.engine.state(SCOPE)
    assert known is not None
    clock.advance(5)
    eventually(lambda: "soon" not in known.own, "the key is removed")


def test_owner_that_is_rung_for_nothing_changes_nothing(state: WorkflowState) -> None:
    """An alarm that comes early, or twice, is harmless."""
    before = state.snapshot()
    state.ask(ExpireState(SCOPE))
    assert state.snapshot() == before
    assert state.revision == before.revision


def test_owner_in_use_is_not_passivated(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """An owner used since the time named, or with mail, stays."""
    from stateward.messages import Passivate

    owner = owner_of(state)
    since = clock.now() - 1.0
    assert owner.ask(Passivate(SCOPE, idle_since=since)) is False
    assert owner.is_alive()
    assert owner.ask(Passivate(SCOPE)) is True
    assert not owner.is_alive()


def test_owner_with_nothing_left_is_forgotten_with_its_state(
    state: WorkflowState,
) -> None:
    """An empty workflow leaves nothing behind, and no revision is given out again."""
    state.clear()
    state.step("s").clear()
    last = state.revision
    assert state.manager.passivate(SCOPE)
    eventually(
        lambda: SCOPE not in state.manager.engine.directory.states, "it is forgotten"
    )
    assert state.revision == 0
    assert state.set("a", 1) > last


def test_owner_holds_itself_to_other_limits_at_once(state: WorkflowState) -> None:
    """Limits set for one workflow count for its next command, and end with `None`."""
    state.manager.set_limits("w", Limits(max_pending=3, max_keys=3))
    assert owner_of(state).actor_inbox.limit == 3
    with pytest.raises(Exception, match="max_keys is 3"):
        state["c"] = 1
    state.manager.set_limits("w", None)
    state["c"] = 1


def test_owner_answers_queries_and_names_its_scope(state: WorkflowState) -> None:
    """Asked directly, it reads its own state; in messages it is its scope."""
    owner = owner_of(state)
    assert owner.ask(GetState(SCOPE, "b")) == [2]
    assert str(owner) == f"the owner of {SCOPE}"


def test_owner_leaves_pykkas_own_messages_to_pykka(state: WorkflowState) -> None:
    """A proxy works on an owner, as on any actor."""
    assert owner_of(state).proxy().registered.get(timeout=30) is False


def test_tell_says_nothing_to_a_supervisor_that_is_gone(state: WorkflowState) -> None:
    """A timer that outlives its manager rings into the void."""
    tell(lambda: None, ExpireState(SCOPE))
    ref = owner_of(state)
    state.manager.passivate(SCOPE)
    tell(lambda: ref, ExpireState(SCOPE))


def test_owner_that_keeps_failing_takes_no_writes_until_released(
    state: WorkflowState,
) -> None:
    """After three failures reads work, writes raise, all others are untouched."""
    manager = state.manager
    other = manager.workflow_state("other")
    for _ in range(3):
        with faults.arm("owner.decided", fail), pytest.raises(OwnerFailedError):
            state["a"] = "lost"
    with pytest.raises(QuarantinedError, match="SeededError") as caught:
        state["a"] = 2
    assert caught.value.effect == "none"
    assert isinstance(caught.value, PermissionError)
    assert state["a"] == 1
    assert state.step("s")["x"] == 3
    assert manager.stats().quarantined == (SCOPE,)
    other["a"] = 5
    assert manager.release(SCOPE)
    assert not manager.release(SCOPE)
    state["a"] = 2
    assert (state["a"], other["a"]) == (2, 5)
    assert manager.stats().quarantined == ()


def test_owner_that_fails_now_and_then_is_not_quarantined(
    state: WorkflowState, clock: SimulatedClock
) -> None:
    """Three failures in more than a minute are only restarts."""
    for _ in range(5):
        with faults.arm("owner.decided", fail), pytest.raises(OwnerFailedError):
            state["a"] = "lost"
        clock.advance(31)
    state["a"] = 2
    assert state.manager.stats().restarts == 5
