"""Staging: commands that are decided, and not committed yet.

With a store a command happens in two turns of its owner. In the first it is decided and
staged: the tables have its new versions, which no reader takes. Then the committer
writes it, beside all that other owners have staged. In the second turn it is published
and its sender answered; or, if it could not be committed, it is taken back, and with it
all that was staged on it.

Everything a sender is told waits for its turn in the same row: an answer or a refusal
that rests on what is staged is worth as much as that is.
"""

from collections.abc import Callable
from typing import Any, Protocol

from stateward.actors.core.cells import DELETED, Cell
from stateward.actors.core.errors import (
    CommitFailedError,
    InvariantError,
    OwnerFailedError,
)
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.state import Event, OwnerState


class Reply(Protocol):
    """Where an answer goes."""

    def done(self) -> bool:
        """Return whether it was given."""
        ...

    def set(self, value: Any) -> None:
        """Give the answer."""
        ...

    def refuse(self, error: BaseException) -> None:
        """Give an error for an answer."""
        ...


class Staged:
    """One command between its two turns, or an answer that waits for those before."""

    __slots__ = (
        "answer",
        "committed",
        "event",
        "reply",
        "sync",
        "taken",
        "undone",
    )

    def __init__(
        self,
        reply: Reply,
        *,
        event: Event | None = None,
        answer: Callable[[], Any],
        sync: bool = False,
        undone: Callable[[], None] | None = None,
    ) -> None:
        """Hold what waits.

        Args:
            reply: Of the sender.
            event: What was decided; `None` if nothing changes.
            answer: Gives the answer, or raises the refusal, once its time has come.
            sync: Whether it must outlive power loss before it is published.
            undone: Called if it is taken back.
        """
        self.reply = reply
        self.event = event
        self.answer = answer
        self.sync = sync
        self.undone = undone
        self.taken = False
        """Whether the committer has it."""
        self.committed = False
        """Whether it is written: it can only be published any more."""

    def publish(self, state: OwnerState) -> None:
        """Let the command happen, and answer."""
        if self.event is not None:
            state.publish(self.event)
        if self.reply.done():
            return  # It was, and did not come out of the row.
        try:
            answer = self.answer()
        except Exception as error:  # noqa: BLE001  # the sender's
            self.reply.refuse(error)
        else:
            self.reply.set(answer)


def stage(state: OwnerState, entry: Staged) -> None:
    """Stage a command, or put an answer in its row; may be interrupted anywhere."""
    if state.staged is None:
        raise InvariantError(f"{state.scope} has no store")
    if entry.event is not None:
        state.stage(entry.event)
        if armed:
            hit("state.staged")
    # ORDER: one call; `OwnerState.recover` finds it in the row, or takes it back.
    state.staged.append(entry)
    state.pending = None


def publish(state: OwnerState, entries: int) -> None:
    """Publish the oldest `entries` of what is staged: they are committed."""
    state.recover()
    staged = state.staged
    for _ in range(entries):
        if not staged:
            return
        entry = staged[0]
        try:
            entry.publish(state)
        except Exception as error:  # noqa: BLE001  # a bug of ours; it is committed
            if entry.event is not None:
                # ORDER: as in `Staged.publish`, which may not have come to it.
                state.revision = entry.event[0]
                state.settle(entry.event)
            text = f"the owner of {state.scope} failed: {error!r}"
            if not entry.reply.done():
                entry.reply.refuse(OwnerFailedError(text, effect="unknown"))
        staged.popleft()


def publish_committed(state: OwnerState) -> None:
    """Publish all that is committed, whichever signal of it has come."""
    publish(state, sum(entry.committed for entry in state.staged or ()))


def take_back(state: OwnerState, error: CommitFailedError) -> None:
    """Take back all that is staged, newest first, and tell each sender why.

    What the committer had not taken yet has certainly no effect.
    """
    publish_committed(state)
    staged = state.staged
    if staged is None:
        return
    for entry in reversed(staged):
        if entry.event is not None:
            state.undo(entry.event)
        if entry.undone is not None:
            entry.undone()
    for entry in staged:
        for cell in () if entry.event is None else entry.event[1]:
            _bring_back(state, cell)
    for entry in staged:
        # What changes nothing has no effect, whatever became of the rest.
        certain = entry.event is None or not entry.taken
        effect = "none" if certain else error.effect
        if not entry.reply.done():
            entry.reply.refuse(
                type(error)(str(error), **{**error.context, "effect": effect})
            )
    # ORDER: all at once; up to here everything may be repeated from the start.
    staged.clear()


def _bring_back(state: OwnerState, cell: Cell) -> None:
    """Mend what is noted of the place of `cell`, which was taken back."""
    table, key = cell.table, cell.key
    # Or transactions that read the whole table would conflict with what never was.
    table.revision = min(table.revision, state.latest)
    old = table.get(key)
    if old is not None and old.expires is not None and old.expires != DELETED:
        # What it replaced may have expired meanwhile, or been removed for that.
        state.expect(old.expires, table.step_name, key)
