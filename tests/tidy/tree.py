"""The files of this project, as the house rules see them."""

import ast
import re
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
LIBRARY: Final = ("actors", "api")
TESTS: Final = ("tests", "property_tests")
EXAMPLES: Final = ("benchmarks", "docs")
INSTALLED_AS: Final = {"api": "stateward", "actors": "stateward.actors"}

_EXEMPT: Final = re.compile(r"#\s*tidy:\s*\S")


def modules(*folders: str) -> list[Path]:
    """Return the Python files under `folders`, relative to the root and sorted."""
    return sorted(
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    )


def module_names() -> list[str]:
    """Return the names under which the modules of the library are imported."""
    names = [
        ".".join((INSTALLED_AS[path.parts[0]], *path.with_suffix("").parts[1:]))
        for path in modules(*LIBRARY)
        if path.name != "__main__.py"  # importing it would run it
    ]
    return sorted(name.removesuffix(".__init__") for name in names)


def packages() -> list[str]:
    """Return the names of the packages that are shipped."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["options"]["packages"].split()


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of one file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def exempt_lines(source: str) -> frozenset[int]:
    """Return the numbers of the lines that say `# tidy: reason` at their end."""
    lines = enumerate(source.splitlines(), start=1)
    return frozenset(number for number, line in lines if _EXEMPT.search(line))


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return every file that a commit of the working tree would hold."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
    try:
        listed = subprocess.run(
            [*command, "--exclude-standard"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the tracked files are known only in a git checkout")
    names = filter(None, listed.stdout.decode().split("\0"))
    return tuple(sorted(Path(name) for name in names if (ROOT / name).is_file()))


def text_lines() -> Iterator[tuple[Path, int, str]]:
    """Yield every line of every tracked text file, with its path and its number."""
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield path, number, line
