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
from typing import Any, Final, Generic, TypeVar, cast

from stateward.actors.core.errors import (
    ClosedError,
    CommitFailedError,
    StorePoisonedError,
)
from stateward.actors.core.faults import armed, hit
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Store
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.staging import Staged, publish_committed, take_back
from stateward.actors.core.state import OwnerState

T = TypeVar("T")

_LOOK: Final = 1.0
"""Seconds between two looks at whether the thread that is waited for has ended."""

logger: Final = logging.getLogger("stateward.committer")

GATHER: Final = 50e-6
"""Seconds given to those who were answered together to come back together; measured."""
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


class Chore(Generic[T]):
    """Something else that writes to a store, and so has its turn between commits."""

    def __init__(self, action: Callable[[], T]) -> None:
        """Hold what is to be done."""
        self._action = action
        self._result: T | None = None
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Do it, in the committer's thread."""
        try:
            self._result = self._action()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
        self.done.set()

    def result(self) -> T:
        """Return what came of it, once it is done."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class Committer:
    """Writes what is staged, in groups.

    Concurrency: `submit` from any thread, also within a turn; it is one C call.
    """

    def __init__(
        self,
        deliver: Callable[[Committed], None],
        changed: Callable[[OwnerState], None],
        closed: Callable[[], None],
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
            closed: Called at the end, to close what was written to.
            synced: Whether each commit outlives power loss before it is published.
            flush_interval: Seconds after which others are synced.
            reply_timeout: Seconds a sender waits for its answer at most.
            now: Returns seconds since any fixed moment.
        """
        self.deliver = deliver
        self.changed = changed
        self.synced = synced
        self.reply_timeout = reply_timeout
        self._closed = closed
        self._flush_interval = flush_interval
        self._now = now
        self._wanted: SimpleQueue[OwnerState | Chore[Any] | None] = SimpleQueue()
        self.submit: Callable[[OwnerState], None] = self._wanted.put
        """Have what is staged of an owner committed."""
        self._broken: set[OwnerScope] = set()
        """Owners that have yet to take back what failed."""
        self._unsynced: dict[Store, float] = {}
        """When to sync what was written to each store."""
        self._arrived: list[OwnerState | Chore[Any] | None] = []
        """What the group under way is made of."""
        self._came = 0
        """How much was submitted to the group before."""
        self._over = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(
            target=self._work, name="stateward-committer", daemon=True
        )
        self._thread.start()

    def mended(self, state: OwnerState) -> None:
        """Take commits of an owner again, which has taken back what failed."""
        self._broken.discard(state.scope)

    def perform(self, action: Callable[[], T]) -> T:
        """Have `action` done between two commits, and return what it returns.

        Whoever waits here may be inside a turn: the committer waits for none.

        Raises:
            ClosedError: The committer has ended. Effect: none.
        """
        if self._thread is None or self._thread is threading.current_thread():
            return action()
        chore = Chore(action)
        self._wanted.put(chore)
        while not chore.done.wait(timeout=_LOOK):
            if not self._thread.is_alive() and not chore.done.is_set():
                raise ClosedError("the manager is closed")
        return chore.result()

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
        self._closed()

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
            for chore in chores:
                chore.run()
        for store, when in list(self._unsynced.items()):
            if self._over or self._now() >= when:
                self._flush(store)

    def _gather(self, *, wait: bool) -> None:
        """Let arrive what waits; perhaps wait for something.

        Nothing is lost should this fail: it has arrived, or waits still.
        """
        timeout = None
        if self._unsynced:
            timeout = max(0.0, min(self._unsynced.values()) - self._now())
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
            store.commit(events, sync=sync)
        except CommitFailedError as error:
            return error
        except Exception as error:  # noqa: BLE001  # told to each sender
            return CommitFailedError(f"commit failed: {error!r}", effect="unknown")
        if sync:
            self._unsynced.pop(store, None)
        else:
            self._unsynced.setdefault(store, self._now() + self._flush_interval)
        return None

    def _flush(self, store: Store) -> None:
        """Sync what was committed without."""
        del self._unsynced[store]
        try:
            store.commit([], sync=True)
        except CommitFailedError as error:
            logger.exception("A sync failed")
            lasting = isinstance(error, StorePoisonedError)
            if error.effect == "none" and not lasting and not self._over:
                # What was promised is still due; there may be space the next time.
                self._unsynced[store] = self._now() + self._flush_interval


def make_way() -> None:
    """Let senders run."""
    time.sleep(GATHER)
