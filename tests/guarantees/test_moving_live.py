"""A live manager moves to another store: whoever uses it is told the truth."""

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import (
    ClosedError,
    QuarantinedError,
    ReentrantCallError,
    StateManager,
    StoreError,
    UsageError,
)
from stateward.actors.core import faults
from stateward.actors.runtime import moves
from stateward.moving import placement_of
from stateward.workflows import Loop, StepContext, step
from tests.guarantees.disks import Disks, disks, everything, fill, url_of
from tests.threads import Gate, Job, frequent_switches, in_thread

__all__ = ["disks"]

PAIRS: Final = [
    ("memory", "sqlite"),
    ("memory", "rocksdb"),
    ("sqlite", "rocksdb"),
    ("rocksdb", "sqlite"),
]
SHARES: Final = (0.3, 0.8, 0.2, 0, 0.5, 1)
WORKFLOWS: Final = 12


# ------------------------------------------------------------------- while used


class Traffic:
    """Threads that use a manager, and note what they were told."""

    def __init__(self, manager: StateManager) -> None:
        """Write to `manager` until `stop`."""
        self.manager = manager
        self.over = False
        self.counts = [0] * WORKFLOWS
        self.pairs = 0
        self.appended = 0
        self.reads = 0
        self.rounds = 0
        self.runs = 0
        work = (
            *(self.increment, self.transact, self.append),
            *(self.read, self.drop, self.run),
        )
        self.jobs = [Job(it) for it in work]

    def stop(self) -> None:
        """End, and raise what any thread has raised."""
        self.over = True
        for job in self.jobs:
            job.result()
        told = self.pairs, self.appended, self.reads, self.rounds, self.runs
        assert all((sum(self.counts), *told)), "everybody has come to something"

    def increment(self) -> None:
        turn = 0
        while not self.over:
            name = turn % WORKFLOWS
            state = self.manager.workflow_state(f"w{name}")
            self.counts[name] = int(state.increment("n"))
            assert state["n"] == self.counts[name], "what was written is read"
            turn += 1

    def transact(self) -> None:
        state = self.manager.workflow_state("pair")
        while not self.over:
            with state.transaction() as tx:
                tx["n"] = tx.step("s")["n"] = self.pairs + 1
            self.pairs += 1

    def append(self) -> None:
        state = self.manager.workflow_state("list")
        while not self.over:
            if self.appended < 200:
                state.append("items", self.appended)
                self.appended += 1
            self.manager.global_state().increment("n")

    def read(self) -> None:
        newest: dict[str, Any] = {}
        while not self.over:
            for name in [f"w{n}" for n in range(WORKFLOWS)]:
                value = self.manager.workflow_state(name).get("n", 0)
                assert value >= newest.get(name, 0), f"{name} went back"
                newest[name] = value
            self.reads += 1

    def drop(self) -> None:
        """Drop workflows and begin them anew, large ones too."""
        newest = dict.fromkeys(range(8), 0)
        while not self.over:
            for n in newest:
                state = self.manager.workflow_state(f"d{n}")
                revision = state.update(dict.fromkeys(map(str, range(9)), self.rounds))
                assert revision > newest[n], "a revision was given out twice"
                newest[n] = revision
                assert self.manager.drop_workflow(f"d{n}")
                assert len(state) == 0, "what was dropped has come back"
                revision = state.set("round", self.rounds)
                assert revision > newest[n], "a revision was given out twice"
                assert dict(state) == {"round": self.rounds}
                newest[n] = revision
            self.rounds += 1

    def run(self) -> None:
        @step(atomic=True)
        def count(context: StepContext) -> None:
            context.state.increment("count")

        flow = Loop("l", count, over=range(3))
        while not self.over:
            result = self.manager.run(flow, f"r{self.runs}")
            result.raise_for_failure()
            self.runs += 1

    def check(self, manager: StateManager) -> None:
        """Raise unless a manager holds exactly what was acknowledged."""
        for name, count in enumerate(self.counts):
            assert manager.workflow_state(f"w{name}").get("n", 0) == count
        pair = manager.workflow_state("pair")
        assert pair["n"] == pair.step("s")["n"] == self.pairs
        items = manager.workflow_state("list")["items"]
        assert items == list(range(self.appended))
        for n in range(8):
            kept = dict(manager.workflow_state(f"d{n}"))
            assert kept == {"round": self.rounds - 1}
        for n in range(self.runs):
            assert manager.workflow_state(f"r{n}")["count"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_move_under_way_loses_nothing(
    pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes, reads, drops and runs while it moves is told the truth."""
    monkeypatch.setattr(moves, "SLICE", 4)
    first, second = url_of(pair[0], tmp_path, "1"), url_of(pair[1], tmp_path, "2")
    with StateManager(first, durability="buffered") as manager, frequent_switches(1e-5):
        traffic = Traffic(manager)
        try:
            for share in SHARES:
                report = manager.persist_to(second, rollout=share)
                assert report.complete == (share == 1)
        finally:
            traffic.stop()
        traffic.check(manager)
        assert manager.check() == []
    with StateManager(second) as manager:
        traffic.check(manager)
    if pair[0] != "memory":
        with StateManager(first) as manager, pytest.raises(StoreError, match=pair[1]):
            manager.workflow_state("pair").get("n")


def test_quarantined_owner_stays_and_can_follow(disks: Disks) -> None:
    """What takes no writes is left in memory, all else moves; released, it follows."""
    with StateManager() as manager:
        fill(manager)

        def fail() -> None:
            raise RuntimeError("seeded")

        with faults.arm("owner.decided", fail):
            for _ in range(3):
                with pytest.raises(Exception, match="seeded"):
                    manager.workflow_state("w1").set("n", 1)
        with pytest.raises(QuarantinedError):
            manager.persist_to(disks.second)
        assert manager.workflow_state("w1")["n"] == 0
        placement = placement_of(manager.engine)
        assert placement.target is not None
        assert len(list(placement.target.usages())) == 5
        assert manager.release(manager.workflow_state("w1").scope)
        assert manager.persist_to(disks.second).complete
        assert manager.workflow_state("w1").increment("n") == 1


def test_second_move_meanwhile_is_refused(disks: Disks) -> None:
    """One thread moves a manager at a time, and to one place at a time."""
    with StateManager(disks.first) as manager:
        fill(manager)
        refusals: list[Exception] = []

        def again(*_: int) -> None:
            with pytest.raises(UsageError) as caught:
                manager.persist_to(disks.second)
            refusals.append(caught.value)

        manager.persist_to(disks.second, rollout=0.9, on_progress=again)
        assert refusals
        with pytest.raises(UsageError, match="under way"):
            manager.persist_to(f"sqlite:///{disks.folder}/3x1")


def test_move_inside_a_turn_is_refused(disks: Disks) -> None:
    """It would wait for a turn that waits for it."""
    with StateManager() as manager:
        state = manager.workflow_state("w")

        def move(_: Any) -> Any:
            manager.persist_to(disks.second)

        with pytest.raises(ReentrantCallError):
            state.modify("k", move)
        state["k"] = 1
        assert manager.persist_to(disks.second).complete


@pytest.mark.parametrize("rollout", [-0.1, 1.1, True, "1", None, float("nan")])
def test_rollout_that_is_no_share_is_refused(disks: Disks, rollout: Any) -> None:
    """Nothing is opened and nothing moves."""
    with StateManager() as manager:
        with pytest.raises(UsageError, match="rollout"):
            manager.persist_to(disks.second, rollout=rollout)
        assert disks.journals[1].sizes == []


def test_interrupted_move_stops_between_owners_and_goes_on(disks: Disks) -> None:
    """An interrupt leaves every owner in one place; the next call moves the rest."""
    with StateManager(disks.first) as manager:
        fill(manager)

        class Stopping(threading.Thread):
            def join(self, timeout: float | None = None) -> None:
                assert timeout is None
                disks._patch.setattr(threading, "Thread", real)
                gate.wait_until_entered()
                Stopping.join = go_on  # type: ignore[method-assign, assignment]  # from here
                raise KeyboardInterrupt

        def go_on(thread: threading.Thread, timeout: float | None = None) -> None:
            # It is waited for once more, when it has been told to stop.
            gate.open()
            real.join(thread, timeout)

        real, gate = threading.Thread, Gate()
        disks._patch.setattr(threading, "Thread", Stopping)
        with pytest.raises(KeyboardInterrupt):
            manager.persist_to(disks.second, on_progress=lambda *_: gate(None))
        moved = placement_of(manager.engine).target
        assert moved is not None
        assert len(list(moved.usages())) == 1
        expected = everything(manager)
        assert manager.persist_to(disks.second).complete
        assert everything(manager) == expected


def test_key_seals_the_target(tmp_path: Path) -> None:
    """What is moved with a key cannot be read without it."""
    url = f"sqlite:///{tmp_path}/s"
    with StateManager() as manager:
        manager.workflow_state("w")["secret"] = ["plain-text"]
        manager.persist_to(url, key=b"k" * 32)
        manager.workflow_state("w").append("secret", "more")
    assert b"plain-text" not in (tmp_path / "s").read_bytes()
    with pytest.raises(StoreError):
        StateManager(url)
    with StateManager(url, key=b"k" * 32) as manager:
        assert manager.workflow_state("w")["secret"] == ["plain-text", "more"]


def test_asyncio_goes_on_during_a_move(disks: Disks) -> None:
    """Writes that are awaited are all there after it."""

    async def main() -> int:
        with StateManager() as manager:
            state = manager.workflow_state("w")
            move = asyncio.create_task(
                asyncio.to_thread(manager.persist_to, disks.second)
            )
            count = 0
            while not move.done() or count < 10:
                count = int(await state.aio.increment("n"))
            assert (await move).complete
            return count

    count = asyncio.run(main())
    with StateManager(disks.second) as manager:
        assert manager.workflow_state("w")["n"] == count


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_close_during_a_move_ends_it(disks: Disks, scheme: str) -> None:
    """The manager closes, the move is told so, and both stores are let go."""
    manager = StateManager("memory://" if scheme == "memory" else disks.first)
    fill(manager)
    gate = Gate()
    job = Job(manager.persist_to, disks.second, on_progress=lambda *_: gate(None))
    gate.wait_until_entered()
    in_thread(manager.close)
    gate.open()
    with pytest.raises(ClosedError):
        job.result()
    if scheme == "sqlite":
        with StateManager(disks.first) as manager:
            manager.persist_to(disks.second)
            assert len(list(manager.workflow_ids())) == 5


def test_flush_of_a_store_that_was_left_is_not_tried(
    disks: Disks, caplog: pytest.LogCaptureFixture
) -> None:
    """With buffered writes, nothing is synced that was closed."""
    with StateManager(
        disks.first, durability="buffered", flush_interval=1e6
    ) as manager:
        fill(manager)
        manager.persist_to(disks.second)
        manager.workflow_state("w1").increment("n")
    assert caplog.text == ""
