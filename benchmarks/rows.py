"""The figures, and what each is held to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from benchmarks import durable, memory, neighbours, speed
from benchmarks.measure import Samples, Size

Unit = Literal["seconds", "per second", "bytes"]


@dataclass(frozen=True, slots=True)
class Hold:
    """A bound on one figure of a row."""

    name: str
    """Which of the row's figures."""
    limit: float
    at_least: bool = False
    """Whether `limit` is a lower bound."""
    unit: str = ""
    """Of the figure; a ratio has none."""

    def __str__(self) -> str:
        """Return the bound as text."""
        return f"{'≥' if self.at_least else '≤'} {self.show(self.limit)}"

    def show(self, value: float) -> str:
        """Return a figure as text."""
        return f"{value:.3g} {self.unit}".strip()

    def share(self, value: float) -> float:
        """Return how much of what is allowed `value` takes up; more than 1 fails."""
        return self.limit / value if self.at_least else value / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of the design."""

    name: str
    """For `--only`."""
    figure: str
    against: str
    unit: Unit
    """Of what is measured on both sides."""
    holds: tuple[Hold, ...]
    measure: Callable[[Size], Samples]
    needs: str = ""
    """What must be installed beyond the library: a module of the extra `bench`."""


ROWS: Final = (
    Row(
        name="read-scalar",
        figure="read of a scalar",
        against="`dict` behind `RLock`",
        unit="seconds",
        holds=(Hold("ratio", 0.5),),
        measure=speed.read_scalar,
    ),
    Row(
        name="read-container",
        figure="read of a small container, private copy",
        against="`RLock` + `copy.deepcopy`",
        unit="seconds",
        holds=(Hold("ratio", 0.5),),
        measure=speed.read_container,
    ),
    Row(
        name="read-beside-writer",
        figure="reads per second of 2 threads beside 1 writer",
        against="`dict` behind `RLock`",
        unit="per second",
        holds=(Hold("ratio", 3, at_least=True),),
        measure=speed.reads_beside_a_writer,
    ),
    Row(
        name="write-scalar",
        figure="write of a scalar",
        against="`dict` behind `RLock`",
        unit="seconds",
        holds=(Hold("ratio", 6),),
        measure=speed.write_scalar,
    ),
    Row(
        name="write-scalar-actor",
        figure="write of a scalar",
        against="proxy call to a `pykka.ThreadingActor`",
        unit="seconds",
        holds=(Hold("ratio", 0.12),),
        measure=speed.write_scalar_actor,
    ),
    Row(
        name="write-container",
        figure="write of a small container",
        against="`RLock` + `copy.deepcopy`",
        unit="seconds",
        holds=(Hold("ratio", 0.7),),
        measure=speed.write_container,
    ),
    Row(
        name="write-large-scope",
        figure="write into a scope of 100,000 keys",
        against="the same in one of 10 keys",
        unit="seconds",
        holds=(Hold("ratio", 1.5),),
        measure=speed.write_large_scope,
    ),
    Row(
        name="step-overhead",
        figure="an empty step in a row of 1,000, beyond its function",
        against="`ThreadPoolExecutor.submit().result()`",
        unit="seconds",
        holds=(Hold("ratio", 1), Hold("overhead", 25, unit="us")),
        measure=speed.step_overhead,
    ),
    Row(
        name="live-workflows",
        figure="100,000 live workflows, each beyond its data",
        against="the same data in plain nested dicts",
        unit="bytes",
        holds=(Hold("memory", 4, unit="kB"), Hold("threads", 8, unit="threads")),
        measure=memory.live_workflows,
    ),
    Row(
        name="idle-workflows",
        figure="1,000,000 idle workflows of one key",
        against="the same data in plain nested dicts",
        unit="bytes",
        holds=(Hold("ratio", 3),),
        measure=memory.idle_workflows,
    ),
    Row(
        name="synced-sqlite",
        figure="`synced` writes per second of 64 threads, `sqlite`",
        against="a commit of the same engine for each",
        unit="per second",
        holds=(Hold("ratio", 5, at_least=True),),
        measure=partial(durable.synced_threads, "sqlite"),
    ),
    Row(
        name="synced-rocksdb",
        figure="`synced` writes per second of 64 threads, `rocksdb`",
        against="a commit of the same engine for each",
        unit="per second",
        # LIMIT: not the 8 of the tasks below, out of reach for threads; decision 29.
        holds=(Hold("ratio", 5, at_least=True),),
        measure=partial(durable.synced_threads, "rocksdb"),
    ),
    Row(
        name="synced-tasks-sqlite",
        figure="`synced` writes per second of 64 tasks, `sqlite`",
        against="a commit of the same engine for each",
        unit="per second",
        holds=(Hold("ratio", 5, at_least=True),),
        measure=partial(durable.synced_tasks, "sqlite"),
    ),
    Row(
        name="synced-tasks-rocksdb",
        figure="`synced` writes per second of 64 tasks, `rocksdb`",
        against="a commit of the same engine for each",
        unit="per second",
        holds=(Hold("ratio", 8, at_least=True),),
        measure=partial(durable.synced_tasks, "rocksdb"),
    ),
    Row(
        name="recovery",
        figure="recovery of 1,000,000 keys until the first is read, `sqlite`",
        against="a scan of the same engine",
        unit="seconds",
        holds=(Hold("ratio", 3),),
        measure=durable.recovery,
    ),
    Row(
        name="loading",
        figure="200,000 keys in 2,000 workflows, all loaded, `sqlite`",
        against="a scan of the same engine",
        unit="seconds",
        # Not the design's: so that it gets no slower.
        holds=(Hold("ratio", 10),),
        measure=durable.loading,
    ),
    Row(
        name="buffered-write",
        figure="`buffered` write of a scalar, `sqlite`",
        against="the same in memory",
        unit="seconds",
        holds=(Hold("ratio", 3),),
        measure=durable.buffered_write,
    ),
    Row(
        name="warm-read",
        figure="read of a scalar from a store",
        against="the same in memory",
        unit="seconds",
        holds=(Hold("ratio", 1.1),),
        measure=durable.warm_read,
    ),
    Row(
        name="put-sqlite3",
        figure="`synced` write of a small container, `sqlite`",
        against="an upsert of plain `sqlite3`",
        unit="seconds",
        holds=(Hold("ratio", 2),),
        measure=neighbours.put_sqlite3,
    ),
    Row(
        name="get-sqlite3",
        figure="read of a small container, `sqlite`",
        against="a query of plain `sqlite3`",
        unit="seconds",
        holds=(Hold("ratio", 1),),
        measure=neighbours.get_sqlite3,
    ),
    Row(
        name="put-diskcache",
        figure="`synced` write of a small container, `sqlite`",
        against="`diskcache` that syncs",
        unit="seconds",
        holds=(Hold("ratio", 2),),
        measure=neighbours.put_diskcache,
        needs="diskcache",
    ),
    Row(
        name="get-diskcache",
        figure="read of a small container, `sqlite`",
        against="`diskcache`",
        unit="seconds",
        holds=(Hold("ratio", 1),),
        measure=neighbours.get_diskcache,
        needs="diskcache",
    ),
    Row(
        name="put-langgraph",
        figure="`synced` write of a small container, `sqlite`",
        against="LangGraph's `SqliteStore`",
        unit="seconds",
        holds=(Hold("ratio", 2),),
        measure=neighbours.put_langgraph,
        needs="langgraph.store.sqlite",
    ),
    Row(
        name="get-langgraph",
        figure="read of a small container, `sqlite`",
        against="LangGraph's `SqliteStore`",
        unit="seconds",
        holds=(Hold("ratio", 1),),
        measure=neighbours.get_langgraph,
        needs="langgraph.store.sqlite",
    ),
    Row(
        name="step-dbos",
        figure="a recorded step in a row of 50, `sqlite`",
        against="a step of DBOS on SQLite",
        unit="seconds",
        holds=(Hold("ratio", 1),),
        measure=neighbours.step_dbos,
        needs="dbos",
    ),
)
