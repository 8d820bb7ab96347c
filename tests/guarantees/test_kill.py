"""A process killed at any moment loses nothing that was acknowledged, and no halves.

A child writes and reports every acknowledgement on a pipe; it is killed after a number
of them that a seed chooses, and what it left is looked at here.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from stateward import JsonValue, StateManager, WorkflowState
from stateward.actors.core import faults
from stateward.workflows import Loop, Parallel, Sequential, StepContext, StepEvent, step
from tests.threads import WAIT

ROOT: Final = Path(__file__).resolve().parents[2]
THREADS: Final = 4
BATCH: Final = 5
"""Keys that are written together, in the workflow and in its step."""
ACKNOWLEDGED_MAX: Final = {"synced": 120, "buffered": 3000}
"""Acknowledgements after which a child is killed at the latest; while what is logged
waits for its commit there are some hundreds."""
HITS: Final = 120
"""When a child is killed at a fault point at the latest, but for commits."""
SYNCED: Final = 8
"""Of so many turns one is synced, and so commits, whatever the manager promises."""
DYING: Final = "dying"
TTL: Final = 100_000.0
ITERATIONS: Final = 12
BRANCHES: Final = 4

STORES: Final = [
    (scheme, durability)
    for scheme in ("sqlite", "rocksdb")
    for durability in ("synced", "buffered")
]
KILLS: Final = [5, pytest.param(100, marks=pytest.mark.soak)]
COMMIT_POINTS: Final = (
    *("owner.decided", "owner.settled", "state.staged", "store.logged"),
    *("state.published", "store.commit", "store.committed"),
)
"""Where every write comes past, on its way to its answer."""
RUN_POINTS: Final = {
    "synced": ("run.commit", "run.committed", "store.committed"),
    "buffered": ("run.commit", "run.committed", "store.logged"),
}
HITS_MAX: Final = 14
"""When a run is killed at such a point at the latest; it comes past 16 times."""
AT_POINTS: Final = [1, pytest.param(20, marks=pytest.mark.soak)]


# --------------------------------------------------------------- in the child


def report(line: str) -> None:
    """Tell the parent; one write to a pipe is not torn."""
    os.write(1, f"{line}\n".encode())


def write(url: str, durability: Any) -> NoReturn:
    """Write from several threads until the process is killed."""
    manager = StateManager(url, durability=durability)

    def work(thread: int) -> None:
        # Two threads share a workflow, and all of them the global state.
        state = manager.workflow_state(f"w{thread % 2}")
        turn = state.get(f"n{thread}", 0)
        assert isinstance(turn, int)
        while True:
            turn += 1
            assert state.increment(f"n{thread}") == turn
            manager.global_state().increment("n")
            report(f"{thread} {turn} {write_turn(state, thread, turn)}")

    for thread in range(THREADS):
        threading.Thread(target=work, args=(thread,)).start()
    threading.Event().wait()
    raise AssertionError


def write_turn(state: WorkflowState, thread: int, turn: int) -> int:
    """Write all that a turn does beside counting; return the newest revision."""
    write_batch(state, thread, turn)
    if turn % SYNCED:
        return state.set(f"o{thread}", turn)
    return state.set(f"o{thread}", turn, durability="synced")


def write_batch(state: WorkflowState, thread: int, turn: int) -> None:
    """Write one batch, by `update` and by a transaction in turn; then what passes."""
    values: dict[str, JsonValue] = {f"b{thread}-{i}": turn for i in range(BATCH)}
    if turn % 2:
        state.update(values)
        state.delete(f"t{thread}")
        return
    with state.transaction() as tx:
        tx.update(values)
        tx.step("s")[f"b{thread}"] = turn
    state.set(f"t{thread}", turn, ttl=TTL)


def run(url: str, durability: Any) -> NoReturn:
    """Run the flow, and wait to be killed."""
    manager = StateManager(url, durability=durability)
    manager.run(make_flow([]), "w", on_event=tell)
    threading.Event().wait()
    raise AssertionError


def tell(event: StepEvent) -> None:
    """Report that a step has ended."""
    if event.status == "completed":
        report(event.path)


def die_at(point: str, hits: int) -> None:
    """Kill this process when it comes past a fault point for the `hits`th time."""
    count = itertools.count(1)

    def hit() -> None:
        if next(count) == hits:
            report(DYING)
            os.kill(os.getpid(), signal.SIGKILL)

    faults.armed[point] = hit


def make_flow(calls: list[str]) -> Sequential:
    """Return a flow of atomic steps, one after the other and side by side.

    Args:
        calls: Takes the path of every step that is called.
    """

    def count(ctx: StepContext) -> JsonValue:
        calls.append(ctx.path)
        ctx.step_state["path"] = ctx.path
        ctx.state.append("order", ctx.item)
        return ctx.state.increment("total", 1)

    def branch(ctx: StepContext) -> JsonValue:
        calls.append(ctx.path)
        return ctx.state.increment("branches", 1)

    branches = [step(name=f"b{i}", atomic=True)(branch) for i in range(BRANCHES)]
    return Sequential(
        "killed",
        Loop("l", step(name="count", atomic=True)(count), over=list(range(ITERATIONS))),
        Parallel("p", *branches),
    )


# -------------------------------------------------------------- in the parent


def killed_after(
    count: int, function: Callable[[str, Any], NoReturn], url: str, durability: str
) -> list[str]:
    """Kill a child that runs `function` once it has acknowledged `count` times.

    Returns:
        All it acknowledged, also while it was being killed.
    """
    source = (
        f"from tests.guarantees.test_kill import {function.__name__} as function\n"
        f"function({url!r}, {durability!r})"
    )
    lines: list[str] = []
    with child(source) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if len(lines) == count:
                process.kill()
    assert len(lines) >= count, "the child ended by itself"
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


def killed_at(
    point: str,
    hits: int,
    function: Callable[[str, Any], NoReturn],
    url: str,
    durability: str,
) -> list[str]:
    """As `killed_after`, of a child that kills itself at a fault point."""
    source = (
        f"from tests.guarantees.test_kill import die_at, {function.__name__} as work\n"
        f"die_at({point!r}, {hits})\n"
        f"work({url!r}, {durability!r})"
    )
    with child(source) as process:
        assert process.stdout is not None
        lines = process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    assert f"{DYING}\n" in lines, f"it did not come past {point} so often"
    return [line.rstrip("\n") for line in lines if line != f"{DYING}\n"]


@contextmanager
def child(source: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `source` in a process of its own, that ends with the block or in time."""
    with subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(WAIT, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            timer.join()
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "durability"), STORES)
@pytest.mark.parametrize("kills", KILLS)
def test_kill_loses_nothing_acknowledged(
    tmp_path: Path, scheme: str, durability: Any, kills: int
) -> None:
    """One store is killed again and again; each time all acknowledged is there."""
    url = f"{scheme}:///{tmp_path}/state"
    chance = random.Random(f"{scheme} {durability}")
    acknowledged = Acknowledged()
    for kill in range(kills):
        count = chance.randint(1, ACKNOWLEDGED_MAX[durability])
        acknowledged.add(killed_after(count, write, url, durability))
        with StateManager(url, durability=durability) as manager:
            check_written(manager, acknowledged, f"kill {kill} after {count}")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "durability"), STORES)
@pytest.mark.parametrize("each", AT_POINTS)
def test_kill_at_a_fault_point_loses_nothing_acknowledged(
    tmp_path: Path, scheme: str, durability: Any, each: int
) -> None:
    """Wherever on its way a write is cut off, it is whole or it is not there."""
    url = f"{scheme}:///{tmp_path}/state"
    chance = random.Random(f"points {scheme} {durability}")
    acknowledged = Acknowledged()
    for point in COMMIT_POINTS * each:
        if point == "store.logged" and durability == "synced":
            continue
        hits = chance.randint(1, HITS)
        acknowledged.add(killed_at(point, hits, write, url, durability))
        with StateManager(url, durability=durability) as manager:
            check_written(manager, acknowledged, f"at {point} {hits}")


class Acknowledged:
    """What children have reported: the newest turn and revision of each thread."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.turns = dict.fromkeys(range(THREADS), 0)
        self.revisions = dict.fromkeys(range(THREADS), 0)

    def add(self, lines: list[str]) -> None:
        """Add what one child has reported."""
        for line in lines:
            thread, turn, revision = map(int, line.split())
            assert turn > self.turns[thread]
            assert revision > self.revisions[thread]
            self.turns[thread], self.revisions[thread] = turn, revision


def check_written(
    manager: StateManager, acknowledged: Acknowledged, place: str
) -> None:
    """Check what threads have written; each may be one turn ahead of its report.

    What they were at becomes what is acknowledged, for the next child begins with it.
    """
    assert manager.check() == [], place
    turns = 0
    for thread, turn in acknowledged.turns.items():
        state = manager.workflow_state(f"w{thread % 2}")
        count = state.get(f"n{thread}", 0)
        assert isinstance(count, int)
        assert turn <= count <= turn + 1, place
        batch = {state.get(f"b{thread}-{i}", 0) for i in range(BATCH)}
        assert len(batch) == 1, f"half a batch: {place}"
        (written,) = batch
        assert written in {turn, count}, place
        # Even turns write the step's key with the rest, odd ones leave it.
        assert isinstance(written, int)
        in_step = state.step("s").get(f"b{thread}", 0)
        assert in_step == written - written % 2, f"half a transaction: {place}"
        assert state.get(f"t{thread}", 0) in {passing(turn), passing(count)}, place
        assert state.get(f"o{thread}", 0) in {turn, count}, place
        turns += count
        # The next child goes on from here, with whole turns.
        if count:
            revision = write_turn(state, thread, count)
            assert revision > acknowledged.revisions[thread], place
            acknowledged.revisions[thread] = revision
        acknowledged.turns[thread] = count
    total = manager.global_state().get("n", 0)
    assert isinstance(total, int)
    assert turns - THREADS <= total <= turns, place
    manager.global_state()["n"] = turns


def passing(turn: int) -> int:
    """Return what is at the key with a TTL after a turn; 0 if it is not there."""
    return 0 if turn % 2 else turn


def undisturbed() -> dict[str, Any]:
    """Return what the flow leaves behind when nobody kills it."""
    with StateManager() as manager:
        result = manager.run(make_flow([]), "w")
        result.raise_for_failure()
        return left_by(manager)


def left_by(manager: StateManager) -> dict[str, Any]:
    """Return what a run has left: state of the workflow and of its steps."""
    state = manager.workflow_state("w")
    steps = {name: dict(state.step(name)) for name in sorted(state.steps())}
    return {"state": dict(state), "steps": steps}


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "durability"), STORES)
@pytest.mark.parametrize("kills", KILLS)
def test_killed_run_is_resumed_to_the_same_end(
    tmp_path: Path, scheme: str, durability: Any, kills: int
) -> None:
    """Every atomic step has happened once; none that had ended is called again."""
    chance = random.Random(f"run {scheme} {durability}")
    for kill in range(kills):
        url = f"{scheme}:///{tmp_path}/state{kill}"
        count = chance.randint(1, ITERATIONS + BRANCHES)
        ended = killed_after(count, run, url, durability)
        check_resumed(url, durability, ended, f"kill {kill} after {count}")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "durability"), STORES)
@pytest.mark.parametrize("each", AT_POINTS)
def test_run_killed_at_a_fault_point_is_resumed_to_the_same_end(
    tmp_path: Path, scheme: str, durability: Any, each: int
) -> None:
    """Cut off before or after a step is committed, it has happened once in the end."""
    chance = random.Random(f"run points {scheme} {durability}")
    for kill, point in enumerate(RUN_POINTS[durability] * each):
        url = f"{scheme}:///{tmp_path}/state{kill}"
        hits = chance.randint(2, HITS_MAX)  # by then there is a run to be resumed
        ended = killed_at(point, hits, run, url, durability)
        check_resumed(url, durability, ended, f"at {point} {hits}")


def check_resumed(url: str, durability: Any, ended: list[str], place: str) -> None:
    """Resume a run, and check that it ends as one that nobody has killed.

    Args:
        url: Of the store.
        durability: Of the manager.
        ended: Paths of steps that are not to be called any more.
        place: What a failure says of the moment.
    """
    calls: list[str] = []
    flow = make_flow(calls)
    with StateManager(url, durability=durability) as manager:
        manager.resume_all(flow)
        assert manager.resume(flow, "w").ok, place
        assert left_by(manager) == undisturbed(), place
    assert not set(calls) & set(ended), place
