"""Calls: what a user can do to a scope, as data that a strategy can draw.

A call is made on a handle of the library, on its asyncio twin, on the model, or sent as
a message to the supervisor; it means the same to all of them.
"""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from stateward import StateScope
from stateward.messages import (
    AppendState,
    ClearState,
    DeleteManyState,
    DeleteState,
    GetState,
    IncrementState,
    MergeState,
    Message,
    ModifyState,
    PopItemState,
    PopState,
    SetDefaultState,
    SetState,
    UpdateState,
)

Anything: TypeAlias = Any  # type: ignore[explicit-any]  # what a method takes or gives


class Revised(Protocol):
    """An entry, of the library or of its model."""

    @property
    def revision(self) -> int:
        """Of the command that changed it last."""
        ...


class Expected(Enum):
    """Revisions that a strategy cannot know."""

    CURRENT = "current"
    """What the key is at when the call is made; 0 if it is absent."""
    STALE = "stale"
    """Something else."""

    def of(self, entry: "Revised | None") -> int:
        """Return the revision that is meant, of the entry as it is now."""
        current = 0 if entry is None else entry.revision
        return current if self is Expected.CURRENT else current + 1


class DeliberateError(Exception):
    """What a function given to `modify` raises on purpose."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function for `modify` that shows its name."""

    name: str
    body: Callable[[Anything], Anything]

    def __call__(self, value: Anything) -> Anything:
        """Return the new value."""
        return self.body(value)

    def __repr__(self) -> str:
        """Show the name."""
        return self.name


def _fail(_: object) -> Anything:
    raise DeliberateError


FUNCTIONS: Final = (
    Function("keep", lambda value: value),
    Function("wrap", lambda value: [value]),
    Function("count", lambda value: value + 1 if type(value) is int else 1),
    Function("unfit", lambda _: {1, 2}),
    Function("fail", _fail),
)


@dataclass(frozen=True, slots=True)  # tidy: as a call reads, its name first
class Call:
    """The name of a method, and what it is given."""

    name: str
    args: tuple[Anything, ...]
    named: tuple[tuple[str, Anything], ...] = ()

    def __repr__(self) -> str:
        """Show it as it would be written."""
        named = [f"{name}={value!r}" for name, value in self.named]
        return f"{self.name}({', '.join([*map(repr, self.args), *named])})"

    def knowing(self, target: Anything) -> "Call":
        """Return the call with a real revision, of what is in `target` now."""
        named = dict(self.named)
        expected = named.get("expected")
        if isinstance(expected, Expected):
            named["expected"] = expected.of(target.entry(self.args[0]))
        return Call(self.name, self.args, tuple(named.items()))

    def unconditional(self) -> "Call":
        """Return the call without a revision that the key must be at."""
        named = tuple(each for each in self.named if each[0] != "expected")
        return Call(self.name, self.args, named)

    def on(self, target: Anything) -> Anything:
        """Make the call, with values nobody else has.

        Args:
            target: A handle, a model, or a scope in a transaction; it is asked for the
                revision of the key if the call depends on that.
        """
        call = self.knowing(target)
        args, named = copy.deepcopy((call.args, dict(call.named)))
        return getattr(target, call.name)(*args, **named)

    async def awaited(self, target: Anything) -> Anything:
        """Make the call on an asyncio handle."""
        reply = self.on(target)
        return await reply if inspect.isawaitable(reply) else reply

    def message(self, scope: StateScope) -> Message:
        """Return the message that says the same to the supervisor."""
        args, named = copy.deepcopy((self.args, dict(self.named)))
        if self.name == "append":
            return AppendState(scope, args[0], args[1:])
        return MESSAGES[self.name](scope, *args, **named)


MESSAGES: Final[dict[str, Callable[..., Message]]] = {  # type: ignore[explicit-any]  # each takes its own
    "append": AppendState,
    "clear": ClearState,
    "delete": DeleteState,
    "delete_many": DeleteManyState,
    "get": GetState,
    "increment": IncrementState,
    "merge": MergeState,
    "modify": ModifyState,
    "pop": PopState,
    "popitem": PopItemState,
    "set": SetState,
    "setdefault": SetDefaultState,
    "update": UpdateState,
}
"""By the name of the call that does the same."""
