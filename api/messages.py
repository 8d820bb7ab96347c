"""What `StateManager.supervisor` understands: commands and queries, each for a scope.

Example:
    >>> from stateward import StateManager, WorkflowScope
    >>> from stateward.messages import GetState, SetState
    >>> with StateManager() as manager:
    ...     manager.supervisor.ask(SetState(WorkflowScope("order-123"), "retries", 3))
    ...     manager.supervisor.ask(GetState(WorkflowScope("order-123"), "retries"))
    1
    3
"""

from stateward.actors.core.messages import (
    AppendState,
    ClearState,
    CommitTransaction,
    DeleteManyState,
    DeleteState,
    DropState,
    ExpireState,
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

__all__ = [
    "AppendState",
    "ClearState",
    "CommitTransaction",
    "DeleteManyState",
    "DeleteState",
    "DropState",
    "ExpireState",
    "GetManyState",
    "GetSnapshot",
    "GetState",
    "IncrementState",
    "MergeState",
    "Message",
    "ModifyState",
    "Passivate",
    "PopItemState",
    "PopState",
    "Release",
    "SetDefaultState",
    "SetLimits",
    "SetState",
    "UpdateState",
]
