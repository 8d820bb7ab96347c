"""Index a folder of text files with a workflow whose branches share one state.

    python folder_index.py [FOLDER] [--workers 4] [--limit FILES] [--quiet]

The flow uses all four kinds of workflow:

- a `Sequential` puts the files it finds into the state, and has them done in batches;
- a `Loop` goes round until no batch is left;
- a `Parallel` in it holds the branches. They have no queue, no lock and no variable in
  common: what they must agree on is in the state. A branch claims a batch in one atomic
  step, which also marks each of its files, and adds what it counted in another;
- a `Conditional` puts files that are not UTF-8 back as Latin-1, if there are any.

An atomic step happens as a whole or not at all, and is run again if what it read has
changed meanwhile. So no update is lost and no file is done twice, also when the run is
interrupted and continued. Every file has a step of its own, named by its path, which
tells how far it got.

The summary is read back from the state and compared with a count made one file after
the other, without any state. Exit status: 0 if they agree, 1 if they do not, 2 for a
folder that cannot be indexed, 130 after Ctrl-C.
"""

import argparse
import os
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict, cast

from text_files import (
    TABLE_ROWS,
    FileCount,
    Problem,
    count_file,
    human_bytes,
    largest_of,
    list_files,
    printable,
    table,
    totals_of,
)

from stateward import ConflictError, JsonValue, Limits, StateManager, WorkflowState
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Retry,
    RunResult,
    Sequential,
    StepContext,
    branch,
    step,
)

BATCH_FILES: Final = 32
"""Files claimed at once: enough to make claiming cheap, few enough to share evenly."""
RUN_ROWS: Final = 6
"""Steps of the run that are shown, of some hundred."""
LINE_CHARACTERS: Final = 88
WORKFLOW_ID: Final = "folder-index"
LIMITS: Final = Limits(max_key_bytes=4096, max_value_bytes=None)
"""Step names are paths, and the list of errors may be as long as it has to be."""

# -- the workflow ---------------------------------------------------------------------


class NoFilesError(Exception):
    """There is nothing to index."""


class Batch(TypedDict):
    """Some of what is left to do."""

    files: list[str]
    encoding: str


@step(atomic=True)
def discover(ctx: StepContext) -> int:
    """Put all files of the folder into the state, for the branches to claim."""
    given: Any = ctx.input
    names, problems = list_files(Path(given["folder"]), given["limit"])
    if not names:
        raise NoFilesError("no files to index")
    ctx.state.update(errors=[*sorted(problems)], largest=[])
    enqueue(ctx.state, names, "utf-8")
    return len(names)


@step(atomic=True)
def claim(ctx: StepContext) -> Batch | None:
    """Take the next batch and mark its files; leave the loop if nothing is left."""
    start = number(ctx.state, "queue:start")
    batch = cast("Batch | None", ctx.state.pop(f"queue:{start}", None))
    if batch is None:
        ctx.break_loop()
        return None
    ctx.state["queue:start"] = start + 1
    for name in batch["files"]:
        ctx.state.step(name)["status"] = "claimed"
    return batch


@step(atomic=True)
def index(ctx: StepContext) -> int:
    """Count the files that were claimed: into the totals, and each into its own step.

    Both are committed together with the fact that this is done. All counting comes
    before the first read of the state: the shorter the time from there to the end, the
    less often another branch gets in between and this is run again.
    """
    given: Any = ctx.input
    batch = cast("Batch", ctx.outputs["claim"])
    counts: dict[str, FileCount] = {}
    seconds: dict[str, float] = {}
    for name in batch["files"]:
        started = time.perf_counter()
        counts[name] = count_file(Path(given["folder"], name), batch["encoding"])
        seconds[name] = time.perf_counter() - started
    add_up(ctx.state, counts)
    for name, count in counts.items():
        ctx.state.step(name).update(
            status=count.status, words=count.words, seconds=seconds[name]
        )
    return len(counts)


@step(atomic=True)
def put_back(ctx: StepContext) -> int:
    """Put what is not UTF-8 back to be done: as Latin-1 any bytes are text."""
    names = cast("list[str]", ctx.state.pop("queue:undecodable"))
    ctx.state["retried"] = len(names)
    enqueue(ctx.state, names, "latin-1")
    return len(names)


def flow_of(workers: int) -> Sequential:
    """Return the flow with so many branches."""
    branches = (
        Loop(f"branch-{place}", claim, index, while_=is_work_left, collect="none")
        for place in range(1, workers + 1)
    )
    return Sequential(
        "index-folder",
        discover,
        Loop(
            "rounds",
            Parallel(
                "branches",
                *branches,
                max_concurrency=workers,
                # When even being run again did not help: far more branches than cores.
                retry=Retry(attempts=5, backoff=0.01, on=(ConflictError,)),
            ),
            Conditional("retry", branch(is_undecodable_left, put_back)),
            until=lambda state: not is_work_left(state),
            max_iterations=2,  # As Latin-1 any file can be decoded.
            collect="none",
        ),
    )


def is_work_left(state: WorkflowState) -> bool:
    """Return whether there is a batch to claim."""
    return number(state, "queue:start") < number(state, "queue:end")


def is_undecodable_left(state: WorkflowState) -> bool:
    """Return whether a file was not UTF-8."""
    return "queue:undecodable" in state


def enqueue(state: WorkflowState, names: Sequence[str], encoding: str) -> None:
    """Add files to what is left to do."""
    end = number(state, "queue:end")
    for start in range(0, len(names), BATCH_FILES):
        files: list[JsonValue] = [*names[start : start + BATCH_FILES]]
        state[f"queue:{end}"] = {"files": files, "encoding": encoding}
        end += 1
    state["queue:end"] = end
    state.increment("queue:files", len(names))


def add_up(state: WorkflowState, counts: Mapping[str, FileCount]) -> None:
    """Add what some files hold to what all branches have found."""
    totals: Counter[str] = Counter({"queue:done": len(counts)})
    errors: list[Problem] = []
    undecodable: list[str] = []
    sizes: list[list[Any]] = []
    for name, count in counts.items():
        if count.status == "indexed":
            totals.update(totals_of(name, count))
            sizes.append([count.size_bytes, name])
        elif count.status == "binary":
            totals["binary"] += 1
        else:
            errors.append([name, count.why])
        if count.status == "undecodable":
            undecodable.append(name)
    for key, amount in totals.items():
        state.increment(key, amount)
    state.modify("largest", lambda known: largest_of([*known, *sizes]))
    # Sorted, so that what is found does not tell in which order the branches came.
    if errors:
        known_errors = cast("list[Problem]", state["errors"])
        state["errors"] = [*sorted([*known_errors, *errors])]
    if undecodable:
        known = cast("list[str]", state.get("queue:undecodable", []))
        state["queue:undecodable"] = [*sorted([*known, *undecodable])]


def number(state: Mapping[str, JsonValue], key: str) -> int:
    """Return the number under `key`, 0 if nobody has written one."""
    return cast("int", state.get(key, 0))


# -- the check ------------------------------------------------------------------------


def read_index(flow: WorkflowState) -> dict[str, Any]:
    """Return what the workflow found, all of it from one revision of its state."""
    found = flow.snapshot().items()
    return {key: value for key, value in found if not key.startswith("queue:")}


def count_in_turn(
    folder: Path, names: list[str], problems: list[Problem]
) -> dict[str, Any]:
    """Return the same as `read_index`, made by one thread out of local variables."""
    totals: Counter[str] = Counter()
    errors, sizes = [*problems], []
    for name in names:
        count = count_file(folder / name, "utf-8")
        if count.why:
            errors.append([name, count.why])
        if count.status == "undecodable":
            totals["retried"] += 1
            count = count_file(folder / name, "latin-1")
        if count.status == "indexed":
            totals.update(totals_of(name, count))
            sizes.append([count.size_bytes, name])
        if count.status == "binary":
            totals["binary"] += 1
    return {**totals, "errors": sorted(errors), "largest": largest_of(sizes)}


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return a line for each figure in which two indexes differ."""
    return [
        f"{key}: {found.get(key)!r} in the state, {expected.get(key)!r} expected"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key) != expected.get(key)
    ]


# -- what people see ------------------------------------------------------------------


def summary(flow: WorkflowState, index: dict[str, Any]) -> str:
    """Return the index as text for people."""
    steps = Counter(str(flow.step(name).get("status")) for name in flow.steps())
    suffixes = Counter(
        {key[7:]: count for key, count in index.items() if key.startswith("suffix:")}
    )
    tables = {
        "Totals": [
            *((key, f"{index.get(key, 0):,}") for key in ("files", "words", "lines")),
            ("size", human_bytes(index.get("size_bytes", 0))),
        ],
        f"Steps, {index.get('retried', 0):,} of them tried again as Latin-1": [
            (status, f"{files:,}") for status, files in steps.most_common()
        ],
        f"Suffixes, the most frequent of {len(suffixes):,}": [
            (suffix, f"{files:,}") for suffix, files in suffixes.most_common(TABLE_ROWS)
        ],
        "Largest files": [(name, human_bytes(size)) for size, name in index["largest"]],
        f"Errors, the first of {len(index['errors']):,}": index["errors"][:TABLE_ROWS],
    }
    return "\n\n".join(table(title, rows) for title, rows in tables.items() if rows)


def short(result: RunResult) -> str:
    """Return how the run went: its first steps, and the last one."""
    lines = [line[:LINE_CHARACTERS] for line in str(result).splitlines()]
    first = RUN_ROWS + 2  # and the title, and the names of the columns
    if len(lines) <= first + 2:
        return "\n".join(lines)
    left_out = f"... and {len(lines) - first - 1:,} more, up to"
    return "\n".join([*lines[:first], left_out, lines[-1]])


def show_progress(flow: WorkflowState) -> None:
    """Overwrite the last line of the terminal; reading waits for no branch."""
    done, files = number(flow, "queue:done"), number(flow, "queue:files")
    print(f"{done:,} of {files:,} files", end="\r", file=sys.stderr, flush=True)


# -- the command ----------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Index a folder, show what was found, and check it; return the exit status."""
    options = parse(arguments)
    try:
        return index_and_check(options)
    except KeyboardInterrupt:
        return complain("interrupted", 130)


def index_and_check(options: argparse.Namespace) -> int:
    """Do what the options say."""
    folder: Path = options.folder
    given: JsonValue = {"folder": str(folder), "limit": options.limit}
    try:
        os.scandir(folder).close()
        str(folder).encode()
    except OSError as error:
        return complain(f"{folder}: {error.strerror}", 2)
    except UnicodeEncodeError:
        return complain(f"{printable(str(folder))}: its name is not Unicode", 2)

    with StateManager(limits=LIMITS) as manager:
        state = manager.workflow_state(WORKFLOW_ID)
        result = manager.run(
            flow_of(options.workers),
            WORKFLOW_ID,
            input=given,
            on_event=(lambda _: show_progress(state)) if options.report else None,
        )
        if isinstance(result.failures.get("discover"), NoFilesError):
            return complain(f"{folder}: no files to index", 2)
        result.raise_for_failure()
        found = read_index(state)
        if not options.quiet:
            print(f"Index of {folder} by {options.workers} branches\n")
            print(short(result), summary(state, found), sep="\n\n", end="\n\n")

    names, problems = list_files(folder, options.limit)
    expected = count_in_turn(folder, names, problems)
    wrong = differences(found, expected)
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return complain("the state and a sequential count differ (files changed?)", 1)
    print(f"The state agrees with a sequential count of {len(names):,} files.")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(description="Index a folder of text files.")
    stdlib = Path(sysconfig.get_path("stdlib"))
    usual = "the standard library of this Python"
    parser.add_argument("folder", nargs="?", type=Path, default=stdlib, help=usual)
    parser.add_argument("--workers", type=positive, default=4, help="branches, 4")
    parser.add_argument("--limit", type=positive, help="index so many files at most")
    parser.add_argument("--quiet", action="store_true", help="print the check alone")
    options = parser.parse_args(arguments)
    options.report = sys.stderr.isatty() and not options.quiet
    return options


def positive(text: str) -> int:
    """Return the number `text` says; `argparse` explains what is raised."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def complain(message: str, status: int) -> int:
    """Say what is wrong, and return the exit status for it."""
    print(f"folder_index: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
