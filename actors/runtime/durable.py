"""The owner with a store: it decides, and publishes what is as durable as promised.

What only has to outlive the process is logged and published in the same turn. All else
is staged, and published in a turn that follows its commit.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from stateward.actors.core.cells import Cell
from stateward.actors.core.decider import drop
from stateward.actors.core.errors import OwnerFailedError, StepRevokedError
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.messages import (
    GetManyState,
    GetSnapshot,
    GetState,
    Passivate,
)
from stateward.actors.core.queries import answer
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import Event
from stateward.actors.runtime.committer import Committed, Committer
from stateward.actors.runtime.fences import Fence, Fenced
from stateward.actors.runtime.inbox import Deferred
from stateward.actors.runtime.owner import Owner


class DurableOwner(Owner):
    """Single writer of one `OwnerState` that a store keeps; see `staging`."""

    def __init__(self, *, committer: Committer, **kwargs: Any) -> None:
        """Take over a state that was loaded from the committer's store."""
        super().__init__(**kwargs)
        self._committer = committer
        self._sync = False
        """Whether the command being decided must outlive power loss."""

    def take_turn(self, message: Any) -> Any:
        """Carry out any command, and publish what is committed."""
        if type(message) is Cell:
            if self._committer.synced or self.state.staged:
                return self._stage_usual(message)
            return self._log_usual(message)
        if type(message) is Committed:
            message.carry_out()
            return None
        return self.serve(message)

    def _stage_usual(self, cell: Cell) -> Any:
        """Decide the usual write as `overwrite` does; `None` if it is not usual."""
        table, state, size = cell.table, self.state, cell.size
        limits, old, now = state.limits, table.newest(cell.key), self.now()
        if (
            old is None
            or table.state is not state
            or state.pending is not None
            or state.next_expiry <= now
            or armed
        ):
            return None
        keys, total = state.totals()
        total += size - old.size
        if (
            limits.default_ttl is not None
            or size > limits.value_bytes
            or (total > limits.total_bytes and size > old.size)
            or cell.depth > limits.max_depth
        ):
            return None
        revision = cell.revision = state.latest + 1
        cell.created = old.created
        cell.updated = state.used = now
        cell.direct = cell.depth == 0
        cell.expires = cell.frozen = None
        self._sync = self._committer.synced
        try:
            event = (revision, (cell,), keys, total, None)
            return self.carry_out(event, revision, None)
        finally:
            # Nothing may come before this call: see `serve`.
            if state.staged:
                self._committer.submit(state)

    def _log_usual(self, cell: Cell) -> Any:
        """As `_stage_usual`, with the log between staging and publishing."""
        state, table, key, size = self.state, cell.table, cell.key, cell.size
        limits, old, clock = state.limits, table.get(key), self.now
        now, seal = clock(), state.seal
        if (
            old is None
            or seal is None
            or table.state is not state
            or state.pending is not None
            or state.next_expiry <= now
            or armed
        ):
            return None
        before = state.size
        total = before + size - old.size
        if (
            limits.default_ttl is not None
            or size > limits.value_bytes
            or (total > limits.total_bytes and size > old.size)
            or cell.depth > limits.max_depth
        ):
            return None
        revision = state.latest + 1
        cell.revision = revision
        cell.created = old.created
        cell.updated = state.used = now
        cell.direct = cell.depth == 0
        cell.expires = cell.frozen = None
        cell.previous = old
        # ORDER: as in `overwrite`, but it has to happen once it is logged.
        state.pending = cell
        state.latest = table.revision = revision
        table[key] = cell
        if not seal.store.redo.overwrite(state, cell, old, total):
            state.undo((revision, (cell,), state.keys, before, None))
            return self._stage_usual(cell)
        state.revision = revision
        cell.previous = None
        state.size = total
        state.settled = revision
        state.pending = None
        committer = self._committer
        if committer.resting:
            committer.wake()
        if total != before:
            committer.changed(state)
        return revision

    def serve(self, message: Any) -> Any:
        """Decide and stage; the answer waits for what it rests on."""
        state = self.state
        plain = message.command if type(message) is Fenced else message
        self._sync = self._committer.synced or getattr(plain, "sync", False)
        try:
            if state.staged and isinstance(
                plain, GetState | GetManyState | GetSnapshot
            ):
                return self._in_row(lambda: answer(state, plain, self.now()))
            reply = super().serve(message)
            if state.staged and type(reply) is not Deferred:
                return self._in_row(lambda: reply)
            return reply
        except (OwnerFailedError, StepRevokedError):
            raise
        except Exception as error:
            # A refusal, or what a function of the sender raised at what it was shown.
            if not state.staged:
                raise
            return self._in_row(partial(_refuse, error))
        finally:
            # Nothing may come before this call: an interrupt must not leave what is
            # staged without anybody to commit it.
            if state.staged:
                self._committer.submit(state)

    def _in_row(self, give: Callable[[], Any]) -> Deferred:
        deferred = Deferred(self._committer.wakes)
        stage(self.state, Staged(deferred, answer=give))
        return deferred

    def carry_out(self, event: Event, reply: Any, fenced: Fenced | None) -> Any:
        """Log and publish `event`, or stage it: then the reply is given later."""
        if not (self._sync or self.state.staged) and self._log(event):
            return reply
        deferred = Deferred(self._committer.wakes)
        undone = None
        if fenced is not None and fenced.ends_as is not None:
            undone = partial(_reopen, fenced.fence, fenced.ends_as)
        entry = Staged(
            deferred,
            event=event,
            answer=lambda: reply,
            sync=self._sync,
            undone=undone,
        )
        stage(self.state, entry)
        return deferred

    def _log(self, event: Event) -> bool:
        """Have `event` outlive the process, and happen; `False` if it cannot now."""
        state, seal = self.state, self.state.seal
        if seal is None or not event[1]:
            return False
        keys, size = state.keys, state.size
        state.stage(event)
        if armed:
            hit("state.staged")
        if not seal.store.redo.log(state, event):
            state.undo(event)
            for cell in event[1]:
                cell.revision = event[0]  # It is going to be staged once more.
            return False
        if armed:
            hit("store.logged")
        state.publish(event)
        committer = self._committer
        if committer.resting:
            committer.wake()
        if (keys, size) != event[2:4]:
            committer.changed(state)
        return True

    def _drop(self, now: float) -> Any:
        event, held = drop(self.state, now)
        return held if event is None else self.carry_out(event, held, None)

    def _passivate(self, command: Passivate) -> bool:
        return not self.state.staged and super()._passivate(command)

    def _close(self) -> Any:
        # What is staged is published all the same, by the supervisor.
        return self._stop()


def _refuse(error: Exception) -> NoReturn:
    raise error


def _reopen(fence: Fence, ends_as: str) -> None:
    """Let an attempt write again whose last command was taken back."""
    with fence.lock:
        if fence.reason == ends_as:
            fence.reason = None
