"""Opening: a URL and a key become a store, locked for one manager."""

import os
from contextlib import ExitStack
from dataclasses import replace

from stateward.actors.core.errors import CorruptStoreError, WrongKeyError
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
        journal = open_journal(
            url, read_only=read_only, must_exist=must_exist or read_only
        )
        opened.callback(journal.close)
        ledger = Ledger(journal, mark, url.text, read_only=read_only, anew=not existed)
        redo = RedoLog(FileRegion(f"{path}.redo"))
        store = DurableStore(ledger, redo=redo, cipher=cipher, version=version)
        check_key(ledger, cipher)
        replay(store)
        # A crash in the middle of a move leaves something that counts for nothing.
        while not read_only and store.clear_some():
            pass
        store.key = key
        store.let_go = opened.pop_all().close
    return store


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
