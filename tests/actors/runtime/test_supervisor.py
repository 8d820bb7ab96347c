"""The supervisor: owners come when they are needed and go when they are not."""

import gc
import weakref
from collections.abc import Iterator

import pykka
import pytest

from stateward import (
    CustomScope,
    GlobalScope,
    KeyTooLongError,
    Limits,
    MailboxFullError,
    OwnerFailedError,
    QuarantinedError,
    ScopedState,
    StateManager,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core import faults
from stateward.actors.runtime.owner import OwnerGone
from stateward.actors.runtime.supervisor import Tick
from stateward.messages import (
    DropState,
    ExpireState,
    GetManyState,
    GetSnapshot,
    GetState,
    SetLimits,
    SetState,
)
from stateward.testing import SimulatedClock
from tests.threads import Gate, Job, eventually, frequent_switches

SCOPE = WorkflowScope("w")


@pytest.fixture(name="clock")
def still_clock() -> SimulatedClock:
    """Return a clock that stands still."""
    return SimulatedClock()


@pytest.fixture(name="manager")
def short_idle_manager(clock: SimulatedClock) -> Iterator[StateManager]:
    """Return a manager that lets owners go after ten seconds without use."""
    with StateManager(clock=clock, idle_timeout=10) as manager:
        yield manager


def test_owners_are_made_by_writes_and_not_by_reads(manager: StateManager) -> None:
    """Whatever is read of what does not exist, nothing comes into being."""
    state = manager.workflow_state("w")
    assert state.get("k") is None
    assert "k" not in state
    assert len(state) == 0
    assert list(state) == state.steps() == []
    assert state.step("s").snapshot() == {}
    for query in (GetState(SCOPE, "k"), GetManyState(SCOPE, ["k"]), GetSnapshot(SCOPE)):
        assert not manager.supervisor.ask(query)
    assert manager.supervisor.ask(DropState(SCOPE)) is False
    assert manager.supervisor.ask(ExpireState(SCOPE)) is False
    assert not manager.passivate(SCOPE)
    assert manager.engine.directory.states == {}
    assert manager.stats().activations == 0
    state["k"] = 1
    assert manager.stats().activations == 1


@pytest.mark.parametrize(
    "scope", [GlobalScope(), SCOPE, StepScope("w", "s"), CustomScope("n")]
)
def test_requests_are_routed_to_the_owner_of_their_scope(
    manager: StateManager, scope: WorkflowScope
) -> None:
    """Each of the four kinds of scope is served, and by its own owner."""
    supervisor = manager.supervisor
    assert isinstance(supervisor, pykka.ActorRef)
    assert supervisor.ask(SetState(scope, "k", [1])) == 1
    assert supervisor.ask(SetState(scope, "l", 2), block=False).get(timeout=30) == 2
    assert supervisor.ask(GetState(scope, "k")) == [1]
    assert supervisor.ask(GetState(scope, "no", default=5)) == 5
    assert supervisor.ask(GetManyState(scope, ["l", "no"])) == {"l": 2}
    assert supervisor.ask(GetSnapshot(scope)) == {"k": [1], "l": 2}
    assert list(manager.engine.directory.states) == [scope.owner]


def test_query_waits_for_what_its_sender_sent_before(manager: StateManager) -> None:
    """Told to set and then asked, a scope answers with what was set."""
    for number in range(300):
        manager.supervisor.tell(SetState(SCOPE, "k", number))
        assert manager.supervisor.ask(GetState(SCOPE, "k")) == number


def test_idle_owner_leaves_no_actor_behind(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """After the idle time the actor is gone, its state is not, and it comes back."""
    state = manager.workflow_state("w")
    state["k"] = 1
    ref = manager.engine.owner(SCOPE)
    actor = ref._actor_weakref
    assert isinstance(actor, weakref.ref)
    clock.advance(4)
    assert ref.is_alive()
    clock.advance(20)
    eventually(lambda: not ref.is_alive(), "the owner goes")
    eventually(lambda: manager.stats().owners == 0, "the directory forgets it")
    eventually(lambda: bool(gc.collect()) or actor() is None, "the actor is freed")
    assert state["k"] == 1
    assert state.increment("k") == 2
    assert manager.stats().owners == 1


def test_owner_in_use_is_let_be(manager: StateManager, clock: SimulatedClock) -> None:
    """An owner that is written to more often than the idle time stays."""
    state = manager.workflow_state("w")
    for number in range(8):
        state["k"] = number
        clock.advance(4)
    assert manager.stats().activations == 1


def test_owners_stay_for_ever_without_an_idle_time(clock: SimulatedClock) -> None:
    """`None` lets nobody go."""
    with StateManager(clock=clock, idle_timeout=None) as manager:
        manager.global_state()["k"] = 1
        clock.advance(1e6)
        manager.supervisor.ask(Tick())
        assert manager.stats().owners == 1


def test_looking_for_the_idle_forgets_an_owner_that_could_not_say_it_ended(
    manager: StateManager,
) -> None:
    """An owner that ended without a word leaves the directory at the next look."""
    manager.workflow_state("w")["k"] = 1
    owner = manager.engine.owner(SCOPE)
    owner.actor_inbox.close()
    manager.supervisor.ask(Tick())
    assert manager.engine.directory.owners == {}
    assert manager.workflow_state("w").increment("k") == 2


def test_looking_for_the_idle_passes_by_an_owner_with_a_full_mailbox(
    clock: SimulatedClock,
) -> None:
    """An owner that cannot take one more message is anything but idle."""
    gate = Gate()
    limits = Limits(max_pending=1)
    with StateManager(clock=clock, idle_timeout=10, limits=limits) as manager:
        state = manager.workflow_state("w")
        state["k"] = 0
        holder = Job(state.modify, "k", gate)
        gate.wait_until_entered()
        waiting = Job(state.set, "l", 1)
        owner = manager.engine.owner(SCOPE)
        eventually(lambda: bool(owner.actor_inbox.mail), "a message waits")
        clock.advance(100)
        manager.supervisor.ask(Tick())
        with pytest.raises(MailboxFullError) as caught:
            manager.supervisor.ask(SetState(SCOPE, "m", 1), block=False).get(timeout=30)
        assert caught.value.effect == "none"
        gate.open()
        holder.result()
        waiting.result()
        assert dict(state.items()) == {"k": 0, "l": 1}


def test_passivation_under_load_loses_nothing(manager: StateManager) -> None:
    """While the owner is let go again and again, every increment counts once."""
    state = manager.workflow_state("w")
    state["n"] = 0

    def count() -> None:
        for _ in range(300):
            state.increment("n")

    def push() -> int:
        return sum(manager.passivate(SCOPE) for _ in range(300))

    with frequent_switches():
        jobs = [Job(count) for _ in range(4)]
        went = Job(push).result()
        for job in jobs:
            job.result()
    assert state["n"] == 1200
    assert went > 0


def test_dropping_under_load_never_gives_a_revision_twice(
    manager: StateManager,
) -> None:
    """However often a workflow is dropped, revisions only grow."""
    state = manager.workflow_state("w")

    def write() -> list[int]:
        return [state.set("k", number) for number in range(300)]

    def drop() -> None:
        for _ in range(100):
            state.drop()

    with frequent_switches():
        writers = [Job(write) for _ in range(3)]
        dropper = Job(drop)
        written = [job.result() for job in writers]
        dropper.result()
    given = [revision for revisions in written for revision in revisions]
    assert len(set(given)) == len(given) == 900
    assert all(revisions == sorted(revisions) for revisions in written)


def test_failed_activation_is_told_and_tried_again(manager: StateManager) -> None:
    """A bug while an owner is made reaches the writer; the next write succeeds."""

    def fail() -> None:
        raise RuntimeError("seeded")

    state = manager.workflow_state("w")
    with faults.arm("supervisor.activate", fail):
        with pytest.raises(RuntimeError, match="seeded"):
            state["k"] = 1
        with pytest.raises(RuntimeError, match="seeded"):
            manager.global_state()["k"] = 1
    state["k"] = 1
    assert state["k"] == 1


def test_failed_passivation_is_told_and_leaves_a_working_scope(
    manager: StateManager,
) -> None:
    """A bug while an owner is let go restarts it."""

    def fail() -> None:
        raise RuntimeError("seeded")

    state = manager.workflow_state("w")
    state["k"] = 1
    with faults.arm("supervisor.passivate", fail), pytest.raises(OwnerFailedError):
        manager.passivate(SCOPE)
    assert state.increment("k") == 2


def test_refused_message_that_was_told_is_only_logged(
    manager: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """A message nobody waits for cannot take the supervisor, or an owner, with it."""
    manager.supervisor.tell(SetState(WorkflowScope("x" * 600), "k", 1))
    manager.supervisor.tell(SetState(SCOPE, "k", 1, None, 7))
    manager.supervisor.tell("nonsense")
    assert manager.supervisor.ask(SetState(SCOPE, "k", 2)) == 1
    assert "KeyTooLongError" in caplog.text
    assert "ConflictError" in caplog.text


def test_id_over_the_limit_is_refused_before_anything_is_made(
    manager: StateManager,
) -> None:
    """Ids are held to the limit of keys; the owner is never begun."""
    for state in (manager.workflow_state("x" * 513), manager.custom_state("x" * 513)):
        with pytest.raises(KeyTooLongError) as caught:
            state["k"] = 1
        assert (caught.value.allowance, caught.value.actual) == (512, 513)
    assert manager.engine.directory.states == {}
    manager.workflow_state("x" * 512)["k"] = 1


def test_limits_outlive_the_owner_they_were_set_for(manager: StateManager) -> None:
    """Set before the first write, or kept over passivation and drop, they hold."""
    manager.set_limits("w", Limits(max_keys=1))
    state = manager.workflow_state("w")
    state["a"] = 1
    for drop in (False, True):
        assert state.drop() if drop else manager.passivate(SCOPE)
        state["a"] = 1
        with pytest.raises(Exception, match="max_keys is 1"):
            state["b"] = 1
    manager.set_limits("w", None)
    state["b"] = 1


def test_limits_refused_in_quarantine_are_not_kept(manager: StateManager) -> None:
    """What a scope in quarantine refused does not hold after its release."""
    quarantine(manager.workflow_state("w"))
    with pytest.raises(QuarantinedError):
        manager.supervisor.ask(SetLimits(SCOPE, Limits(max_keys=1)))
    manager.release(SCOPE)
    manager.workflow_state("w").update({"b": 1, "c": 2})


def test_signal_of_an_owner_that_was_replaced_changes_nothing(
    manager: StateManager,
) -> None:
    """An owner that says late that it ended does not take its successor along."""
    state = manager.workflow_state("w")
    state["k"] = 1
    old = manager.engine.owner(SCOPE)
    manager.passivate(SCOPE)
    state["k"] = 2
    new = manager.engine.owner(SCOPE)
    manager.supervisor.ask(OwnerGone(SCOPE, old, None))
    assert manager.engine.owner(SCOPE) is new


def quarantine(state: ScopedState) -> None:
    """Have the owner of a scope fail until it takes no more writes."""

    def fail() -> None:
        raise RuntimeError("seeded")

    state["a"] = 1
    for _ in range(3):
        with faults.arm("owner.decided", fail), pytest.raises(OwnerFailedError):
            state["a"] = 2
