"""An owner's state without an actor: decide, carry out, and audit the books."""

from collections.abc import Mapping
from typing import Any

from stateward import JsonValue, Limits, WorkflowScope
from stateward.actors.core import reader
from stateward.actors.core.decider import decide
from stateward.actors.core.messages import CommitTransaction, Message
from stateward.actors.core.scopes import RUN_STEP, utf8_bytes
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import dumps, pack, unpack

SCOPE = WorkflowScope("w")


def new_state(limits: Limits | None = None, floor: int = 0) -> OwnerState:
    """Return the state of a workflow `w` that holds nothing."""
    return OwnerState(SCOPE, limits or Limits(), floor, 0.0)


def record(
    values: Mapping[str, JsonValue] | None = None, *, gone: tuple[str, ...] = ()
) -> CommitTransaction:
    """Return the command that writes records of a run, and removes those `gone`."""
    return CommitTransaction(
        SCOPE,
        reads=(),
        scans=(),
        writes=tuple(
            (RUN_STEP, key, pack(value), None) for key, value in (values or {}).items()
        ),
        removals=tuple((RUN_STEP, key) for key in gone),
    )


def do(state: OwnerState, command: Message, now: float = 0.0) -> Any:
    """Carry out `command`, audit the books, and return the reply."""
    event, reply = decide(state, command, now)
    if event is not None:
        state.carry_out(event)
    audit(state)
    return reply


def contents(
    state: OwnerState, step_name: str | None = None, now: float = 0.0
) -> dict[str, JsonValue]:
    """Return what a reader sees of one scope."""
    _, cells = reader.find_all(state, step_name, None, now)
    return {key: unpack(cell.value) for key, cell in cells.items()}


def everything(state: OwnerState, now: float = 0.0) -> dict[str | None, object]:
    """Return what a reader sees of every scope that holds anything."""
    found = {name: contents(state, name, now) for name, _ in state.tables()}
    return {name: values for name, values in found.items() if values}


def audit(state: OwnerState) -> None:
    """Check what holds of a state between commands."""
    assert state.pending is None
    assert state.settled == state.revision == state.latest
    cells = [(key, cell) for _, table in state.tables() for key, cell in table.items()]
    for key, cell in cells:
        assert cell.key == key
        assert cell.table[key] is cell
        assert cell.previous is None
        assert cell.revision <= cell.table.revision <= state.revision
        assert cell.expires is None or cell.expires >= state.next_expiry
        assert cell.size == len(dumps(unpack(cell.value)))
    counted = [(key, cell) for key, cell in cells if not cell.table.hidden]
    assert state.keys == len(counted)
    assert state.size == sum(utf8_bytes(key) + cell.size for key, cell in counted)
