"""The rows of stores on disk.

The folders lie under `build/`: that of the system for temporary files is often kept in
memory, where a sync costs nothing.
"""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Samples, Size, race
from benchmarks.speed import KEYS, READ, SCALAR, WRITE, calls
from stateward import AsyncWorkflowState, StateManager, WorkflowState
from stateward.actors.core.ports import Journal
from stateward.actors.store.urls import open_journal, parse_url

BUILD: Final = Path(__file__).resolve().parents[1] / "build"
RECORD_BYTES: Final = 48
"""As many as the record of a number has."""
KEYS_PER_WORKFLOW: Final = 100
FIRST: Final = b""
LAST: Final = b"\xff" * 8


def synced_threads(scheme: str, size: Size) -> Samples:
    """Write to a store that syncs, from many threads."""

    def of(states: list[WorkflowState]) -> float:
        def write(number: int) -> None:
            states[number].set("progress", SCALAR)

        return rate(write, size.writers, size.thread_seconds)

    return synced(scheme, size, of)


def synced_tasks(scheme: str, size: Size) -> Samples:
    """Write to a store that syncs, from many tasks of one event loop."""

    def of(states: list[WorkflowState]) -> float:
        return asyncio.run(rate_of_tasks(states, size.thread_seconds))

    return synced(scheme, size, of)


def synced(
    scheme: str, size: Size, ours: Callable[[list[WorkflowState]], float]
) -> Samples:
    """Write from many writers, against a commit and a sync for each write.

    The peer writes from threads to the same engine one row a commit, where a store
    writes three: the entry, the head of its owner and the store's own progress.

    Args:
        scheme: Of the engine.
        size: How many writers, and for how long.
        ours: Returns how often per second all write, each to a workflow of its own.
    """
    lock, numbers = threading.Lock(), count()
    with (
        folder() as path,
        StateManager(f"{scheme}:///{path}/ours") as manager,
        closing(journal_of(f"{scheme}:///{path}/peer")) as journal,
    ):
        states = [
            manager.workflow_state(f"order-{number}") for number in range(size.writers)
        ]

        def commit(number: int) -> None:
            with lock:
                # SQLite writes and syncs nothing where a row is as it was.
                record = next(numbers).to_bytes(RECORD_BYTES, "big")
                journal.commit({b"order-%d\0progress" % number: record}, sync=True)

        return race(
            lambda: ours(states),
            lambda: rate(commit, size.writers, size.thread_seconds),
            size.thread_rounds,
        )


def rate(write: Callable[[int], None], writers: int, seconds: float) -> float:
    """Return how often per second `writers` threads, each with its number, write."""
    stop = threading.Event()
    start = threading.Barrier(writers + 1)
    counts: list[int] = []

    def work(number: int) -> None:
        done = 0
        start.wait()
        while not done or not stop.is_set():
            write(number)
            done += 1
        counts.append(done)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(writers)]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


async def rate_of_tasks(states: list[WorkflowState], seconds: float) -> float:
    """Return how often per second tasks of this loop, one for each state, write."""
    counts: list[int] = []
    started = time.perf_counter()

    async def work(state: AsyncWorkflowState) -> None:
        done = 0
        while not done or time.perf_counter() < started + seconds:
            await state.set("progress", SCALAR)
            done += 1
        counts.append(done)

    await asyncio.gather(*(work(state.aio) for state in states))
    return sum(counts) / (time.perf_counter() - started)


def recovery(size: Size) -> Samples:
    """Open a store and read a key of it, against reading its rows.

    That is all of a recovery: an owner is loaded when it is first used.
    """
    with folder() as path:
        url = stored(path, size.stored_keys)

        def recover() -> float:
            started = time.perf_counter()
            with StateManager(url) as manager:
                manager.workflow_state("order-0").get("key-0")
                return time.perf_counter() - started

        return race(recover, lambda: scan(url, size.stored_keys), size.thread_rounds)


def loading(size: Size) -> Samples:
    """Open a store and load all that is in it, against reading its rows."""
    keys = size.stored_keys // 5
    with folder() as path:
        url = stored(path, keys)

        def load() -> float:
            started = time.perf_counter()
            with StateManager(url, idle_timeout=None, cache_bytes=None) as manager:
                for name in manager.workflow_ids():
                    manager.workflow_state(name).get("key-0")
                return time.perf_counter() - started

        return race(load, lambda: scan(url, keys), size.memory_rounds)


def stored(path: str, keys: int) -> str:
    """Make a store of as many keys; return its URL."""
    url = f"sqlite:///{path}/store"
    values = {f"key-{number}": SCALAR for number in range(KEYS_PER_WORKFLOW)}
    with StateManager(url, durability="buffered", cache_bytes=1 << 20) as manager:
        for number in range(max(1, keys // KEYS_PER_WORKFLOW)):
            manager.workflow_state(f"order-{number}").update(values)
    return url


def scan(url: str, keys: int) -> float:
    """Return how long the engine takes to hand over its rows."""
    started = time.perf_counter()
    with closing(journal_of(url)) as journal:
        found = sum(1 for _ in journal.scan(FIRST, LAST))
        seconds = time.perf_counter() - started
    if found < keys:
        raise RuntimeError(f"only {found} rows")
    return seconds


def buffered_write(size: Size) -> Samples:
    """Give a key another number where a commit is not synced, against memory."""
    return beside_memory(WRITE, size.calls, size.rounds)


def warm_read(size: Size) -> Samples:
    """Read a number that a store has in memory, against memory alone."""
    return beside_memory(READ, size.calls, size.rounds)


def beside_memory(call: str, loops: int, rounds: int) -> Samples:
    """Return how long `call` takes with a store and without."""
    with (
        folder() as path,
        StateManager(f"sqlite:///{path}/store", durability="buffered") as stored,
        StateManager() as memory,
    ):
        ours: Any = stored.workflow_state("benchmark")
        peer: Any = memory.workflow_state("benchmark")
        for key in KEYS:
            ours.set(key, SCALAR)
            peer.set(key, SCALAR)
        return race(
            calls(call, loops, state=ours, value=SCALAR),
            calls(call, loops, state=peer, value=SCALAR),
            rounds,
        )


def journal_of(url: str) -> Journal:
    """Open the engine alone, without what stateward adds."""
    return open_journal(parse_url(url))


@contextmanager
def folder() -> Iterator[str]:
    """Lend a new folder on the disk that the sources are on."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as path:
        yield path
