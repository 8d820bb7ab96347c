import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import (
    ClosedError,
    CustomScope,
    GlobalScope,
    InvalidScopeError,
    InvalidStoreError,
    KeyCountError,
    KeyTooLongError,
    Limits,
    MailboxFullError,
    OwnerFailedError,
    QuarantinedError,
    ScopedState,
    StateManager,
    StateScope,
    StepScope,
    UsageError,
    WorkflowScope,
    WorkflowState,
)
from stateward.actors.core import faults
from stateward.messages import SetState
from stateward.testing import SimulatedClock
from tests.hostile import AWKWARD_NAMES as ALL_NAMES
from tests.hostile import REFUSED_NAMES, label
from tests.support import ManualDispatcher, refused

AWKWARD_NAMES: Final = [
    name for name in ALL_NAMES if len(name) <= Limits().max_key_bytes
]


@pytest.mark.parametrize(
    ("get", "scope"),
    [
        (lambda manager: manager.global_state(), GlobalScope()),
        (lambda manager: manager.workflow_state("a:b"), WorkflowScope("a:b")),
        (lambda manager: manager.step_state("a", "b"), StepScope("a", "b")),
        (lambda manager: manager.custom_state("a"), CustomScope("a")),
    ],
)
def test_handle_is_of_the_scope_it_was_asked_for(
    manager: StateManager,
    get: Callable[[StateManager], ScopedState],
    scope: StateScope,
) -> None:
    """Each way to a handle gives one of its scope, and so does the scope itself."""
    for state in (get(manager), manager.state(scope)):
        assert (state.scope, state.manager) == (scope, manager)
        assert isinstance(state, WorkflowState) is isinstance(scope, WorkflowScope)
        assert dict(state) == {}
    get(manager)["k"] = 1
    assert manager.state(scope)["k"] == 1
    assert manager.stats().keys == 1


def test_handles_make_nothing_until_something_is_written(manager: StateManager) -> None:
    """Asking for handles and reading through them costs the manager nothing."""
    before = manager.stats()
    for name in AWKWARD_NAMES:
        state = manager.workflow_state(name)
        assert (dict(state), state.steps(), state.revision) == ({}, [], 0)
        assert dict(state.step(name)) == dict(manager.custom_state(name)) == {}
    assert manager.stats() == before
    assert manager.workflow_ids() == []


@pytest.mark.parametrize("name", [it[0] for it in REFUSED_NAMES], ids=label)
def test_handle_is_not_given_for_what_is_no_id(
    manager: StateManager, state: WorkflowState, name: Any
) -> None:
    """A bad id is refused before there is a handle."""
    calls: list[Callable[[], object]] = [
        lambda: manager.workflow_state(name),
        lambda: manager.step_state(name, "s"),
        lambda: manager.step_state("w", name),
        lambda: manager.custom_state(name),
        lambda: manager.drop_workflow(name),
        lambda: manager.set_limits(name, None),
        lambda: state.step(name),
        lambda: state.custom_state(name),
    ]
    for call in calls:
        with pytest.raises(InvalidScopeError):
            call()


@pytest.mark.parametrize("scope", [None, "workflow:a:", WorkflowScope, 5])
def test_manager_refuses_what_is_no_scope(manager: StateManager, scope: Any) -> None:
    """A name is no scope; `parse_scope` makes one of it."""
    for call in (manager.state, manager.passivate, manager.release):
        with pytest.raises(UsageError, match=r"is not a scope$"):
            call(scope)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"store": "nosuch://x"}, InvalidStoreError),
        ({"store": Path("state.db")}, InvalidStoreError),
        ({"durability": "always"}, UsageError),
        ({"durability": None}, UsageError),
        ({"migrations": [object()]}, UsageError),
        ({"migrations": 5}, UsageError),
        ({"key": bytes(32)}, UsageError),
        ({"store": "sqlite:///state.db", "key": bytes(31)}, UsageError),
        ({"limits": {"max_keys": 1}}, UsageError),
        ({"idle_timeout": 0}, UsageError),
        ({"ask_timeout": -1}, UsageError),
        ({"ask_timeout": "1"}, UsageError),
        ({"ask_timeout": None}, UsageError),
        ({"store": "sqlite:///state.db", "flush_interval": None}, UsageError),
        ({"store": "sqlite:///state.db", "clock": 5}, UsageError),
        ({"store": "sqlite:///state.db", "dispatcher": 5}, UsageError),
    ],
)
def test_manager_is_not_made_of_bad_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    kind: type[UsageError],
) -> None:
    """A bad argument is refused, and leaves no thread, file or warning behind."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        StateManager(**arguments)
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []
    gc.collect()


def test_workflow_ids_are_those_that_hold_a_key(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """A key in a step counts; a key that expired or was deleted does not."""
    for name in AWKWARD_NAMES:
        manager.step_state(name, "s")["k"] = 1
    manager.workflow_state("expiring").set("k", 1, ttl=5)
    manager.workflow_state("emptied")["k"] = 1
    del manager.workflow_state("emptied")["k"]
    manager.custom_state("c")["k"] = manager.global_state()["k"] = 1
    assert sorted(manager.workflow_ids()) == sorted([*AWKWARD_NAMES, "expiring"])
    clock.advance(5)
    assert sorted(manager.workflow_ids()) == sorted(AWKWARD_NAMES)


def test_drop_forgets_the_workflow_with_its_steps(
    manager: StateManager, state: WorkflowState
) -> None:
    """Whoever holds a handle finds nothing, and others are untouched."""
    others = [manager.workflow_state("w:step:s"), manager.custom_state("w")]
    step = state.step("s")
    for each in (state, step, *others):
        each["k"] = 1
    snapshot = state.snapshot()
    assert manager.drop_workflow("w") is True
    assert (dict(state), dict(step), state.steps()) == ({}, {}, [])
    assert manager.drop_workflow("w") is False
    assert [dict(other) for other in others] == [{"k": 1}, {"k": 1}]
    assert dict(snapshot) == {"k": 1}


def test_drop_never_lets_a_revision_be_used_again(
    manager: StateManager, state: WorkflowState
) -> None:
    """A workflow that comes anew goes on above every revision it ever had."""
    highest = 0
    for _ in range(5):
        for turn in range(3):
            revision = state.set("k", turn)
            assert revision > highest
            highest = revision
        manager.drop_workflow("w")
        assert state.get("k") is None


def test_set_limits_holds_one_workflow_to_its_own(manager: StateManager) -> None:
    """Limits of a workflow go before the manager's, until they are taken back."""
    state, other = manager.workflow_state("w"), manager.workflow_state("x")
    manager.set_limits("w", Limits(max_keys=1))
    state["a"] = 1
    with refused(KeyCountError, state, limit="max_keys", allowance=1, actual=2):
        state["b"] = 1
    with refused(KeyCountError, state, state.step("s")):
        state.step("s")["a"] = 1
    other.update({"a": 1, "b": 1})
    manager.passivate(state.scope)
    with refused(KeyCountError, state):
        state["b"] = 1
    manager.set_limits("w", None)
    state["b"] = 1


def test_ids_are_held_to_the_limit_of_keys(manager: StateManager) -> None:
    """An id of `max_key_bytes` bytes is served, and one byte more refused."""
    manager.workflow_state("\xe9" * 256)["k"] = 1
    manager.custom_state("x" * 512)["k"] = 1
    manager.step_state("w", "x" * 512)["k"] = 1
    for state in (
        manager.workflow_state("\xe9" * 256 + "x"),
        manager.custom_state("x" * 513),
        manager.step_state("w", "x" * 513),
    ):
        with refused(KeyTooLongError, state, allowance=512, actual=513):
            state["k"] = 1
        assert dict(state) == {}


def test_passivate_lets_an_owner_go_and_keeps_its_state(
    manager: StateManager, state: WorkflowState
) -> None:
    """An owner that is gone comes back for the next write, where it left off."""
    state["a"] = 1
    assert manager.passivate(state.step("s").scope) is True
    assert manager.passivate(state.scope) is False
    assert (manager.stats().owners, manager.stats().keys) == (0, 1)
    assert state["a"] == 1
    assert state.set("b", 2) == 2
    assert manager.stats().owners == 1


def test_quarantine_refuses_writes_until_it_is_released(
    manager: StateManager, state: WorkflowState
) -> None:
    """A scope that keeps failing can be read; every other scope is untouched."""
    state["a"] = 1

    def fail() -> None:
        raise ZeroDivisionError

    with faults.arm("owner.decided", fail):
        for _ in range(3):
            with pytest.raises(OwnerFailedError) as caught:
                state["a"] = 2
            assert caught.value.effect == "none"
            assert state["a"] == 1
    assert manager.release(GlobalScope()) is False  # Waits for the supervisor.
    assert manager.stats().quarantined == (state.scope,)
    with refused(QuarantinedError, state, scope=state.scope):
        state["a"] = 2
    assert manager.stats().restarts == 3
    manager.workflow_state("other")["a"] = 1
    assert manager.release(state.step("s").scope) is True
    assert manager.release(state.scope) is False
    assert state.set("a", 2) == 2


def test_mailbox_takes_exactly_as_many_messages_as_allowed(
    paused: StateManager, dispatcher: ManualDispatcher
) -> None:
    """`max_pending` messages may wait for an owner, and one more is refused."""
    paused.set_limits("w", Limits(max_pending=3))
    state = paused.workflow_state("w")
    state["k"] = 0
    owner = paused.engine.owner(WorkflowScope("w"))
    for turn in range(1, 4):
        owner.tell(SetState(state.scope, "k", turn))
    with refused(MailboxFullError, state, limit="max_pending", allowance=3, actual=4):
        owner.tell(SetState(state.scope, "k", 4))
    assert paused.stats().pending == 3
    dispatcher.run()
    assert (state["k"], paused.stats().pending) == (3, 0)


def test_close_ends_every_call_with_an_error(
    manager: StateManager, state: WorkflowState
) -> None:
    """A closed manager serves nobody, and says so at once, however it is asked."""
    state["a"] = 1
    snapshot, view = state.snapshot(), state.view("a")
    manager.close()
    manager.close()
    calls: list[Callable[[], object]] = [
        manager.stats,
        manager.workflow_ids,
        lambda: manager.drop_workflow("w"),
        lambda: manager.set_limits("w", None),
        lambda: manager.passivate(state.scope),
        lambda: manager.release(state.scope),
        lambda: state["a"],
        lambda: state.get("a"),
        lambda: state.get("no"),
        lambda: state.view("a"),
        lambda: state.entry("a"),
        lambda: "a" in state,
        lambda: list(state),
        lambda: len(state),
        lambda: state.get_many(["a"]),
        state.snapshot,
        state.steps,
        state.drop,
        lambda: state.revision,
        lambda: state.set("a", 2),
        lambda: state.update(a=2),
        lambda: state.delete("a"),
        lambda: state.increment("a"),
        lambda: state.modify("a", lambda value: value),
        lambda: state.transaction().get("a"),
        lambda: manager.workflow_state("new").set("a", 1),
        lambda: manager.global_state().get("a"),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="the manager is closed"):
            call()
    assert (dict(snapshot), view) == ({"a": 1}, 1)


def test_close_happens_at_the_end_of_the_block() -> None:
    """A `with` block closes its manager, whether it raised or not."""
    managers = []

    def fail() -> None:
        with StateManager() as manager:
            managers.append(manager)
            manager.global_state()["a"] = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ClosedError):
        managers[0].stats()


def test_manager_says_when_it_was_forgotten() -> None:
    """A manager that nobody closed warns, and ends its threads."""
    manager = StateManager()
    manager.global_state()["a"] = 1
    held = [manager]
    del manager
    with pytest.warns(ResourceWarning, match="'memory://' was never closed"):
        held.clear()


def test_managers_keep_apart_what_they_hold() -> None:
    """Two managers of one process share nothing, not even for the same scope."""
    with StateManager() as first, StateManager() as second:
        first.workflow_state("w")["a"] = 1
        assert second.workflow_ids() == []
        assert second.workflow_state("w") == {}
    assert repr(first) == "<StateManager of 'memory://'>"
