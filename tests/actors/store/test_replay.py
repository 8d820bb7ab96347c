"""Replay: what was logged is in the store once it is opened again, whole and once."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from stateward import (
    ClosedError,
    CorruptStoreError,
    StateManager,
    StoreError,
    WorkflowScope,
)
from stateward.actors.store import opening
from stateward.actors.store.checking import inspect
from stateward.actors.store.heads import Heads
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import head_name
from stateward.actors.store.opening import open_store
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.regions import FileRegion
from stateward.actors.store.replay import Overlay
from stateward.actors.store.urls import open_journal, parse_url
from stateward.moving import placement_of
from stateward.offline import check_store, export_store, import_store

ENGINES = ("sqlite", "rocksdb")
COMMANDS = 60
Contents = dict[str, tuple[Any, int, float, float, float | None]]


@pytest.fixture(name="engine", params=ENGINES)
def each_engine(request: pytest.FixtureRequest) -> str:
    """Return the scheme of each engine."""
    return str(request.param)


def logged(engine: str, folder: Path, *, seed: int) -> dict[str, Contents]:
    """Leave in `folder` what a killed process leaves; return what it had told."""
    source = folder.with_name(folder.name + "-alive")
    source.mkdir()
    with StateManager(
        f"{engine}:///{source}/state", durability="buffered", flush_interval=1e6
    ) as manager:
        state = manager.workflow_state("w")
        state.update(a=0, b=[], c="c")
        committer = manager.engine.directory.committer
        assert committer is not None
        told: dict[str, Contents] = {}

        def freeze() -> None:
            # Between two commits: what is written here is in the log alone.
            for store in committer._stores():
                store.redo.release()
            chance = Random(seed)
            for number in range(COMMANDS):
                change(manager, chance, number)
            told.update(contents(manager))
            shutil.copytree(source, folder)

        committer.perform(freeze)
    return told


def change(manager: StateManager, chance: Random, number: int) -> None:
    """Make one of all kinds of commands that can be logged."""
    state: Any = manager.workflow_state(chance.choice(("w", "new", "other")))
    scope = chance.choice((state, state.step("s")))
    key = chance.choice("abcd")
    match chance.randrange(6):
        case 0:
            scope.pop(key, None)
        case 1:
            scope.set(key, number, ttl=1e9)
        case 2:
            state.update({"a": number, "d": [number] * 9})
        case _:
            for value in (number, [number]):  # The second one goes the usual way.
                scope[key] = value


def contents(manager: StateManager) -> dict[str, Contents]:
    """Return all that a manager holds, with revisions and times."""
    found: dict[str, Contents] = {}
    for name in sorted(manager.workflow_ids()):
        state = manager.workflow_state(name)
        for scope in (state, state.step("s")):
            entries: Contents = {}
            for key in sorted(scope):
                entry = scope.entry(key)
                assert entry is not None
                times = (entry.created, entry.updated, entry.expires)
                entries[key] = (scope[key], entry.revision, *times)
            found[scope.scope.prefix()] = entries
    return found


def check_alike(found: dict[str, Contents], told: dict[str, Contents]) -> None:
    """Check that all is there; times come back with an error of rounding."""
    for prefix in found.keys() | told.keys():
        mine, theirs = found.get(prefix, {}), told.get(prefix, {})
        assert mine.keys() == theirs.keys()
        for key, (value, revision, *times) in mine.items():
            assert (value, revision) == theirs[key][:2]
            assert times == pytest.approx(theirs[key][2:], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_replay_brings_back_all_that_was_told(
    tmp_path: Path, engine: str, seed: int
) -> None:
    """Values, revisions, times and expiries are there, and the store is sound."""
    told = logged(engine, tmp_path / "left", seed=seed)
    url = f"{engine}:///{tmp_path / 'left' / 'state'}"
    log = tmp_path / "left" / "state.redo"
    assert log.exists()
    for _ in range(2):
        with StateManager(url) as manager:
            assert not log.exists()
            store: Any = next(iter(placement_of(manager.engine).stores()))
            assert store.ledger.progress.logged >= store.redo.end > 0
            check_alike(contents(manager), told)
            assert manager.check() == []
            newest = max(it[1] for it in told["workflow:w:"].values())
            assert manager.workflow_state("w").revision >= newest


def test_replay_broken_off_is_done_again(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after its commit leaves a log of which nothing is taken any more."""
    told = logged(engine, tmp_path / "left", seed=9)
    url = f"{engine}:///{tmp_path / 'left' / 'state'}"
    monkeypatch.setattr(RedoLog, "remove", lambda _: None)
    for _ in range(3):
        with StateManager(url) as manager:
            check_alike(contents(manager), told)
            assert manager.check() == []
    assert (tmp_path / "left" / "state.redo").exists()


def test_replay_for_reading_changes_nothing(tmp_path: Path, engine: str) -> None:
    """Whoever only reads sees what is logged, and leaves store and log alone."""
    told = logged(engine, tmp_path / "left", seed=5)
    url = f"{engine}:///{tmp_path / 'left' / 'state'}"
    log = (tmp_path / "left" / "state.redo").read_bytes()
    lines: list[bytes] = []
    for _ in range(2):
        assert check_store(url) == []
        with (tmp_path / "export").open("wb") as file:
            export_store(url, file)
        lines.append((tmp_path / "export").read_bytes())
        assert (tmp_path / "left" / "state.redo").read_bytes() == log
    assert lines[0] == lines[1]
    target = f"sqlite:///{tmp_path / 'imported'}"
    with (tmp_path / "export").open("rb") as file:
        import_store(file, target)
    with StateManager(target) as manager:
        check_alike(contents(manager), told)


@pytest.mark.parametrize("look", range(5))
def test_replay_for_reading_is_beside_a_manager_that_comes(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """Whenever a manager takes what is logged, and goes on, a reader has all of it."""
    told = logged(engine, tmp_path / "left", seed=7)
    url = f"{engine}:///{tmp_path / 'left' / 'state'}"
    looks = 0

    def beside(act: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*arguments: Any, **options: Any) -> Any:
            nonlocal looks
            found = act(*arguments, **options)
            looks += 1
            if looks == look + 1:
                with StateManager(url, durability="buffered") as manager:
                    for number in range(COMMANDS):
                        manager.workflow_state("w")["a"] = number
                        manager.workflow_state("late")["b"] = number
            return found

        return looked

    monkeypatch.setattr(FileRegion, "read", beside(FileRegion.read))
    monkeypatch.setattr(opening, "open_journal", beside(open_journal))
    monkeypatch.setattr(Heads, "find", beside(Heads.find))
    with closing(open_store(parse_url(url), read_only=True)) as store:
        assert looks > look
        assert list(inspect(store)) == []
        keys = {scope.prefix(): keys for scope, keys, *_ in store.usages()}
    for prefix in ("workflow:new:", "workflow:other:"):
        entries = [*told.get(prefix, {}), *told.get(f"{prefix}step:s:", {})]
        assert keys.get(prefix, 0) == len(entries)


def test_replay_of_a_damaged_store_says_what(tmp_path: Path, engine: str) -> None:
    """A head that is damaged is an error that names where, and the log stays."""
    logged(engine, tmp_path / "left", seed=6)
    url = parse_url(f"{engine}:///{tmp_path / 'left' / 'state'}")
    with closing(open_journal(url)) as journal:
        journal.commit({head_name(WorkflowScope("w")): b"damaged"}, sync=True)
    with pytest.raises(CorruptStoreError, match=r"damaged at b.\\x02ww"):
        open_store(url)
    assert (tmp_path / "left" / "state.redo").exists()


@pytest.mark.parametrize("seed", range(20))
def test_overlay_is_what_the_rows_make_of_the_journal(seed: int) -> None:
    """Rows laid over, removed, in between and beyond are found by get and by scan."""
    chance = Random(seed)
    names = [bytes([n]) * chance.randint(1, 3) for n in range(1, 40)]
    model = dict.fromkeys(chance.sample(names, chance.randrange(30)), b"below")
    overlay = Overlay(MemoryJournal(model.items()))
    for _ in range(3):
        rows = {
            name: chance.choice((None, b"above", b""))
            for name in chance.sample(names, chance.randrange(20))
        }
        overlay.commit(rows, sync=True)
        for name, record in rows.items():
            if record is None:
                model.pop(name, None)
            else:
                model[name] = record
        start, stop = sorted(chance.sample([b"", *names, b"\xff"], 2))
        expected = sorted(it for it in model.items() if start <= it[0] < stop)
        assert list(overlay.scan(start, stop)) == expected
        assert [overlay.get(name) for name in names] == [model.get(it) for it in names]


def test_overlay_copies_nothing_of_its_engine(tmp_path: Path) -> None:
    """An engine's own backup would lack the rows, so there is none."""
    overlay = Overlay(MemoryJournal([(b"a", b"1")]))
    with pytest.raises(StoreError, match="would lack what is in the log"):
        overlay.backup(str(tmp_path / "copy"))
    overlay.compact()
    assert overlay.size_bytes() == 2
    overlay.close()
    with pytest.raises(ClosedError):
        overlay.get(b"b")
