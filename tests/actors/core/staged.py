"""Commands that are staged by hand, and senders that keep what they are told."""

from collections.abc import Callable
from typing import Any

from stateward.actors.core.decider import decide, drop
from stateward.actors.core.messages import Message
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import OwnerState
from tests.actors.core.ledger import new_state


class Told:
    """A `Reply` that keeps what the sender is told."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.answers: list[Any] = []
        self.done = lambda: bool(self.answers)

    def set(self, value: Any) -> None:
        """Keep an answer."""
        self.answers.append(value)

    def refuse(self, error: BaseException) -> None:
        """Keep an error."""
        self.answers.append(error)


def durable_state() -> OwnerState:
    """Return a state whose commands wait for their commit."""
    state = new_state()
    state.make_row()
    return state


def send(
    state: OwnerState,
    command: Message | None,
    undone: Callable[[], None] | None = None,
) -> Told:
    """Decide and stage `command`; a drop if `None`."""
    told = Told()
    decision = drop(state, 0.0) if command is None else decide(state, command, 0.0)
    event, reply = decision
    stage(state, Staged(told, event=event, answer=lambda: reply, undone=undone))
    return told


def take(state: OwnerState, entries: int) -> None:
    """Have the oldest `entries` be in the committer's hands."""
    for entry in list(state.staged or ())[:entries]:
        entry.taken = True
