"""Calls: what a user can do to a scope, as data that a strategy can draw.

A call is made on a handle of the library, on its asyncio twin, on the model, or sent as
a message to the supervisor; it means the same to all of them.
"""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import Bundle
from hypothesis.strategies import SearchStrategy

from property_tests.strategies import values
from stateward import JsonValue, StateScope
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

KEY_BYTES: Final = 16
"""A `max_key_bytes` that the last of `KEYS` is over."""
KEYS: Final = ("k", "k:1", "k%3A1", "\u00e1", "a\u0301", "seventeen letters")
"""Of which a run uses some."""


class Expected(Enum):
    """Revisions that a strategy cannot know."""

    CURRENT = "current"
    """What the key is at when the call is made; 0 if it is absent."""
    STALE = "stale"
    """Something else."""


class DeliberateError(Exception):
    """What a function given to `modify` raises on purpose."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function for `modify` that shows its name."""

    name: str
    body: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        """Return the new value."""
        return self.body(value)

    def __repr__(self) -> str:
        """Show the name."""
        return self.name


def _fail(_: object) -> Any:
    raise DeliberateError


FUNCTIONS: Final = (
    Function("keep", lambda value: value),
    Function("wrap", lambda value: [value]),
    Function("count", lambda value: value + 1 if type(value) is int else 1),
    Function("unfit", lambda _: {1, 2}),
    Function("fail", _fail),
)


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a method, and what it is given."""

    name: str
    args: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        """Show it as it would be written."""
        named = [f"{name}={value!r}" for name, value in self.named]
        return f"{self.name}({', '.join([*map(repr, self.args), *named])})"

    def knowing(self, expected: Callable[[Expected, str], int]) -> "Call":
        """Return the call with real revisions; `expected` is given the key too."""
        named = dict(self.named)
        if isinstance(named.get("expected"), Expected):
            named["expected"] = expected(named["expected"], self.args[0])
        return Call(self.name, self.args, tuple(named.items()))

    def on(self, target: Any) -> Any:
        """Make the call, with values nobody else has."""
        args, named = copy.deepcopy((self.args, dict(self.named)))
        return getattr(target, self.name)(*args, **named)

    async def awaited(self, target: Any) -> Any:
        """Make the call on an asyncio handle."""
        reply = self.on(target)
        return await reply if inspect.isawaitable(reply) else reply

    def message(self, scope: StateScope) -> Message:
        """Return the message that says the same to the supervisor."""
        args, named = copy.deepcopy((self.args, dict(self.named)))
        if self.name == "append":
            return AppendState(scope, args[0], args[1:])
        return MESSAGES[self.name](scope, *args, **named)


MESSAGES: Final[dict[str, Callable[..., Message]]] = {
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

# ---------------------------------------------------------------------- strategies

keys: Final[Bundle[str]] = Bundle("keys")
"""Those of one run: few, so that calls meet."""
small_values: Final[SearchStrategy[JsonValue]] = st.one_of(
    st.sampled_from((0, 1, -1, 1.5, True, None, "", "text", [], {}, [1], {"a": 1}))
    | st.sampled_from(((1 << 64) - 1, -(1 << 63), -0.0, 1e308, [[[]]], {"a": {"b": 1}}))
    | values(4)
)
patches: Final[SearchStrategy[JsonValue]] = small_values | st.dictionaries(
    st.sampled_from("ab"), st.none() | small_values, max_size=2
)
ttls: Final = st.none() | st.sampled_from((0.5, 1, 2.5, 10, 60.0))
numbers: Final = st.sampled_from((1, -1, 3, 0.5, -0.0, 1 << 63, 1e308))
_expected: Final = st.sampled_from((None, None, 0, *Expected))


def _call(
    name: str, *args: SearchStrategy[Any], **named: SearchStrategy[Any]
) -> SearchStrategy[Call]:
    drawn = st.fixed_dictionaries(named).map(
        lambda found: tuple((k, v) for k, v in found.items() if v is not None)
    )
    return st.builds(Call, st.just(name), st.tuples(*args), drawn)


_entries: Final = st.dictionaries(keys, small_values, max_size=4)
_some_keys: Final = st.lists(keys, max_size=4)
_items: Final = st.lists(small_values, max_size=2)

writes: Final[SearchStrategy[Call]] = st.one_of(
    _call("set", keys, small_values, ttl=ttls, expected=_expected),
    _call("set", keys, small_values),
    _call("increment", keys, numbers),
    _call("increment", keys, initial=numbers),
    _call("append", keys, small_values),
    _items.flatmap(lambda items: _call("append", keys, *map(st.just, items))),
    _call("merge", keys, patches),
    _call("setdefault", keys, small_values),
    _call("pop", keys),
    _call("update", _entries),
    _call("update", _entries),
    _call("delete", keys, expected=_expected),
    _call("delete_many", _some_keys),
    _call("clear"),
    _call("modify", keys, st.sampled_from(FUNCTIONS)),
    _call("modify", keys, st.sampled_from(FUNCTIONS), default=small_values),
    _call("popitem"),
)
"""Calls that change a scope and can be sent as messages too."""

handle_writes: Final[SearchStrategy[Call]] = st.one_of(
    _call("pop", keys, st.just("default")),
    _call("__setitem__", keys, small_values),
    _call("__delitem__", keys),
)
"""Calls that only a handle has."""

reads: Final[SearchStrategy[Call]] = st.one_of(
    _call("get", keys),
    _call("get", keys, st.just("default")),
    _call("view", keys),
    _call("get_many", _some_keys),
    _call("snapshot"),
    _call("items"),
    _call("__getitem__", keys),
    _call("__contains__", keys),
    _call("__len__"),
    _call("__iter__"),
)
"""Calls that change nothing."""

messages: Final[SearchStrategy[Call]] = writes | _call("get", keys)
"""Calls that can be sent as messages."""

transaction_calls: Final[SearchStrategy[Call]] = st.one_of(
    _call("set", keys, small_values, ttl=ttls),
    _call("delete", keys),
    _call("increment", keys),
    _call("increment", keys, numbers),
    _call("append", keys, small_values),
    _call("merge", keys, patches),
    _call("setdefault", keys, small_values),
    _call("pop", keys),
    _call("update", _entries),
    _call("clear"),
    _call("__setitem__", keys, small_values),
    _call("__delitem__", keys),
    _call("get", keys),
    _call("__getitem__", keys),
    _call("__contains__", keys),
    _call("__len__"),
    _call("__iter__"),
    _call("items"),
)
"""Calls on a scope within a transaction."""
