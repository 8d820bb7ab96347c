"""The rows that weigh processes.

Memory is what the operating system counts, in processes of their own, before and after
the state is built: fragments and the allocator's reserves are part of the price.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.measure import Samples, Size

ROOT: Final = Path(__file__).resolve().parents[1]


def live_workflows(size: Size) -> Samples:
    """Weigh workflows at work, beyond the data they hold."""
    count = size.live_workflows
    samples = weigh("live", count, size.memory_rounds)
    beyond = zip(samples.ours, samples.peer, strict=True)
    samples.values["memory"] = [(ours - peer) / 1000 for ours, peer in beyond]
    traced = [
        footprint("live", held, count, "--trace")["bytes"]
        for held in ("stateward", "dicts")
    ]
    samples.values["traced"] = [(traced[0] - traced[1]) / 1000]
    return samples


def idle_workflows(size: Size) -> Samples:
    """Weigh workflows that nobody works on."""
    return weigh("idle", size.idle_workflows, 1)


def weigh(kind: str, count: int, rounds: int) -> Samples:
    """Return bytes per workflow of both, in new processes that take turns."""
    samples = Samples([], [], {"ratio": [], "threads": []})
    for _ in range(rounds):
        ours = footprint(kind, "stateward", count)
        peer = footprint(kind, "dicts", count)
        samples.ours.append(ours["bytes"])
        samples.peer.append(peer["bytes"])
        samples.values["ratio"].append(ours["bytes"] / peer["bytes"])
        samples.values["threads"].append(ours["threads"])
    return samples


def footprint(kind: str, held: str, count: int, *options: str) -> dict[str, float]:
    """Return what one process told, after a look that it is what was asked for."""
    module = [sys.executable, "-m", "benchmarks.footprint"]
    run = subprocess.run(
        [*module, kind, held, str(count), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, float] = json.loads(run.stdout)
    active = count if kind == "live" else 0
    if (told["workflows"], told["active"]) != (count, active):
        raise RuntimeError(f"not {count} {kind} workflows, but {told}")
    return told
