"""Queries: what a host that speaks in messages is told of a scope."""

from typing import TypeAlias

from stateward.actors.core import reader
from stateward.actors.core.messages import GetManyState, GetSnapshot, GetState
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import JsonValue

Query: TypeAlias = GetState | GetManyState | GetSnapshot


def answer(state: OwnerState | None, query: Query, now: float) -> JsonValue:
    """Return the reply to `query`, of one revision.

    Args:
        state: What the owner of the scope knows; `None` if there is none.
        query: What is asked.
        now: Seconds of the owner's clock.
    """
    keys: tuple[str, ...] | None = None
    if isinstance(query, GetState):
        keys = (query.key,)
    elif isinstance(query, GetManyState):
        keys = query.keys
    values: dict[str, JsonValue] = {}
    if state is not None:
        try:
            _, cells = reader.find_all(state, query.scope.step_name, keys, now)
        except reader.RetiredError:
            cells = {}  # RACE: dropped just now.
        values = {key: cell.thaw() for key, cell in cells.items()}
    if isinstance(query, GetState):
        return values.get(query.key, query.default)
    return values
