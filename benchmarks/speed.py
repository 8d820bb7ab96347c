"""The rows that time calls."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from typing import Any, Final

from benchmarks.measure import Samples, Size, beside_a_writer, race, stopwatch
from benchmarks.peers import CopyingDict, LockedDict, State, StateActor
from stateward import StateManager
from stateward.workflows import Sequential, step

KEYS: Final = tuple(f"key-{number}" for number in range(10))
SCALAR: Final = 7
CONTAINER: Final = {
    "status": "running",
    "retries": 3,
    "progress": 0.5,
    "tags": ["eu", "gold"],
}
PARTS: Final = 20
"""In how many turns all keys of a large scope come up."""
READ: Final = "state.get({key!r})"
WRITE: Final = "state.set({key!r}, value)"


def read_scalar(size: Size) -> Samples:
    """Read a number."""
    return versus(LockedDict(), READ, SCALAR, size)


def read_container(size: Size) -> Samples:
    """Read a private copy of a small container."""
    return versus(CopyingDict(), READ, CONTAINER, size)


def write_scalar(size: Size) -> Samples:
    """Give a key another number."""
    return versus(LockedDict(), WRITE, SCALAR, size)


def write_container(size: Size) -> Samples:
    """Give a key another small container."""
    return versus(CopyingDict(), WRITE, CONTAINER, size)


def write_scalar_actor(size: Size) -> Samples:
    """Give a key another number, by a call to an actor that is waited for."""
    actor = StateActor.start()
    try:
        with StateManager() as manager:
            ours = manager.workflow_state("benchmark")
            proxy: Any = actor.proxy()
            for key in KEYS:
                ours.set(key, SCALAR)
                proxy.set(key, SCALAR).get()
            return race(
                calls(WRITE, size.calls, state=ours, value=SCALAR),
                calls(WRITE + ".get()", size.calls // 10, state=proxy, value=SCALAR),
                size.rounds,
            )
    finally:
        actor.stop()


def reads_beside_a_writer(size: Size) -> Samples:
    """Read a number in two threads while a third one changes it."""
    writes: dict[str, list[float]] = {"ours": [], "peer": []}

    def reads(side: str, state: State) -> float:
        rates = beside_a_writer(state, KEYS[0], readers=2, seconds=size.thread_seconds)
        writes[side].append(rates.writes)
        return rates.reads

    with StateManager() as manager:
        ours, peer = manager.workflow_state("benchmark"), LockedDict()
        ours.set(KEYS[0], SCALAR)
        peer.set(KEYS[0], SCALAR)
        samples = race(
            lambda: reads("ours", ours), lambda: reads("peer", peer), size.thread_rounds
        )
    # Not held to anything, but reads are not to be fast because writes starve.
    for side, rates in writes.items():
        samples.values[f"writes per second, {side}"] = rates
    return samples


def write_large_scope(size: Size) -> Samples:
    """Give ten keys of a large scope other numbers, and the same of a small one."""
    with StateManager() as manager:
        large, small = (manager.workflow_state(name) for name in ("large", "small"))
        names = fill(large, size.large_keys)
        large.update(dict.fromkeys(KEYS, SCALAR))
        small.update(dict.fromkeys(KEYS, SCALAR))
        samples = race(
            calls(WRITE, size.calls, state=large, value=SCALAR),
            calls(WRITE, size.calls, state=small, value=SCALAR),
            size.rounds,
        )
        # Not held to anything: what the processor's cache adds where writes go all
        # over the keys, to the engine and to a dictionary.
        plain = LockedDict()
        fill(plain, size.large_keys)
        for side, state in ("ours", large), ("dict", plain):
            anywhere, here = (
                writes_to(some, state, size) for some in (names, names[: len(KEYS)])
            )
            spread = race(anywhere, here, size.thread_rounds)
            samples.values[f"any key, {side}"] = spread.values["ratio"]
    return samples


def step_overhead(size: Size) -> Samples:
    """Run empty steps in a row, and have a thread call the same function as often.

    What is measured of a run is all of it, from its beginning to its result, divided by
    its steps; the calls themselves are taken off.
    """
    steps = max(1, size.calls // 10)
    rows = [step(name=f"step-{number}")(empty) for number in range(steps)]
    flow, ids = Sequential("empty", *rows), count()
    alone = stopwatch("empty(None)", calls=1, loops=steps, empty=empty)
    with StateManager() as manager, ThreadPoolExecutor(max_workers=1) as pool:

        def run() -> float:
            name = f"run-{next(ids)}"
            started = time.perf_counter()
            manager.run(flow, name).raise_for_failure()
            seconds = time.perf_counter() - started
            manager.drop_workflow(name)
            return seconds / steps - alone()

        call = "submit(empty, None).result()"
        peer = stopwatch(call, calls=1, loops=steps, submit=pool.submit, empty=empty)
        samples = race(run, peer, size.rounds)
    samples.values["overhead"] = [1e6 * seconds for seconds in samples.ours]
    return samples


def empty(_: object) -> None:
    """Do nothing, as a step."""


def fill(state: State, count: int) -> list[str]:
    """Set `count` keys, and return them."""
    names = [f"other-{number}" for number in range(count)]
    for name in names:
        state.set(name, SCALAR)
    return names


def writes_to(names: list[str], state: State, size: Size) -> Callable[[], float]:
    """Return a stopwatch of writes to random ones of `names`, others in every turn."""
    picked = random.Random(2).choices(names, k=PARTS * size.calls)
    return stopwatch(
        "for name in next(parts): state.set(name, value)",
        calls=size.calls,
        loops=1,
        state=state,
        parts=cycle([picked[part::PARTS] for part in range(PARTS)]),
        value=SCALAR,
    )


def versus(peer: State, call: str, value: object, size: Size) -> Samples:
    """Return how long `call` takes the engine and `peer`, both holding `value`."""
    with StateManager() as manager:
        ours: Any = manager.workflow_state("benchmark")
        for key in KEYS:
            ours.set(key, value)
            peer.set(key, value)
        return race(
            calls(call, size.calls, state=ours, value=value),
            calls(call, size.calls, state=peer, value=value),
            size.rounds,
        )


def calls(call: str, count: int, **names: object) -> Callable[[], float]:
    """Return a stopwatch of `count` calls that go round the keys."""
    statement = "\n".join(call.format(key=key) for key in KEYS)
    return stopwatch(statement, len(KEYS), max(1, count // len(KEYS)), **names)
