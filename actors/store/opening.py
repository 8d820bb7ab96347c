"""Opening: a URL and a key become a store, locked for one manager."""

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from stateward.actors.core.errors import (
    CorruptStoreError,
    StoreLockedError,
    WrongKeyError,
)
from stateward.actors.core.ports import Journal
from stateward.actors.store.ciphers import AeadCipher, Key, check_token, token_of
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.locks import StoreLock
from stateward.actors.store.marks import FileMark
from stateward.actors.store.records import DamagedError
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.regions import FileRegion
from stateward.actors.store.replay import replay
from stateward.actors.store.store import DurableStore
from stateward.actors.store.urls import SCHEMES, StoreUrl, open_journal

OPENINGS: Final = 20
"""LIMIT: how often a reader begins again, beside managers that come and go."""


def open_store(
    url: StoreUrl,
    *,
    key: Key | None = None,
    version: int | None = None,
    read_only: bool = False,
    must_exist: bool = False,
) -> DurableStore:
    """Open the store at `url`, made if there is none.

    Args:
        url: Where it is.
        key: Seals values, or tells where keys come from; `None` for a store whose
            values are readable. A store that is made is sealed if there is one.
        version: Of the newest migration there is; `None` leaves owners as stored.
        read_only: Change nothing, and be content without the lock.
        must_exist: Raise if there is no store, as with `read_only`.

    Raises:
        StoreLockedError: Another manager has it open. Effect: none.
        StoreFormatError: It is of a newer version, or none of ours. Effect: none.
        CorruptStoreError: It has lost commits that were acknowledged. Effect: none.
        WrongKeyError: It is sealed with another key, or not at all. Effect: none.
        StoreError: It cannot be opened. Effect: none.
    """
    cipher = None if key is None else AeadCipher(key)
    # Now and once for all: a store has one lock, one mark and one log, by whatever name
    # it is reached, and whatever the current folder is later.
    path = os.path.realpath(url.path)
    if url.scheme in SCHEMES:
        url = replace(url, path=path)
    with ExitStack() as opened:
        if not read_only:
            lock = StoreLock(path)
            lock.acquire()
            opened.callback(lock.release)
        existed = os.path.lexists(path)
        # ORDER: before the journal. It goes on while others write, and what it says
        # of an older moment than the journal's is harmless.
        mark = FileMark(f"{path}.mark", read_only=read_only)
        opened.callback(mark.close)
        region = FileRegion(f"{path}.redo")
        redo = RedoLog(region)
        if read_only:
            journal, redo.left = open_reader(url, region)
        else:
            journal = open_journal(url, read_only=False, must_exist=must_exist)
        opened.callback(journal.close)
        ledger = Ledger(journal, mark, url.text, read_only=read_only, anew=not existed)
        store = DurableStore(ledger, redo=redo, cipher=cipher, version=version)
        check_key(ledger, cipher)
        replay(store)
        # A crash in the middle of a move leaves something that counts for nothing.
        while not read_only and store.clear_some():
            pass
        store.key = key
        store.let_go = opened.pop_all().close
    return store


def open_reader(url: StoreUrl, region: FileRegion) -> tuple[Journal, bytes | None]:
    """Return a journal, open for reading, and the log that goes with it, or `None`.

    Raises:
        StoreLockedError: Managers open it faster than it is read. Effect: none.
        StoreError: It cannot be opened. Effect: none.
    """
    for _ in range(OPENINGS):
        # ORDER: the log first. Who is gone by then commits nothing more, and whoever
        # comes removes the log before anything else is logged.
        left = region.read(anyway=False)
        journal = open_journal(url, read_only=True, must_exist=True)
        try:
            if left is None or left == region.read(anyway=False):
                return journal, left
        except BaseException:
            journal.close()
            raise
        # RACE: a manager came meanwhile; the journal may be ahead of the log by far.
        journal.close()
    raise StoreLockedError(
        f"{url.text} is opened by other processes faster than it can be read: try again"
    )


def check_key(ledger: Ledger, cipher: AeadCipher | None) -> None:
    """Raise unless a store is sealed as it is about to be used."""
    token = ledger.about.token
    if cipher is None:
        if token is not None:
            raise WrongKeyError(f"{ledger.text} is sealed: give its key")
        return
    if token is not None:
        try:
            check_token(cipher, token)
        except WrongKeyError as error:
            raise WrongKeyError(f"{ledger.text}: {error}") from error
        except DamagedError as error:
            raise CorruptStoreError(f"{ledger.text}: {error}") from error
    elif ledger.progress.commits or ledger.read_only:
        raise WrongKeyError(
            f"{ledger.text} is not sealed, and a key was given; copy it to a store "
            "that is"
        )
    else:
        about = replace(ledger.about, token=token_of(cipher))
        ledger.write({}, sync=True, about=about)
