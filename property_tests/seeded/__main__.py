"""The command: put each bug into a copy of the tree, and see which check finds it."""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from property_tests.seeded import report
from property_tests.seeded.bug import Bug
from property_tests.seeded.bugs import BUGS
from property_tests.seeded.workshop import Outcome, make_copy, run_checks, try_bug

BUG_SECONDS: Final = 180.0
"""LIMIT: what the checks of one bug may take; one that hangs has found nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Return 1 unless every bug that was chosen is found."""
    options = parse(arguments)
    chosen = [bug for bug in BUGS if not options.only or bug.name in options.only]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stateward-seeded-") as folder:
        pristine = Path(folder, "pristine")
        make_copy(pristine)
        unfit = unmutated(chosen, pristine, jobs=options.jobs)
        told = f"the checks ran unmutated in {time.monotonic() - begun:.0f} s"
        print(told, flush=True)
        rows = try_all(chosen, pristine, unfit, jobs=options.jobs)
    print(report.summary(rows, time.monotonic() - begun))
    if options.table:
        page = report.PAGE.read_text(encoding="utf-8")
        page = report.fill_in(page, report.table(rows))
        report.PAGE.write_text(page, encoding="utf-8")
    return 0 if all(outcome.finder for _, outcome in rows) else 1


def unmutated(chosen: list[Bug], pristine: Path, *, jobs: int) -> dict[str, str]:
    """Return the checks that fail on the engine as it is, which can find nothing."""
    checks = sorted({check for bug in chosen for check in bug.checks})

    def attempt(check: str) -> str:
        outcome = run_checks(pristine, [check], timeout=BUG_SECONDS)
        return outcome.trouble or outcome.finder or ""

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        said = dict(zip(checks, pool.map(attempt, checks), strict=True))
    return {check: text for check, text in said.items() if text}


def try_all(
    chosen: list[Bug], pristine: Path, unfit: dict[str, str], *, jobs: int
) -> list[report.Row]:
    """Try each bug, some at a time; tell of each as it is known."""
    width = max(len(bug.name) for bug in chosen)

    def attempt(bug: Bug) -> report.Row:
        failing = [unfit[check] for check in bug.checks if check in unfit]
        if failing:
            outcome = Outcome(trouble=f"fails without the bug: {failing[0]}")
        else:
            target = pristine.with_name(bug.name)
            outcome = try_bug(bug, pristine, target, timeout=BUG_SECONDS)
        print(report.line(bug, outcome, width=width), flush=True)
        return bug, outcome

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(attempt, chosen))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m property_tests.seeded",
        description="Show that each seeded bug is found, and by which check.",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[bug.name for bug in BUGS],
        metavar="NAME",
        help="try this bug alone; may be repeated: %(choices)s",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="how many to try at a time (%(default)s)"
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="bring the table of the documentation up to date; tries all",
    )
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}, not an integer >= 1")
    if options.table and options.only:
        parser.error("--table needs all bugs, and --only leaves some out")
    return options


if __name__ == "__main__":
    sys.exit(main())
