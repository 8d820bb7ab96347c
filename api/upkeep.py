"""Upkeep: what a host does with the store of a manager, while it is used."""

from functools import partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from stateward.actors.core.errors import (
    ClosedError,
    CorruptStoreError,
    StateError,
    UsageError,
)
from stateward.actors.core.scopes import StateScope
from stateward.actors.store.checking import Finding, Progress, inspect
from stateward.actors.store.ciphers import AeadCipher, Key
from stateward.actors.store.exports import write_export
from stateward.actors.store.records import DamagedError
from stateward.actors.store.rotation import rekey, reseal, sealed
from stateward.actors.store.store import DurableStore
from stateward.migrations import MigrationReport
from stateward.moving import MoveReport, committer_of, move, stores_of

if TYPE_CHECKING:
    from stateward.actors.runtime.engine import Engine


class Upkeep:
    """The part of `StateManager` that looks after its store."""

    if TYPE_CHECKING:

        @property
        def engine(self) -> Engine:
            """What the manager stands on."""
            ...

    def persist_to(
        self,
        url: str,
        *,
        rollout: float = 1.0,
        key: Key | None = None,
        on_progress: Progress | None = None,
    ) -> MoveReport:
        """Move the state to another store, while everything goes on.

        Workflow by workflow is written there, read back, and switched. Readers notice
        nothing. A writer waits while its workflow is switched, not while it is written.
        The first store keeps nothing of what has moved, and refuses to serve it alone;
        once all has moved it serves nothing, and names the other one.

        With a `rollout` below 1 only a share of the workflows moves, chosen by their
        ids: always the same ones, and with a larger share these and others. New ones
        begin where they belong. Call it again with a larger share to go on, with a
        smaller one to have some back, with 0 to have all back. Global and custom state
        moves at 1, and then the first store is closed. After a restart in between, open
        the first store and call this again, also if it may have been over.

        Args:
            url: Of the store to move to, made if it is not there.
            rollout: Share of the workflows, 0 to 1.
            key: Of the store to move to; see `StateManager`.
            on_progress: Called with how many owners of how many have been moved.

        Returns:
            What has been moved, how long it took, and how long a writer waited at most.

        Raises:
            UsageError: `rollout` is no share, or another move is under way.
            StoreError: The store there cannot be opened, or holds state of its own.
            CommitFailedError: One of the stores could not be written to. What has not
                moved stays where it was; call again to go on.
            StateError: An owner could not be moved; all others have been.

        Concurrency: Any thread, one at a time; not inside a turn.
        Cost: O(size of what moves). A switch takes three syncs, and O(keys) of the
            workflow: some 0.2 s for a million.

        Example:
            >>> import tempfile
            >>> from stateward import StateManager
            >>> with tempfile.TemporaryDirectory() as folder, StateManager() as manager:
            ...     manager.workflow_state("order-123")["retries"] = 3
            ...     report = manager.persist_to(f"sqlite:///{folder}/state.db")
            ...     report.owners
            1
        """
        return move(self.engine, url, rollout=rollout, key=key, progress=on_progress)

    def migrate(self, *, on_progress: Progress | None = None) -> MigrationReport:
        """Take every owner in the store through the migrations of this manager now.

        Otherwise each goes through them when it is first used. Interrupted, or after a
        crash, it goes on where it was. With `migrations=None` nobody goes anywhere.

        Args:
            on_progress: Called with how many owners of how many have been looked at.

        Returns:
            How many were taken through migrations, and which could not be, with the
            reason; these are as they were.

        Cost: O(size of the owners that are not at the newest version).
        """
        engine, failed, done = self.engine, dict[StateScope, Exception](), 0
        stores = () if engine.version is None else stores_of(engine)
        scopes = [scope for store in stores for scope in store.outdated()]
        for number, scope in enumerate(scopes, 1):
            try:
                engine.state(scope)
                done += 1
            except StateError as error:
                failed[scope] = error
            if on_progress is not None:
                on_progress(number, len(scopes))
        return MigrationReport(migrated=done, failed=MappingProxyType(failed))

    def backup(self, path: str) -> None:
        """Write a copy of the store, as it is at one moment; writers go on.

        Args:
            path: Where; nothing may be there. A file for SQLite, a folder for RocksDB.

        Raises:
            UsageError: Nothing is stored, or a move is under way. Effect: none.
            StoreError: There is something at `path`, or it cannot be written.

        Durability: The copy outlives power loss once this returns. It is a store like
            any other, with the same key.
        """
        self._settled().ledger.journal.backup(path)

    def compact(self) -> None:
        """Give back the space of what was removed or replaced.

        Raises:
            UsageError: Nothing is stored, or a move is under way. Effect: none.
            StoreError: It could not be done; nothing is lost.

        Concurrency: Commits wait for it, readers do not.
        """
        store = self._only()
        committer_of(self.engine).perform(store.ledger.journal.compact)

    def check(self, *, on_progress: Progress | None = None) -> list[Finding]:
        """Read the whole store, and return everything that is wrong with it.

        Nothing is changed, and writers go on.

        Args:
            on_progress: Called with how many owners of how many have been looked at.

        Raises:
            UsageError: Nothing is stored, or a move is under way. Effect: none.
        """
        return list(inspect(self._only(), progress=on_progress))

    def export(self, file: IO[bytes], *, on_progress: Progress | None = None) -> int:
        """Write all that is stored, of one moment, as lines of JSON; return how many.

        `import_store` makes the same store of them: values, revisions and times too.
        Values of a sealed store are readable in it.

        Args:
            file: Open for writing bytes.
            on_progress: Called with how many owners of how many have been written.

        Raises:
            UsageError: Nothing is stored, or a move is under way. Effect: none.
            StoreError: A move has left some of it in another store. Effect: none.
            CorruptStoreError: Something stored is damaged; what was written is no
                whole export, and `import_store` refuses it.
        """
        return write_export(self._settled(), file, progress=on_progress)

    def rotate_key(self, key: Key, *, on_progress: Progress | None = None) -> int:
        """Seal with another key from now on, and what is stored too.

        Interrupted, call it again. Until it has returned, some values are sealed with
        the earlier key, so keep that, and give both when opening: `KeyRing(new, old)`.

        Args:
            key: The new key and the one it replaces, as `KeyRing(new, old)` or a
                provider that knows both.
            on_progress: Called with how many owners of how many have been looked at.

        Returns:
            How many values were sealed anew.

        Raises:
            UsageError: Nothing is stored, a move is under way, or that is no key.
            WrongKeyError: The store is not sealed, or `key` lacks the present key.
            CorruptStoreError: A value is damaged; those before it are sealed anew.
            CommitFailedError: See its `effect`; call again to go on.

        Concurrency: Commits go on in between.
        Cost: O(size of the store).
        """
        store, cipher = self._only(), AeadCipher(key)
        perform = committer_of(self.engine).perform
        try:
            perform(partial(rekey, store, cipher))
            return sum(
                perform(partial(reseal, store, names))
                for names in sealed(store, progress=on_progress)
            )
        except DamagedError as error:
            raise CorruptStoreError(
                f"{store.text} is damaged: {error}; `check` tells more"
            ) from error

    def _settled(self) -> DurableStore:
        """Return the one store there is, with all in it that was acknowledged.

        Raises:
            StorePoisonedError: It lacks some, and takes it once it is reopened.
        """
        store = self._only()
        committer_of(self.engine).perform(_nothing)
        store.ledger.check_writable()
        return store

    def _only(self) -> DurableStore:
        """Return the one store there is, and is open."""
        if self.engine.directory.closed:
            raise ClosedError("the manager is closed")
        found = list(stores_of(self.engine))
        if len(found) != 1:
            what = "a move is under way" if found else "nothing is stored"
            raise UsageError(f"there is not one store to work on: {what}")
        return found[0]


def _nothing() -> None:
    pass
