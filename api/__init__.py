"""stateward: an embeddable, actor-based state engine for workflows.

Every workflow's state is owned by one actor; a supervisor routes requests to it; reads
come from a snapshot cache and never wait.

Example:
    >>> from stateward import StateManager
    >>> with StateManager() as manager:
    ...     order = manager.workflow_state("order-123")
    ...     order.set("config", {"retries": 3})
    ...     order.get("config")
    1
    {'retries': 3}
"""

import logging

from stateward.actors.core.errors import (
    AccessDeniedError,
    AlreadyRunningError,
    AskTimeoutError,
    ByteCountError,
    ClosedError,
    CommitFailedError,
    ConditionError,
    ConflictError,
    CorruptStoreError,
    DepthError,
    FlowChangedError,
    ForkedError,
    InvalidFlowError,
    InvalidKeyError,
    InvalidOutputError,
    InvalidScopeError,
    InvalidStoreError,
    InvalidValueError,
    InvariantError,
    IterationLimitError,
    KeyCountError,
    KeyTooLongError,
    LimitError,
    MailboxFullError,
    MigrationError,
    MissingKeyError,
    OwnerFailedError,
    OwnerStoppedError,
    QuarantinedError,
    RecordedError,
    ReentrantCallError,
    RunFailedError,
    RunLostError,
    StateError,
    StepRevokedError,
    StepTimeoutError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreLockedError,
    StorePoisonedError,
    UnavailableError,
    UsageError,
    ValueTooLargeError,
    WrongKeyError,
    WrongTypeError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import Revision
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
    parse_name,
    parse_scope,
    qualified_name,
)
from stateward.actors.core.values import FrozenJson, JsonValue
from stateward.actors.store.checking import Finding
from stateward.actors.store.ciphers import KeyProvider, KeyRing
from stateward.aio import AsyncScopedState, AsyncWorkflowState
from stateward.handles import ScopedState, WorkflowState
from stateward.manager import StateManager
from stateward.migrations import MigratedState, Migration, MigrationReport
from stateward.moving import MoveReport
from stateward.snapshots import Entry, Snapshot
from stateward.stats import Stats
from stateward.transactions import Transaction, TransactionScope

__version__ = "0.1.0"

# A library is silent until its host asks to hear it.
logging.getLogger("stateward").addHandler(logging.NullHandler())

__all__ = [
    "AccessDeniedError",
    "AlreadyRunningError",
    "AskTimeoutError",
    "AsyncScopedState",
    "AsyncWorkflowState",
    "ByteCountError",
    "Clock",
    "ClosedError",
    "CommitFailedError",
    "ConditionError",
    "ConflictError",
    "CorruptStoreError",
    "CustomScope",
    "DepthError",
    "Dispatcher",
    "Entry",
    "Finding",
    "FlowChangedError",
    "ForkedError",
    "FrozenJson",
    "GlobalScope",
    "InvalidFlowError",
    "InvalidKeyError",
    "InvalidOutputError",
    "InvalidScopeError",
    "InvalidStoreError",
    "InvalidValueError",
    "InvariantError",
    "IterationLimitError",
    "JsonValue",
    "KeyCountError",
    "KeyProvider",
    "KeyRing",
    "KeyTooLongError",
    "LimitError",
    "Limits",
    "MailboxFullError",
    "MigratedState",
    "Migration",
    "MigrationError",
    "MigrationReport",
    "MissingKeyError",
    "MoveReport",
    "OwnerFailedError",
    "OwnerStoppedError",
    "QuarantinedError",
    "RecordedError",
    "ReentrantCallError",
    "Revision",
    "RunFailedError",
    "RunLostError",
    "ScopedState",
    "Snapshot",
    "StateError",
    "StateManager",
    "StateScope",
    "Stats",
    "StepRevokedError",
    "StepScope",
    "StepTimeoutError",
    "StoreError",
    "StoreFormatError",
    "StoreFullError",
    "StoreLockedError",
    "StorePoisonedError",
    "Transaction",
    "TransactionScope",
    "UnavailableError",
    "UsageError",
    "ValueTooLargeError",
    "WorkflowScope",
    "WorkflowState",
    "WrongKeyError",
    "WrongTypeError",
    "parse_name",
    "parse_scope",
    "qualified_name",
]
