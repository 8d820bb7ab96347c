from typing import Any

import pykka
import pytest

import stateward.messages
from stateward import (
    ConflictError,
    CustomScope,
    GlobalScope,
    InvalidValueError,
    JsonValue,
    KeyCountError,
    Limits,
    MissingKeyError,
    StateError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core import messages
from stateward.messages import (
    AppendState,
    ClearState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    DropState,
    GetManyState,
    GetSnapshot,
    GetState,
    IncrementState,
    MergeState,
    Message,
    ModifyState,
    Passivate,
    PopItemState,
    PopState,
    Release,
    SetDefaultState,
    SetLimits,
    SetState,
    UpdateState,
)
from tests.hostile import label

SCOPES: list[StateScope] = [
    GlobalScope(),
    WorkflowScope("w"),
    StepScope("w", "s"),
    CustomScope("c"),
]


def test_messages_are_exported_without_exception() -> None:
    """Whatever a supervisor understands can be imported from `stateward.messages`."""
    engine = vars(messages)
    kinds = {
        name
        for name, kind in engine.items()
        if isinstance(kind, type) and issubclass(kind, Message)
    }
    assert kinds == set(stateward.messages.__all__)


def tenfold(value: JsonValue) -> JsonValue:
    """Return ten times `value`."""
    assert isinstance(value, int)
    return value * 10


@pytest.mark.parametrize("scope", SCOPES, ids=label)
def test_supervisor_serves_every_message_in_every_scope(
    manager: StateManager, scope: StateScope
) -> None:
    """A host that speaks in messages can do what handles do, wherever it likes."""
    ask = manager.supervisor.ask
    script: list[tuple[Message, object]] = [
        (GetState(scope, "a", 7), 7),
        (SetState(scope, "a", 1), 1),
        (GetState(scope, "a"), 1),
        (IncrementState(scope, "a", 2), 3),
        (UpdateState(scope, {"b": [1], "c": {}}), 3),
        (AppendState(scope, "b", [2]), 4),
        (MergeState(scope, "c", {"x": 1}), {"x": 1}),
        (ModifyState(scope, "a", tenfold), 30),
        (SetDefaultState(scope, "d", 5), 5),
        (GetManyState(scope, ["a", "b", "no"]), {"a": 30, "b": [1, 2]}),
        (PopState(scope, "d"), 5),
        (DeleteState(scope, "no"), False),
        (GetSnapshot(scope), {"a": 30, "b": [1, 2], "c": {"x": 1}}),
        (PopItemState(scope), ("c", {"x": 1})),
        (DeleteManyState(scope, ["b", "no"]), 1),
        (ClearState(scope), 1),
        (GetSnapshot(scope), {}),
    ]
    for message, reply in script:
        assert ask(message) == reply, message


def test_supervisor_commits_transactions(manager: StateManager) -> None:
    """What a transaction sends at its end can be sent by a host."""
    commit = CommitTransaction(
        WorkflowScope("w"),
        reads=((None, "a", 0),),
        scans=(),
        writes=(),
        removals=((None, "a"),),
    )
    manager.workflow_state("w")["b"] = 1
    assert manager.supervisor.ask(commit) == 1
    manager.workflow_state("w")["a"] = 1
    with pytest.raises(ConflictError):
        manager.supervisor.ask(commit)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (PopState(WorkflowScope("w"), "no"), MissingKeyError),
        (SetState(WorkflowScope("w"), "a", 1, expected=9), ConflictError),
        (ModifyState(WorkflowScope("w"), "a", lambda _: {1, 2}), InvalidValueError),  # type: ignore[arg-type,return-value]  # to be refused
    ],
    ids=label,
)
def test_supervisor_gives_refusals_to_who_asked(
    manager: StateManager, message: Message, kind: type[StateError]
) -> None:
    """An error comes back from `ask`, blocking or not, and from nothing else."""
    with pytest.raises(kind):
        manager.supervisor.ask(message)
    with pytest.raises(kind):
        manager.supervisor.ask(message, block=False).get(timeout=30)
    manager.supervisor.tell(message)
    assert manager.supervisor.ask(SetState(WorkflowScope("w"), "b", 1)) == 1


def test_supervisor_serves_what_was_told_before_what_is_asked(
    manager: StateManager,
) -> None:
    """Messages of one sender to one scope are served in their order."""
    scope = WorkflowScope("w")
    for turn in range(200):
        manager.supervisor.tell(SetState(scope, "k", turn))
        assert manager.supervisor.ask(GetState(scope, "k")) == turn


def test_supervisor_administers_owners(manager: StateManager) -> None:
    """Limits, passivation, dropping and release can be asked for by message."""
    ask, scope = manager.supervisor.ask, WorkflowScope("w")
    assert ask(DropState(scope)) is False
    assert ask(Passivate(scope)) is False
    assert ask(Release(scope)) is False
    ask(SetState(scope, "a", 1))
    ask(SetLimits(scope, Limits(max_keys=1)))
    with pytest.raises(KeyCountError):
        ask(SetState(scope, "b", 1))
    assert ask(Passivate(scope)) is True
    assert ask(GetState(scope, "a")) == 1
    assert ask(DropState(scope)) is True
    assert ask(GetSnapshot(scope)) == {}


def test_supervisor_is_a_pykka_actor(manager: StateManager) -> None:
    """The reference and its futures are Pykka's, and strangers do no harm."""
    assert isinstance(manager.supervisor, pykka.ActorRef)
    future: Any = manager.supervisor.ask(GetSnapshot(GlobalScope()), block=False)
    assert isinstance(future, pykka.Future)
    assert future.get(timeout=30) == {}
    for stranger in (None, "hello", {"command": "set"}, object()):
        manager.supervisor.ask(stranger)
        manager.supervisor.tell(stranger)
    assert manager.supervisor.is_alive()
