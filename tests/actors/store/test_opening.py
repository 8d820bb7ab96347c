"""Opening: a store is locked, of a known format, whole, and sealed as it is used."""

import subprocess
import sys
from contextlib import closing, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson
import pytest

from stateward import (
    CorruptStoreError,
    StateManager,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    WrongKeyError,
)
from stateward.actors.store.about import FORMAT_NAME
from stateward.actors.store.checking import inspect
from stateward.actors.store.ciphers import Key, KeyRing
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.opening import OPENINGS, open_store
from stateward.actors.store.records import guard, unguard
from stateward.actors.store.regions import FileRegion
from stateward.actors.store.urls import parse_url
from stateward.testing import SimulatedClock
from tests.actors.store.kept import (
    EVERYTHING,
    NEW,
    OLD,
    OTHER,
    exported,
    journal_of,
    loaded,
    opened,
    rows_of,
)
from tests.actors.store.stores import ENGINES, A, Place, fill

KEYS: Final = {
    "missing": None,
    "wrong": OTHER,
    "wrong ring": KeyRing(NEW, OTHER),
}
FITTING: Final = (OLD, bytearray(OLD), KeyRing(OLD), KeyRing(NEW, OLD))


@pytest.fixture(params=ENGINES)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SimulatedClock
) -> Place:
    """Return a store of each engine that nobody has made yet."""
    return Place(folder=tmp_path, engine=request.param, clock=clock)


def files(folder: Path) -> dict[str, str]:
    """Return a digest of each file that holds anything of a store.

    An engine that opens for reading writes down its settings, and SQLite an empty log.
    """
    notes = ("LOG", "LOCK", "OPTIONS", "rocksdict-config")
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        if not path.name.startswith(notes)
        if not path.name.endswith(("-shm", ".lock"))
        if path.stat().st_size or not path.name.endswith("-wal")
    }


def everything(place: Place) -> tuple[dict[bytes, bytes], bytes]:
    """Return every row of a store that is closed, and its mark."""
    with place.rows() as journal:
        return dict(journal.scan(*EVERYTHING)), place.mark.read_bytes()


def test_opening_locks_until_it_is_closed(place: Place) -> None:
    """One manager has a store open; the next may once it is closed."""
    url = parse_url(place.url)
    with closing(open_store(url)), pytest.raises(StoreLockedError):
        open_store(url)
    open_store(url, must_exist=True).close()


def test_opening_for_reading_changes_nothing(place: Place) -> None:
    """A reader leaves every file as it was, and makes none."""
    with place.open() as manager:
        fill(manager, place.clock)
    place.mark.unlink(missing_ok=True)
    before = files(place.folder)
    with closing(open_store(parse_url(place.url), read_only=True)) as store:
        assert len(exported(store)) > 50
        assert loaded(store, A).revision == store.floor
    assert files(place.folder) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_opening_what_must_be_there_makes_nothing(
    place: Place, *, read_only: bool
) -> None:
    """Where there is no store, none is made, and no mark."""
    with pytest.raises(StoreError, match="no store at"):
        open_store(parse_url(place.url), must_exist=not read_only, read_only=read_only)
    assert not place.path.exists()
    assert not place.mark.exists()


def test_opening_beside_a_log_damaged_before_its_end_is_refused(
    tmp_path: Path,
) -> None:
    """RocksDB reads a log up to the damage; the mark tells that more was promised."""
    url = f"rocksdb:///{tmp_path}/state"
    source = (
        "import os, signal, stateward\n"
        f"state = stateward.StateManager({url!r}).workflow_state('a')\n"
        "for number in range(60): state['key'] = number\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
    log = max((tmp_path / "state").glob("*.log"), key=lambda it: it.stat().st_size)
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.write(b"\xee" * 3)
    with pytest.raises(CorruptStoreError, match="had been acknowledged"):
        open_store(parse_url(url))
    (tmp_path / "state.mark").unlink()
    with closing(open_store(parse_url(url))) as store:
        assert 0 < loaded(store, A).revision < 60


@pytest.mark.parametrize("how", KEYS)
def test_opening_with_another_key_is_refused(place: Place, how: str) -> None:
    """A key that does not fit is told at once, and the store left to one that does."""
    with StateManager(place.url, key=OLD) as manager:
        manager.workflow_state("a")["x"] = ["secret"]
    before = everything(place)
    for read_only in (True, False):
        with pytest.raises(WrongKeyError) as caught:
            open_store(parse_url(place.url), key=KEYS[how], read_only=read_only)
        assert place.url in str(caught.value)
        assert caught.value.effect == "none"
    assert everything(place) == before
    with closing(open_store(parse_url(place.url), key=OLD)) as store:
        assert loaded(store, A).own["x"].thaw() == ["secret"]


@pytest.mark.parametrize("key", FITTING, ids=["bytes", "bytearray", "ring", "rotated"])
def test_opening_with_the_key_reads_what_was_sealed(
    tmp_path: Path, key: Key | bytearray
) -> None:
    """Bytes, a ring of them and one that seals with a newer key all open it."""
    journal = journal_of(tmp_path, key=OLD)
    with opened(journal, tmp_path, key=key) as store:
        assert loaded(store, A).own["list"].thaw() == ["a", {"x": 1.5}]


def test_opening_a_store_that_is_not_sealed_with_a_key_is_refused(
    place: Place,
) -> None:
    """Values that anybody can read are not passed off as sealed."""
    place.write("a", x=1)
    before = everything(place)
    for read_only in (True, False):
        with pytest.raises(WrongKeyError, match="is not sealed"):
            open_store(parse_url(place.url), key=OLD, read_only=read_only)
    assert everything(place) == before
    open_store(parse_url(place.url)).close()


def test_opening_an_empty_store_with_a_key_seals_it(tmp_path: Path) -> None:
    """A store nobody has written to can still be sealed, and is from then on."""
    journal = MemoryJournal()
    with opened(journal, tmp_path):
        left = journal.killed()
    with (
        pytest.raises(WrongKeyError),
        opened(left.killed(), tmp_path, read_only=True, key=OLD),
    ):
        pass
    with opened(left, tmp_path, key=OLD):
        sealed = left.crash()
    with pytest.raises(WrongKeyError, match="is sealed"), opened(sealed, tmp_path):
        pass


@pytest.mark.parametrize("how", ["flip", "empty", "other"])
def test_opening_a_store_whose_token_is_damaged_is_refused(
    tmp_path: Path, how: str
) -> None:
    """A token that the right key does not open is damage, and no wrong key."""
    journal = journal_of(tmp_path, key=OLD)
    about = orjson.loads(unguard(FORMAT_NAME, rows_of(journal)[FORMAT_NAME]))
    token = bytes.fromhex(about["token"])
    head = token[: 1 + token[0]]
    damaged = {
        "flip": token[:-1] + bytes([token[-1] ^ 1]),
        "empty": head,
        "other": head + bytes(40),
    }[how]
    row = guard(FORMAT_NAME, orjson.dumps(about | {"token": damaged.hex()}))
    journal.commit({FORMAT_NAME: row}, sync=True)
    with pytest.raises(CorruptStoreError), opened(journal, tmp_path, key=OLD):
        pass


@pytest.mark.parametrize("read_only", [False, True])
def test_opening_clears_what_counts_for_nothing(
    tmp_path: Path, *, read_only: bool
) -> None:
    """What a move left is gone once a store is opened; a reader only overlooks it."""
    journal = journal_of(tmp_path)
    with opened(journal, tmp_path) as store:
        store.depart(A, "sqlite:///elsewhere")
        without = dict(store.heads.all())
        left = journal.killed()
    before = rows_of(left)
    with opened(left, tmp_path, read_only=read_only) as store:
        assert dict(store.heads.all()) == without
        assert list(inspect(store)) == []
        after = rows_of(left)
    gone = {name for name in before if name.startswith(b"\x02wa\0")}
    assert len(gone) == 4
    assert before.keys() - after.keys() == (set() if read_only else gone)
    if read_only:
        assert after == before


def test_opening_below_its_migration_is_refused(tmp_path: Path) -> None:
    """A store that newer code has been through is let go of, and left."""
    journal = journal_of(tmp_path)
    with opened(journal, tmp_path, version=4) as store:
        store.ledger.raise_floor(0, version=4)
        left = journal.killed()
    for version, refused in ((3, True), (4, False), (None, False), (5, False)):
        with (
            (
                pytest.raises(StoreFormatError, match=r"migration 4, and .* here is 3")
                if refused
                else nullcontext()
            ),
            opened(left.killed(), tmp_path, version=version),
        ):
            pass


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_reader_gives_up_beside_managers_that_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A log that is another one at every look is an error that says to try again."""
    url = f"{scheme}:///{tmp_path}/state"
    with StateManager(url) as manager:
        manager.workflow_state("w")["a"] = 1
    logs = iter(range(99))
    monkeypatch.setattr(FileRegion, "read", lambda *_, **__: b"%d" % next(logs))
    with pytest.raises(StoreLockedError, match="faster than it can be read"):
        open_store(parse_url(url), read_only=True)
    assert next(logs) == 2 * OPENINGS


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_store_is_locked_under_all_its_names(tmp_path: Path, scheme: str) -> None:
    """A link to it, a link to its folder and a needless slash lead to the same lock."""
    place = tmp_path / "folder" / "state"
    place.parent.mkdir()
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "folders").symlink_to(place.parent)
    names = [
        tmp_path / "link",
        tmp_path / "folders" / "state",
        f"{tmp_path}//folder/state",
    ]
    urls = [f"{scheme}:///{name}" for name in names]
    urls += [f"{scheme}:///{place}/"] * (scheme == "rocksdb")
    with closing(open_store(parse_url(f"{scheme}:///{place}"))):
        for url in urls:
            with pytest.raises(StoreLockedError):
                open_store(parse_url(url))
    for url in urls:
        open_store(parse_url(url)).close()
    assert {it.name for it in tmp_path.iterdir()} == {"folder", "link", "folders"}


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_store_stays_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A daemon goes to another folder; all files of its store are beside the store."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    with StateManager(f"{scheme}:///state", durability="buffered") as manager:
        monkeypatch.chdir(tmp_path / "second")
        state = manager.workflow_state("w")
        for number in range(100):
            state.set("k", number)
        assert (tmp_path / "first" / "state.redo").exists()
    assert list((tmp_path / "second").iterdir()) == []
    with StateManager(f"{scheme}:///{tmp_path}/first/state") as manager:
        assert manager.workflow_state("w").get("k") == 99
