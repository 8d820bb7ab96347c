"""Index a folder of text files in parallel branches that share one workflow's state.

    python folder_index.py [FOLDER] [--workers 4] [--limit FILES] [--quiet]

The branches are plain threads. They have no queue, no lock and no variable in common:
whatever they must agree on is in the state of one workflow.

- What is left to do waits there in batches. A branch claims one in a transaction that
  also marks each of its files, so that no file is done twice or forgotten.
- Totals are atomic increments, errors are appended, and the list of the largest files
  is changed by a function that runs in the owner's turn. No update is lost.
- Every file has a step of its own, named by its path, which tells how far it got.
- What was found decides how it goes on: files that are not UTF-8 come round again as
  Latin-1, and without any that part is left out.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path, PurePath
from typing import Any, Final, Literal, TypedDict, cast

from stateward import JsonValue, Limits, StateManager, Transaction, WorkflowState

LEFT_OUT: Final = frozenset({"__pycache__", "dist-packages", "site-packages"})
"""Folders nobody wants to have indexed, besides those whose name begins with a dot."""
BATCH_FILES: Final = 32
"""Files claimed at once: enough to make claiming cheap, few enough to share evenly."""
BINARY_BYTES: Final = 8192
"""How much of a file is searched for a zero byte, which no text has."""
TABLE_ROWS: Final = 10
LIMITS: Final = Limits(max_key_bytes=4096, max_value_bytes=None)
"""Step names are paths, and the list of errors may be as long as it has to be."""

Problem = list[JsonValue]
"""A path that cannot be indexed, and why."""

# -- files, without any state ---------------------------------------------------------


def list_files(folder: Path, limit: int | None) -> tuple[list[str], list[Problem]]:
    """Return the files in `folder` and all below it, by their path in it."""
    names: list[str] = []
    problems: list[Problem] = []

    def note(error: OSError) -> None:
        problems.append([printable(str(error.filename)), str(error.strerror)])

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in {*folders} - LEFT_OUT if name[0] != "."]
        for path in map(Path(parent).joinpath, files):
            name = path.relative_to(folder).as_posix()
            try:
                if name != name.encode(errors="replace").decode():
                    problems.append([printable(name), "its name is not Unicode"])
                elif path.is_file():  # neither a pipe, nor a link that leads nowhere
                    names.append(name)
            except OSError as error:
                note(error)
    return sorted(names)[:limit], problems


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCount:
    """What one file holds."""

    status: Literal["indexed", "binary", "undecodable", "unreadable"]
    words: int = 0
    lines: int = 0
    size_bytes: int = 0
    why: str = ""
    """What is wrong with a file that is undecodable or unreadable."""


def count_file(path: Path, encoding: str) -> FileCount:
    """Return the words, lines and bytes of a text file, or why it has none."""
    try:
        with path.open("rb") as file:
            data = file.read(BINARY_BYTES)
            if b"\0" in data:
                return FileCount(status="binary")
            data += file.read()
        text = data.decode(encoding)
    except OSError as error:
        return FileCount(status="unreadable", why=str(error.strerror))
    except UnicodeDecodeError as error:
        why = f"not {error.encoding}, {error.reason} at byte {error.start:,}"
        return FileCount(status="undecodable", why=why)
    return FileCount(
        status="indexed",
        words=len(text.split()),
        lines=len(text.splitlines()),
        size_bytes=len(data),
    )


def totals_of(name: str, count: FileCount) -> dict[str, int]:
    """Return what one text file adds to the totals."""
    suffix = PurePath(name).suffix.lower() or "(none)"
    return {
        "files": 1,
        "words": count.words,
        "lines": count.lines,
        "size_bytes": count.size_bytes,
        f"suffix:{suffix}": 1,
    }


def largest_of(files: Iterable[list[Any]]) -> list[JsonValue]:
    """Return the largest of some pairs of size and name, those of one size by name."""
    return [*nsmallest(TABLE_ROWS, files, key=lambda file: (-file[0], file[1]))]


# -- the workflow ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """What to index, and how."""

    folder: Path
    names: list[str]
    problems: list[Problem]
    workers: int
    report: Callable[[WorkflowState], None]
    """Called now and then while the branches run."""


class Batch(TypedDict):
    """Some of what is left to do."""

    files: list[str]
    encoding: str


def index_folder(flow: WorkflowState, job: Job) -> None:
    """Put all about the files of a folder into the state of the workflow."""
    flow.update(errors=[*job.problems], largest=[])
    enqueue(flow, job.names, "utf-8")
    run_branches(flow, job)

    undecodable = cast("tuple[str, ...]", flow.view("queue:undecodable", ()))
    if undecodable:
        flow["retried"] = len(undecodable)
        enqueue(flow, undecodable, "latin-1")
        run_branches(flow, job)


def enqueue(flow: WorkflowState, names: Sequence[str], encoding: str) -> None:
    """Add files to what is left to do, all of them in one command."""
    end = number(flow, "queue:end")
    added: dict[str, JsonValue] = {}
    for start in range(0, len(names), BATCH_FILES):
        files: list[JsonValue] = [*names[start : start + BATCH_FILES]]
        added[f"queue:{end}"] = {"files": files, "encoding": encoding}
        end += 1
    added["queue:end"] = end
    added["queue:files"] = number(flow, "queue:files") + len(names)
    flow.update(added)


def run_branches(flow: WorkflowState, job: Job) -> None:
    """Run the branches until nothing is left to do."""
    with ThreadPoolExecutor(job.workers, thread_name_prefix="branch") as pool:
        branches = [
            pool.submit(run_branch, flow, job.folder) for _ in range(job.workers)
        ]
        try:
            while wait(branches, timeout=0.2).not_done:
                job.report(flow)
            for branch in branches:
                branch.result()  # raises what the branch raised
        except BaseException:
            # A branch failed, or it was Ctrl-C: leave the others nothing to claim.
            flow.delete_many(key for key in flow if key.startswith("queue:"))
            raise


def run_branch(flow: WorkflowState, folder: Path) -> None:
    """Do one batch after another; this is what runs in parallel."""
    while (batch := flow.transact(claim)) is not None:
        for name in batch["files"]:
            index_file(flow, folder, name, batch["encoding"])


def claim(transaction: Transaction) -> Batch | None:
    """Take the next batch and mark its files; return `None` if nothing is left.

    Of two branches that try at once only one succeeds. The other meets a conflict, and
    `transact` runs this again for it, with the batch after.
    """
    start = number(transaction, "queue:start")
    batch = cast("Batch | None", transaction.pop(f"queue:{start}", None))
    if batch is not None:
        transaction["queue:start"] = start + 1
        for name in batch["files"]:
            transaction.step(name)["status"] = "claimed"
    return batch


def index_file(flow: WorkflowState, folder: Path, name: str, encoding: str) -> None:
    """Count one file: into the totals all branches share, and into its own step."""
    started = time.perf_counter()
    count = count_file(folder / name, encoding)
    if count.status == "indexed":
        for key, amount in totals_of(name, count).items():
            flow.increment(key, amount)
        file = [count.size_bytes, name]
        flow.modify("largest", lambda largest: largest_of([*largest, file]))
    elif count.status == "binary":
        flow.increment("binary")
    else:
        flow.append("errors", [name, count.why])
        if count.status == "undecodable":
            flow.append("queue:undecodable", name)
    flow.increment("queue:done")
    seconds = time.perf_counter() - started
    flow.step(name).update(status=count.status, words=count.words, seconds=seconds)


def number(state: Mapping[str, JsonValue], key: str) -> int:
    """Return the number under `key`, 0 if nobody has written one."""
    return cast("int", state.get(key, 0))


# -- the check ------------------------------------------------------------------------


def read_index(flow: WorkflowState) -> dict[str, Any]:
    """Return what the workflow found, all of it from one revision of its state."""
    found: dict[str, Any] = dict(flow.snapshot())
    found["errors"] = sorted(found["errors"])
    return {key: value for key, value in found.items() if not key.startswith("queue:")}


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


def table(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Return two columns under a title; figures are set to the right."""
    left = max(len(printable(name)) for name, _ in rows)
    right = max(len(value) for _, value in rows)
    side = ">" if all(value[0].isdigit() for _, value in rows) else "<"
    lines = [
        f"  {printable(name):{left}}  {value:{side}{right}}" for name, value in rows
    ]
    return "\n".join([title, *map(str.rstrip, lines)])


def human_bytes(size_bytes: int) -> str:
    """Return a size in the largest unit of which there is one at least."""
    units = ["B", "kB", "MB", "GB", "TB"]
    power = min((len(str(size_bytes)) - 1) // 3, len(units) - 1)
    return f"{size_bytes / 1000**power:.{min(power, 1)}f} {units[power]:<2}"


def printable(name: str) -> str:
    """Return `name` with everything written out that would upset a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]


def show_progress(flow: WorkflowState) -> None:
    """Overwrite the last line of the terminal; reading waits for no branch."""
    done, files = number(flow, "queue:done"), number(flow, "queue:files")
    print(f"{done:,} of {files:,} files", end="\r", file=sys.stderr, flush=True)


# -- the command ----------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Index a folder, show what was found, and check it; return the exit status."""
    options = parse(arguments)
    folder: Path = options.folder
    try:
        os.scandir(folder).close()
        names, problems = list_files(folder, options.limit)
    except OSError as error:
        return complain(f"{folder}: {error.strerror}", 2)
    if not names:
        return complain(f"{folder}: no files to index", 2)

    job = Job(folder, names, problems, options.workers, options.report)
    started = time.perf_counter()
    with StateManager(limits=LIMITS) as manager:
        flow = manager.workflow_state("folder-index")
        index_folder(flow, job)
        seconds = time.perf_counter() - started
        index = read_index(flow)
        if not options.quiet:
            print(f"Index of {folder} by {job.workers} branches in {seconds:.1f} s\n")
            print(summary(flow, index), end="\n\n")

    expected = count_in_turn(folder, *list_files(folder, options.limit))
    wrong = differences(index, expected)
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
    shown = sys.stderr.isatty() and not options.quiet
    options.report = show_progress if shown else lambda _: None
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
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(complain("interrupted", 130))
