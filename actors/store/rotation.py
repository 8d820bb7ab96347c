"""Rotation: what is sealed with an earlier key is sealed with the newest one."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from stateward.actors.core.errors import WrongKeyError
from stateward.actors.store.checking import Progress
from stateward.actors.store.ciphers import AeadCipher, check_token, token_of
from stateward.actors.store.names import owner_name, owner_range
from stateward.actors.store.records import resealed_record
from stateward.actors.store.store import DurableStore

SLICE: Final = 500
"""LIMIT: values sealed in one commit; all others wait for it, some 10 ms."""


def rekey(store: DurableStore, cipher: AeadCipher) -> None:
    """Seal with `cipher` from here on; between two commits.

    Raises:
        WrongKeyError: The store is not sealed, or `cipher` does not open it.
        CommitFailedError: See its `effect`.
    """
    token = store.ledger.about.token
    if token is None:
        raise WrongKeyError(f"{store.text} is not sealed; copy it to a store that is")
    check_token(cipher, token)
    store.ledger.note(token=token_of(cipher))
    store.cipher = cipher


def sealed(
    store: DurableStore, *, progress: Progress | None = None
) -> Iterator[list[bytes]]:
    """Yield the names of all entries there are now, some at a time."""
    owners = [scope for scope, _ in store.heads.here()]
    for number, scope in enumerate(owners, 1):
        names = iter(
            [name for name, _ in store.ledger.scan(*owner_range(owner_name(scope)))]
        )
        while part := list(islice(names, SLICE)):
            yield part
        if progress is not None:
            progress(number, len(owners))


def reseal(store: DurableStore, names: list[bytes]) -> int:
    """Seal entries with the newest key; return how many were not. Between two commits.

    Raises:
        DamagedError: One is damaged.
        CommitFailedError: See its `effect`.
    """
    rows: dict[bytes, bytes | None] = {}
    for name in names:
        record = store.ledger.journal.get(name)
        if record is not None and store.cipher is not None:
            sealed_anew = resealed_record(name, record, store.cipher)
            if sealed_anew is not None:
                rows[name] = sealed_anew
    count = len(rows)
    if count:
        store.ledger.write(rows, sync=True)
    return count
