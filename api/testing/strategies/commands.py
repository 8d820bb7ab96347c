"""Strategies for commands: calls of a handle as data, and messages."""

from collections.abc import Callable, Collection
from typing import Final, Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward import JsonValue, StateScope
from stateward.messages import Message
from stateward.testing.calls import FUNCTIONS, Call, Expected
from stateward.testing.strategies.names import keys as any_keys
from stateward.testing.strategies.names import scopes as any_scopes
from stateward.testing.strategies.values import small_values

Kind: TypeAlias = Literal["write", "read", "mapping", "message", "transaction"]
"""See `commands`."""
Keys: TypeAlias = SearchStrategy[str]
Values: TypeAlias = SearchStrategy[JsonValue]

TTLS: Final = st.none() | st.sampled_from((0.5, 1, 2.5, 10, 60.0))
NUMBERS: Final = st.sampled_from((1, -1, 3, 0.5, -0.0, 1 << 63, 1e308))
EXPECTED: Final = st.sampled_from((None, None, 0, *Expected))
DEFAULT: Final = st.just("default")


def commands(
    *kinds: Kind,
    keys: Keys | None = None,
    values: Values | None = None,
    leave_out: Collection[str] = (),
) -> SearchStrategy[Call]:
    """Return calls of a handle, to be made with `Call.on` on a handle or a model.

    Args:
        kinds: Of calls: `write` and `read`; `mapping` for what only handles and other
            mappings have, as `del state[key]`; `message` for what can be sent to the
            supervisor; `transaction` for a scope in a transaction. By default the
            first three.
        keys: What keys are drawn from; few make calls meet, and a `Bundle` will do.
        values: What values are drawn from.
        leave_out: Names of methods that are not called.
    """
    keys = any_keys() if keys is None else keys
    values = small_values() if values is None else values
    found = [
        each
        for kind in kinds or ("write", "read", "mapping")
        for name, each in _CALLS[kind](keys, values)
        if name not in leave_out
    ]
    return st.one_of(found)


def messages(
    *,
    scopes: SearchStrategy[StateScope] | None = None,
    keys: Keys | None = None,
    values: Values | None = None,
    leave_out: Collection[str] = (),
) -> SearchStrategy[Message]:
    """Return messages to the supervisor, to be sent by `manager.supervisor.ask`.

    None of them depends on the revision a key is at.

    Args:
        scopes: What scopes are drawn from; `strategies.scopes()` by default.
        keys: What keys are drawn from.
        values: What values are drawn from.
        leave_out: Names of methods that no message stands for, such as `clear`.
    """
    drawn = commands("message", keys=keys, values=values, leave_out=leave_out)
    scopes = any_scopes() if scopes is None else scopes
    return st.builds(
        lambda call, scope: call.unconditional().message(scope), drawn, scopes
    )


Named: TypeAlias = tuple[str, SearchStrategy[Call]]


def _call(
    name: str, *args: SearchStrategy[object], **named: SearchStrategy[object]
) -> Named:
    return name, _calls(name, st.tuples(*args), st.fixed_dictionaries(named))


@st.composite  # Made by `builds`, a call would be shown by how it was made.
def _calls(
    draw: st.DrawFn,
    name: str,
    args: SearchStrategy[tuple[object, ...]],
    named: SearchStrategy[dict[str, object]],
) -> Call:
    given = draw(args)
    options = ((key, it) for key, it in draw(named).items() if it is not None)
    return Call(name, given, tuple(options))


def _patches(values: Values) -> SearchStrategy[JsonValue]:
    members = st.none() | values
    return values | st.dictionaries(st.sampled_from("ab"), members, max_size=2)


def _appends(keys: Keys, values: Values) -> Named:
    items = st.lists(values, max_size=2)
    name, _ = _call("append", keys)
    return name, items.flatmap(lambda found: _call(name, keys, *map(st.just, found))[1])


def _writes(keys: Keys, values: Values) -> list[Named]:
    """Return calls that change a scope and can be sent as messages too."""
    entries = st.dictionaries(keys, values, max_size=4)
    functions = st.sampled_from(FUNCTIONS)
    return [
        _call("set", keys, values, ttl=TTLS, expected=EXPECTED),
        _call("set", keys, values),
        _call("increment", keys, NUMBERS),
        _call("increment", keys, initial=NUMBERS),
        _call("append", keys, values),
        _appends(keys, values),
        _call("merge", keys, _patches(values)),
        _call("setdefault", keys, values),
        _call("pop", keys),
        _call("update", entries),
        _call("update", entries),
        _call("delete", keys, expected=EXPECTED),
        _call("delete_many", st.lists(keys, max_size=4)),
        _call("clear"),
        _call("modify", keys, functions),
        _call("modify", keys, functions, default=values),
        _call("popitem"),
    ]


def _mapping(keys: Keys, values: Values) -> list[Named]:
    """Return calls that only a handle has."""
    return [
        _call("pop", keys, DEFAULT),
        _call("__setitem__", keys, values),
        _call("__delitem__", keys),
    ]


def _reads(keys: Keys, _: Values) -> list[Named]:
    """Return calls that change nothing."""
    return [
        _call("get", keys),
        _call("get", keys, DEFAULT),
        _call("view", keys),
        _call("get_many", st.lists(keys, max_size=4)),
        _call("snapshot"),
        _call("items"),
        _call("__getitem__", keys),
        _call("__contains__", keys),
        _call("__len__"),
        _call("__iter__"),
    ]


def _transaction(keys: Keys, values: Values) -> list[Named]:
    """Return calls on a scope within a transaction."""
    return [
        _call("set", keys, values, ttl=TTLS),
        _call("delete", keys),
        _call("increment", keys),
        _call("increment", keys, NUMBERS),
        _call("append", keys, values),
        _call("merge", keys, _patches(values)),
        _call("setdefault", keys, values),
        _call("pop", keys),
        _call("update", st.dictionaries(keys, values, max_size=4)),
        _call("clear"),
        _call("__setitem__", keys, values),
        _call("__delitem__", keys),
        _call("get", keys),
        _call("__getitem__", keys),
        _call("__contains__", keys),
        _call("__len__"),
        _call("__iter__"),
        _call("items"),
    ]


def _messages(keys: Keys, values: Values) -> list[Named]:
    return [*_writes(keys, values), _call("get", keys)]


_CALLS: Final[dict[Kind, Callable[[Keys, Values], list[Named]]]] = {
    "mapping": _mapping,
    "message": _messages,
    "read": _reads,
    "transaction": _transaction,
    "write": _writes,
}
