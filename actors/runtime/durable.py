"""The owner with a store: it decides and stages, and publishes what is committed."""

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from stateward.actors.core.cells import Cell
from stateward.actors.core.decider import drop
from stateward.actors.core.errors import OwnerFailedError, StepRevokedError
from stateward.actors.core.faults import armed
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
            return self._stage_usual(message)
        if type(message) is Committed:
            message.carry_out()
            return None
        return self.serve(message)

    def _stage_usual(self, cell: Cell) -> Deferred | None:
        """Stage the usual write, as `overwrite` carries it out; `None` if it is not."""
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
        deferred = Deferred(self._committer.reply_timeout)
        stage(self.state, Staged(deferred, answer=give))
        return deferred

    def carry_out(self, event: Event, reply: Any, fenced: Fenced | None) -> Deferred:
        """Stage `event`; the reply is given once it is published."""
        deferred = Deferred(self._committer.reply_timeout)
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
