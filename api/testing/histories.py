"""Histories: who called what, when, and what came of it.

An operation lasts from its invocation to its reply. A counter is asked before the one
and after the other, so that an operation whose reply has a smaller number than the
invocation of another one was over before the other began. Clocks play no part in it.

What came of a call is one of three things. It returned. It was refused, so that it had
no effect: a `StateError` whose `effect` is `none`. Or nobody knows: an error of any
other kind, or no reply at all. Such a call may have had its effect at any moment after
its invocation, may have it after the end of the history, or may never have it.
"""

import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from stateward.actors.core.errors import ConflictError, StateError, UsageError
from stateward.actors.core.values import JsonValue
from stateward.snapshots import Entry
from stateward.testing.calls import Call
from stateward.testing.likeness import thawed

T = TypeVar("T")

TRANSACTION = "transaction"
"""Name of the call that a transaction is recorded as."""


class Outcome(Enum):
    """What is known of the end of a call."""

    RETURNED = "returned"
    REFUSED = "refused"
    """It had no effect."""
    UNKNOWN = "unknown"
    """It may have its effect at any time after its invocation, or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of one client, from its invocation to its reply."""

    client: str
    call: Call
    on: str = ""
    """What the call was made on, if there is more than one such thing."""
    invoked: int
    """When it began; smaller is earlier, and no number comes twice."""
    returned: int | None = None
    """When its reply was there; `None` if the outcome is unknown."""
    outcome: Outcome = Outcome.UNKNOWN
    result: JsonValue = None
    """What it returned; an entry is recorded as `[value, revision]`."""
    error: str | None = None
    """The name of the class of what it raised."""

    def __str__(self) -> str:
        """Show the call and what came of it."""
        on = f"{self.on}: " if self.on else ""
        match self.outcome:
            case Outcome.RETURNED if self.call.name == TRANSACTION:
                end = ""
            case Outcome.RETURNED:
                end = f" gives {self.result!r}"
            case Outcome.REFUSED:
                end = f" is refused ({self.error})"
            case _:
                end = f" has an unknown end ({self.error or 'no reply'})"
        return f"{on}{self.call!r}{end}"

    def to_json(self) -> str:
        """Return it as one line of JSON.

        Raises:
            UsageError: An argument is not JSON, such as a function. Effect: none.
        """
        call = self.call
        fields: dict[str, object] = {
            name: getattr(self, name) for name in _FIELDS if name != "call"
        }
        fields["outcome"] = self.outcome.value
        fields["call"] = [call.name, list(call.args), dict(call.named)]
        try:
            return json.dumps(fields, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{call!r} cannot be written as JSON") from error

    @classmethod
    def from_json(cls, line: str) -> "Operation":
        """Return what `to_json` has written.

        Raises:
            UsageError: The line is something else. Effect: none.
        """
        try:
            fields = json.loads(line)
            name, args, named = fields["call"]
            fields["call"] = Call(name, tuple(args), tuple(named.items()))
            fields["outcome"] = Outcome(fields["outcome"])
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{line!r} is no operation of a history") from error


_FIELDS = tuple(Operation.__dataclass_fields__)


@dataclass(slots=True)  # tidy: filled in while the transaction goes on
class Footprint:
    """What a transaction has read and written, as it tells.

    What it reads after it has written it itself is left out. `None` stands for absent,
    as what was read and as what was written.
    """

    reads: dict[str, JsonValue] = field(default_factory=dict)
    writes: dict[str, JsonValue] = field(default_factory=dict)

    def read(self, place: str, value: JsonValue) -> JsonValue:
        """Note that `value` was read at `place`, and return it."""
        if place not in self.writes:
            self.reads[place] = _copy(value)
        return value

    def wrote(self, place: str, value: JsonValue) -> JsonValue:
        """Note that `value` is what `place` is to hold, and return it."""
        self.writes[place] = _copy(value)
        return value

    def call(self) -> Call:
        """Return it as a call."""
        named = (("reads", dict(self.reads)), ("writes", dict(self.writes)))
        return Call(TRANSACTION, (), named)


class History:
    """What several clients did at the same time, in the order in which it happened.

    Concurrency: Any thread and any event loop; one client of each is usual.

    Example:
        >>> from functools import partial
        >>> from stateward import StateManager
        >>> history = History()
        >>> alice, bob = history.client("alice"), history.client("bob")
        >>> with StateManager() as manager:
        ...     state = manager.workflow_state("order-123")
        ...     for client, call in (
        ...         (alice, Call("increment", ("n", 2))),
        ...         (bob, Call("get", ("n",))),
        ...     ):
        ...         client.call(call, partial(call.on, state))
        2
        2
        >>> print(history)
        0-1 alice: increment('n', 2) gives 2
        2-3 bob: get('n') gives 2
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        """Begin with what has happened before."""
        self._ended = list(operations)
        ticks = [each.invoked for each in self._ended]
        ticks += [each.returned for each in self._ended if each.returned is not None]
        self._ticks = max(ticks, default=-1) + 1
        self._lock = threading.Lock()
        self._begun: dict[int, tuple[str, Callable[[], Call], str]] = {}

    def client(self, name: str, on: str = "") -> "Client":
        """Return what records the calls of one client.

        Args:
            name: Its lane in pictures.
            on: What its calls are made on, such as the name of a scope; calls on
                different things are checked apart from each other.
        """
        return Client(self, name, on)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All there are so far, by their invocations; what goes on has an unknown end.

        Cost: O(n log n) for `n` operations.
        """
        with self._lock:
            begun = [
                Operation(client=client, call=call(), on=on, invoked=invoked)
                for invoked, (client, call, on) in self._begun.items()
            ]
            return tuple(sorted(self._ended + begun, key=lambda each: each.invoked))

    def __len__(self) -> int:
        """Return how many operations have begun."""
        return len(self._ended) + len(self._begun)

    def __str__(self) -> str:
        """Show the operations, a line each."""
        return "\n".join(
            f"{each.invoked}-{'' if each.returned is None else each.returned}"
            f" {each.client}: {each}"
            for each in self.operations
        )

    def to_jsonl(self) -> str:
        """Return the operations as lines of JSON.

        Raises:
            UsageError: An argument of a call is not JSON. Effect: none.
        """
        return "".join(f"{each.to_json()}\n" for each in self.operations)

    @classmethod
    def from_jsonl(cls, lines: str) -> "History":
        """Return the history that `to_jsonl` has written.

        Raises:
            UsageError: A line is something else. Effect: none.
        """
        return cls(map(Operation.from_json, filter(None, lines.splitlines())))

    def begin(self, client: str, call: Callable[[], Call], on: str = "") -> int:
        """Note an invocation, and return its number.

        Args:
            client: Who calls.
            call: Returns what is called; asked for at the end, when more is known.
            on: What it is called on.
        """
        with self._lock:
            tick = self._ticks
            self._ticks = tick + 1
            self._begun[tick] = (client, call, on)
        return tick

    def end(
        self,
        invoked: int,
        outcome: Outcome,
        *,
        result: JsonValue = None,
        error: str | None = None,
    ) -> None:
        """Note what came of the invocation with the number `invoked`."""
        with self._lock:
            client, call, on = self._begun.pop(invoked)
            tick = self._ticks
            self._ticks = tick + 1
            ended = Operation(
                client=client,
                call=call(),
                on=on,
                invoked=invoked,
                returned=None if outcome is Outcome.UNKNOWN else tick,
                outcome=outcome,
                result=result,
                error=error,
            )
            self._ended.append(ended)


class Client:
    """Records the calls of one client; `History.client` makes it."""

    def __init__(self, history: History, name: str, on: str) -> None:
        """Record in `history`."""
        self.history = history
        self.name = name
        self.on = on

    def call(self, call: Call, function: Callable[[], T]) -> T:
        """Call `function`, which does what `call` says, and record it.

        Raises:
            UsageError: It returned what is neither JSON nor an entry. Effect: as of
                `function`.
            Exception: Whatever `function` raises, once it is recorded.
        """
        with self._recording(lambda: call) as returned:
            reply = function()
            returned.append(reply)
        return reply

    async def awaited(self, call: Call, function: Callable[[], Awaitable[T]]) -> T:
        """Await what `function` returns, and record it as `call` does.

        A cancelled call has an unknown end.
        """
        with self._recording(lambda: call) as returned:
            reply = await function()
            returned.append(reply)
        return reply

    def transact(self, function: Callable[[Footprint], T]) -> T:
        """Call `function`, which makes one attempt of a transaction, and record it.

        It tells the footprint what it reads and, before it commits, what it writes.
        What it returns is not recorded.

        Example:
            >>> from stateward import StateManager
            >>> history = History()
            >>> with StateManager() as manager:
            ...     state = manager.workflow_state("order-123")
            ...
            ...     def add(seen):
            ...         with state.transaction() as tx:
            ...             before = seen.read("n", tx.get("n")) or 0
            ...             tx["n"] = seen.wrote("n", before + 1)
            ...
            ...     history.client("alice").transact(add)
            >>> print(history)
            0-1 alice: transaction(reads={'n': None}, writes={'n': 1})
        """
        seen = Footprint()
        with self._recording(seen.call):
            return function(seen)

    async def transact_awaited(
        self, function: Callable[[Footprint], Awaitable[T]]
    ) -> T:
        """Await one attempt of a transaction, and record it as `transact` does."""
        seen = Footprint()
        with self._recording(seen.call):
            return await function(seen)

    @contextmanager
    def _recording(self, call: Callable[[], Call]) -> Iterator[list[object]]:
        invoked = self.history.begin(self.name, call, self.on)
        returned: list[object] = []
        try:
            yield returned
        except BaseException as error:
            refused = isinstance(error, StateError) and error.effect == "none"
            self.history.end(
                invoked,
                Outcome.REFUSED if refused else Outcome.UNKNOWN,
                result=error.actual if isinstance(error, ConflictError) else None,
                error=type(error).__name__,
            )
            raise
        try:
            result = _copy(returned[0]) if returned else None
        except UsageError:
            self.history.end(invoked, Outcome.UNKNOWN, error="UsageError")
            raise
        self.history.end(invoked, Outcome.RETURNED, result=result)


def _copy(value: object) -> JsonValue:
    """Return `value` as JSON that nobody else can change."""
    if isinstance(value, Entry):
        return [_copy(thawed(value.value)), value.revision]
    try:
        copy: JsonValue = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value!r} is not JSON, and cannot be recorded") from error
    return copy
