"""Sequential specifications: registers, counters, and transactions on many keys.

Values are compared as JSON, so that `1`, `1.0` and `true` differ.
"""

import json
from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeAlias, cast

from stateward.actors.core.errors import UsageError
from stateward.actors.core.values import JsonValue
from stateward.testing.histories import TRANSACTION, Operation, Outcome
from stateward.testing.transitions import Specification, Transition


class Held(NamedTuple):
    """What a register holds."""

    value: str | None
    """As JSON; `None` if it is absent."""
    revision: int | None
    """0 if it is absent; `None` if nobody was told."""
    above: int
    """The last revision that is known; all later ones are above it."""
    never: frozenset[int]
    """What an unknown revision has turned out not to be."""


class Register(Specification[Held]):
    """Keys that are read and written: `get`, `entry`, `set`, `delete`.

    `set` and `delete` may expect a revision, and a refusal with `ConflictError` has to
    be right. What `set` returns is a revision if it is an integer, and has to be above
    all that are known before it. For what has no revisions there is
    `compare_and_set(key, old, new)`, which returns whether it has set the key; one that
    is refused with `ConflictError` has found something other than `old`.
    """

    def __init__(self, initial: JsonValue = None) -> None:
        """Let each key hold `initial`; `None` lets it be absent."""
        value = None if initial is None else _text(initial)
        self.initial = Held(value, 0 if initial is None else None, 0, frozenset())

    def partition(self, operation: Operation) -> str:
        """Return the name of the key, and what it is on."""
        return _key_of(operation)

    def tokens(self, held: Held) -> frozenset[Hashable]:
        """Return the value; for what is absent, that of null."""
        return frozenset((held.value or _NULL,))

    def show(self, held: Held) -> str:
        """Return the value, and the revision if it is known."""
        if held.value is None:
            return "nothing"
        return held.value + (f" at revision {held.revision}" if held.revision else "")

    def transition(self, operation: Operation) -> Transition[Held] | None:
        """Return what an operation does to its key."""
        match operation.call.name:
            case "get":
                return _get(operation)
            case "entry":
                return _entry(operation)
            case "set":
                return _set(operation)
            case "delete":
                return _delete(operation)
            case "compare_and_set":
                return _compare_and_set(operation)
        raise UsageError(f"a register knows no {operation.call!r}")


def _get(operation: Operation) -> Transition[Held] | None:
    if operation.outcome is not Outcome.RETURNED:
        return None
    seen, args = _text(operation.result), operation.call.args
    default = _text(args[1] if len(args) > 1 else None)
    named = dict(operation.call.named)
    default = _text(named["default"]) if "default" in named else default

    def apply(held: Held) -> Held | None:
        value = default if held.value is None else held.value
        return held if value == seen else None

    # With a default, two different things look the same.
    needs = frozenset((seen,)) if default == _NULL else None
    return Transition(apply=apply, pure=True, needs=needs)


def _entry(operation: Operation) -> Transition[Held] | None:
    if operation.outcome is not Outcome.RETURNED:
        return None
    result = operation.result
    if result is None:
        return Transition(
            apply=lambda held: held if held.value is None else None, pure=True
        )
    if not isinstance(result, list) or len(result) != 2:  # noqa: PLR2004  # a pair
        raise UsageError(f"an entry is [value, revision], not {result!r}")
    value, revision = _text(result[0]), _revision(result[1])

    def apply(held: Held) -> Held | None:
        return _known(held, revision) if held.value == value else None

    return Transition(
        apply=apply,
        pure=True,
        rank=2 * revision + 1,
    )


def _set(operation: Operation) -> Transition[Held] | None:
    value, expected = _text(operation.call.args[1]), _expected(operation)
    result = operation.result
    if operation.outcome is Outcome.REFUSED:
        return _conflict(operation, expected)
    told = operation.outcome is Outcome.RETURNED and type(result) is int
    revision = result if told and type(result) is int else None

    def apply(held: Held) -> Held | None:
        known = held if expected is None else _known(held, expected)
        if known is None:
            return None
        if revision is None:
            return Held(value, None, known.above, frozenset())
        if revision <= known.above:
            return None
        return Held(value, revision, revision, frozenset())

    return Transition(
        apply=apply,
        settles=expected is None,
        needs=frozenset() if expected is None else None,
        gives=frozenset((value,)),
        rank=None if revision is None else 2 * revision,
    )


def _delete(operation: Operation) -> Transition[Held] | None:
    expected = _expected(operation)
    if operation.outcome is Outcome.REFUSED:
        return _conflict(operation, expected)
    result = operation.result

    def apply(held: Held) -> Held | None:
        known = held if expected is None else _known(held, expected)
        if known is None or (type(result) is bool and result is (known.value is None)):
            return None
        return Held(None, 0, known.above, frozenset())

    return Transition(apply=apply, pure=result is False, gives=frozenset((_NULL,)))


def _compare_and_set(operation: Operation) -> Transition[Held] | None:
    _, old, new = operation.call.args
    expected, value = _text(old), _text(new)
    refused = operation.outcome is Outcome.REFUSED
    if refused and operation.error != "ConflictError":
        return None
    missed = refused or operation.result is False

    def apply(held: Held) -> Held | None:
        met = (held.value or _NULL) == expected
        if missed:
            return None if met else held
        return Held(value, None, held.above, frozenset()) if met else None

    if missed:
        return Transition(apply=apply, pure=True)
    return Transition(
        apply=apply,
        settles=True,
        needs=frozenset((expected,)),
        gives=frozenset((value,)),
    )


def _conflict(operation: Operation, expected: int | None) -> Transition[Held] | None:
    """Return what a refusal says: a conflict that the key was not as expected."""
    if operation.error != "ConflictError" or expected is None:
        return None
    actual = operation.result
    if type(actual) is not int:
        return Transition(apply=lambda held: _other(held, expected), pure=True)
    if actual == expected:
        return Transition(apply=lambda _: None)
    return Transition(
        apply=lambda held: _known(held, actual),
        pure=True,
        rank=2 * actual + 1 if actual else None,
    )


def _known(held: Held, revision: int) -> Held | None:
    """Return `held`, which has turned out to be at `revision`; `None` if it is not."""
    if held.revision is not None:
        return held if held.revision == revision else None
    if revision <= held.above or revision in held.never:
        return None
    return Held(held.value, revision, revision, frozenset())


def _other(held: Held, revision: int) -> Held | None:
    """Return `held`, which has turned out to be not at `revision`."""
    if held.revision is not None:
        return held if held.revision != revision else None
    if revision <= held.above:
        return held
    return held._replace(never=held.never | {revision})


class Counter(Specification[float]):
    """Keys that are counted with: `increment`, which returns the sum, and `get`."""

    initial: float = 0

    def __init__(self, *, rising: bool = False) -> None:
        """Begin at 0.

        Args:
            rising: Whether each increment is by 1 or more, as an integer. Then sums say
                in which order they came, and unknown outcomes cost the checker less.
        """
        self.rising = rising

    def tokens(self, held: float) -> frozenset[Hashable]:
        """Return the number."""
        return frozenset((held,))

    def partition(self, operation: Operation) -> str:
        """Return the name of the key, and what it is on."""
        return _key_of(operation)

    def show(self, held: float) -> str:
        """Return the number."""
        return f"{held}"

    def transition(self, operation: Operation) -> Transition[float] | None:
        """Return what an operation does to its key; an absent one counts as 0."""
        call, result = operation.call, operation.result
        if operation.outcome is Outcome.REFUSED:
            return None
        told = operation.outcome is Outcome.RETURNED and result is not None
        match call.name:
            case "get":
                if operation.outcome is not Outcome.RETURNED:
                    return None
                seen = 0 if result is None else result
                if type(seen) not in (int, float):
                    raise UsageError(f"a counter does not hold {seen!r}")
                return Transition(
                    apply=lambda held: held if held == seen else None,
                    pure=True,
                    needs=frozenset((cast("float", seen),)),
                    rank=2 * int(cast("float", seen)) + 1 if self.rising else None,
                )
            case "increment":
                by: float = {"by": (*call.args, 1)[1], **dict(call.named)}["by"]

                if self.rising and (type(by) is not int or by < 1):
                    raise UsageError(f"{call!r} is not by an integer >= 1")

                def apply(held: float) -> float | None:
                    total = held + by
                    return total if not told or total == result else None

                if not told or type(result) is not int or type(by) is not int:
                    return Transition(apply=apply)
                return Transition(
                    apply=apply,
                    settles=True,
                    needs=frozenset((result - by,)),
                    gives=frozenset((result,)),
                    rank=2 * result if self.rising else None,
                )
        raise UsageError(f"a counter knows no {call!r}")


Places: TypeAlias = frozenset[tuple[str, str]]


class Transactions(Specification[Places]):
    """Many keys of one owner, read and written by transactions: `Client.transact`.

    Each transaction reads all it reads and writes all it writes at one moment between
    its invocation and its reply, which is strict serializability.
    """

    def __init__(self, initial: Mapping[str, JsonValue] | None = None) -> None:
        """Let the places hold what `initial` says, and all others nothing."""
        held = initial or {}
        self.initial: Places = frozenset(
            (place, _text(value)) for place, value in held.items() if value is not None
        )

    def partition(self, operation: Operation) -> str:
        """Return what the transaction is on."""
        return operation.on

    def show(self, held: Places) -> str:
        """Return what is where."""
        return ", ".join(f"{place}: {value}" for place, value in sorted(held)) or "-"

    def transition(self, operation: Operation) -> Transition[Places] | None:
        """Return what a transaction does."""
        call = operation.call
        if call.name != TRANSACTION:
            raise UsageError(f"transactions know no {call!r}")
        if operation.outcome is Outcome.REFUSED:
            return None
        named = dict(call.named)
        reads, absent = _places(named["reads"])
        writes, removed = _places(named["writes"])
        touched = removed | {place for place, _ in writes}

        def apply(held: Places) -> Places | None:
            if not reads <= held:
                return None
            if absent and any(place in absent for place, _ in held):
                return None
            if not touched:
                return held
            return writes.union(pair for pair in held if pair[0] not in touched)

        return Transition(
            apply=apply,
            pure=not touched,
            needs=None if absent else reads,
            gives=writes,
        )

    def tokens(self, held: Places) -> frozenset[Hashable]:
        """Return what is where."""
        return held


def _places(values: Mapping[str, JsonValue]) -> tuple[Places, frozenset[str]]:
    """Return the places that hold something, and those that hold nothing."""
    there = {place: value for place, value in values.items() if value is not None}
    return (
        frozenset((place, _text(value)) for place, value in there.items()),
        frozenset(values.keys() - there.keys()),
    )


def _key_of(operation: Operation) -> str:
    key = operation.call.args[0]
    return f"{operation.on}: {key}" if operation.on else str(key)


def _expected(operation: Operation) -> int | None:
    expected = dict(operation.call.named).get("expected")
    return None if expected is None else _revision(expected)


def _revision(value: object) -> int:
    if type(value) is not int:
        raise UsageError(f"a revision is an integer, not {value!r}")
    return value


def _text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)


_NULL = _text(None)
