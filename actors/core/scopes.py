"""Scopes: the typed names of state namespaces, and how they are written.

A scope is written as the specification writes it, `workflow:ID:step:NAME:`, except
that `:` and `%` inside an id become `%3A` and `%25`. No two scopes, and no two pairs of
scope and key, therefore share a written name; `WorkflowScope("a:step:b")` does not meet
`StepScope("a", "b")`.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from stateward.actors.core.errors import InvalidKeyError, InvalidScopeError

SHOWN_MAX: Final = 80
"""Characters of an id or key that a message shows."""
RUN_STEP: Final = "\0run"
"""Step under which a workflow's owner keeps what the runner records. No caller's step
can be called so, since no name holds NUL."""


@dataclass(frozen=True, slots=True)
class GlobalScope:
    """The one scope every workflow shares."""

    step_name: ClassVar[None] = None

    @property
    def owner(self) -> "GlobalScope":
        """The scope whose actor owns this one: itself."""
        return self

    def prefix(self) -> str:
        """Return the empty string, the specification's name for global state."""
        return ""


@dataclass(frozen=True, slots=True)
class WorkflowScope:
    """What one workflow keeps for itself, apart from its steps."""

    step_name: ClassVar[None] = None

    workflow_id: str
    """Any non-empty text without NUL and lone surrogates."""

    def __post_init__(self) -> None:
        """Refuse an id that could not be stored or written."""
        check_id(self.workflow_id, "workflow id")

    @property
    def owner(self) -> "WorkflowScope":
        """The scope whose actor owns this one: itself."""
        return self

    def prefix(self) -> str:
        """Return `workflow:ID:`."""
        return f"workflow:{escape(self.workflow_id)}:"


@dataclass(frozen=True, slots=True)
class StepScope:
    """What one step of one workflow keeps; owned by the workflow's actor."""

    workflow_id: str
    """Any non-empty text without NUL and lone surrogates."""
    step_name: str
    """As `workflow_id`; unique within its workflow only."""

    def __post_init__(self) -> None:
        """Refuse an id or name that could not be stored or written."""
        check_id(self.workflow_id, "workflow id")
        check_id(self.step_name, "step name")

    @property
    def owner(self) -> WorkflowScope:
        """The scope whose actor owns this one: the workflow's."""
        return WorkflowScope(self.workflow_id)

    def prefix(self) -> str:
        """Return `workflow:ID:step:NAME:`."""
        return f"workflow:{escape(self.workflow_id)}:step:{escape(self.step_name)}:"


@dataclass(frozen=True, slots=True)
class CustomScope:
    """A namespace of the application's own, apart from every workflow."""

    step_name: ClassVar[None] = None

    namespace: str
    """Any non-empty text without NUL and lone surrogates."""

    def __post_init__(self) -> None:
        """Refuse a namespace that could not be stored or written."""
        check_id(self.namespace, "namespace")

    @property
    def owner(self) -> "CustomScope":
        """The scope whose actor owns this one: itself."""
        return self

    def prefix(self) -> str:
        """Return `custom:NS:`."""
        return f"custom:{escape(self.namespace)}:"


StateScope: TypeAlias = GlobalScope | WorkflowScope | StepScope | CustomScope
OwnerScope: TypeAlias = GlobalScope | WorkflowScope | CustomScope


def parse_scope(prefix: str) -> StateScope:
    """Return the scope whose `prefix()` is `prefix`.

    Raises:
        InvalidScopeError: No scope is written like this. Effect: none.
    """
    match prefix.split(":"):
        case [""]:
            scope: StateScope = GlobalScope()
        case ["workflow", workflow_id, ""]:
            scope = WorkflowScope(unescape(workflow_id))
        case ["workflow", workflow_id, "step", step_name, ""]:
            scope = StepScope(unescape(workflow_id), unescape(step_name))
        case ["custom", namespace, ""]:
            scope = CustomScope(unescape(namespace))
        case _:
            raise InvalidScopeError(f"no scope is written {prefix!r}", prefix=prefix)
    if scope.prefix() != prefix:
        # A lenient reading would let one scope answer to two names: "%3a" and "%3A".
        raise InvalidScopeError(f"no scope is written {prefix!r}", prefix=prefix)
    return scope


def qualified_name(scope: StateScope, key: str) -> str:
    """Return the written name of `key` in `scope`; no other pair shares it."""
    check_key(key)
    return scope.prefix() + escape(key)


def parse_name(name: str) -> tuple[StateScope, str]:
    """Return the scope and key whose `qualified_name` is `name`.

    Raises:
        InvalidScopeError: The part before the last `:` is no scope. Effect: none.
        InvalidKeyError: The part after it is no written key. Effect: none.
    """
    prefix, colon, written = name.rpartition(":")
    scope = parse_scope(prefix + colon)
    key = unescape(written)
    if escape(key) != written:
        raise InvalidKeyError(f"no key is written {written!r}", name=name)
    check_key(key)
    return scope, key


def escape(text: str) -> str:
    """Return `text` without `:`; equal results mean equal texts."""
    return text.replace("%", "%25").replace(":", "%3A")


def unescape(text: str) -> str:
    """Undo `escape`; text that `escape` never returns is left for the caller to see."""
    return text.replace("%3A", ":").replace("%25", "%")


def check_id(text: object, what: str) -> None:
    """Raise `InvalidScopeError` unless `text` can name a scope."""
    fault = _fault(text)
    if fault:
        raise InvalidScopeError(f"{what} {shown(text)} {fault}", value=shown(text))


def check_key(key: object) -> None:
    """Raise `InvalidKeyError` unless `key` can name an entry."""
    fault = _fault(key)
    if fault:
        raise InvalidKeyError(f"key {shown(key)} {fault}", key=shown(key))


def utf8_bytes(text: str) -> int:
    """Return how many bytes `text` takes as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _fault(text: object) -> str | None:
    """Say what keeps `text` from being a name, or `None`."""
    if type(text) is not str:
        # A subclass may bring its own hash and equality into the owner's turn.
        return f"is of type {type(text).__name__}, not str"
    if not text:
        return "is empty"
    if "\0" in text:
        return f"has NUL at index {text.index(chr(0))}"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"has a lone surrogate at index {error.start}"
    return None


def shown(value: object) -> str:
    """Return `repr(value)`, short enough for a message, whatever `value` is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a caller's own, or an integer too long to print
        return f"<{type(value).__name__}>"
    if len(text) <= SHOWN_MAX:
        return text
    return f"{text[: SHOWN_MAX - 20]}... ({len(text)} characters)"
