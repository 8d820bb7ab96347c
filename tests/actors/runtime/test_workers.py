"""Workers: a pool that grows while it is busy and survives what its tasks do."""

import threading

import pytest

from stateward.actors.core import faults
from stateward.actors.runtime import workers
from stateward.actors.runtime.guard import FORKED, busy
from stateward.actors.runtime.workers import WORKERS_MAX, WorkerPool, shared_pool
from tests.threads import WAIT, Gate, eventually


class Call:
    """A task that calls a function."""

    def __init__(self, function: object) -> None:
        """Keep the function."""
        self.function = function

    def run(self) -> None:
        """Call it."""
        assert callable(self.function)
        self.function()


def threads(name: str) -> list[threading.Thread]:
    """Return the live threads of a pool."""
    return [it for it in threading.enumerate() if it.name.startswith(name)]


def test_pool_grows_while_its_threads_are_held_up() -> None:
    """Tasks that block do not keep the next from running, up to the limit."""
    pool = WorkerPool("stateward-test-grow")
    gates = [Gate() for _ in range(WORKERS_MAX - 1)]
    for gate in gates:
        pool.submit(Call(lambda gate=gate: gate(None)))
    for gate in gates:
        gate.wait_until_entered()
    ran = threading.Event()
    pool.submit(Call(ran.set))
    assert ran.wait(WAIT)
    assert len(threads("stateward-test-grow")) == WORKERS_MAX
    for gate in gates:
        gate.open()
    pool.close()
    assert threads("stateward-test-grow") == []


def test_pool_outlives_a_task_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a task raises is logged, and the next one runs."""
    pool = WorkerPool("stateward-test-fail")
    ran = threading.Event()

    def leave() -> None:
        raise SystemExit

    pool.submit(Call(leave))
    with faults.arm("worker.task", lambda: None):
        pool.submit(Call(ran.set))
        assert ran.wait(WAIT)
    pool.close()
    assert "A task failed" in caplog.text


def test_pool_finishes_what_was_submitted_before_it_closes() -> None:
    """Closing waits for every task, and may be repeated."""
    pool = WorkerPool("stateward-test-close")
    done: list[int] = []
    for number in range(100):
        pool.submit(Call(lambda number=number: done.append(number)))
    pool.close()
    pool.close()
    assert sorted(done) == list(range(100))


def test_pool_can_be_closed_by_its_own_task() -> None:
    """A task that closes its pool does not wait for its own thread."""
    pool = WorkerPool("stateward-test-self")
    closed = threading.Event()

    def close() -> None:
        pool.close()
        closed.set()

    pool.submit(Call(close))
    assert closed.wait(WAIT)
    eventually(lambda: not threads("stateward-test-self"), "the thread ends")


def test_pool_that_was_abandoned_ends_without_being_waited_for() -> None:
    """Abandoning returns at once; the threads end when their tasks do."""
    pool = WorkerPool("stateward-test-abandon")
    gate = Gate()
    pool.submit(Call(lambda: gate(None)))
    gate.wait_until_entered()
    pool.abandon()
    assert threads("stateward-test-abandon")
    gate.open()
    eventually(lambda: not threads("stateward-test-abandon"), "the threads end")


def test_shared_pool_is_one_for_all() -> None:
    """Actors that are given no dispatcher share one."""
    assert shared_pool() is shared_pool()


def test_shared_pool_made_twice_at_once_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two pools made by two first actors, one is kept and the other ends."""
    kept = shared_pool()

    class Racing(dict[str, WorkerPool]):
        def get(self, *_: object) -> None:  # type: ignore[override]  # always too early
            return None

    monkeypatch.setattr(workers, "_shared", Racing(pool=kept))
    before = set(threads("stateward-shared"))
    assert shared_pool() is kept
    eventually(
        lambda: set(threads("stateward-shared")) <= before, "the second pool ends"
    )


def test_fork_leaves_the_pools_of_the_parent_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What runs in a child marks every pool and forgets the shared one."""
    pool = WorkerPool("stateward-test-fork")
    monkeypatch.setattr(workers, "_shared", {"pool": pool})
    monkeypatch.setattr(workers, "_pools", [pool])
    try:
        workers._after_fork()
        assert pool.forked
        assert FORKED in busy
        assert workers._shared == {}
        pool.close()
        pool.abandon()
        assert threads("stateward-test-fork")
    finally:
        busy.discard(FORKED)
        pool.forked = False
        pool.close()
