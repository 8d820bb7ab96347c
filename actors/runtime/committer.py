"""The committer: one thread that writes what all owners have staged.

Owners do not wait for the disk. What is logged has happened, and is written some time
later, many commands at once. What is staged while one commit is under way goes into
the next, all owners' together, so that one sync covers it. Then each owner publishes
its part, in its own turn, and answers.

A commit that fails is taken back whole, with all that was staged on it meanwhile;
nothing of such an owner is written before it has done so.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from stateward.actors.core.errors import (
    CommitFailedError,
    StoreError,
    StorePoisonedError,
)
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Store
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import Staged, publish_committed, take_back
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.chores import Chore, Wake
from stateward.actors.runtime.guard import left_behind
from stateward.actors.runtime.wakes import LATE, Wakes, make_way

T = TypeVar("T")

DRAIN: Final = 0.05
"""Seconds that what is logged waits for its commit: it gathers, and is not much yet."""

logger: Final = logging.getLogger("stateward.committer")

GATHERS_MAX: Final = 20
"""LIMIT: how often in a row; with what the system adds, some 3 ms."""


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
        deliver: Callable[[Committed], None],
        changed: Callable[[OwnerState], None],
        drained: Callable[[], None],
        stores: Callable[[], Iterable[Store]],
        *,
        synced: bool,
        flush_interval: float,
        reply_timeout: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing to do; `start` starts the thread.

        Args:
            deliver: Brings a signal to whoever may change the state of its scope.
            changed: Called after an owner has published.
            drained: Called after what was logged has been written.
            stores: Returns what may be written to; closed at the end.
            synced: Whether each commit outlives power loss before it is published.
            flush_interval: Seconds after which others are synced.
            reply_timeout: Seconds a sender waits for its answer at most.
            now: Returns seconds since any fixed moment.
        """
        self.deliver = deliver
        self.changed = changed
        self._drained = drained
        self.synced = synced
        self.wakes = Wakes(reply_timeout)
        """Who waits for a commit."""
        self._stores = stores
        self._flush_interval = flush_interval
        self._lag = min(DRAIN, flush_interval / 2)
        """Seconds that what is logged may wait; so much earlier it has to be synced."""
        self._now = now
        self.resting = True
        """Whether somebody who logs something has to call `wake`."""
        self._drain_at: float | None = None
        """When to write what is logged."""
        self._wanted: SimpleQueue[OwnerState | Chore[Any] | Wake | None] = SimpleQueue()
        self.submit: Callable[[OwnerState], None] = self._wanted.put
        """Have what is staged of an owner committed."""
        self._broken: set[OwnerScope] = set()
        """Owners that have yet to take back what failed."""
        self._unsynced: dict[Store, float] = {}
        """When to sync what was written to each store."""
        self._arrived: list[OwnerState | Chore[Any] | Wake | None] = []
        """What the group under way is made of."""
        self._came = 0
        """How much was submitted to the group before."""
        self._over = False
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        thread = threading.Thread(
            target=self._work, name="stateward-committer", daemon=True
        )
        thread.start()
        self._thread = thread

    def wake(self) -> None:
        """Look for what is logged."""
        self.resting = False
        self._wanted.put(Wake())

    def mended(self, state: OwnerState) -> None:
        """Take commits of an owner again, which has taken back what failed."""
        self._broken.discard(state.scope)

    def perform(self, action: Callable[[], T]) -> T:
        """Have `action` done between two commits, and return what it returns.

        Whoever waits here may be inside a turn: the committer waits for none.

        Raises:
            ClosedError: It has ended, or is that of the parent. Effect: none.
        """
        if self._pid != os.getpid():
            raise left_behind()
        chore = Chore(action)
        if self._thread is None:
            self._do([chore])
            return chore.result()
        if self._thread is threading.current_thread():
            return action()
        self._wanted.put(chore)
        return chore.wait(self._thread)

    def forget(self, store: Store) -> None:
        """Sync a store no more that is going to be closed; within `perform`."""
        self._unsynced.pop(store, None)

    def close(self) -> None:
        """Commit and sync what is staged, then end the thread; idempotent."""
        self.abandon()
        if self._thread is None:
            self._work()  # Nobody else does.
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def abandon(self) -> None:
        """As `close`, but wait for nothing; a garbage collector must not."""
        self._wanted.put(None)

    def _work(self) -> None:
        while not self._over:
            try:
                self.turn()
            except Exception:
                # It outlives everything, or senders would wait for ever.
                logger.exception("The committer failed")
        self.wakes.rest()
        for store in self._stores():
            store.close()

    def idle(self) -> bool:
        """Return whether nothing waits to be written."""
        return self._wanted.empty() and not self._arrived

    def turn(self, *, wait: bool = True) -> None:
        """Write what waits, in one group, and sync what is due.

        Args:
            wait: Whether to wait for something to do.
        """
        self._gather(wait=wait and not self._arrived)
        # By identity: the hash of a scope takes long, and an owner has one state.
        states = list(
            dict.fromkeys(it for it in self._arrived if isinstance(it, OwnerState))
        )
        self._over = self._over or None in self._arrived
        try:
            self._commit(states)
        except Exception as error:
            self._give_up(states, error)
            raise
        finally:
            chores = [it for it in self._arrived if isinstance(it, Chore)]
            self._arrived.clear()
            # ORDER: what was staged before is written before.
            if chores:
                self._do(chores)
        self._drain()
        for store, when in list(self._unsynced.items()):
            if self._over or self._now() >= when:
                self._flush(store)

    def _gather(self, *, wait: bool) -> None:
        """Let arrive what waits; perhaps wait for something.

        Nothing is lost should this fail: it has arrived, or waits still.
        """
        timeout = None
        due = [*self._unsynced.values()]
        if self.wakes.are_left():
            due.append(self._now() + LATE)
        if not self.resting:
            # Nobody wakes us, even if a failure has kept us from looking.
            due.append(self._drain_at or self._now() + self._lag)
        if due:
            timeout = max(0.0, min(due) - self._now())
        gathers = 0
        try:
            self._arrived.append(self._wanted.get(wait, timeout))
            while True:
                if wait and self._wanted.empty() and len(self._arrived) < self._came:
                    # Senders run once this thread waits: who was just answered writes
                    # again, and else half of them would miss each commit.
                    if gathers == GATHERS_MAX or self._arrived[-1] is None:
                        break
                    gathers += 1
                    make_way()
                self._arrived.append(self._wanted.get_nowait())
        except Empty:
            pass
        self._came = len(self._arrived)
        self.wakes.rest()

    def _do(self, chores: list[Chore[Any]]) -> None:
        """Do something else, while everything that is logged is written as well."""
        failure: Exception | None = None
        with ExitStack() as held:
            for store in self._stores():
                held.callback(store.redo.release)
                try:
                    store.redo.hold()
                    failure = self._write(store, []) or failure
                except StoreError as error:
                    failure = error
            for chore in chores:
                chore.run(failure)

    def _drain(self) -> None:
        """Write what is logged, if it is time to."""
        if not any(store.redo.behind for store in self._stores()):
            self._drain_at = None
            # ORDER: said first. Who logs something looks at it after that.
            self.resting = True
            if not any(store.redo.behind for store in self._stores()):
                return
        self.resting = False
        now = self._now()
        if self._drain_at is None:
            self._drain_at = now + self._lag
        elif now >= self._drain_at or self._over:
            self._drain_at = now + self._lag
            for store in self._stores():
                if store.redo.behind and (error := self._write(store, [])):
                    logger.error("What is logged cannot be written", exc_info=error)
                    self._drain_at = now + self._flush_interval
        for store in self._stores():
            if store.redo.behind:
                self._unsynced.setdefault(store, now + self._flush_interval - self._lag)

    def _commit(self, states: list[OwnerState]) -> None:
        """Write what the owners have staged, a commit for each store there is."""
        groups: dict[Store | None, list[tuple[OwnerState, list[Staged]]]] = {}
        for state, entries in self._take(states):
            store = None if state.seal is None else state.seal.store
            groups.setdefault(store, []).append((state, entries))
        for store, work in groups.items():
            # What no store keeps any more is as durable as it was promised to be.
            error = None if store is None else self._write(store, work)
            if error is not None:
                logger.error("A commit failed", exc_info=error)
                self._broken.update(state.scope for state, _ in work)
            for _, entries in work:
                for entry in entries:
                    entry.committed = error is None
            try:
                if armed and error is None:
                    hit("store.committed")
            finally:
                with self.wakes:
                    for state, _ in work:
                        self.deliver(Committed(state, error, self))

    def _give_up(self, states: list[OwnerState], error: Exception) -> None:
        """After a failure of our own: nobody may wait for ever for an answer.

        Whether what was taken is written is not known, so its store takes no more.
        """
        for state in states:
            failure = None
            if any(it.taken and not it.committed for it in list(state.staged or ())):
                if state.seal is not None:
                    state.seal.store.poison(f"the committer failed: {error!r}")
                text = f"commit failed: {error!r}"
                failure = CommitFailedError(text, effect="unknown")
                self._broken.add(state.scope)
            else:
                self.submit(state)
            self.deliver(Committed(state, failure, self))

    def _take(self, states: list[OwnerState]) -> list[tuple[OwnerState, list[Staged]]]:
        """Return what each owner has staged and has not been taken yet."""
        work: list[tuple[OwnerState, list[Staged]]] = []
        for state in states:
            if state.staged is None or (self._broken and state.scope in self._broken):
                continue
            entries = [entry for entry in list(state.staged) if not entry.taken]
            for entry in entries:
                entry.taken = True
            if entries:
                work.append((state, entries))
        return work

    def _write(
        self, store: Store, work: list[tuple[OwnerState, list[Staged]]]
    ) -> CommitFailedError | None:
        """Write a group; return why that could not be."""
        events = [
            (state, some)
            for state, entries in work
            if (some := [it.event for it in entries if it.event is not None])
        ]
        logged = store.redo.behind
        self.wakes.rest()
        if not events and not logged:
            return None
        sync = self.synced or any(it.sync for _, entries in work for it in entries)
        try:
            if armed:
                hit("store.commit")
            store.commit(events, sync=sync)
        except CommitFailedError as error:
            return error
        except Exception as error:  # noqa: BLE001  # told to each sender
            return CommitFailedError(f"commit failed: {error!r}", effect="unknown")
        if sync:
            self._unsynced.pop(store, None)
        else:
            due = self._now() + self._flush_interval - self._lag
            self._unsynced.setdefault(store, due)
        if logged:
            self._drained()
        return None

    def _flush(self, store: Store) -> None:
        """Sync what was committed without."""
        self.wakes.rest()
        del self._unsynced[store]
        try:
            store.commit([], sync=True)
        except CommitFailedError as error:
            logger.exception("A sync failed")
            lasting = isinstance(error, StorePoisonedError)
            if error.effect == "none" and not lasting and not self._over:
                # What was promised is still due; there may be space the next time.
                self._unsynced[store] = self._now() + self._flush_interval
