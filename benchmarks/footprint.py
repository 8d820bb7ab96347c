"""A process that holds the state of many workflows, and tells what it weighs.

    python -m benchmarks.footprint live|idle stateward|dicts COUNT [--trace]

Each workflow holds one number under one key. `live` workflows have an active owner;
`idle` ones were let go, `BATCH_WORKFLOWS` at a time, as in a service where many exist
and few are at work. `dicts` is the same data in plain nested dictionaries.
"""

import argparse
import gc
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stateward import StateManager, WorkflowScope

KEY: Final = "progress"
BATCH_WORKFLOWS: Final = 1000


def main() -> None:
    """Build what the arguments say, and print what it weighs as JSON."""
    options = parse()
    count: int = options.count
    if options.trace:
        tracemalloc.start()
    gc.collect()
    before = weight(trace=options.trace)
    with BUILDERS[options.held](count, idle=options.kind == "idle") as report:
        gc.collect()
        # A few workflows may fit into pages that the process had before.
        grown = max(weight(trace=options.trace) - before, 1)
        report["bytes"] = grown / count
    print(json.dumps(report))


def parse() -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["live", "idle"])
    parser.add_argument("held", choices=sorted(BUILDERS))
    parser.add_argument("count", type=int)
    parser.add_argument(
        "--trace", action="store_true", help="count allocations, not pages"
    )
    return parser.parse_args()


@contextmanager
def in_dicts(count: int, *, idle: bool) -> Iterator[dict[str, float]]:
    """Hold the data in plain nested dictionaries."""
    data = {f"order-{number}": {KEY: number} for number in range(count)}
    yield {"workflows": len(data), "active": 0 if idle else len(data)}


@contextmanager
def in_stateward(count: int, *, idle: bool) -> Iterator[dict[str, float]]:
    """Hold the data in a manager as it comes."""
    with StateManager() as manager:
        for first in range(0, count, BATCH_WORKFLOWS):
            names = [
                f"order-{number}"
                for number in range(first, min(first + BATCH_WORKFLOWS, count))
            ]
            for number, name in enumerate(names, start=first):
                manager.workflow_state(name).set(KEY, number)
            for name in names if idle else ():
                manager.passivate(WorkflowScope(name))
        stats = manager.stats()
        threads = threading.active_count()
        yield {"workflows": stats.workflows, "active": stats.owners, "threads": threads}


BUILDERS: Final = {"dicts": in_dicts, "stateward": in_stateward}


def weight(*, trace: bool) -> int:
    """Return the bytes this process holds: allocated, or of pages in memory."""
    return tracemalloc.get_traced_memory()[0] if trace else resident_bytes()


def resident_bytes() -> int:
    """Return the size of this process in memory; where unknown, its largest."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else 1024 * largest
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
