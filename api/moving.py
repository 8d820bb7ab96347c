"""Moving: a live manager goes from memory to a store, or from one store to another."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from stateward.actors.core.errors import (
    ClosedError,
    CommitFailedError,
    InvariantError,
    StateError,
    StorePoisonedError,
    UsageError,
)
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, OwnerState
from stateward.actors.runtime.guard import check_may_wait
from stateward.actors.runtime.moves import check_apart
from stateward.actors.runtime.placement import Placement
from stateward.actors.store.batches import Seal
from stateward.actors.store.checking import Progress
from stateward.actors.store.ciphers import Key
from stateward.actors.store.departures import forget, forget_all
from stateward.actors.store.handovers import (
    check_free,
    conclude,
    join,
    reopen,
    send_on,
    under_way,
)
from stateward.actors.store.opening import open_store
from stateward.actors.store.store import DurableStore
from stateward.actors.store.urls import MEMORY, parse_url

if TYPE_CHECKING:
    from stateward.actors.runtime.committer import Committer
    from stateward.actors.runtime.engine import Engine
    from stateward.actors.runtime.vault import Vault

ROUNDS_MAX: Final = 1000
"""LIMIT: how often is looked for owners that have come into being meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """What `persist_to` has done."""

    owners: int
    """How many were moved: workflows, global and custom state."""
    keys: int
    size_bytes: int
    """UTF-8 bytes of their keys plus encoded bytes of their values."""
    seconds: float
    """How long all of it took."""
    longest_pause: float
    """Seconds that commits waited for the switch of one owner at most."""
    complete: bool
    """Whether everything is in the new store, and the first one is closed."""


def move(
    engine: "Engine",
    url: str,
    *,
    rollout: float,
    key: Key | None,
    progress: Progress | None,
) -> MoveReport:
    """Do what `StateManager.persist_to` says."""
    if type(rollout) not in (int, float) or not 0 <= rollout <= 1:
        raise UsageError(f"rollout is {rollout!r}, not a number from 0 to 1")
    target = parse_url(url)
    if target.scheme == MEMORY:
        raise UsageError("memory:// keeps nothing to move to; use rollout=0 to go back")
    check_may_wait()
    if not engine.moving.acquire(blocking=False):
        raise UsageError("another thread is moving this manager")
    try:
        job = _Job(engine, url, float(rollout), key, progress)
        # An interrupt of the main thread must not stop a switch half-way.
        worker = threading.Thread(target=job.run, name="stateward-mover", daemon=True)
        worker.start()
    except BaseException:
        engine.moving.release()
        raise
    try:
        worker.join()
    finally:
        job.stopped = True
        worker.join()
    return job.result()


class _Job:
    """One call of `persist_to`."""

    def __init__(
        self,
        engine: "Engine",
        url: str,
        rollout: float,
        key: Key | None,
        progress: Progress | None,
    ) -> None:
        self._engine = engine
        self._url = url
        self._rollout = rollout
        self._key = key
        self._progress = progress
        self.stopped = False
        self._report: MoveReport | None = None
        self._error: BaseException | None = None
        self._moved: dict[OwnerScope, tuple[int, int]] = {}
        self._began = time.monotonic()

    def result(self) -> MoveReport:
        """Return what has been done, or raise why that was not all."""
        if self._error is not None:
            raise self._error
        if self._report is None:
            raise InvariantError("the move neither ended nor failed")
        return self._report

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
        finally:
            # Here: a second interrupt keeps the caller from waiting for the end.
            self._engine.moving.release()

    def _run(self) -> None:
        mover = self._engine.mover()
        placement = placement_of(self._engine)
        if placement.target is None:
            self._begin(placement)
        elif placement.target.text != self._url:
            raise UsageError(under_way(placement.target.text))
        self._settle_all(placement)
        self._reopen(placement)
        self._engine.place(partial(_set, rollout=self._rollout))
        vault_of(self._engine).wait_for_loads()
        failure = self._move_all(placement, mover.misplaced, mover.move)
        if failure is not None:
            raise failure
        self._settle_all(placement)
        complete = self._rollout == 1 and not self.stopped
        if self._rollout in (0, 1) and not self.stopped:
            self._end(placement, complete=complete)
        self._report = MoveReport(
            owners=len(self._moved),
            keys=sum(keys for keys, _ in self._moved.values()),
            size_bytes=sum(size for _, size in self._moved.values()),
            seconds=time.monotonic() - self._began,
            longest_pause=mover.longest_pause,
            complete=complete,
        )

    def _begin(self, placement: Placement) -> None:
        """Open the store to move to, and have owners be loaded from it too."""
        origin = cast("DurableStore | None", placement.origin)
        if origin is not None and origin.text == self._url:
            raise UsageError(f"the state is in {self._url} already")
        url, version = parse_url(self._url), self._engine.version
        target = open_store(url, key=self._key, version=version)
        if origin is not None:  # What comes may stay at the version it has.
            target.version = max(target.version, origin.version)
        try:
            target.offset = self._engine.clock.epoch(0.0)
            if origin is None:
                self._check_apart(target)
            else:
                join(origin, target, self._url, committer_of(self._engine).perform)
            self._engine.place(partial(_set, target=target))
        except BaseException:
            target.close()
            raise

    def _reopen(self, placement: Placement) -> None:
        """Have a share be able to go back, though all had been moved."""
        if self._rollout < 1 and placement.origin is not None:
            origin = cast("DurableStore", placement.origin)
            target = cast("DurableStore", placement.target)
            reopen(origin, target, committer_of(self._engine).perform)

    def _check_apart(self, target: DurableStore) -> None:
        """Raise if a store holds something that is in memory as well."""
        check_free(target)
        for scope, state in list(self._engine.directory.states.items()):
            if not state.is_empty():
                check_apart(scope, target)

    def _settle_all(self, placement: Placement) -> None:
        """Find out where the owner is whose switch was broken off, and clear up.

        Raises:
            StateError: That is not known; nothing must move before it is.
        """
        stores = [cast("DurableStore", store) for store in placement.stores()]
        perform = committer_of(self._engine).perform
        if len(stores) > 1:
            for one, other in (stores, stores[::-1]):
                if one.ledger.about.leaving is not None:
                    perform(partial(self._settle, one, other))
        elif self._rollout == 0:
            return  # To memory, from where nothing may be written any more.
        for store in stores:
            store.ledger.check_writable()
            if store.ledger.about.arrived is not None:
                perform(partial(store.ledger.note, arrived=None))
            while perform(store.clear_some):
                pass

    def _settle(self, one: DurableStore, other: DurableStore) -> None:
        """Between two commits: have an owner be in one of two stores.

        Until it is known to be in the other one it goes on where it was, so it is
        where its later revision is.
        """
        scope = one.scope_of(one.ledger.about.leaving or b"")
        for store in (one, other):
            if store.ledger.poisoned is not None:
                raise StorePoisonedError(
                    f"{scope} may have moved from {one.text} to {other.text}; that is "
                    "known once both are reopened"
                )
        there, head = other.holds(scope), one.heads.find(scope)
        state = self._engine.directory.states.get(scope)
        lives = state is not None and _is_kept(state, one)
        if there is None:
            one.ledger.note(leaving=None)
        elif lives or head is None or head.revision > there:
            other.depart(scope, one.text)
            one.ledger.note(leaving=None)
        else:
            one.depart(scope, other.text)

    def _move_all(
        self,
        placement: Placement,
        misplaced: Callable[[], list[OwnerScope]],
        move_one: Callable[[OwnerScope], Any],
    ) -> StateError | None:
        """Move all that is to be moved; return the first error that an owner gave."""
        failed: dict[OwnerScope, StateError] = {}
        done = 0
        for _ in range(ROUNDS_MAX):
            scopes = [scope for scope in misplaced() if scope not in failed]
            if not scopes:
                break
            for scope in scopes:
                if self.stopped:
                    return None
                try:
                    self._count(scope, move_one(scope))
                except ClosedError:
                    raise
                except StateError as error:
                    failed[scope] = error
                    with suppress(StateError):
                        self._settle_all(placement)
                        continue
                    return failed[scope]  # Nothing may move before that is settled.
                done += 1
                if self._progress is not None:
                    self._progress(done, max(done, len(scopes)))
        return next(iter(failed.values()), None)

    def _count(self, scope: OwnerScope, state: OwnerState | None) -> None:
        if state is not None and not state.is_empty():
            self._moved[scope] = state.keys, state.size

    def _end(self, placement: Placement, *, complete: bool) -> None:
        """Have one store stand for everything, and close the other one."""
        target = cast("DurableStore", placement.target)
        origin = cast("DurableStore | None", placement.origin)
        perform = committer_of(self._engine).perform
        kept, left = (target, origin) if complete else (origin, target)
        if kept is not None:
            self._forget_departed(kept)
            conclude(kept, left, placement.floor, perform)
        self._engine.place(partial(_finish, complete=complete))
        if left is None:
            return
        # Of no concern to anybody but who opens it by itself one day.
        with suppress(CommitFailedError):
            perform(
                partial(forget_all, left)
                if kept is None
                else partial(send_on, left, kept)
            )

        def let_go() -> None:
            committer_of(self._engine).forget(left)
            left.close()

        perform(let_go)

    def _forget_departed(self, store: DurableStore) -> None:
        """Have a store know nothing of what went away from it, and ended elsewhere."""
        vault, perform = vault_of(self._engine), committer_of(self._engine).perform
        states = self._engine.directory.states
        while perform(store.clear_some):
            pass
        for scope in store.heads.moved():
            # RACE: whoever loads it meanwhile has read that it has moved.
            with vault.loading_of(scope):
                perform(partial(_forget, store, scope, states.get(scope)))


def _forget(store: DurableStore, scope: OwnerScope, state: OwnerState | None) -> None:
    """Between two commits: as `forget`, of an owner that may have begun anew there."""
    kept = state is not None and _is_kept(state, store)
    forget(store, scope, cast("Seal", state.seal) if state and kept else None)


def _is_kept(state: OwnerState, store: DurableStore) -> bool:
    """Return whether an owner that is in memory commits to a store."""
    seal = None if state.revision == RETIRED else state.seal
    return seal is not None and seal.store is store


def _set(placement: Placement, **changes: Any) -> None:
    """Change a placement, in a turn of the supervisor."""
    for name, value in changes.items():
        setattr(placement, name, value)


def _finish(placement: Placement, *, complete: bool) -> None:
    """End a move in a turn of the supervisor."""
    if complete:
        placement.origin = placement.target
    placement.target, placement.rollout = None, 0.0
    placement.void.clear()
    placement.moving.clear()


def vault_of(engine: "Engine") -> "Vault":
    """Return what loads the owners of a manager, once there is a store."""
    vault = engine.directory.vault
    if vault is None:
        raise InvariantError("there is no store")
    return vault


def placement_of(engine: "Engine") -> Placement:
    """Return where the owners of a manager are, once there is a store."""
    return vault_of(engine).placement


def committer_of(engine: "Engine") -> "Committer":
    """Return what writes to the stores of a manager, once there is one."""
    committer = engine.directory.committer
    if committer is None:
        raise InvariantError("there is no store")
    return committer


def stores_of(engine: "Engine") -> Iterator[DurableStore]:
    """Yield every store of a manager."""
    vault = engine.directory.vault
    if vault is not None:
        for store in vault.placement.stores():
            yield cast("DurableStore", store)
