"""What an owner does if nothing happens beside it: the sequential specification.

All scopes of one owner are one thing here, so that what concerns several keys (a batch,
a transaction, a look at a whole scope) has one moment too.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from stateward import JsonValue
from stateward.testing.histories import Operation, Outcome
from stateward.testing.transitions import Specification, Transition

Places = dict[str, tuple[str, int | None]]
"""The value of each place as JSON, and its revision if anybody was told."""


class Held(NamedTuple):
    """What an owner holds."""

    places: frozenset[tuple[str, str, int | None]]
    least: int
    """What its revision is at least."""


class ImpossibleError(Exception):
    """The operation cannot have ended here as it did."""


class OwnerSpecification(Specification[Held]):
    """One owner, from what it held when its process began."""

    def __init__(self, contents: dict[str, JsonValue], revision: int) -> None:
        places: Places = {
            place: (text(value), None) for place, value in contents.items()
        }
        self.initial = Held(frozen(places), revision)

    def show(self, held: Held) -> str:
        listed = ", ".join(f"{place}: {it}" for place, it, _ in sorted(held.places))
        return f"{listed or '-'} at revision {held.least} or above"

    def transition(self, operation: Operation) -> Transition[Held] | None:
        name, returned = operation.call.name, operation.outcome is Outcome.RETURNED
        if name in READS:
            if not returned:
                return None
            see = READS[name]
            return Transition(
                apply=lambda held: held if see(operation, places_of(held)) else None,
                pure=True,
            )
        if operation.outcome is Outcome.REFUSED:
            return _refusal(operation)
        write, result = WRITES[name], operation.result
        told = returned and name in TOLD and type(result) is int
        revision = result if told and isinstance(result, int) else None

        def apply(held: Held) -> Held | None:
            places = places_of(held)
            before = dict(places)
            if revision is not None and revision <= held.least:
                return None
            try:
                reply = write(operation, places, revision)
            except ImpossibleError:
                return None
            if returned and name not in TOLD and text(reply) != text(result):
                return None
            if places == before:
                return held
            # One that is in memory goes without a last revision of its own.
            takes = name != "drop"
            return Held(frozen(places), revision or held.least + takes)

        return Transition(apply=apply, rank=None if revision is None else revision)


_encode = json.JSONEncoder(sort_keys=True).encode


def text(value: JsonValue) -> str:
    """Return a value as JSON, in which equal ones are the same."""
    return str(value) if type(value) is int else _encode(value)


def frozen(places: Places) -> frozenset[tuple[str, str, int | None]]:
    """Return places in a form that can be remembered."""
    return frozenset((place, *it) for place, it in places.items())


def places_of(held: Held) -> Places:
    """Return places in a form that can be changed."""
    return {place: (value, revision) for place, value, revision in held.places}


def _refusal(operation: Operation) -> Transition[Held] | None:
    """Return what must be true for a refusal to be right."""
    place = operation.call.args[0] if operation.call.args else ""
    if operation.error == "MissingKeyError":
        return Transition(
            apply=lambda held: None if place in places_of(held) else held, pure=True
        )
    expected = dict(operation.call.named).get("expected")
    if operation.error != "ConflictError" or expected is None:
        return None

    def apply(held: Held) -> Held | None:
        revision = places_of(held).get(place, ("", 0))[1]
        right = revision is None or revision == operation.result != expected
        return held if right else None

    return Transition(apply=apply, pure=True)


def _get(operation: Operation, places: Places) -> bool:
    return places.get(operation.call.args[0], ("null",))[0] == text(operation.result)


def _entry(operation: Operation, places: Places) -> bool:
    found, result = places.get(operation.call.args[0]), operation.result
    if found is None or not isinstance(result, list):
        return found is None and result is None
    return found[0] == text(result[0]) and found[1] in (None, result[1])


def _snapshot(operation: Operation, places: Places) -> bool:
    (prefix,) = operation.call.args
    expected = {
        place: value
        for place, (value, _) in places.items()
        if place.startswith(prefix) and "/" not in place[len(prefix) :]
    }
    result = operation.result
    assert isinstance(result, dict)
    return {place: text(value) for place, value in result.items()} == expected


def _contents(operation: Operation, places: Places) -> bool:
    result = operation.result
    assert isinstance(result, dict)
    found = {place: value for place, (value, _) in places.items()}
    return {place: text(value) for place, value in result.items()} == found


READS = {"get": _get, "entry": _entry, "snapshot": _snapshot, "contents": _contents}


def _set(operation: Operation, places: Places, revision: int | None) -> JsonValue:
    place, value = operation.call.args
    _expect(operation, places)
    places[place] = (text(value), revision)
    return None


def _expect(operation: Operation, places: Places) -> None:
    expected = dict(operation.call.named).get("expected")
    at = places.get(operation.call.args[0], ("", 0))[1]
    if expected is not None and at not in (None, expected):
        raise ImpossibleError


def _delete(operation: Operation, places: Places, _: int | None) -> JsonValue:
    _expect(operation, places)
    return places.pop(operation.call.args[0], None) is not None


def _pop(operation: Operation, places: Places, _: int | None) -> JsonValue:
    found = places.pop(operation.call.args[0], None)
    if found is None:
        if operation.outcome is Outcome.RETURNED:
            raise ImpossibleError
        return None
    value: JsonValue = json.loads(found[0])
    return value


def _increment(operation: Operation, places: Places, _: int | None) -> JsonValue:
    place, by = operation.call.args
    total: Any = json.loads(places.get(place, ("0",))[0]) + by
    places[place] = (text(total), None)
    return int(total)


def _append(operation: Operation, places: Places, revision: int | None) -> JsonValue:
    place, item = operation.call.args
    items: Any = json.loads(places.get(place, ("[]",))[0])
    places[place] = (text([*items, item]), revision)
    return None


def _update(operation: Operation, places: Places, revision: int | None) -> JsonValue:
    for place, value in operation.call.args[0].items():
        places[place] = (text(value), revision)
    return None


def _clear(operation: Operation, places: Places, _: int | None) -> JsonValue:
    (prefix,) = operation.call.args
    for place in list(places):
        if place.startswith(prefix) and "/" not in place[len(prefix) :]:
            del places[place]
    return None


def _drop(_operation: Operation, places: Places, _: int | None) -> JsonValue:
    held = bool(places)
    places.clear()
    return held


def _transaction(operation: Operation, places: Places, _: int | None) -> JsonValue:
    named = dict(operation.call.named)
    for place, value in named["reads"].items():
        if places.get(place, ("null",))[0] != text(value):
            raise ImpossibleError
    for place, value in named["writes"].items():
        if value is None:
            places.pop(place, None)
        else:
            places[place] = (text(value), None)
    return None


Write = Callable[[Operation, Places, int | None], JsonValue]
WRITES: dict[str, Write] = {
    "set": _set,
    "delete": _delete,
    "pop": _pop,
    "increment": _increment,
    "modify": _increment,
    "append": _append,
    "update": _update,
    "clear": _clear,
    "drop": _drop,
    "transaction": _transaction,
}
TOLD = frozenset({"set", "update", "append"})
"""Those that return the revision, and nothing that could be compared."""
