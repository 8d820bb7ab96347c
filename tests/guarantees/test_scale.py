"""A store of many keys opens as quickly as a small one, and is served in little memory.

What is counted here are rows that the journal is asked for and bytes of memory, which
are the same on any machine; only the long runs of `soak` also look at seconds.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import JsonValue, StateManager
from stateward.actors.core.ports import Journal
from stateward.actors.store.rocksdb import RocksJournal
from stateward.actors.store.sqlite import SqliteJournal

ROOT: Final = Path(__file__).resolve().parents[2]
STATUS: Final = Path("/proc/self/status")
KEYS: Final = 100
"""Keys of each workflow."""
FEW: Final = 10_000
JOURNALS: Final[dict[str, type[Journal]]] = {
    "rocksdb": RocksJournal,
    "sqlite": SqliteJournal,
}
MANY: Final = [50_000, pytest.param(1_000_000, marks=pytest.mark.soak)]
SERVED: Final = [
    (200_000, 4 << 20, 3_000),
    pytest.param(10_000_000, 200 << 20, 15_000, marks=pytest.mark.soak),
]
"""Keys, what of them may be in memory, and how many workflows are read: three times
as many as there is room for, at least. Every tenth is written too."""
WRITTEN: Final = 40_000
BUILDING_BYTES: Final = 32 << 20
CHILD_SECONDS: Final = 600.0  # LIMIT: how long the longest of them may take
OPEN_SECONDS: Final = 1.0
ENGINE_BYTES: Final = {"rocksdb": 56 << 20, "sqlite": 40 << 20}
"""What engines take for themselves, and what has left but is not collected yet."""
SLACK: Final = 1.5
"""Memory in use for each byte that is accounted for, an allocator's gaps included."""


def build(url: str, keys: int) -> None:
    """Make a store of so many keys."""
    with StateManager(
        url, durability="buffered", cache_bytes=BUILDING_BYTES
    ) as manager:
        write_keys(manager, keys)


def write_keys(manager: StateManager, keys: int) -> None:
    """Write so many keys, each workflow's with one command."""
    for number in range(keys // KEYS):
        values: dict[str, JsonValue] = {
            f"k{place}": [number, place] for place in range(KEYS)
        }
        manager.workflow_state(f"w{number}").update(values)


# ---------------------------------------------------------------------- opening


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the names of all rows that journals give from now on."""
    names: list[bytes] = []

    def watch(kind: Any) -> None:
        get, scan = kind.get, kind.scan

        def watched_get(journal: Journal, name: bytes) -> bytes | None:
            names.append(name)
            row: bytes | None = get(journal, name)
            return row

        def watched_scan(
            journal: Journal, start: bytes, stop: bytes
        ) -> Iterator[tuple[bytes, bytes]]:
            for name, row in scan(journal, start, stop):
                names.append(name)
                yield name, row

        monkeypatch.setattr(kind, "get", watched_get)
        monkeypatch.setattr(kind, "scan", watched_scan)

    for kind in JOURNALS.values():
        watch(kind)
    return names


def first_read(url: str, number: int) -> None:
    """Open a store, read one key of it, write one, and close it."""
    with StateManager(url) as manager:
        state = manager.workflow_state(f"w{number}")
        assert state["k7"] == [number, 7]
        state["new"] = 1


@pytest.mark.slow
@pytest.mark.parametrize("scheme", JOURNALS)
@pytest.mark.parametrize("many", MANY)
def test_store_of_many_keys_opens_as_one_of_few(
    tmp_path: Path, asked: list[bytes], scheme: str, many: int
) -> None:
    """Opening and the first read ask for as many rows, whatever else is stored."""
    rows: list[int] = []
    url = ""
    for keys in (FEW, many):
        url = f"{scheme}:///{tmp_path}/{keys}"
        build(url, keys)
        asked.clear()
        # One of the middle, so that no end of the store is the nearest.
        first_read(url, keys // KEYS // 2)
        rows.append(len(asked))
    assert rows[0] == rows[1]
    assert KEYS < rows[0] < KEYS + 10
    if many >= 1_000_000:
        seconds = [taken(partial(first_read, url, place)) for place in (5, 50, 500)]
        print(f"{scheme}: {many:,} keys, first read after {max(seconds):.3f} s")
        assert min(seconds) < OPEN_SECONDS


def taken(action: Callable[[], None]) -> float:
    """Return how many seconds `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


# ---------------------------------------------------------------------- memory


def resident(what: str = "VmRSS") -> int:
    """Return bytes of this process that are in memory now, or were at most."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == what:
            return int(rest.split()[0]) * 1024
    raise AssertionError(what)


def serve(url: str, keys: int, cache_bytes: int | None, rounds: int) -> None:
    """Read and write many workflows at random; print what that took, as JSON."""
    chance = random.Random(f"{url[:5]} {keys}")
    before, held, seconds = resident(), 0, []
    with StateManager(url, durability="buffered", cache_bytes=cache_bytes) as manager:
        vault = manager.engine.directory.vault
        assert vault is not None
        for turn in range(rounds):
            number = chance.randrange(keys // KEYS)
            place = chance.randrange(KEYS)
            state = manager.workflow_state(f"w{number}")
            started = time.perf_counter()
            value = state[f"k{place}"]
            seconds.append(time.perf_counter() - started)
            assert value == [number, place]
            if turn % 10 == 0:
                state["new"] = turn
                assert state["new"] == turn
            held = max(held, vault.held_bytes)
    seconds.sort()
    found = {
        "held": held,
        "before": before,
        "grown": resident("VmHWM") - before,
        "median": seconds[len(seconds) // 2],
        "worst of a hundred": seconds[len(seconds) * 99 // 100],
    }
    print(json.dumps(found))


def fill(url: str, keys: int) -> None:
    """Write so many keys and keep them in memory; print what that took, as JSON."""
    before = resident()
    with StateManager(url, durability="buffered", cache_bytes=None) as manager:
        write_keys(manager, keys)
        vault = manager.engine.directory.vault
        assert vault is not None
        found = {"held": vault.held_bytes, "grown": resident("VmHWM") - before}
    print(json.dumps(found))


def told(call: str) -> dict[str, float]:
    """Return what a function here prints, in a process of its own."""
    source = f"from tests.guarantees.test_scale import *\n{call}"
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=CHILD_SECONDS,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="memory is told by Linux alone")
@pytest.mark.parametrize("scheme", JOURNALS)
@pytest.mark.parametrize(("keys", "cache_bytes", "rounds"), SERVED)
def test_store_of_many_keys_is_served_in_bounded_memory(
    tmp_path: Path, scheme: str, keys: int, cache_bytes: int, rounds: int
) -> None:
    """However many are read, what stays in memory is what was allowed to."""
    url = f"{scheme}:///{tmp_path}/state"
    build(url, keys)
    found = told(f"serve({url!r}, {keys}, {cache_bytes}, {rounds})")
    print(f"{scheme}: {keys:,} keys served in {cache_bytes:,} bytes: {found}")
    # Others leave only after what was loaded last has been weighed.
    assert cache_bytes / 2 < found["held"] < cache_bytes * 2
    assert found["grown"] <= cache_bytes * SLACK + ENGINE_BYTES[scheme]
    if keys == 200_000:
        # Without a bound all that was read stays, or this would show nothing.
        free = told(f"serve({url!r}, {keys}, None, {rounds})")
        assert free["held"] > cache_bytes * 10
        assert free["grown"] - found["grown"] > (free["held"] - found["held"]) / 10


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="memory is told by Linux alone")
def test_values_written_take_the_memory_that_is_reckoned(tmp_path: Path) -> None:
    """A small list that was written takes no more memory than one that was loaded."""
    found = told(f"fill('sqlite:///{tmp_path}/state', {WRITTEN})")
    assert found["grown"] <= found["held"] * SLACK + ENGINE_BYTES["sqlite"]
