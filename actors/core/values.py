"""Values: strict JSON in, the same JSON out, and nothing converted on the way.

`orjson` is fast but lenient: it writes NaN as null, tuples as lists, and takes enums
and UUIDs. What it must not see is found here by looking at types, whole containers at a
time, so that a small dictionary costs one C loop and not a Python one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

import orjson

from stateward.actors.core.errors import (
    DepthError,
    InvalidValueError,
    ValueTooLargeError,
)
from stateward.actors.core.limits import DEPTH_MAX
from stateward.actors.core.scopes import SHOWN_MAX, shown

JsonScalar: TypeAlias = bool | int | float | str | None
JsonValue: TypeAlias = JsonScalar | list["JsonValue"] | dict[str, "JsonValue"]
FrozenJson: TypeAlias = (
    JsonScalar | tuple["FrozenJson", ...] | Mapping[str, "FrozenJson"]
)

NODES_MAX: Final = 1 << 26
"""LIMIT: values inside one value, each counted as often as it is reached. A list that
holds the same list twice, 60 levels deep, is small in memory and endless as JSON."""

PLAIN: Final = frozenset({type(None), bool, int, str})
_SMALL_ITEMS: Final = 32
_SMALL_LEVELS: Final = 3
_CONTAINERS: Final = frozenset({dict, list})
_STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
dumps: Final = orjson.dumps
loads: Final = orjson.loads


Packed: TypeAlias = JsonScalar | bytes
"""A value as the engine keeps it: a scalar as it is, a list or dictionary as JSON."""
Packing: TypeAlias = tuple[Packed, int, int]
"""A packed value, its size in bytes once encoded, and how many levels it nests."""


def pack(value: Any) -> Packing:
    """Return `value` as the engine keeps it, with its size and depth.

    Raises:
        InvalidValueError: `value` is not JSON that comes back equal and of the same
            type; the message names the place. Effect: none.

    Cost: 0.1 us for a scalar, 0.4 us for a small dictionary, then O(size).
    """
    kind = type(value)
    try:
        if kind in _CONTAINERS:
            depth = _small_depth(value, _SMALL_LEVELS) or _depth(value)
            # A copy: what `dumps` returns keeps a buffer of 4 kB for a small list.
            data = b"%b" % dumps(value, None, _STRICT)
            return data, len(data), depth
        if kind in PLAIN or (kind is float and isfinite(value)):
            return value, len(dumps(value)), 0
    except (TypeError, RuntimeError, _UnfitError) as error:
        raise _explained(value, str(error)) from None
    raise _explained(value, f"{kind.__name__} is not JSON")


def unpack(packed: Packed) -> JsonValue:
    """Return a private copy of the value that was packed."""
    if type(packed) is bytes:
        value: JsonValue = loads(packed)
        return value
    return cast("JsonScalar", packed)


def freeze(value: JsonValue) -> FrozenJson:
    """Return `value` with tuples for lists and mapping proxies for dictionaries."""
    if type(value) is dict:
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if type(value) is list:
        return tuple(freeze(item) for item in value)
    return cast("JsonScalar", value)


def extend(head: bytes, tail: bytes) -> bytes:
    """Return the encoded list `head` followed by the items of the list `tail`.

    Cost: O(size of both) to copy bytes; neither is decoded.
    """
    if head == b"[]":
        return tail
    return head if tail == b"[]" else b"%b,%b" % (head[:-1], tail[1:])


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Return `target` after the JSON Merge Patch `patch` (RFC 7396, section 2).

    `target` is used up: its parts may appear in the result.
    """
    if type(patch) is not dict:
        return patch
    merged: dict[str, JsonValue] = target if type(target) is dict else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), change)
    return merged


_Container: TypeAlias = list[Any] | dict[Any, Any]


class _UnfitError(Exception):
    """Something in the value is not JSON; `_explained` finds out where."""


def _small_depth(container: _Container, levels: int) -> int:
    """Return what `_depth` does for a small container, 0 for any other.

    Half its time; and within these bounds, 32,768 items at most, no sharing can make
    it slow.
    """
    if not levels or len(container) > _SMALL_ITEMS:
        return 0
    deepest = 0
    # As `_inner`, whose call and list would cost a tenth of a small write.
    for item in container.values() if type(container) is dict else container:
        kind = type(item)
        if kind in PLAIN:
            continue
        if kind in _CONTAINERS:
            depth = _small_depth(item, levels - 1)
            if not depth:
                return 0
            if depth > deepest:  # noqa: PLR1730  # `max` would cost a call a part
                deepest = depth
        elif kind is not float or not isfinite(item):
            raise _UnfitError("not JSON")
    return deepest + 1


def _depth(container: _Container) -> int:
    """Return how many levels `container` nests; raise `_UnfitError` if not JSON.

    Goes down level by level, and meets a part that is shared once per level with the
    number of times it stands there: the time is bounded by what is in memory, though
    the encoded value may not be.
    """
    level: list[_Container] = [container]
    times: Counter[int] | None = None  # By identity; `None` while each is there once.
    depth = nodes = 0
    while level:
        depth += 1
        deeper: list[_Container] = []
        counts: Counter[int] = Counter()
        for whole in level:
            weight = 1 if times is None else times[id(whole)]
            nodes += weight * len(whole)
            parts = _inner(whole)
            deeper += parts
            if times is not None:
                for part in parts:
                    counts[id(part)] += weight
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            raise _UnfitError("too deep, too much, or contains itself")
        if times is None and len(set(map(id, deeper))) < len(deeper):
            counts.update(map(id, deeper))
        if counts:
            times = counts
            deeper = list({id(part): part for part in deeper}.values())
        level = deeper
    return depth


def _inner(container: _Container) -> list[_Container]:
    """Return the containers in `container`; raise `_UnfitError` if not JSON."""
    items: Iterable[Any] = container
    if type(container) is dict:
        items = container.values()
    if len(container) > _SMALL_ITEMS and PLAIN.issuperset(map(type, items)):
        return []  # Seen in one C loop.
    parts = []
    for item in items:
        kind = type(item)
        if kind in PLAIN:
            continue
        if kind in _CONTAINERS:
            parts.append(item)
        elif kind is not float or not isfinite(item):
            raise _UnfitError("not JSON")
    return parts


def _explained(value: object, reason: str) -> InvalidValueError | ValueTooLargeError:
    """Return the error for `value`, naming the first place that cannot be stored."""
    try:
        _inspect(value, "value", 0, {})
    except (InvalidValueError, ValueTooLargeError) as error:
        return error
    except RuntimeError as error:
        reason = str(error)
    # RACE: another thread changed the value between the refusal and this look.
    return InvalidValueError(f"value cannot be stored: {reason}", place="value")


_UNDER_WAY: Final = (0, 0)


def _inspect(
    value: object, place: str, level: int, met: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """Raise at the first part of `value` that is not JSON; return its nodes and depth.

    `met` holds both for the containers looked at before, `_UNDER_WAY` on the way down.
    """
    kind = type(value)
    if kind is not dict and kind is not list:
        _inspect_scalar(value, place)
        return 1, 0
    known = met.get(id(value))
    if known == _UNDER_WAY:
        raise InvalidValueError(f"{_short(place)} contains itself", place=place)
    if known is not None and level + known[1] <= DEPTH_MAX:
        return known
    if level >= DEPTH_MAX:
        raise DepthError(
            f"{_short(place)} nests more than {DEPTH_MAX} levels",
            place=place,
            limit="max_depth",
            allowance=DEPTH_MAX,
            actual=DEPTH_MAX + 1,
        )
    met[id(value)] = _UNDER_WAY
    nodes, depth = 1, 0
    for inside, item in _parts(value, place):
        more, deeper = _inspect(item, inside, level + 1, met)
        nodes += more
        depth = max(depth, deeper)
    if nodes > NODES_MAX:
        raise ValueTooLargeError(
            f"{_short(place)} holds {nodes} values, at most {NODES_MAX}",
            place=place,
            limit="max_value_bytes",
            allowance=NODES_MAX,
            actual=nodes,
        )
    met[id(value)] = nodes, depth + 1
    return nodes, depth + 1


def _parts(container: object, place: str) -> Iterator[tuple[str, object]]:
    """Yield the place and the value of each part; raise at a name that is not JSON."""
    if type(container) is list:
        for index, item in enumerate(container):
            yield f"{place}[{index}]", item
        return
    for key, item in cast("dict[object, object]", container).items():
        if type(key) is not str:
            raise InvalidValueError(
                f"{_short(place)} has the key {shown(key)} of type "
                f"{type(key).__name__}, not str",
                place=place,
            )
        _inspect_scalar(key, f"{place} key {key!r}")
        yield f"{place}[{key!r}]", item


def _inspect_scalar(value: object, place: str) -> None:
    """Raise `InvalidValueError` unless `value` is a JSON scalar."""
    kind = type(value)
    fault = None
    if kind is float:
        if not isfinite(cast("float", value)):
            fault = f"is {value!r}, not a finite number"
    elif kind is int:
        if not -(1 << 63) <= cast("int", value) < 1 << 64:
            bits = cast("int", value).bit_length()
            fault = f"is an integer of {bits} bits, more than 64"
    elif kind is str:
        try:
            cast("str", value).encode()
        except UnicodeEncodeError as error:
            fault = f"has a lone surrogate at index {error.start}"
    elif value is not None and kind is not bool:
        fault = f"is of type {kind.__name__}, which is not JSON"
    if fault:
        raise InvalidValueError(f"{_short(place)} {fault}", place=place)


def _short(place: str) -> str:
    """Return `place`, cut in the middle where a message would grow out of hand."""
    half = SHOWN_MAX // 2
    return place if len(place) <= 2 * SHOWN_MAX else f"{place[:half]}...{place[-half:]}"
