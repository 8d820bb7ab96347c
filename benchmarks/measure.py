"""How two things are timed against each other."""

import gc
import statistics
import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from benchmarks.peers import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int
    """How often each side of a timed row has its turn."""
    calls: int
    """Calls in one turn; some milliseconds' worth, so that a turn is soon over."""
    thread_rounds: int
    """As `rounds`, where threads run beside each other."""
    thread_seconds: float
    """How long they run in one turn: many switches of the interpreter, each 5 ms."""
    large_keys: int
    """Keys of a large scope."""
    memory_rounds: int
    """How many processes are weighed on each side."""
    live_workflows: int
    idle_workflows: int
    writers: int
    """Threads that write to a store beside each other."""
    stored_keys: int
    """Keys of a store that is opened."""


FULL = Size(
    rounds=200,
    calls=10_000,
    thread_rounds=15,
    thread_seconds=0.4,
    large_keys=100_000,
    memory_rounds=3,
    live_workflows=100_000,
    idle_workflows=1_000_000,
    writers=64,
    stored_keys=1_000_000,
)
SMOKE = Size(
    rounds=3,
    calls=40,
    thread_rounds=2,
    thread_seconds=0.01,
    large_keys=200,
    memory_rounds=1,
    live_workflows=500,
    idle_workflows=2000,
    writers=8,
    stored_keys=1000,
)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured, round by round."""

    ours: list[float]
    """Of the engine, in the unit of the row."""
    peer: list[float]
    """Of what it is measured against."""
    values: dict[str, list[float]]
    """The figures that are held, by name: most rows have one, `ratio`."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How one figure was distributed over the rounds."""

    median: float
    low: float
    """A quarter of the rounds were below."""
    high: float
    """A quarter of the rounds were above."""
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Return the spread of `values`, of which there is one at least."""
        twice = values if len(values) > 1 else values * 2
        low, median, high = statistics.quantiles(twice, n=4, method="inclusive")
        return cls(median, low, high, min(values), max(values))


def race(ours: Callable[[], float], peer: Callable[[], float], rounds: int) -> Samples:
    """Return what both measured, taking turns; the first tenth of them is warm-up."""
    for _ in range(max(1, rounds // 10)):
        ours()
        peer()
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return Samples(
        [ours for ours, _ in pairs],
        [peer for _, peer in pairs],
        {"ratio": [ours / peer for ours, peer in pairs]},
    )


def stopwatch(
    statement: str, calls: int, loops: int, **names: object
) -> Callable[[], float]:
    """Return what runs `statement` and returns the seconds each call in it took.

    Each stopwatch has code of its own, as each program has: shared, the interpreter
    would keep re-specializing it for whoever has the turn.

    Args:
        statement: Python, in which `names` are local variables.
        calls: How many calls one run of `statement` makes.
        loops: How often it is run in one measurement.
        **names: What the statement needs.
    """
    # `timeit` turns the collector off while it measures; users have it on.
    setup = "\n".join(["gc.enable()", *(f"{name} = given['{name}']" for name in names)])
    timer = timeit.Timer(statement, setup, globals={"gc": gc, "given": names})
    return lambda: timer.timeit(loops) / (loops * calls)


@dataclass(frozen=True, slots=True)
class Rates:
    """What threads did beside each other, all of a kind together, per second."""

    reads: float
    writes: float


def beside_a_writer(state: State, key: str, *, readers: int, seconds: float) -> Rates:
    """Return how often `readers` threads read `key` while another one writes it."""
    stop = threading.Event()
    start = threading.Barrier(readers + 2)
    rates: dict[str, list[float]] = {"reads": [], "writes": []}
    jobs = [*repeat(("reads", _read), readers), ("writes", _write)]
    threads = [
        threading.Thread(
            target=_repeat, args=(work, state, key, start, stop, rates[name])
        )
        for name, work in jobs
    ]
    for thread in threads:
        thread.start()
    start.wait()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return Rates(sum(rates["reads"]), sum(rates["writes"]))


def _repeat(
    work: Callable[[State, str], None],
    state: State,
    key: str,
    start: threading.Barrier,
    stop: threading.Event,
    rates: list[float],
) -> None:
    """Do `work` until told to stop, and note how many calls that made per second."""
    start.wait()
    calls = 0
    started = time.perf_counter()
    while not stop.is_set():
        work(state, key)
        calls += _CALLS
    rates.append(calls / (time.perf_counter() - started))


_CALLS: Final = 100
"""How many calls a thread makes between two looks at whether to stop."""


def _read(state: State, key: str) -> None:
    for _ in range(_CALLS):
        state.get(key)


def _write(state: State, key: str) -> None:
    for number in range(_CALLS):
        state.set(key, number)
