"""The command; see the package."""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.measure import FULL, SMOKE, Samples
from benchmarks.rows import ROWS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE_FOLDER: Final = ROOT / "docs" / "explanation"
BUILD_FOLDER: Final = ROOT / "build" / "benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and save; return 1 if a figure of a full run does not hold."""
    options = parse(arguments)
    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    samples: dict[str, Samples] = {}
    lines: list[report.Line] = []
    for row in chosen:
        if row.needs and not installed(row.needs):
            if not options.smoke:
                raise SystemExit(
                    f"{row.name} needs {row.needs}: pip install 'stateward[bench]'"
                )
            print(f"{row.name} ... not measured, {row.needs} is not installed")
            continue
        started = time.perf_counter()
        print(f"{row.name} ...", end=" ", file=sys.stderr, flush=True)
        samples[row.name] = row.measure(SMOKE if options.smoke else FULL)
        lines += report.lines_of(row, samples[row.name])
        print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(report.text_table(lines, judged=not options.smoke))
    told = report.circumstances()
    report.save(options.output, lines, samples, told)
    if options.draw:
        report.draw(options.output, lines)
        page = options.output / report.PAGE_FILE
        table = report.markdown_table(lines, told)
        page.write_text(
            report.fill_in(page.read_text(encoding="utf-8"), table), encoding="utf-8"
        )
    return 0 if options.smoke or all(line.held for line in lines) else 1


def installed(module: str) -> bool:
    """Return whether a module is there to be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it is not
        return False


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what the design promises."
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny size; nothing is judged"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[row.name for row in ROWS],
        metavar="NAME",
        help="measure this row alone; may be repeated: %(choices)s",
    )
    parser.add_argument(
        "--draw",
        action="store_true",
        help="bring the table and the picture of the documentation up to date",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where the JSON goes (default: build/benchmarks; docs with --draw)",
    )
    options = parser.parse_args(arguments)
    if options.draw and (options.smoke or options.only):
        parser.error("--draw needs a full run: leave out --smoke and --only")
    if options.draw and options.output:
        parser.error("--draw writes to the documentation: leave out --output")
    if options.draw and find_spec("matplotlib") is None:
        parser.error("--draw needs matplotlib: pip install 'stateward[dev]'")
    if options.output is None:
        options.output = PAGE_FOLDER if options.draw else BUILD_FOLDER
    return options


if __name__ == "__main__":
    sys.exit(main())
