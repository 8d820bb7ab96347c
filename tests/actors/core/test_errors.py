import copy
from typing import Final

import pytest

import stateward
from stateward import (
    AskTimeoutError,
    ClosedError,
    ConflictError,
    DepthError,
    InvalidKeyError,
    InvalidValueError,
    InvariantError,
    KeyTooLongError,
    LimitError,
    MailboxFullError,
    MissingKeyError,
    OwnerFailedError,
    QuarantinedError,
    ReentrantCallError,
    StateError,
    UnavailableError,
    UsageError,
    ValueTooLargeError,
    WorkflowScope,
    WrongTypeError,
)
from stateward.actors.core import errors
from tests.support import repickled

KINDS: Final = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    key=lambda kind: kind.__name__,
)
STATE_ERRORS: Final[list[type[StateError]]] = [
    kind for kind in KINDS if issubclass(kind, StateError)
]


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (StateError, [Exception]),
        (UsageError, [StateError, ValueError]),
        (WrongTypeError, [UsageError, TypeError]),
        (ReentrantCallError, [UsageError, RuntimeError]),
        (ClosedError, [UsageError, RuntimeError]),
        (MissingKeyError, [StateError, KeyError, LookupError]),
        (LimitError, [StateError]),
        (ValueTooLargeError, [LimitError, ValueError]),
        (KeyTooLongError, [LimitError, InvalidKeyError]),
        (DepthError, [LimitError, InvalidValueError]),
        (QuarantinedError, [UnavailableError, PermissionError]),
        (AskTimeoutError, [UnavailableError, TimeoutError]),
    ],
)
def test_error_is_what_a_python_user_expects(
    kind: type[Exception], parents: list[type[Exception]]
) -> None:
    """Each error is caught by its kind and by the built-in of the same meaning."""
    assert [parent for parent in parents if not issubclass(kind, parent)] == []


def test_errors_are_exported_without_exception() -> None:
    """A caller can name every error there is."""
    assert [
        kind for kind in KINDS if getattr(stateward, kind.__name__) is not kind
    ] == []


def test_conflict_is_no_usage_error() -> None:
    """Who retries on conflicts does not retry calls that are wrong."""
    assert not issubclass(ConflictError, UsageError)
    assert not issubclass(UnavailableError, UsageError)


def test_invariant_error_escapes_handlers_of_state_errors() -> None:
    """A bug of ours is not hidden by `except StateError`."""
    assert not issubclass(InvariantError, StateError)


@pytest.mark.parametrize("kind", STATE_ERRORS)
def test_errors_pickle_with_their_context(kind: type[StateError]) -> None:
    """An error comes back from another process with message, context and effect."""
    error = kind(
        "not 'so'",
        limit="max_keys",
        allowance=1,
        actual=2,
        scope=WorkflowScope("a"),
        effect="unknown",
    )
    for same in (repickled(error), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind
        assert str(same) == "not 'so'"
        assert same.args == error.args
        assert same.context == error.context
        assert same.effect == "unknown"


@pytest.mark.parametrize("kind", STATE_ERRORS)
def test_errors_have_no_effect_unless_they_say_so(kind: type[StateError]) -> None:
    """An error that says nothing of its effect had none."""
    error = kind("refused")
    assert error.effect == "none"
    assert error.context == {}
    assert kind("refused", effect="unknown").effect == "unknown"


def test_str_is_the_message_for_missing_keys() -> None:
    """A missing key's message is for people, not the `repr` of `KeyError`."""
    assert str(MissingKeyError("'a' is not in it", key="a")) == "'a' is not in it"


def test_limit_error_tells_limit_allowance_and_actual() -> None:
    """The three figures of a passed limit are attributes."""
    error = MailboxFullError("full", limit="max_pending", allowance=3, actual=4)
    assert (error.limit, error.allowance, error.actual) == ("max_pending", 3, 4)


def test_owner_failed_error_is_worth_another_try() -> None:
    """A failed owner was restarted, so that a later call may succeed."""
    assert issubclass(OwnerFailedError, UnavailableError)


def test_conflict_says_which_revisions_differ() -> None:
    """What was expected and what is there can be read off the error."""
    conflict = ConflictError("stale", expected=3, actual=5)
    assert (conflict.expected, conflict.actual) == (3, 5)
    assert ConflictError("keys changed", expected=3).actual is None
