"""A reader of histories as Jepsen and Knossos write them, of one register.

Two forms say the same. In EDN an event is a map:

    {:process 0, :type :invoke, :f :write, :value 3}

In a log it is a line, its fields parted by tabs or spaces:

    INFO  jepsen.util - 0  :invoke  :write  3

A process invokes, and then it is told `:ok`, `:fail` (it did not happen) or `:info`
(nobody knows). Anything else in a log is passed over.
"""

import re
from typing import Final

from stateward import JsonValue
from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome

EDN: Final = re.compile(r"\{[^{}]*\}")
FIELD: Final = re.compile(r":(process|type|f|value)\s+(:?[\w-]+|\[[^\]]*\])")
LOG: Final = re.compile(
    r"jepsen\.util\s+-\s+(?P<process>\d+)\s+:(?P<type>invoke|ok|fail|info)"
    r"\s+:(?P<f>\w+)\s+(?P<value>:?[\w-]+|\[[^\]]*\])"
)


def read(text: str, *, failure: str = "fail") -> list[Operation]:
    """Return the operations that `text` tells of, in either form.

    Args:
        text: EDN maps or lines of a log.
        failure: What `:fail` is recorded as. Knossos takes it for an operation that did
            not happen, for whatever reason; `ConflictError` says that a comparison did
            not hold, as Porcupine takes it.
    """
    operations: list[Operation] = []
    running: dict[str, tuple[int, str, JsonValue]] = {}

    def end(process: str, kind: str, value: JsonValue, tick: int | None) -> None:
        invoked, function, argument = running.pop(process)
        # A completed operation may tell more than its invocation did.
        argument = argument if argument is not None else value
        outcome = {"ok": Outcome.RETURNED, "fail": Outcome.REFUSED}.get(
            kind, Outcome.UNKNOWN
        )
        operations.append(
            Operation(
                client=process,
                call=call_of(function, argument),
                invoked=invoked,
                returned=None if outcome is Outcome.UNKNOWN else tick,
                outcome=outcome,
                result=value if function == "read" and kind == "ok" else None,
                error=failure if kind == "fail" else None,
            )
        )

    for tick, (process, kind, function, value) in enumerate(events(text)):
        if kind == "invoke":
            running[process] = (tick, function, value)
        else:
            end(process, kind, value, tick)
    for process in list(running):
        end(process, "info", None, None)
    return sorted(operations, key=lambda each: each.invoked)


def events(text: str) -> list[tuple[str, str, str, JsonValue]]:
    """Return process, type, function and value of each event."""
    maps = [dict(FIELD.findall(found)) for found in EDN.findall(text)]
    lines = [found.groupdict() for found in map(LOG.search, text.splitlines()) if found]
    return [
        (
            each["process"],
            each["type"].lstrip(":"),
            each["f"].lstrip(":"),
            value_of(each["value"]),
        )
        for each in maps or lines
    ]


def value_of(text: str) -> JsonValue:
    """Return a number, a pair of numbers, or `None` for what is none of these."""
    if text.startswith("["):
        return [value_of(each) for each in text.strip("[]").replace(",", " ").split()]
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def call_of(function: str, value: JsonValue) -> Call:
    """Return the call of a register that an event tells of."""
    match function, value:
        case "read", _:
            return Call("get", ("register",))
        case "write", int():
            return Call("set", ("register", value))
        case "cas", [old, new]:
            return Call("compare_and_set", ("register", old, new))
    raise ValueError(f"no register knows {function} of {value!r}")
