"""Commits: written in groups, told in order, and all there after a crash."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import pytest

from stateward import AskTimeoutError, CommitFailedError, StateManager
from stateward.actors.core import faults
from stateward.actors.store import regions
from stateward.actors.store.memory import MemoryJournal
from tests.journals import Disk, WatchedJournal, held_back
from tests.threads import Gate, Job, eventually, frequent_switches

WRITERS: Final = 16


@pytest.fixture(name="journal")
def new_journal() -> WatchedJournal:
    """Return a journal with nothing in it."""
    return WatchedJournal()


@pytest.fixture(name="disk")
def new_disk(tmp_path: Path, journal: WatchedJournal) -> Disk:
    """Return a disk with that journal."""
    return Disk(tmp_path, journal)


@pytest.fixture(name="manager")
def durable_manager(disk: Disk) -> Iterator[StateManager]:
    """Return a manager on that disk."""
    with disk.manager() as manager:
        yield manager


def staged(manager: StateManager) -> int:
    """Return how many commands and answers wait for a commit."""
    states = list(manager.engine.directory.states.values())
    return sum(len(state.staged or ()) for state in states)


def contents(manager: StateManager) -> dict[str, dict[str, object]]:
    """Return all workflows and what they hold."""
    return {it: dict(manager.workflow_state(it)) for it in manager.workflow_ids()}


def test_commands_that_waited_are_in_one_commit(
    manager: StateManager, journal: WatchedJournal
) -> None:
    """Sixteen writers that wait for one commit share the next, and its sync."""
    first = manager.workflow_state("first")
    journal.syncs.clear()
    with held_back() as gate:
        jobs = [Job(first.set, "a", 0)]
        gate.wait_until_entered()
        jobs += [
            Job(manager.workflow_state(f"w{n}").set, "a", n) for n in range(WRITERS)
        ]
        eventually(lambda: staged(manager) == 1 + WRITERS, "all staged")
        assert dict(manager.workflow_state("w3")) == {}
    assert [job.result() for job in jobs] == [1] * (1 + WRITERS)
    assert journal.syncs == [True, True]
    assert manager.workflow_state("w3")["a"] == 3


def test_replies_of_one_owner_come_in_order(manager: StateManager) -> None:
    """Told many commands, an owner answers them in that order."""
    state, told = manager.workflow_state("w"), list[int]()
    with held_back():
        owner = manager.engine.owner(state.scope.owner)
        futures = []
        for n in range(50):
            futures.append(owner.post(_set(state, n)))
            futures[-1].add_done_callback(partial(told.append, n))
    got = [future.get(timeout=30) for future in futures]
    assert got == list(range(1, 51))
    eventually(lambda: told == list(range(50)), "all told, in order")
    assert state["a"] == 49


def _set(state: Any, value: int) -> Any:
    from stateward.messages import SetState

    return SetState(state.scope, "a", value)


def test_failed_commit_takes_down_what_is_staged_on_it(manager: StateManager) -> None:
    """Owners of the group lose all they staged; others lose nothing."""
    gate, hits = Gate(), list[int]()

    def fail_first() -> None:
        hits.append(1)
        if len(hits) == 1:
            gate(None)
            raise CommitFailedError("no disk", effect="unknown")

    state, other = manager.workflow_state("w"), manager.workflow_state("o")
    with faults.arm("store.commit", fail_first):
        jobs = [Job(state.set, "a", 1)]
        gate.wait_until_entered()
        jobs.append(Job(state.set, "a", 2))
        eventually(lambda: staged(manager) == 2, "the second")
        spared = Job(other.set, "b", 1)
        eventually(lambda: staged(manager) == 3, "the other's")
        gate.open()
        effects = []
        for job in jobs:
            with pytest.raises(CommitFailedError) as caught:
                job.result()
            effects.append(caught.value.effect)
        assert spared.result() == 1
    assert effects == ["unknown", "none"]
    assert (dict(state), dict(other)) == ({}, {"b": 1})
    assert state.set("a", 3) == 1
    stats = manager.stats()
    assert (stats.keys, stats.size_bytes) == (2, 4)


def test_buffered_writes_do_not_sync(disk: Disk, journal: WatchedJournal) -> None:
    """Only what asks for it is synced; the rest is when the manager is closed."""
    with disk.manager(durability="buffered", flush_interval=1e6) as manager:
        state = manager.workflow_state("w")
        before = journal.syncs.count(True)
        for n in range(3):
            state["a"] = n
        assert journal.syncs.count(True) == before
        state.set("b", 1, durability="synced")
        state["c"] = 2
        assert journal.syncs.count(True) == before + 1
        left = reopened(disk, journal.crash(), "synced")["w"]
        assert left | {"c": 2} == {"a": 2, "b": 1, "c": 2}
    assert journal.syncs.count(True) > before + 1


def reopened(disk: Disk, journal: MemoryJournal, name: str) -> dict[str, Any]:
    """Return what a manager finds that opens what a crash left."""
    with disk.after(name, journal).manager() as manager:
        return contents(manager)


def test_buffered_writes_are_flushed(disk: Disk, journal: WatchedJournal) -> None:
    """After `flush_interval` a buffered write outlives power loss."""
    options: dict[str, Any] = {"durability": "buffered", "flush_interval": 0.01}
    with disk.manager(**options) as manager:
        journal.syncs.clear()
        manager.workflow_state("w")["a"] = 1
        eventually(lambda: True in journal.syncs, "a flush")
        assert reopened(disk, journal.crash(), "flushed") == {"w": {"a": 1}}


def test_close_commits_and_answers_what_is_staged(
    disk: Disk, journal: WatchedJournal
) -> None:
    """Whoever waits for a commit when the manager closes is answered, and kept."""
    with disk.manager() as manager:
        with held_back() as gate:
            jobs = [Job(manager.workflow_state("w").set, "a", 0)]
            gate.wait_until_entered()
            jobs += [
                Job(manager.workflow_state(f"w{n % 4}").set, f"k{n}", n)
                for n in range(WRITERS)
            ]
            eventually(lambda: staged(manager) == 1 + WRITERS, "all staged")
            closing = Job(manager.close)
            eventually(lambda: manager.engine.directory.closed, "the closing")
            assert not closing.is_over()
        closing.result()
        assert len([job.result() for job in jobs]) == 1 + WRITERS
    left = reopened(disk, journal.crash(), "left")
    assert sum(len(values) for values in left.values()) == 1 + WRITERS


def test_write_that_times_out_waiting_for_its_commit_is_unknown(disk: Disk) -> None:
    """Its sender cannot know what becomes of it; here it happens."""
    with disk.manager(ask_timeout=0.05) as manager:
        state = manager.workflow_state("w")
        with held_back(), pytest.raises(AskTimeoutError) as caught:
            state["a"] = 1
        assert caught.value.effect == "unknown"
        eventually(lambda: state.get("a") == 1, "the commit")


def test_asyncio_waits_for_commits_without_blocking(manager: StateManager) -> None:
    """Many coroutines stage while the loop goes on, and share commits."""
    state = manager.workflow_state("w")

    async def write() -> list[int]:
        with held_back() as gate:
            tasks = [asyncio.create_task(state.aio.set(f"k{n}", n)) for n in range(20)]
            for _ in range(3):
                await asyncio.sleep(0)
            await asyncio.to_thread(gate.wait_until_entered)
            assert not any(task.done() for task in tasks)
        return [int(it) for it in await asyncio.gather(*tasks)]

    # Whoever waits for the owner to be activated is overtaken by who comes later.
    assert sorted(asyncio.run(write())) == list(range(1, 21))
    assert dict(state) == {f"k{n}": n for n in range(20)}


def test_eviction_keeps_every_value_right(disk: Disk) -> None:
    """With far more owners than memory is for, each read is right and memory small."""
    bound, most = 300_000, list[int]()
    start = threading.Barrier(4)

    def work(manager: StateManager, mine: int) -> None:
        chance, known = Random(mine), dict[int, int]()
        handles = [manager.workflow_state(f"{mine}-{n}") for n in range(40)]
        start.wait()
        for n in range(250):
            which = chance.randrange(40)
            state = handles[which]
            if chance.random() < 0.6:
                state.update({"n": n, "pad": "x" * 1000})
                known[which] = n
            assert state.get("n") == known.get(which)
            most.append(held(manager))

    options: dict[str, Any] = {"cache_bytes": bound, "durability": "buffered"}
    with disk.manager(**options) as manager:
        old = manager.workflow_state("0-0")
        old["seed"] = 1
        view = old.get("seed")
        for job in [Job(work, manager, mine) for mine in range(4)]:
            job.result()
        eventually(lambda: held(manager) <= bound, "memory within the bound")
        assert old["seed"] == view == 1
        assert manager.stats().passivations > 0
    assert bound < max(most) < 2 * bound


def held(manager: StateManager) -> int:
    """Return about what the states take in memory."""
    vault = manager.engine.directory.vault
    assert vault is not None
    return vault.held_bytes


class Film:
    """What a crash would have left, at moments drawn before some commits."""

    def __init__(self, disk: Disk, journal: WatchedJournal, seed: int) -> None:
        """Film every commit of `journal`."""
        self.disk = disk
        self.journal = journal
        self.acknowledged = dict[str, int]()
        """How many commands of each workflow have been answered."""
        self.images = list[tuple[dict[str, int], Disk, Disk]]()
        """What was promised, and what would be left of it and of the machine."""
        self._chance = Random(seed)
        journal.before = self.shoot

    def shoot(self) -> None:
        """Take an image, or not."""
        if self._chance.random() < 0.3:
            # ORDER: what was promised first, then what there is.
            promised, number = dict(self.acknowledged), len(self.images)
            killed = self.disk.after(f"killed-{number}", self.journal.killed())
            crash = self.disk.after(f"crash-{number}", self.journal.crash())
            self.images.append((promised, killed, crash))


def commands(name: str) -> list[tuple[str, str, int]]:
    """Return the commands of one workflow, always the same."""
    chance = Random(name)
    return [
        (chance.choice(("set", "set", "del", "drop")), chance.choice("abcd"), n)
        if chance.random() < 0.9
        else ("step", chance.choice("xy"), n)
        for n in range(40)
    ]


def send(manager: StateManager, name: str, command: tuple[str, str, int]) -> None:
    """Carry out one command, and count it."""
    kind, key, n = command
    state = manager.workflow_state(name)
    with state.transaction() as tx:
        tx["count"] = n + 1
        if kind == "set":
            tx[key] = n
        elif kind == "del" and key in tx:
            del tx[key]
        elif kind == "drop":
            for old in list(tx):
                if old != "count":
                    del tx[old]
        elif kind == "step":
            tx.step("s")[key] = n


def after(name: str, count: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return what a workflow holds after so many commands, and its step."""
    own, step = dict[str, int](), dict[str, int]()
    for kind, key, n in commands(name)[:count]:
        if kind == "set":
            own[key] = n
        elif kind == "del":
            own.pop(key, None)
        elif kind == "drop":
            own.clear()
        else:
            step[key] = n
        own["count"] = n + 1
    return own, step


def check(disk: Disk, promised: dict[str, int]) -> None:
    """Check that what is left is a whole number of commands, all promised ones in."""
    with disk.manager() as manager:
        for name in ("0", "1", "2", "3"):
            state = manager.workflow_state(name)
            count = state.get("count", 0)
            assert isinstance(count, int)
            assert count >= promised.get(name, 0)
            assert (dict(state), dict(state.step("s"))) == after(name, count)
            assert state.set("more", 1) == count + 1


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["synced", "buffered"])
@pytest.mark.parametrize("seed", range(4))
def test_crash_loses_nothing_that_was_promised(
    disk: Disk,
    journal: WatchedJournal,
    monkeypatch: pytest.MonkeyPatch,
    durability: Literal["synced", "buffered"],
    seed: int,
) -> None:
    """After power loss, or the end of the process, every answered command is there."""
    film = Film(disk, journal, seed)

    def write(manager: StateManager, name: str) -> None:
        for command in commands(name):
            send(manager, name, command)
            film.acknowledged[name] = command[2] + 1

    options: dict[str, Any] = {"durability": durability, "flush_interval": 0.001}
    with frequent_switches(1e-4), disk.manager(**options) as manager:
        for job in [Job(write, manager, name) for name in "0123"]:
            job.result()
    assert film.images
    for promised, killed, crash in film.images:
        check(killed, promised)
        monkeypatch.setattr(regions, "boot_id", lambda: b"another start   ")
        check(crash, promised if durability == "synced" else {})
        monkeypatch.undo()
