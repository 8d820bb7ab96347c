"""Text files: which are in a folder, what one holds, and how that is shown.

What `folder_index` needs that has nothing to do with state.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path, PurePath
from typing import Any, Final, Literal

from stateward import JsonValue

LEFT_OUT: Final = frozenset({"__pycache__", "dist-packages", "site-packages"})
"""Folders nobody wants to have indexed, besides those whose name begins with a dot."""
BINARY_BYTES: Final = 8192
"""How much of a file is searched for a zero byte, which no text has."""
TABLE_ROWS: Final = 10

Problem = list[JsonValue]
"""A path that cannot be indexed, and why."""


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
