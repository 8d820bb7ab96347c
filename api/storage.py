"""Storage: what a host says of where state is kept, checked and opened."""

from collections.abc import Iterable

from stateward.actors.core.errors import UsageError
from stateward.actors.core.limits import check_seconds
from stateward.actors.runtime.vault import Storage
from stateward.actors.store.ciphers import Key
from stateward.actors.store.departures import forget_what_memory_kept
from stateward.actors.store.opening import open_store
from stateward.actors.store.urls import MEMORY, parse_url
from stateward.durability import Durability, check_durability
from stateward.migrations import Migration, Migrations


def open_storage(
    url: str,
    *,
    durability: Durability,
    migrations: Iterable[Migration] | None,
    key: Key | None,
    flush_interval: float,
    cache_bytes: int | None,
) -> Storage:
    """Open the store at `url`; the arguments are those of `StateManager`.

    Raises:
        UsageError: An argument is not what it should be. Effect: none.
        StoreError: The store cannot be opened; the subclasses tell why.
    """
    target = parse_url(url)
    check_durability(durability)
    check_seconds(flush_interval, "flush_interval")
    if cache_bytes is not None and (type(cache_bytes) is not int or cache_bytes < 1):
        raise UsageError(f"cache_bytes is {cache_bytes!r}, not an integer >= 1")
    chain = None if migrations is None else Migrations(migrations)
    version = None if chain is None else chain.version
    store = None
    if target.scheme != MEMORY:
        store = open_store(target, key=key, version=version)
        try:
            store.ledger.check_whole()
            forget_what_memory_kept(store)
        except BaseException:
            store.close()
            raise
    elif key is not None:
        raise UsageError("memory:// stores nothing that a key could seal")
    return Storage(
        store=store,
        synced=durability == "synced",
        flush_interval=flush_interval,
        cache_bytes=cache_bytes,
        version=version,
        lift=None if chain is None else chain.lift,
    )
