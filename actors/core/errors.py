"""Every error this library raises on purpose, by what a caller can do about it.

Each also derives from the built-in a Python user expects, so that code written for a
dictionary or a socket keeps working: a missing key is a `KeyError`, a deadline a
`TimeoutError`, a bad argument a `ValueError`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

Effect: TypeAlias = Literal["none", "unknown"]


class StateError(Exception):
    """Root of every error this library raises on purpose."""

    effect: Effect = "none"
    """`none`: nothing was changed. `unknown`: the write may have happened."""

    def __init__(self, message: str, /, **context: Any) -> None:
        """Keep `message` for people and `context` for programs."""
        super().__init__(message)
        self.context = context
        if "effect" in context:
            self.effect = context["effect"]

    def __str__(self) -> str:
        """Return the message; `KeyError` would return its `repr`."""
        return Exception.__str__(self)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        # Errors cross mailboxes and processes; plain pickling drops `context`.
        return partial(type(self), **self.context), self.args


class UsageError(StateError, ValueError):
    """The call is wrong and would be wrong again; nothing was changed."""


class InvalidKeyError(UsageError):
    """A key is not a non-empty string of permitted characters."""


class InvalidScopeError(UsageError):
    """A scope, an id in it, or a scope's written name is malformed."""


class InvalidValueError(UsageError):
    """A value is not JSON that comes back equal; the message names the place in it."""


class InvalidStoreError(UsageError):
    """No engine serves the scheme of a store URL."""


class WrongTypeError(UsageError, TypeError):
    """The stored value is of a kind the command cannot work on."""


class ReentrantCallError(UsageError, RuntimeError):
    """Code inside a turn asked an actor and would have waited for ever."""


class ClosedError(UsageError, RuntimeError):
    """The manager, or the transaction, has been closed."""


class ForkedError(ClosedError):
    """The manager belongs to the parent of this process; make a new one here."""


class MissingKeyError(StateError, KeyError):
    """The key is not in the scope."""


class ConflictError(StateError):
    """Something the caller had read has changed since; read again, then retry."""

    @property
    def expected(self) -> int:
        """Revision the caller had read; 0 for absent."""
        return int(self.context["expected"])

    @property
    def actual(self) -> int | None:
        """Revision it is at now, 0 for absent; `None` if all keys had been read."""
        actual: int | None = self.context.get("actual")
        return actual


class LimitError(StateError):
    """A limit would be passed; the scope and its accounting are as they were."""

    @property
    def limit(self) -> str:
        """Name of the field of `Limits`."""
        return str(self.context["limit"])

    @property
    def allowance(self) -> int:
        """What the limit permits, in the unit of its name."""
        return int(self.context["allowance"])

    @property
    def actual(self) -> int:
        """What the refused call would have led to."""
        return int(self.context["actual"])


class ValueTooLargeError(LimitError, ValueError):
    """One value is over `max_value_bytes` once encoded."""


class KeyTooLongError(LimitError, InvalidKeyError):
    """A key or an id is over `max_key_bytes` of UTF-8."""


class DepthError(LimitError, InvalidValueError):
    """A value nests deeper than `max_depth`."""


class KeyCountError(LimitError):
    """An owner would hold more than `max_keys` keys."""


class ByteCountError(LimitError):
    """An owner would hold more than `max_bytes` of keys and encoded values."""


class MailboxFullError(LimitError):
    """An owner already has `max_pending` messages waiting."""


class AccessDeniedError(StateError, PermissionError):
    """A step reached for something that its run may not reach."""


class StepRevokedError(AccessDeniedError):
    """The attempt of a step is over: it ended, timed out or was cancelled."""


class AlreadyRunningError(UsageError, RuntimeError):
    """The workflow is being run already."""


class InvalidFlowError(UsageError):
    """A workflow, or an option in it, makes no sense; nothing was run."""


class FlowChangedError(UsageError):
    """The run was begun with another flow, or with another input."""


class InvalidOutputError(InvalidValueError):
    """A step returned what is not JSON or too large; the message names the place."""


class ConditionError(StateError):
    """A condition, or what yields the items of a loop, raised or gave nonsense."""


class IterationLimitError(StateError):
    """A loop was not over after `max_iterations`."""


class StepTimeoutError(StateError, TimeoutError):
    """A step or workflow took longer than its `timeout`; what it did is not undone."""


class RunFailedError(StateError):
    """A run ended otherwise than completed; raised where a caller asked for that."""


class RecordedError(StateError):
    """Stands for an exception of an earlier process, of which the record is left."""


class UnavailableError(StateError):
    """The owner could not serve the call now; a later one may succeed."""


class OwnerStoppedError(UnavailableError):
    """The actor stopped before it handled the message."""


class OwnerFailedError(UnavailableError):
    """A bug in the handler; the owner was restarted from the last published state."""


class QuarantinedError(UnavailableError, PermissionError):
    """The scope's owner kept failing: reads work, writes wait for `release`."""


class RunLostError(UnavailableError):
    """The records of a run were dropped, or taken over by another runner."""


class AskTimeoutError(UnavailableError, TimeoutError):
    """No answer before the deadline; `effect` says whether the message was dropped."""


class StoreError(StateError):
    """The store cannot be opened, or cannot serve what is asked of it."""


class StoreLockedError(StoreError, PermissionError):
    """Another manager has the store open, or writes to it faster than it is read."""


class StoreFormatError(StoreError, ValueError):
    """The store was written by a newer version, or is no store of this library."""


class WrongKeyError(StoreError, PermissionError):
    """The store is sealed with a key that was not given, or is not sealed at all."""


class MigrationError(StoreError):
    """A migration failed; what it was to change is as it was before."""


class CorruptStoreError(StoreError):
    """What the store holds is damaged; the message names the file and the place."""


class CommitFailedError(UnavailableError, OSError):
    """The store could not commit; `effect` says whether it may have happened."""


class StoreFullError(CommitFailedError):
    """There is no space left; nothing was changed, and reads go on."""


class StorePoisonedError(CommitFailedError):
    """A sync failed earlier, so the store takes no writes until it is reopened."""


class InvariantError(Exception):
    """A bug of ours; outside `StateError` so that no handler hides it."""
