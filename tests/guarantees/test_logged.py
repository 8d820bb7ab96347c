"""What is written buffered is logged: it waits for no commit, and nothing is lost."""

import io
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from stateward import (
    CommitFailedError,
    KeyRing,
    StateManager,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StorePoisonedError,
)
from stateward.offline import check_store, export_store, import_store
from tests.guarantees.logged_rigs import FORK, Counting, Rig, rig
from tests.guarantees.test_commits import contents, staged
from tests.threads import Job, eventually, in_thread, run_script

SCHEMES: Final = ("sqlite", "rocksdb")
SMALL: Final = 16 << 10
"""Bytes of a ring that is soon full."""
KEY: Final = b"k" * 32
SEEDS: Final = [2, pytest.param(60, marks=pytest.mark.soak)]


@pytest.fixture(name="url", params=SCHEMES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where there is no store yet, on each engine."""
    return f"{request.param}:///{tmp_path}/state"


def beside(url: str, path: Path) -> str:
    """Return the URL of another store of the same engine."""
    return f"{url.partition(':')[0]}:///{path}"


def reopened(url: str, **options: Any) -> dict[str, dict[str, object]]:
    """Open a store that nobody has open; return the workflows in it."""
    with StateManager(url, durability="buffered", **options) as manager:
        assert manager.check() == []
        return contents(manager)


# ------------------------------------------------------------ held up and failing


def write_all_sorts(manager: StateManager) -> None:
    """Write in every way there is, reading back what was written."""
    state, gone = manager.workflow_state("w"), manager.workflow_state("gone")
    state["a"] = 2
    state["new"] = [1]
    state.set("passing", 1, ttl=100_000)
    assert state.increment("n", 5) == 6
    state.append("new", 2)
    del state["b"]
    with state.transaction() as tx:
        tx["a"] = int(str(tx["a"])) + 1
        tx.step("s")["a"] = 3
    assert gone["a"] == 1
    assert manager.drop_workflow("gone")
    assert dict(gone) == {}
    assert dict(state) == {"a": 3, "n": 6, "new": [1, 2], "passing": 1}
    assert dict(state.step("s")) == {"a": 3}


WRITTEN: Final = {"w": {"a": 3, "n": 6, "new": [1, 2], "passing": 1}}


@pytest.mark.slow
def test_buffered_write_waits_for_no_commit(url: str) -> None:
    """While none can be made all is answered and outlives a kill, synced ones wait."""
    with rig(url) as it:
        state = it.manager.workflow_state("w")
        state.update({"a": 1, "b": 1, "n": 1})
        it.manager.workflow_state("gone")["a"] = 1
        with it.journal.held() as gate:
            before = len(it.journal.commits)
            in_thread(write_all_sorts, it.manager)
            assert len(it.journal.commits) == before
            # The drain has come to the gate, so the files stand still.
            gate.wait_until_entered()
            killed = it.killed("killed")
            synced = Job(lambda: state.set("s", 1, durability="synced"))
            eventually(lambda: staged(it.manager) > 0, "the synced write staged")
            assert not synced.is_over()
            assert "s" not in state
            gate.open()
            synced.result()
        assert it.journal.commits[-1] is True
        assert not it.redo.behind
        lost = it.killed("without", logged=False)
    assert reopened(beside(url, killed)) == WRITTEN
    everything = {"w": {**WRITTEN["w"], "s": 1}}
    assert reopened(beside(url, lost)) == everything
    assert reopened(url) == everything


def count_up(it: Rig, told: list[int], until: Callable[[], bool]) -> None:
    """Overwrite one key until it is time to stop, noting what was acknowledged."""
    state = it.manager.workflow_state("w")
    while not until():
        value = told[-1] + 1
        state["a"] = f"{value}:{'x' * 200}"
        told.append(value)


def counted(found: dict[str, Any]) -> int:
    """Return what `count_up` had come to."""
    return int(found["w"]["a"].partition(":")[0])


@pytest.mark.slow
def test_writer_waits_when_the_log_is_full(url: str) -> None:
    """Whoever finds no room waits for a commit, and nothing acknowledged is lost."""
    told, over = [0], list[bool]()
    with rig(url, ring=SMALL) as it:
        it.manager.workflow_state("w")["a"] = "0:"
        with it.journal.held() as gate:
            writer = Job(count_up, it, told, lambda: bool(over))
            eventually(lambda: staged(it.manager) > 0, "the log full")
            gate.wait_until_entered()
            full, killed = told[-1], it.killed("killed")
            assert full > SMALL // 400, "it has taken what there was room for"
        eventually(lambda: told[-1] > 10 * full, "it goes on, round and round")
        over.append(True)
        writer.result()
        assert it.redo._open
    assert counted(reopened(beside(url, killed))) == full
    assert counted(reopened(url)) == told[-1]


def no_space() -> None:
    """Fail as an engine whose disk is full."""
    raise StoreFullError("no space", effect="none")


def no_idea() -> None:
    """Fail as an engine of which nobody knows what it has written."""
    raise OSError("seeded")


@pytest.mark.slow
def test_full_disk_is_told_and_gone_on_from(url: str) -> None:
    """Without space the log closes and writers are told; with space all goes on."""
    with rig(url, flush_interval=0.1) as it:
        state = it.manager.workflow_state("w")
        state["a"] = 0
        it.journal.before = no_space
        state["a"] = 1
        eventually(lambda: not it.redo._open, "the drain to fail")
        for _ in range(3):
            with pytest.raises(StoreFullError):
                state["a"] = 2
        with pytest.raises(StoreFullError):
            it.manager.backup(str(it.path) + "-backup")
        assert state["a"] == 1
        killed = it.killed("killed")
        it.journal.before = lambda: None
        state["b"] = 3
        assert it.redo._open, "a commit opens it again"
        assert not it.redo.behind
    assert reopened(beside(url, killed)) == {"w": {"a": 1}}
    assert reopened(url) == {"w": {"a": 1, "b": 3}}


@pytest.mark.slow
def test_failure_that_nobody_understands_poisons_and_loses_nothing(url: str) -> None:
    """Nothing more is taken then, and all acknowledged is there after reopening."""
    with rig(url) as it:
        state = it.manager.workflow_state("w")
        state["a"] = 0
        it.journal.before = no_idea
        state["a"] = 1
        eventually(lambda: it.store.ledger.poisoned is not None, "the drain to fail")
        it.journal.before = lambda: None
        with pytest.raises(StorePoisonedError):
            state["a"] = 2
        with pytest.raises(CommitFailedError):
            state.set("a", 2, durability="synced")
        with pytest.raises(StorePoisonedError):
            it.manager.export(io.BytesIO())
        assert state["a"] == 1
    assert reopened(url) == {"w": {"a": 1}}


# -------------------------------------------------------- owners that come and go


def disturb(it: Rig, chance: Random, model: dict[str, dict[str, Any]]) -> None:
    """Do one thing to one of many workflows, and to the model of them."""
    name, key = f"w{chance.randrange(60)}", chance.choice("abc")
    state, mine = it.manager.workflow_state(name), model.setdefault(name, {})
    value = chance.randrange(1000)
    match chance.choice(("set", "set", "delete", "drop", "leave", "add", "both")):
        case "set":
            state[key] = mine[key] = [value, "x" * 500]
        case "delete":
            assert state.delete(key) == (mine.pop(key, None) is not None)
        case "drop":
            assert it.manager.drop_workflow(name) == bool(mine)
            mine.clear()
        case "leave":
            it.manager.passivate(state.scope)
        case "add":
            mine["n"] = state.increment("n")
        case _:
            with state.transaction() as tx:
                tx["a"] = tx["b"] = value
            mine["a"] = mine["b"] = value
    if chance.random() < 0.3:
        other = f"w{chance.randrange(60)}"
        assert dict(it.manager.workflow_state(other)) == model.get(other, {})


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
def test_owner_that_left_comes_back_with_what_is_logged(url: str, seeds: int) -> None:
    """However owners leave memory, nothing stale is ever loaded."""
    options: dict[str, Any] = {"cache_bytes": 30_000, "idle_timeout": 0.02}
    for seed in range(seeds):
        chance, model = Random(seed), dict[str, dict[str, Any]]()
        place = beside(url, Path(url.partition("://")[2] + str(seed)))
        with rig(place, **options) as it:
            for _ in range(1500):
                disturb(it, chance, model)
            assert it.manager.stats().passivations > 0
            with it.journal.held() as gate:
                for _ in range(50):
                    disturb(it, chance, model)
                # What is held up is the newest, so there is a commit to come.
                it.manager.workflow_state("w0")["a"] = 0
                model.setdefault("w0", {})["a"] = 0
                gate.wait_until_entered()
                killed = it.killed(f"killed{seed}")
        expected = {name: values for name, values in model.items() if values}
        assert reopened(beside(url, killed)) == expected
        assert reopened(place) == expected


# ------------------------------------------------------------ upkeep under way


def check_copy(url: str, told: dict[str, int], **options: Any) -> None:
    """Check that a copy has all that had been acknowledged before."""
    found = reopened(url, **options)
    for name, count in told.items():
        held: dict[str, Any] = found[name]
        assert count <= held["n"]
        assert held["same"] in {held["n"], held["n"] - 1}


@pytest.mark.slow
def test_upkeep_under_way_loses_nothing(url: str, tmp_path: Path) -> None:
    """Copies hold all acknowledged before, and no update is lost by any upkeep."""
    with rig(url, key=KEY) as it:
        manager, counting = it.manager, Counting(it.manager)
        try:
            for turn in range(4):
                counting.go_on()
                told, copy = dict(counting.told), tmp_path / f"backup{turn}"
                manager.backup(str(copy))
                check_copy(beside(url, copy), told, key=KEY)
                told, lines = dict(counting.told), io.BytesIO()
                manager.export(lines)
                lines.seek(0)
                target = beside(url, tmp_path / f"import{turn}")
                import_store(lines, target)
                check_copy(target, told)
                assert manager.check() == []
                manager.compact()
                counting.go_on()
            manager.rotate_key(KeyRing(b"n" * 32, KEY))
            counting.go_on()
        finally:
            counting.stop()
        last = dict(counting.told)
    found = reopened(url, key=b"n" * 32)
    assert found == {name: {"n": n, "same": n} for name, n in last.items()}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["memory", *SCHEMES])
def test_move_there_and_back_loses_nothing_logged(tmp_path: Path, first: str) -> None:
    """Moved to another store, back and there again, every count has gone on."""
    home = "memory://" if first == "memory" else f"{first}:///{tmp_path}/1"
    away = f"{'rocksdb' if first == 'sqlite' else 'sqlite'}:///{tmp_path}/2"
    with StateManager(home, durability="buffered") as manager:
        counting = Counting(manager)
        try:
            for share in (0.5, 0.0, 0.8, 0.0, 1.0):
                counting.go_on()
                manager.persist_to(away, rollout=share)
                counting.go_on()
        finally:
            counting.stop()
        last = {name: {"n": n, "same": n} for name, n in counting.told.items()}
        assert contents(manager) == last
    assert reopened(away) == last
    if first != "memory":
        with StateManager(home) as old, pytest.raises(StoreError, match="moved"):
            old.workflow_state("c0").get("n")


# --------------------------------------------------------------- other processes


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_cannot_write_and_hurts_nothing(url: str) -> None:
    """It writes nothing to the log, and the store opens again while it lives on."""
    run_script(FORK.format(url=url))


@pytest.mark.slow
def test_sealed_store_logs_nothing_readable(url: str) -> None:
    """A value that is only in the log is sealed there, and replayed as it was."""
    hidden = "a secret that nobody may read"
    with rig(url, key=KEY) as it:
        state = it.manager.workflow_state("w")
        state["k"] = 1
        with it.journal.held() as gate:
            state["k"] = hidden
            state.update({"k": hidden, "other": [hidden]})
            gate.wait_until_entered()
            killed = it.killed("killed")
    log = killed.with_name("state.redo").read_bytes()
    assert b"other" in log
    assert hidden.encode() not in log
    expected = {"w": {"k": hidden, "other": [hidden]}}
    assert reopened(beside(url, killed), key=KEY) == expected


def files(folder: Path) -> dict[str, str]:
    """Return what tells the contents of everything in a folder, by its path."""
    return {
        str(it.relative_to(folder)): sha256(it.read_bytes()).hexdigest()
        for it in folder.rglob("*")
        if it.is_file() and not it.name.endswith("-shm")  # SQLite makes it to read
    }


@pytest.mark.slow
def test_store_in_use_or_left_is_looked_at_from_outside(url: str) -> None:
    """A second manager is refused, and tools read what a killed one left, all of it."""
    with rig(url) as it:
        state = it.manager.workflow_state("w")
        for key in ("a", "b"):
            state.set(key, "old", durability="synced")
        with it.journal.held() as gate:
            state["a"] = "only in the log"
            del state["b"]
            gate.wait_until_entered()
            with pytest.raises(StoreLockedError):
                StateManager(url, durability="buffered")
            assert check_store(url) == []
            used = io.BytesIO()
            export_store(url, used)
            assert b"old" in used.getvalue()
            killed = it.killed("killed")
        assert state["a"] == "only in the log"
        state["a"] = "goes on"
    left, before = beside(url, killed), files(killed.parent)
    for _ in range(2):
        assert check_store(left) == []
        lines = io.BytesIO()
        export_store(left, lines)
        assert b"only in the log" in lines.getvalue()
        assert b"old" not in lines.getvalue()
    assert files(killed.parent) == before
    assert reopened(left) == {"w": {"a": "only in the log"}}
    assert reopened(url) == {"w": {"a": "goes on"}}
