"""The long run: schedules of one seed after another, until there were enough calls.

`python -m property_tests.simulation --operations 1000000 --seed 1`
"""

import argparse
import sys
import time
from collections import Counter

from property_tests.simulation.rounds import options_of, play


def main() -> int:
    """Run, and say how many schedules and operations there were."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.simulation")
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    begun, seed = time.perf_counter(), arguments.seed
    while total["operations"] < arguments.operations:
        try:
            told = play(**options_of(seed))
        except BaseException:
            again = f"--seed {seed} --operations 1"
            print(f"FAILED: python -m property_tests.simulation {again}", flush=True)
            raise
        seed += 1
        total.update(
            schedules=1,
            operations=told.operations,
            steps=told.steps,
            crashes=told.crashes,
            undecided=told.undecided,
        )
    seconds = time.perf_counter() - begun
    figures = ", ".join(f"{count:,} {name}" for name, count in total.items())
    rate = total["operations"] / seconds
    print(f"seeds {arguments.seed} to {seed - 1}: {figures}")
    print(f"{seconds:.0f} s, {rate:,.0f} operations per second; nothing failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
