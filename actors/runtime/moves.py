"""Moves: an owner goes from where it is kept to where it is to be, and never stops.

Its entries are written to the new place while it goes on, in slices between commits.
Then, in one commit, what has changed meanwhile, and that the owner is there. The old
place has noted before that the owner may be gone, and notes after it that it is: after
a crash it is in exactly one of them.

An owner in memory alone is switched in its own turn, for another kind of actor takes
over. One in a store is switched between two commits: what it has staged goes to the
new store, and it notices nothing.

A switch that fails leaves the owner where it was. What the new place may hold of it
counts for nothing then, for what it had noted last is older than the owner.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Final

from stateward.actors.core.errors import (
    CommitFailedError,
    InvariantError,
    StateError,
    StoreError,
    StorePoisonedError,
)
from stateward.actors.core.messages import Message, Passivate
from stateward.actors.core.ports import IN_MEMORY, Arrival, Seal, Store
from stateward.actors.core.reader import versions
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, OwnerState
from stateward.actors.runtime.directory import Directory

SLICE: Final = 500
"""LIMIT: entries written in one commit; all others wait for it, some 10 ms."""


class MoveState(Message):
    """Command: have a store keep an owner from here on that memory alone has kept.

    The reply says whether that was so.
    """

    __slots__ = ("finish",)

    def __init__(self, scope: OwnerScope, finish: Callable[[OwnerState], bool]) -> None:
        """Address the owner of `scope`.

        Args:
            scope: Whose owner.
            finish: Commits the state to the store and seals it; returns `False`, and
                does nothing, if nobody waits for that any more.
        """
        super().__init__(scope)
        self.finish = finish


class OvertakenError(Exception):
    """The owner was let go or moved meanwhile; it is to be looked for again."""


class Mover:
    """Brings owners to where they are to be, one after the other.

    Concurrency: One thread, not the main one: an interrupt must not stop it half-way.
    """

    def __init__(self, directory: Directory, ask: Callable[[Message], object]) -> None:
        """Work on what `directory` knows.

        Args:
            directory: With a vault and a committer.
            ask: Asks the supervisor.
        """
        if directory.vault is None or directory.committer is None:
            raise InvariantError("nothing moves without a store")
        self._directory = directory
        self._ask = ask
        self._vault = directory.vault
        self._perform = directory.committer.perform
        self._placement = directory.vault.placement
        self._arriving: Arrival | None = None
        """What may still be finished; changed between two commits."""
        self.longest_pause = 0.0
        """Seconds that an owner's commits waited for its switch at most."""

    def misplaced(self) -> list[OwnerScope]:
        """Return the owners that are not where they are to be."""
        placement, found = self._placement, dict[OwnerScope, None]()
        for scope, state in list(self._directory.states.items()):
            # Those that hold nothing too: they would write to where they are.
            if state.revision != RETIRED and _place(state) is not placement.wanted(
                scope
            ):
                found[scope] = None
        found.update(dict.fromkeys(placement.misplaced()))
        return list(found)

    def move(self, scope: OwnerScope) -> OwnerState | None:
        """Bring one owner to where it is to be; return its state, if it has one.

        Raises:
            CommitFailedError: See its `effect`; the owner stays where it was.
            CorruptStoreError: It is damaged, or what was written reads otherwise.
            StateError: Whatever else keeps its actor from being asked.
        """
        try:
            while True:
                state = self._directory.state(scope)
                if state is None:
                    return None
                wanted, source = self._placement.wanted(scope), _place(state)
                if source is wanted:
                    return state
                # ORDER: first; from here on nothing begins where pieces will lie.
                if self._vault.pin(state):
                    try:
                        self._move(state, source, wanted)
                    except OvertakenError:
                        continue
                    return state
        finally:
            self._clear_up(scope)

    def _clear_up(self, scope: OwnerScope) -> None:
        """Remove what lies about, and let the owner begin where it is to be."""
        with suppress(StateError):
            # If that fails, it begins where it is until this is done.
            while self._perform(self._clear_some):
                pass
            self._placement.moving.pop(scope, None)

    def _clear_some(self) -> bool:
        # What was sent and not answered in time must not finish what is removed.
        self._arriving = None
        return any(store.clear_some() for store in self._placement.stores())

    def _move(
        self, state: OwnerState, source: Store | None, target: Store | None
    ) -> None:
        scope = state.scope
        if target is None:
            self._perform(partial(self._take_out, state, source))
            # The actor that commits may go; the next one writes to memory alone.
            with suppress(StateError):
                self._ask(Passivate(scope))
        else:
            if source is None and scope not in self._placement.void:
                check_apart(scope, target)
            arrival = self._send_ahead(state, target)
            if source is not None:
                self._perform(partial(self._switch, state, source, target, arrival))
            elif not self._ask(MoveState(scope, partial(self._finish, arrival))):
                raise OvertakenError
        self._vault.weigh(state)

    def _send_ahead(self, state: OwnerState, target: Store) -> Arrival:
        """Write what an owner holds, while it goes on."""

        def arrive() -> Arrival:
            self._arriving = target.arrive(state.scope)
            return self._arriving

        arrival = self._perform(arrive)
        rows = versions(state, state.revision)
        if state.keys <= SLICE:
            return arrival  # One commit is enough.
        while part := list(islice(rows, SLICE)):
            self._perform(partial(arrival.put, part))
        arrival.verify()
        return arrival

    def _finish(self, arrival: Arrival, state: OwnerState) -> bool:
        """In the turn of an owner in memory alone: commit it to its store."""

        def finish() -> bool:
            if self._arriving is not arrival or state.revision == RETIRED:
                return False
            # ORDER: a seal stands for a row; nobody looks at one without the other.
            seal = self._arrive(arrival, state)
            if state.staged is None:
                state.make_row()
            state.seal = seal
            self._placement.void.discard(state.scope)
            return True

        with self._timed():
            return self._perform(finish)

    def _arrive(self, arrival: Arrival, state: OwnerState) -> Seal:
        """Commit an owner in memory to its store."""
        try:
            return _finished(arrival, state, committed(state))
        except Exception as error:
            scope, target = state.scope, self._placement.target
            self._placement.void.add(scope)
            if target is not None and getattr(error, "effect", "unknown") == "none":
                if target.holds(scope) is not None:
                    target.depart(scope, IN_MEMORY)
                self._placement.void.discard(scope)
            raise

    def _take_out(self, state: OwnerState, source: Store | None) -> None:
        """Between two commits: have memory alone keep an owner from now on."""
        if state.revision == RETIRED or source is None or _place(state) is not source:
            raise OvertakenError
        with self._timed():
            if source.holds(state.scope) is not None:
                try:
                    source.depart(state.scope, IN_MEMORY)
                except CommitFailedError as error:
                    poisoned = isinstance(error, StorePoisonedError)
                    if error.effect == "none" and not poisoned:
                        raise
                    # It can be told nothing any more, and is about to be left.
                    self._placement.void.add(state.scope)
            state.seal = None

    def _switch(
        self, state: OwnerState, source: Store, target: Store, arrival: Arrival
    ) -> None:
        """Between two commits: have an owner commit to another store from now on."""
        scope, totals = state.scope, committed(state)
        if RETIRED in (state.revision, totals[0]) or _place(state) is not source:
            raise OvertakenError
        with self._timed():
            leaves = source.holds(scope) is not None
            if leaves:
                source.leave(scope, target.text)
            seal = _finished(arrival, state, totals)
            if leaves:
                source.depart(scope, target.text)
            # ORDER: last. Until the old place has noted that it is gone, the owner goes
            # on there, so that whichever holds its later revision is the right one.
            state.seal = seal

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Note how long a switch takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.longest_pause = max(self.longest_pause, time.monotonic() - began)


def check_apart(scope: OwnerScope, target: Store) -> None:
    """Raise `StoreError` if a store has something of its own of an owner in memory."""
    if target.holds(scope) is not None:
        raise StoreError(
            f"{scope} holds something in memory, and something else in {target.text}",
            scope=scope,
        )


def _place(state: OwnerState) -> Store | None:
    """Return where an owner commits; `None` for memory."""
    return None if state.seal is None else state.seal.store


def _finished(
    arrival: Arrival, state: OwnerState, totals: tuple[int, int, int]
) -> Seal:
    """Write what is left to write of an owner, and have it be in its new store."""
    revision, keys, size = totals
    return arrival.finish(
        versions(state, revision),
        revision=revision,
        keys=keys,
        size=size,
        version=None if state.seal is None else state.seal.version,
    )


def committed(state: OwnerState) -> tuple[int, int, int]:
    """Return revision, keys and size after the newest command that is committed.

    Concurrency: Between two commits; the owner may be publishing that command.
    """
    if state.seal is not None:
        return state.seal.reached()
    # ORDER: what is not in this copy has been published, and its totals are in.
    for entry in reversed(list(state.staged or ())):
        if entry.committed and entry.event is not None:
            revision, _, keys, size, _ = entry.event
            return revision, keys, size
    return state.revision, state.keys, state.size
