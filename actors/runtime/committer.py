"""The committer: one thread that writes what all owners have staged.

Owners do not wait for the disk. What is staged while one commit is under way goes into
the next, all owners' together, so that one sync covers it. Then each owner publishes
its part, in its own turn, and answers.

A commit that fails is taken back whole, with all that was staged on it meanwhile;
nothing of such an owner is written before it has done so.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from stateward.actors.core.errors import CommitFailedError, StorePoisonedError
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Store
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import Staged, publish_committed, take_back
from stateward.actors.core.state import OwnerState

logger: Final = logging.getLogger("stateward.committer")


class Committed(Message):
    """Signal, from the committer: some of what was staged is committed, or is not."""

    __slots__ = ("committer", "error", "state")

    def __init__(
        self,
        state: OwnerState,
        error: CommitFailedError | None,
        committer: "Committer",
    ) -> None:
        """Say of whose state, and why it is not."""
        super().__init__(state.scope)
        self.state = state
        self.error = error
        self.committer = committer

    def carry_out(self) -> None:
        """Publish or take back; in a turn of the owner, or while it has no actor.

        RACE: the signals of an owner that ends may overtake each other on the way to
        the supervisor; so what is published is what is marked, not what is counted.
        """
        if self.error is None:
            publish_committed(self.state)
        else:
            take_back(self.state, self.error)
            self.committer.mended(self.state)
        self.committer.changed(self.state)


class Committer:
    """Writes what is staged, in groups.

    Concurrency: `submit` from any thread, also within a turn; it is one C call.
    """

    def __init__(
        self,
        store: Store,
        deliver: Callable[[Committed], None],
        changed: Callable[[OwnerState], None],
        *,
        synced: bool,
        flush_interval: float,
        reply_timeout: float,
    ) -> None:
        """Start the thread.

        Args:
            store: Where to write.
            deliver: Brings a signal to whoever may change the state of its scope.
            changed: Called after an owner has published.
            synced: Whether each commit outlives power loss before it is published.
            flush_interval: Seconds after which others are synced.
            reply_timeout: Seconds a sender waits for its answer at most.
        """
        self.store = store
        self.deliver = deliver
        self.changed = changed
        self.synced = synced
        self.reply_timeout = reply_timeout
        self._flush_interval = flush_interval
        self._wanted: SimpleQueue[OwnerState | None] = SimpleQueue()
        self.submit: Callable[[OwnerState], None] = self._wanted.put
        """Have what is staged of an owner committed."""
        self._broken: set[OwnerScope] = set()
        """Owners that have yet to take back what failed."""
        self._flush_at: float | None = None
        self._thread = threading.Thread(
            target=self._work, name="stateward-committer", daemon=True
        )
        self._thread.start()

    def mended(self, state: OwnerState) -> None:
        """Take commits of an owner again, which has taken back what failed."""
        self._broken.discard(state.scope)

    def close(self) -> None:
        """Commit and sync what is staged, then end the thread; idempotent."""
        self.abandon()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def abandon(self) -> None:
        """As `close`, but wait for nothing; a garbage collector must not."""
        self._wanted.put(None)

    def _work(self) -> None:
        going_on = True
        while going_on:
            try:
                wanted, going_on = self._next()
                if wanted:
                    self._commit(list(wanted.values()))
                if self._flush_at is not None and (
                    not going_on or time.monotonic() >= self._flush_at
                ):
                    self._flush()
            except Exception:
                # It outlives everything, or senders would wait for ever.
                logger.exception("The committer failed")
        self.store.close()

    def _next(self) -> tuple[dict[OwnerScope, OwnerState], bool]:
        """Wait for something to do; return it, and whether more may come."""
        wait = None
        if self._flush_at is not None:
            wait = max(0.0, self._flush_at - time.monotonic())
        wanted: dict[OwnerScope, OwnerState] = {}
        going_on = True
        try:
            item = self._wanted.get(timeout=wait)
            while True:
                if item is None:
                    going_on = False
                else:
                    wanted[item.scope] = item
                item = self._wanted.get_nowait()
        except Empty:
            return wanted, going_on

    def _commit(self, states: list[OwnerState]) -> None:
        """Write what the owners have staged, and have each publish its part."""
        work = self._take(states)
        if not work:
            return
        error = self._write(work)
        if error is not None:
            logger.error("A commit failed", exc_info=error)
            self._broken.update(state.scope for state, _ in work)
        for _, entries in work:
            for entry in entries:
                entry.committed = error is None
        if armed and error is None:
            hit("store.committed")
        for state, _ in work:
            self.deliver(Committed(state, error, self))

    def _take(self, states: list[OwnerState]) -> list[tuple[OwnerState, list[Staged]]]:
        """Return what each owner has staged and has not been taken yet."""
        work: list[tuple[OwnerState, list[Staged]]] = []
        for state in states:
            if state.scope in self._broken or state.staged is None:
                continue
            entries = [entry for entry in list(state.staged) if not entry.taken]
            for entry in entries:
                entry.taken = True
            if entries:
                work.append((state, entries))
        return work

    def _write(
        self, work: list[tuple[OwnerState, list[Staged]]]
    ) -> CommitFailedError | None:
        """Write a group; return why that could not be."""
        events = [
            (state, [entry.event for entry in entries if entry.event is not None])
            for state, entries in work
        ]
        events = [(state, some) for state, some in events if some]
        if not events:
            return None
        sync = self.synced or any(it.sync for _, entries in work for it in entries)
        try:
            if armed:
                hit("store.commit")
            self.store.commit(events, sync=sync)
        except CommitFailedError as error:
            return error
        except Exception as error:  # noqa: BLE001  # told to each sender
            return CommitFailedError(f"commit failed: {error!r}", effect="unknown")
        if sync:
            self._flush_at = None
        elif self._flush_at is None:
            self._flush_at = time.monotonic() + self._flush_interval
        return None

    def _flush(self) -> None:
        """Sync what was committed without."""
        self._flush_at = None
        try:
            self.store.commit([], sync=True)
        except CommitFailedError as error:
            logger.exception("A sync failed")
            lasting = isinstance(error, StorePoisonedError)
            if error.effect == "none" and not lasting:
                # What was promised is still due; there may be space the next time.
                self._flush_at = time.monotonic() + self._flush_interval
