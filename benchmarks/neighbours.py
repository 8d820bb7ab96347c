"""The rows beside what people use today, each told to make the same promise.

They need the extra `bench`. Every write outlives power loss once it returns, on both
sides; the files lie in the same folder, on the disk that the sources are on.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from itertools import count
from typing import Any, Final

import orjson

from benchmarks.durable import folder
from benchmarks.measure import Samples, Size, race
from benchmarks.speed import KEYS, empty
from stateward import JsonValue, StateManager
from stateward.workflows import Sequential, step

NAMESPACE: Final = ("workflow", "order-123")
VALUE: Final[dict[str, JsonValue]] = {"status": "running", "tags": ["eu", "gold"]}
STEPS: Final = 50
"""Of the flow that is run on both sides."""

Put = Callable[[str, JsonValue], object]
Get = Callable[[str], object]


def put_sqlite3(size: Size) -> Samples:
    """Write a small container, against an upsert of a table."""
    with folder() as path, closing(table_at(f"{path}/peer")) as connection:
        return puts(path, size, into_table(connection))


def get_sqlite3(size: Size) -> Samples:
    """Read a private copy of it, against a query."""
    with folder() as path, closing(table_at(f"{path}/peer")) as connection:
        return gets(path, size, into_table(connection), from_table(connection))


def put_diskcache(size: Size) -> Samples:
    """Write a small container, against `diskcache`."""
    with folder() as path, closing(cache_at(f"{path}/peer")) as cache:
        return puts(path, size, cache.set)


def get_diskcache(size: Size) -> Samples:
    """Read a private copy of it, against `diskcache`."""
    with folder() as path, closing(cache_at(f"{path}/peer")) as cache:
        return gets(path, size, cache.set, cache.get)


def put_langgraph(size: Size) -> Samples:
    """Write a small container, against the store of LangGraph."""
    with folder() as path, langgraph_at(f"{path}/peer") as store:
        store.setup()
        return puts(path, size, lambda key, value: store.put(NAMESPACE, key, value))


def get_langgraph(size: Size) -> Samples:
    """Read a private copy of it, against the store of LangGraph."""
    with folder() as path, langgraph_at(f"{path}/peer") as store:
        store.setup()
        return gets(
            path,
            size,
            lambda key, value: store.put(NAMESPACE, key, value),
            lambda key: store.get(NAMESPACE, key),
        )


def step_dbos(size: Size) -> Samples:
    """Run empty steps whose ends are recorded, against a workflow of DBOS."""
    dbos: Any = import_module("dbos")
    flow = Sequential(
        "empty", *(step(name=f"step-{number}")(empty) for number in range(STEPS))
    )
    ids = count()
    with folder() as path, StateManager(f"sqlite:///{path}/ours") as manager:
        config: Any = {
            "name": "benchmark",
            "system_database_url": f"sqlite:///{path}/peer",
            "log_level": "ERROR",
        }
        dbos.DBOS(config=config)

        nothing = dbos.DBOS.step(name="nothing")(lambda: empty(None))

        def in_a_row() -> None:
            for _ in range(STEPS):
                nothing()

        theirs = dbos.DBOS.workflow()(in_a_row)

        def ours() -> None:
            manager.run(flow, f"run-{next(ids)}").raise_for_failure()

        dbos.DBOS.launch()
        try:
            return race(
                lambda: timed(ours),
                lambda: timed(theirs),
                size.thread_rounds,
            )
        finally:
            dbos.DBOS.destroy()


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that each step of a run took."""
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / STEPS


def puts(path: str, size: Size, put: Put) -> Samples:
    """Return how long a write takes, ours and the peer's."""
    with StateManager(f"sqlite:///{path}/ours") as manager:
        state = manager.workflow_state("order-123")
        return race(each(state.set, size), each(put, size), size.thread_rounds)


def gets(path: str, size: Size, put: Put, get: Get) -> Samples:
    """Return how long a read of what was written takes, ours and the peer's."""
    with StateManager(f"sqlite:///{path}/ours") as manager:
        state = manager.workflow_state("order-123")
        for key in KEYS:
            state.set(key, VALUE)
            put(key, VALUE)

        def read(key: str, _: JsonValue) -> object:
            return get(key)

        return race(
            each(lambda key, _: state.get(key), size), each(read, size), size.rounds
        )


def each(call: Put, size: Size) -> Callable[[], float]:
    """Return what calls `call` for keys in turn, and returns the seconds of one."""
    rounds, numbers = max(1, size.calls // 200), count()

    def run() -> float:
        started = time.perf_counter()
        for number in range(rounds):
            # Another value each time, or an engine may find nothing to write.
            call(KEYS[number % len(KEYS)], {**VALUE, "count": next(numbers)})
        return (time.perf_counter() - started) / rounds

    return run


def table_at(path: str) -> sqlite3.Connection:
    """Return a connection to a table of keys and JSON, each commit of it synced."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB)")
    return connection


def into_table(connection: sqlite3.Connection) -> Put:
    """Return what writes to a table."""
    upsert = "INSERT INTO state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = ?2"
    return lambda key, value: connection.execute(upsert, (key, orjson.dumps(value)))


def from_table(connection: sqlite3.Connection) -> Get:
    """Return what reads from a table."""
    query = "SELECT value FROM state WHERE key = ?"
    return lambda key: orjson.loads(connection.execute(query, (key,)).fetchone()[0])


def langgraph_at(path: str) -> Any:
    """Return the store of LangGraph; SQLite syncs each commit unless told otherwise."""
    return import_module("langgraph.store.sqlite").SqliteStore.from_conn_string(path)


def cache_at(path: str) -> Any:
    """Return a cache that evicts nothing and syncs each commit."""
    return import_module("diskcache").Cache(
        path, eviction_policy="none", sqlite_synchronous=2
    )
