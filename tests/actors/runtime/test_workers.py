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


class Losable:
    """A task that is held up in a gate, and can be given up there."""

    def __init__(self) -> None:
        """Begin with somebody who waits for its end."""
        self.lost = False
        self.gate = Gate()

    def run(self) -> None:
        """Wait in the gate."""
        self.gate(None)


def held_up(pool: WorkerPool, count: int) -> list[Losable]:
    """Have `count` tasks wait in their gates, each in a thread of the pool."""
    tasks = [Losable() for _ in range(count)]
    for task in tasks:
        pool.submit(task)
    for task in tasks:
        task.gate.wait_until_entered()
    return tasks


def let_go(tasks: list[Losable]) -> None:
    """Let every task end."""
    for task in tasks:
        task.gate.open()


@pytest.mark.parametrize("threads_max", [1, 2, 7])
def test_pool_has_no_more_threads_than_it_may(threads_max: int) -> None:
    """Tasks beyond the limit wait until a thread is free."""
    pool = WorkerPool("stateward-test-max", threads_max)
    tasks = held_up(pool, threads_max)
    ran = threading.Event()
    pool.submit(Call(ran.set))
    assert len(threads("stateward-test-max")) == threads_max
    assert not ran.is_set()
    let_go(tasks[:1])
    assert ran.wait(WAIT)
    let_go(tasks)
    pool.close()


def test_pool_may_be_allowed_more_threads_and_never_fewer() -> None:
    """The largest number that was asked for counts, and helps what waits already."""
    pool = WorkerPool("stateward-test-allow", 1)
    tasks = held_up(pool, 1)
    ran = threading.Event()
    pool.submit(Call(ran.set))
    pool.allow(3)
    assert ran.wait(WAIT)
    pool.allow(2)
    tasks += held_up(pool, 2)
    assert len(threads("stateward-test-allow")) == 3
    let_go(tasks)
    pool.close()


def test_pool_counts_no_threads_in_lost_tasks() -> None:
    """Each task that was given up is made up for by another thread."""
    pool = WorkerPool("stateward-test-lost", 2)
    tasks = held_up(pool, 2)
    ran = threading.Event()
    pool.submit(Call(ran.set))
    pool.make_room()
    assert len(threads("stateward-test-lost")) == 2
    tasks[0].lost = True
    pool.make_room()
    assert ran.wait(WAIT)
    crew = threads("stateward-test-lost")
    assert len(crew) == 3
    let_go(tasks)
    pool.close()
    # Closing waits for no lost task; this one has been let go, and ends by itself.
    for thread in crew:
        thread.join(WAIT)
    assert threads("stateward-test-lost") == []


def test_pool_waits_for_no_lost_task_when_it_is_closed() -> None:
    """Its thread is left behind, and ends when the task does."""
    pool = WorkerPool("stateward-test-stuck", 2)
    tasks = held_up(pool, 1)
    tasks[0].lost = True
    ran = threading.Event()
    pool.submit(Call(ran.set))
    pool.close()
    assert ran.is_set()
    assert len(threads("stateward-test-stuck")) == 1
    let_go(tasks)
    eventually(lambda: not threads("stateward-test-stuck"), "the thread ends")


def test_pool_makes_no_room_once_it_is_closed() -> None:
    """A closed pool adds no thread, whatever is asked of it."""
    pool = WorkerPool("stateward-test-closed", 1)
    pool.close()
    pool.allow(5)
    pool.make_room()
    assert threads("stateward-test-closed") == []
