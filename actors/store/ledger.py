"""The ledger: a journal, what the store says of itself, and every commit to it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, Protocol
from uuid import uuid4

from stateward.actors.core.errors import (
    CorruptStoreError,
    StateError,
    StoreError,
    StoreFormatError,
    StorePoisonedError,
)
from stateward.actors.core.ports import IN_MEMORY, Journal
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.about import (
    FORMAT,
    FORMAT_NAME,
    PROGRESS_NAME,
    About,
    Progress,
    about_row,
    parse_about,
    parse_progress,
    progress_row,
)
from stateward.actors.store.names import head_name, owner_name
from stateward.actors.store.records import DamagedError

_ANY: Final = b"\xff" * 16
"""Above the name of whatever a foreign or damaged store may hold."""


class Mark(Protocol):
    """Where is noted how far commits were acknowledged; see `marks`."""

    @property
    def path(self) -> str:
        """What to remove, to go on with what is left."""
        ...

    @property
    def newest(self) -> int:
        """Number of the newest commit of any store; 0 for none."""
        ...

    def choose(self, store_id: bytes) -> int:
        """Begin to note the commits of one store; return the newest one noted."""
        ...

    def advance(self, commit: int) -> None:
        """Note that `commit` outlives power loss, and is going to be acknowledged."""
        ...

    def close(self) -> None:
        """Let go of it; idempotent."""
        ...


class Ledger:
    """Everything that is written to one store, and in which order.

    Concurrency: `write` by one thread at a time; all else by any.
    """

    def __init__(
        self,
        journal: Journal,
        mark: Mark,
        text: str,
        *,
        read_only: bool = False,
        anew: bool = False,
    ) -> None:
        """Read what the store says of itself; make it if the journal is empty.

        Args:
            journal: Closed with this, but not if this raises.
            mark: As `journal`.
            text: What errors call the store: its URL.
            read_only: Change nothing.
            anew: Whether a store that is empty may be made, though there is a mark.
        """
        self.journal = journal
        self.text = text
        self.read_only = read_only
        self.poisoned: str | None = None
        """Why no commit is taken any more."""
        self.alone = True
        """Whether a move that is noted is not known to have begun just now."""
        self._mark = mark
        try:
            record = journal.get(FORMAT_NAME)
            if record is None:
                self.about = self._make(anew=anew)
            else:
                self.about = parse_about(record)
            if self.about.format > FORMAT:
                raise StoreFormatError(
                    f"{text} has format {self.about.format}; this version of stateward "
                    f"knows {FORMAT} and older ones"
                )
            self.progress = parse_progress(journal.get(PROGRESS_NAME) or b"")
        except DamagedError as error:
            raise CorruptStoreError(
                f"{text}: the store's own records are damaged: {error}"
            ) from error
        if record is not None and not read_only:
            rows = {}
            if self.about.format < FORMAT:
                self.about = replace(self.about, format=FORMAT)
                rows = {**about_row(self.about), **progress_row(self.progress)}
            # What a crash left unsynced could be read now, and be lost by the next one.
            journal.commit(rows, sync=True)
        newest = mark.choose(self.about.id)
        if newest > self.progress.commits:
            raise CorruptStoreError(
                f"{text} is at commit {self.progress.commits}, commit {newest} had "
                f"been acknowledged; to open what is left, remove {mark.path}"
            )

    def _make(self, *, anew: bool) -> About:
        """Write the first records of a new store; return what it is."""
        if next(self.journal.scan(b"", _ANY), None) is not None:
            raise StoreFormatError(
                f"{self.text} holds records and no format: it is no store of "
                "stateward, or it is damaged"
            )
        if self._mark.newest and not anew:
            raise CorruptStoreError(
                f"{self.text} holds nothing, commit {self._mark.newest} had been "
                f"acknowledged; to begin a new store, remove {self._mark.path}"
            )
        about = About(id=uuid4().bytes)
        rows = {**about_row(about), **progress_row(Progress())}
        self.journal.commit(rows, sync=True)
        return about

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield names and records as the journal has them; raise if out of order."""
        last = b""
        for name, record in self.journal.scan(start, stop):
            if type(name) is not bytes or type(record) is not bytes or name <= last:
                raise DamagedError(f"after {last!r} stands what is no record")
            last = name
            yield name, record

    def write(
        self,
        rows: dict[bytes, bytes | None],
        *,
        sync: bool,
        owners: int = 0,
        floor: int = 0,
        logged: int = 0,
        about: About | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Write records, and how far the store has come; all or none.

        Args:
            rows: What to write; the ledger's own are added to it.
            sync: Whether all of it, and all before, must outlive power loss.
            owners: How many more have a head afterwards.
            floor: Revision that no owner which holds nothing may begin below.
            logged: Up to where everything in the redo log is in the journal then.
            about: What the store is from here on; as before if `None`.
            then: Called once it is written, acknowledged or not.

        Raises:
            CommitFailedError: See its `effect`; if that is unknown, no more commits
                are taken.
        """
        self.check_writable()
        before = self.progress
        progress = Progress(
            before.commits + 1,
            before.owners + owners,
            max(before.floor, floor),
            max(before.time, time.time()),
            max(before.logged, logged),
        )
        rows.update(progress_row(progress))
        if about is not None:
            rows.update(about_row(about))
        try:
            self.journal.commit(rows, sync=sync)
            self.progress = progress
            self.about = about or self.about
            then()
            if sync:
                self._mark.advance(progress.commits)
        except BaseException as error:
            if getattr(error, "effect", "unknown") != "none":
                self.poisoned = f"commit {progress.commits} failed: {error}"
            raise

    def check_writable(self) -> None:
        """Raise `StorePoisonedError` if no commit is taken any more."""
        if self.poisoned is not None:
            raise StorePoisonedError(
                f"{self.text} takes no writes until it is reopened: {self.poisoned}"
            )

    def check_whole(self) -> None:
        """Raise `StoreError` if this is half of a move, and of no use alone."""
        if self.about.origin is not None:
            raise StoreError(
                f"another store is being moved to {self.text}: open that, and call "
                "`persist_to` with this"
            )

    @property
    def shared(self) -> bool:
        """Whether some of it may be in another store by now."""
        # What went back to memory is gone with it.
        return self.about.moved_to not in (None, IN_MEMORY)

    def check_stays(self, scope: OwnerScope) -> None:
        """Raise `StoreError` if a crash has left open whether an owner is here."""
        about = self.about
        if about.leaving is not None and about.leaving == owner_name(scope):
            raise StoreError(
                f"{scope} may have moved from {self.text} to {about.moved_to}: call "
                "`persist_to` with that",
                scope=scope,
            )

    def check_alone(self, scope: OwnerScope) -> None:
        """Raise `StoreError` if an owner may be elsewhere, or as well, or begin there.

        That is so in the half of a move that was interrupted.
        """
        about, head = self.about, head_name(scope)
        if (self.alone and self.shared) and (
            about.arrived == owner_name(scope) or self.journal.get(head) is None
        ):
            raise StoreError(
                f"{scope} may be in {about.moved_to}, where some of {self.text} was "
                "moved to: call `persist_to` with that",
                scope=scope,
            )

    def check_here(self) -> None:
        """Raise `StoreError` if all of it has been moved to another store."""
        about = self.about
        if about.left_for is not None:
            what = "open that"
            if about.moved_to is not None:
                # The other one may not be whole yet.
                what = "call `persist_to` with that, to end the move"
            raise StoreError(
                f"all of {self.text} was moved to {about.left_for}: {what}"
            )

    def note(self, **changes: Any) -> None:
        """Write that the store is otherwise from here on: fields of `About`.

        Raises:
            CommitFailedError: See its `effect`.
        """
        self.write({}, sync=True, about=replace(self.about, **changes))

    def raise_floor(self, floor: int, *, version: int) -> None:
        """Take over from another store what no owner of it says.

        Args:
            floor: Revision that no owner which holds nothing may begin below.
            version: Of the newest migration that any owner has been through.

        Raises:
            CommitFailedError: See its `effect`.
        """
        about = replace(self.about, version=max(self.about.version, version))
        self.write({}, sync=True, floor=floor, about=about)

    def close(self) -> None:
        """Let go of the store; idempotent."""
        try:
            self._note_time()
        finally:
            self.journal.close()
            self._mark.close()

    def _note_time(self) -> None:
        """Have whatever has expired by now stay so, though the clock be set back."""
        now, it = time.time(), self.progress
        if self.read_only or self.poisoned is not None or now <= it.time:
            return
        row = progress_row(replace(it, time=now))
        try:
            self.journal.commit(row, sync=False)
        except StateError:
            pass  # closed before, or it cannot be written: then the clock is believed
