"""Transfers: a new store is made of what another, a backup or an export holds.

It is written under a name of its own, and found at its URL only once it is whole.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Final
from uuid import uuid4

from stateward.actors.core.errors import (
    CorruptStoreError,
    InvalidStoreError,
    StoreError,
)
from stateward.actors.core.limits import Limits
from stateward.actors.core.ports import Journal
from stateward.actors.core.reader import versions
from stateward.actors.core.state import OwnerState
from stateward.actors.store.batches import Seal
from stateward.actors.store.checking import Progress, inspect
from stateward.actors.store.ciphers import Key
from stateward.actors.store.exports import Image
from stateward.actors.store.files import LOGS, MARK, made_whole
from stateward.actors.store.names import entry_range, head_name
from stateward.actors.store.opening import open_store
from stateward.actors.store.records import Head
from stateward.actors.store.store import DurableStore
from stateward.actors.store.urls import MEMORY, SCHEMES, StoreUrl, open_journal

ROWS: Final = 1000
"""LIMIT: records in one commit; they are synced at the end."""
_END: Final = b"\xff" * 16


@contextmanager
def new_store(url: StoreUrl, *, key: Key | None = None) -> Iterator[DurableStore]:
    """Lend a store to be filled, which is at `url` once the block has ended well.

    Raises:
        StoreError: There is something at `url`, or it cannot be made. Effect: none.
    """
    with part_of(url, anew=True) as part, closing(open_store(part, key=key)) as store:
        if next(store.heads.all(), None) is not None:
            raise StoreError(f"{url.text} holds state already")
        yield store
        store.ledger.write({}, sync=True)


@contextmanager
def part_of(url: StoreUrl, *, anew: bool) -> Iterator[StoreUrl]:
    """Lend a URL where nothing is; what is there in the end is moved to `url`.

    Args:
        url: Where nothing is yet.
        anew: Whether it is a store of its own, of which no mark tells.
    """
    if url.scheme == MEMORY:
        raise InvalidStoreError(f"{url.text} keeps nothing", url=url.text)
    if url.scheme not in SCHEMES:
        yield url  # What a path of another engine means is its own affair.
        return
    with made_whole(url.path, beside=LOGS if anew else (*LOGS, MARK)) as part:
        yield replace(url, path=str(part))


def fill(store: DurableStore, images: Iterable[Image]) -> tuple[int, int]:
    """Write owners into a store that holds none of them.

    Returns:
        How many, and the version of the newest migration that any has been through.

    All of a large owner need not be in one commit: nobody reads the store yet.
    """
    rows: dict[bytes, bytes | None] = {}
    heads: list[tuple[Seal, Head]] = []
    count = version = 0
    for image in images:
        prefix, _ = entry_range(image.scope)
        head = Head(
            revision=image.revision,
            keys=image.state.keys,
            size=image.state.size,
            version=image.version,
        )
        for cell in versions(image.state, image.revision):
            head.add(cell.revision)
            rows.update([store.row(prefix, cell)])
            if len(rows) >= ROWS:
                store.write(rows, [], sync=False)
                rows = {}
        heads.append((Seal(store, prefix, head_name(image.scope), Head()), head))
        if len(rows) + len(heads) >= ROWS:
            store.write(rows, heads, sync=False)
            rows, heads = {}, []
        count += 1
        version = max(version, image.version)
    store.write(rows, heads, sync=False)
    return count, version


def images_of(
    store: DurableStore, *, progress: Progress | None = None
) -> Iterator[Image]:
    """Yield everything a store holds, owner by owner, each checked.

    Raises:
        CorruptStoreError: Something is damaged or missing.
    """
    owners = list(store.heads.here())
    for number, (scope, head) in enumerate(owners, 1):
        state = OwnerState(scope, Limits(), 0, 0.0)
        store.load(state)
        yield Image(
            scope=scope, revision=head.revision, version=head.version, state=state
        )
        if progress is not None:
            progress(number, len(owners))


def verify(store: DurableStore, other: DurableStore) -> None:
    """Raise `CorruptStoreError` unless both hold the same, by their heads and sums."""
    for (scope, head), (found, copied) in zip(
        store.heads.here(), other.heads.here(), strict=True
    ):
        if (scope, head) != (found, copied):
            raise CorruptStoreError(
                f"{other.text}: {found} is {copied}, and {scope} of {store.text} is "
                f"{head}"
            )
        state = OwnerState(scope, Limits(), 0, 0.0)
        other.load(state)  # raises unless its records add up to the head


def copy(
    source: DurableStore,
    url: StoreUrl,
    *,
    key: Key | None = None,
    progress: Progress | None = None,
) -> int:
    """Make a store at `url` that holds the same; return how many owners there are.

    Raises:
        StoreError: There is something at `url`, or it cannot be made. Effect: none.
        CorruptStoreError: Something is damaged or missing, or reads otherwise than it
            was written. There is nothing at `url` then.
    """
    source.check_complete()
    with new_store(url, key=key) as target:
        count, _ = fill(target, images_of(source, progress=progress))
        target.version = source.ledger.about.version
        target.ledger.raise_floor(source.floor, version=target.version)
        verify(source, target)
    return count


def duplicate(
    source: DurableStore,
    url: StoreUrl,
    *,
    anew: bool,
    progress: Progress | None = None,
) -> None:
    """Write every record of a store, as it is at one moment, to another place.

    The records are copied as they are, and checked there. Not `Journal.backup`: an
    engine that only reads may not have all that another process has written where it
    copies from.

    Args:
        source: May be in use by another process.
        url: Of the same scheme, where there is nothing.
        anew: Whether it becomes a store of its own, of which no mark tells.
        progress: Called with how many owners of how many have been checked.

    Raises:
        StoreError: There is something at `url`, or it cannot be made. Effect: none.
        CorruptStoreError: Something is damaged. There is nothing at `url` then.
    """
    source.check_complete()
    with part_of(url, anew=anew) as part:
        with closing(open_journal(part)) as journal:
            if next(journal.scan(b"", _END), None) is not None:
                raise StoreError(f"{url.text} holds something already")
            copy_rows(source.ledger.journal, journal)
        opened = open_store(part, key=source.key, must_exist=True)
        with closing(opened) as store:
            for finding in inspect(store, progress=progress):
                raise CorruptStoreError(f"{source.text} is damaged: {finding}")
            if anew:
                # The marks of the store it replaces must count for nothing.
                store.ledger.note(id=uuid4().bytes)


def copy_rows(source: Journal, target: Journal) -> None:
    """Write every record of one moment to another journal."""
    rows: dict[bytes, bytes | None] = {}
    for name, record in source.scan(b"", _END):
        rows[name] = record
        if len(rows) >= ROWS:
            target.commit(rows, sync=False)
            rows = {}
    target.commit(rows, sync=True)
