"""Transfers: a store is made whole, or there is nothing where it was to be."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import (
    CorruptStoreError,
    StateManager,
    StoreError,
    UsageError,
    WorkflowScope,
    WrongKeyError,
)
from stateward.actors.store import store as store_module
from stateward.actors.store import transfers
from stateward.actors.store.checking import inspect
from stateward.actors.store.exports import ImportedLines
from stateward.actors.store.names import head_name
from stateward.actors.store.opening import open_store
from stateward.actors.store.records import entry_record
from stateward.actors.store.store import DurableStore
from stateward.actors.store.transfers import copy, duplicate, fill, new_store
from stateward.actors.store.urls import StoreUrl, parse_url
from stateward.testing import SimulatedClock
from tests.actors.store.kept import NEW, OLD, exported, loaded
from tests.actors.store.stores import (
    ENGINES,
    A,
    Place,
    content,
    copy_store,
    name_in,
    remove_store,
    scopes,
)
from tests.actors.store.stores import fill as write

WHERE: Final = ("there", "there.mark", "there-wal")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder with a store of each engine, which nobody opens there again."""
    folders = {}
    for engine in ENGINES:
        folders[engine] = tmp_path_factory.mktemp(engine)
        clock = SimulatedClock()
        place = Place(folder=folders[engine], engine=engine, clock=clock)
        with place.open() as manager:
            write(manager, clock)
    return folders


@pytest.fixture(params=ENGINES)
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: SimulatedClock,
    made: dict[str, Path],
) -> Place:
    """Return a store of each engine, which holds something of every kind."""
    shutil.copytree(made[request.param], tmp_path / "from")
    clock.advance(6)
    return Place(folder=tmp_path / "from", engine=request.param, clock=clock)


def url_at(folder: Path, engine: str = "sqlite") -> StoreUrl:
    """Return the URL of a store that nobody has made yet."""
    (folder / "to").mkdir(exist_ok=True)
    return parse_url(f"{engine}:///{folder}/to/there")


def left_at(url: StoreUrl) -> list[str]:
    """Return what is in the folder of a store."""
    return sorted(path.name for path in Path(url.path).parent.iterdir())


def lines_of(url: StoreUrl, key: bytes | None = None) -> list[bytes]:
    """Return all that a store holds; check that it is healthy."""
    with closing(open_store(url, key=key, read_only=True)) as store:
        assert list(inspect(store)) == []
        return exported(store)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("keys", [(None, None), (None, NEW), (OLD, None), (OLD, NEW)])
def test_copy_holds_the_same_on_any_engine_sealed_or_not(
    tmp_path: Path,
    clock: SimulatedClock,
    engine: str,
    keys: tuple[bytes | None, bytes | None],
) -> None:
    """Every value, revision, time and run is there; and who goes on finds it so."""
    source = Place(folder=tmp_path, engine="sqlite", clock=clock)
    with StateManager(
        source.url, clock=clock, key=keys[0], durability="buffered"
    ) as manager:
        write(manager, clock)
        before = {scope: content(manager, scope) for scope in scopes()}
        manager.drop_workflow("w3")
        before = {it: before[it] for it in before if it.owner != WorkflowScope("w3")}
    target = url_at(tmp_path, engine)
    with closing(open_store(parse_url(source.url), key=keys[0])) as store:
        lines, floor = exported(store), store.floor
        assert copy(store, target, key=keys[1]) == 14
        about = store.ledger.about
    assert floor > 0
    assert left_at(target) == ["there"]
    assert lines_of(target, keys[1]) == lines
    with closing(open_store(target, key=keys[1], read_only=True)) as store:
        assert store.floor == floor
        assert store.ledger.about.id != about.id
    if keys[1] is not None:
        with pytest.raises(WrongKeyError):
            open_store(target, read_only=True)
    with StateManager(target.text, clock=clock, key=keys[1]) as manager:
        assert {scope: content(manager, scope) for scope in before} == before
        assert manager.workflow_state("w3").set("a", 1) > floor


@pytest.mark.slow
@pytest.mark.parametrize("engines", [("sqlite", "rocksdb"), ("rocksdb", "sqlite")])
def test_copy_there_and_back_is_the_same(
    tmp_path: Path, clock: SimulatedClock, engines: tuple[str, str]
) -> None:
    """From one engine to the other and back nothing is lost."""
    place = Place(folder=tmp_path, engine=engines[0], clock=clock)
    with place.open() as manager:
        write(manager, clock)
    there = url_at(tmp_path, engines[1])
    back = parse_url(f"{engines[0]}:///{tmp_path}/back")
    told: list[tuple[int, int]] = []
    with closing(open_store(parse_url(place.url))) as store:
        copy(store, there, progress=lambda *it: told.append(it))
    with closing(open_store(there)) as store:
        copy(store, back)
    assert told == [(number, 15) for number in range(1, 16)]
    assert lines_of(back) == lines_of(there) == lines_of(parse_url(place.url))


def test_copy_of_owners_larger_than_a_commit_is_whole(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many commits it takes, none of them matters."""
    monkeypatch.setattr(transfers, "ROWS", 3)
    target = url_at(tmp_path)
    with closing(open_store(parse_url(place.url))) as store:
        copy(store, target)
    assert lines_of(target) == lines_of(parse_url(place.url))


def test_copy_keeps_which_migrations_there_were(place: Place, tmp_path: Path) -> None:
    """A copy of a store that newer code has been through is refused by older code."""
    with closing(open_store(parse_url(place.url))) as store:
        store.ledger.raise_floor(0, version=5)
        copy(store, url_at(tmp_path))
    with closing(open_store(url_at(tmp_path))) as store:
        assert store.ledger.about.version == 5


def test_copy_of_a_store_that_was_left_is_refused(place: Place, tmp_path: Path) -> None:
    """Where an owner is in another store now, no copy passes for all there is."""
    target = url_at(tmp_path, place.engine)
    with closing(open_store(parse_url(place.url))) as store:
        store.depart(WorkflowScope("w4"), "sqlite:///elsewhere")
        for make in (copy, partial(duplicate, anew=True)):
            with pytest.raises(StoreError, match="was moved to sqlite:///else"):
                make(store, target)
    assert left_at(target) == []


def damaged(place: Place, how: str) -> None:
    """Damage a store so that it can still be opened."""
    scope = WorkflowScope("w9")
    rows: dict[str, dict[bytes, bytes | None]] = {
        "entry": {name_in(scope, "text"): b"x"},
        "lost": {name_in(scope, "text"): None},
        "head": {head_name(scope): b"x"},
        "headless": {head_name(scope): None},
    }
    place.change(rows[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["entry", "lost", "head", "headless"])
def test_copy_of_a_damaged_store_leaves_nothing(
    place: Place, tmp_path: Path, how: str
) -> None:
    """Damage anywhere is told, and no half of a store is at the target."""
    damaged(place, how)
    target = url_at(tmp_path, place.engine)
    with closing(open_store(parse_url(place.url))) as store:
        with pytest.raises(CorruptStoreError):
            copy(store, target)
        assert left_at(target) == []


def test_copy_that_reads_otherwise_leaves_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read back, and damage on the way is noticed."""
    target = url_at(tmp_path)

    def torn(name: bytes, *rest: Any) -> bytes:
        record = entry_record(name, *rest)
        return record[:-1] if name.startswith(b"\x02ww7\0kt") else record

    monkeypatch.setattr(store_module, "entry_record", torn)
    with (
        closing(open_store(parse_url(place.url))) as store,
        pytest.raises(CorruptStoreError, match="w7"),
    ):
        copy(store, target)
    assert left_at(target) == []


def test_copy_to_a_head_that_differs_is_refused(place: Place, tmp_path: Path) -> None:
    """Two stores are the same owner by owner, or the first that differs is named."""
    with closing(open_store(parse_url(place.url))) as store:
        copy(store, url_at(tmp_path))
        with StateManager(url_at(tmp_path).text, clock=place.clock) as manager:
            manager.workflow_state("w5")["x"] = 1
        with (
            closing(open_store(url_at(tmp_path))) as other,
            pytest.raises(CorruptStoreError, match="w5"),
        ):
            transfers.verify(store, other)


def makers(store: DurableStore) -> Iterator[Callable[[StoreUrl], object]]:
    """Yield everything that makes a store."""
    lines = exported(store)

    def imports(url: StoreUrl) -> None:
        with new_store(url) as target:
            fill(target, ImportedLines(lines, "the export").images())

    yield lambda url: copy(store, url)
    yield imports
    yield lambda url: duplicate(store, url, anew=True)


@pytest.mark.parametrize("end", ["", "-wal", "-journal"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_making_a_store_over_something_is_refused(
    place: Place, tmp_path: Path, end: str, kind: str
) -> None:
    """What is there stays as it is, also what only SQLite would take for a part."""
    target = url_at(tmp_path, place.engine)
    there = Path(target.path + end)
    if kind == "file":
        there.write_text("Dear diary")
    elif kind == "folder":
        there.mkdir()
    else:
        there.symlink_to(tmp_path / "nowhere")
    with closing(open_store(parse_url(place.url))) as store:
        for make in makers(store):
            with pytest.raises(StoreError, match=f"something at .*there{end} already"):
                make(target)
            assert left_at(target) == [there.name]
    assert kind != "file" or there.read_text() == "Dear diary"


def test_making_a_store_in_no_folder_is_refused(place: Place, tmp_path: Path) -> None:
    """The folder of a store is not made."""
    target = parse_url(f"{place.engine}:///{tmp_path}/none/there")
    with closing(open_store(parse_url(place.url))) as store:
        for make in makers(store):
            with pytest.raises(StoreError, match="none is not there"):
                make(target)
    assert sorted(it.name for it in tmp_path.iterdir()) == ["from"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, UsageError, OSError])
@pytest.mark.parametrize("engine", ENGINES)
def test_new_store_that_is_not_finished_leaves_nothing(
    tmp_path: Path, engine: str, error: type[BaseException]
) -> None:
    """Whatever ends the filling, no part is left, and the disk's errors are ours."""
    target = url_at(tmp_path, engine)

    def make() -> None:
        with new_store(target) as store:
            store.ledger.write({b"\x02x": b"1"}, sync=False)
            raise error("told to")

    with pytest.raises(StoreError if error is OSError else error, match="told to"):
        make()
    assert left_at(target) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_two_new_stores_of_one_name_are_made_apart(tmp_path: Path, engine: str) -> None:
    """Who is whole first is found there; the other is refused, and leaves nothing."""
    target = url_at(tmp_path, engine)
    first, second = ExitStack(), ExitStack()
    first.enter_context(new_store(target)).ledger.raise_floor(7, version=0)
    second.enter_context(new_store(target)).ledger.raise_floor(9, version=0)
    first.close()
    with pytest.raises(StoreError, match="something at"):
        second.close()
    assert left_at(target) == ["there"]
    assert b'"floor":7' in lines_of(target)[0]


def test_new_store_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Who was there first stays, although nothing was there at the beginning."""
    target = url_at(tmp_path)

    def make() -> None:
        with new_store(target):
            Path(target.path).write_text("Dear diary")

    with pytest.raises(StoreError, match="something at"):
        make()
    assert left_at(target) == ["there"]
    assert Path(target.path).read_text() == "Dear diary"


def cut(lines: list[bytes]) -> list[bytes]:
    """Return an export that lacks its end."""
    return lines[:-1]


def doubled(lines: list[bytes]) -> list[bytes]:
    """Return an export with the last owner twice."""
    at = max(it for it, line in enumerate(lines) if line.startswith(b'{"owner"'))
    return [*lines[:-1], *lines[at:]]


@pytest.mark.parametrize("how", [cut, doubled])
def test_import_that_is_refused_leaves_nothing(
    place: Place,
    tmp_path: Path,
    how: Callable[[list[bytes]], list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though commits were made before, nothing is at the target."""
    monkeypatch.setattr(transfers, "ROWS", 5)
    target = url_at(tmp_path, place.engine)
    lines = how(lines_of(parse_url(place.url)))

    def make() -> None:
        with new_store(target) as store:
            fill(store, ImportedLines(lines, "the export").images())

    with pytest.raises(UsageError, match="the export, line"):
        make()
    assert left_at(target) == []


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, OLD], ids=["open", "sealed"])
@pytest.mark.parametrize("engine", ENGINES)
def test_restore_puts_a_backup_in_the_place_of_what_was_removed(
    tmp_path: Path, clock: SimulatedClock, engine: str, key: bytes | None
) -> None:
    """It is a store of its own: what the removed one had acknowledged is no matter."""
    place = Place(folder=tmp_path, engine=engine, clock=clock)
    url, backup = parse_url(place.url), tmp_path / "backup"
    with StateManager(
        place.url, clock=clock, key=key, durability="buffered"
    ) as manager:
        write(manager, clock)
        manager.backup(str(backup))
    with StateManager(place.url, clock=clock, key=key) as manager:
        manager.workflow_state("w1")["later"] = "still"
    source = parse_url(f"{engine}:///{backup}")
    lines = lines_of(source, key)
    mark = place.mark.read_bytes()
    remove_store(place.path)
    copy_store(backup, place.path)
    with pytest.raises(CorruptStoreError, match="had been acknowledged"):
        open_store(url, key=key)
    remove_store(place.path)
    with closing(open_store(source, key=key, read_only=True)) as store:
        duplicate(store, url, anew=True)
        first = store.ledger.about.id
    assert place.mark.read_bytes() == mark
    assert lines_of(url, key) == lines == lines_of(source, key)
    with closing(open_store(url, key=key)) as store:
        assert store.ledger.about.id != first
        assert loaded(store, A).is_empty()
    with StateManager(place.url, clock=clock, key=key) as manager:
        manager.workflow_state("w1")["goes"] = "on"
    names = sorted(it.name for it in tmp_path.iterdir() if ".part" in it.name)
    assert names == []
