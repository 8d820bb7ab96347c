"""A checker that tries everything, to compare with.

It shares nothing with the one it judges: it runs each permutation of each choice of the
operations of unknown outcome, with each revision that an untold one may have had, on
plain variables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from typing import Any, Final

from stateward.testing.histories import TRANSACTION, Operation, Outcome

REVISIONS: Final = range(1, 8)
"""All that small histories mention, and more."""
BETWEEN: Final = 0.01
"""How far an untold revision is above the last one if it is none of these: a history
of one key does not say how many revisions others have used."""


def is_linearizable(operations: Sequence[Operation]) -> bool:
    """Return whether some order of some of the operations makes sense."""
    certain = [each for each in operations if each.outcome is not Outcome.UNKNOWN]
    perhaps = [each for each in operations if each.outcome is Outcome.UNKNOWN]
    return any(
        in_time(order) and makes_sense(order, Variables())
        for count in range(len(perhaps) + 1)
        for chosen in combinations(perhaps, count)
        for order in permutations((*certain, *chosen))
    )


def in_time(order: Sequence[Operation]) -> bool:
    """Return whether nothing stands behind what began when it was over."""
    return not any(
        later.returned is not None and later.returned < earlier.invoked
        for earlier, later in combinations(order, 2)
    )


@dataclass(frozen=True, slots=True)
class Variables:
    """What every key holds, at which revision, and the last one of each."""

    values: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def bound(self, key: str, value: object, revision: float) -> "Variables":
        """Return them with one key set."""
        last = {**self.last, key: revision} if revision else self.last
        return Variables(
            {**self.values, key: value}, {**self.revisions, key: revision}, last
        )


def makes_sense(order: Sequence[Operation], now: Variables) -> bool:
    """Return whether the operations can happen one after the other."""
    if not order:
        return True
    return any(makes_sense(order[1:], after) for after in outcomes(order[0], now))


def outcomes(  # noqa: C901, PLR0912  # a case for each call, to be read in one piece
    operation: Operation, now: Variables
) -> Iterator[Variables]:
    """Yield what may be held after an operation, if it makes sense at all."""
    call, result = operation.call, operation.result
    if call.name == TRANSACTION:
        yield from transacted(operation, now)
        return
    key, *args = call.args
    value, revision = now.values.get(key), now.revisions.get(key, 0)
    expected = dict(call.named).get("expected", revision)
    met = value == args[0] if call.name == "compare_and_set" else revision == expected
    if operation.outcome is Outcome.REFUSED:
        if not met or operation.error != "ConflictError":
            yield now
        return
    if operation.outcome is Outcome.UNKNOWN:
        result = None
    told = operation.outcome is Outcome.RETURNED
    match call.name:
        case "get":
            default = args[0] if args else None
            if not told or result == (default if value is None else value):
                yield now
        case "entry":
            if not told or result == (None if value is None else [value, revision]):
                yield now
        case "increment":
            total = (value or 0) + args[0]
            if not told or total == result:
                yield now.bound(key, total, 0)
        case "delete":
            if met and (result is None or result == (value is not None)):
                yield now.bound(key, None, 0)
        case "compare_and_set" if result is False:
            if not met:
                yield now
        case _:
            last = now.last.get(key, 0)
            untold = (last + BETWEEN, *REVISIONS)
            for new in (result,) if type(result) is int else untold:
                if met and new > last:
                    yield now.bound(key, args[-1], new)


def transacted(operation: Operation, now: Variables) -> Iterator[Variables]:
    """Yield what is held after a transaction."""
    named = dict(operation.call.named)
    if operation.outcome is Outcome.REFUSED:
        yield now
    elif all(now.values.get(key) == seen for key, seen in named["reads"].items()):
        yield replace(now, values=now.values | named["writes"])
