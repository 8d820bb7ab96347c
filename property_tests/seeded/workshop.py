"""The workshop: copies of the tree, and what the checks say of a broken one.

What runs in a copy imports the engine from that copy: `stateward` is a link in a folder
that stands before all installed packages. Each run asks which file was imported, since
a bug in a file that nobody loads is found by nothing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from property_tests.seeded.bug import Bug, StaleBugError

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("actors", "api", "tests", "property_tests", "docs")
FILES: Final = ("conftest.py", "pyproject.toml", "setup.cfg", "stateward_pytest.py")
LINKS: Final = "links"
"""The folder of a copy that stands first on its path."""
SEED: Final = 0
"""Of Hypothesis, so that the table can be repeated."""
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?::.+?)(?: - |$)", re.MULTILINE)
WHERE: Final = """
import importlib, sys
print(importlib.import_module(sys.argv[1]).__file__)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the checks said."""

    finder: str | None = None
    """Node id of the test that failed first; `None` if none did."""
    seconds: float = 0.0
    """From the start of the checks to their end, or that of the first that failed."""
    trouble: str = ""
    """Why this is no answer: the bug does not apply, or the checks did not run."""


def make_copy(target: Path) -> None:
    """Copy the tree to `target`, without what was made from it."""
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis", "*.egg-info")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=ignored)
    for file in FILES:
        shutil.copy2(ROOT / file, target / file)
    links = target / LINKS
    links.mkdir()
    (target / "api" / "actors").symlink_to(Path("..", "actors"))
    (links / "stateward").symlink_to(Path("..", "api"))
    (links / "stateward_pytest.py").symlink_to(Path("..", "stateward_pytest.py"))


def run_checks(tree: Path, checks: Sequence[str], *, timeout: float) -> Outcome:
    """Run `checks` in the copy at `tree`, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=short"]
    command += ["-p", "no:cacheprovider", f"--hypothesis-seed={SEED}", *checks]
    begun = time.monotonic()
    code, output = run(command, tree, timeout=timeout)
    seconds = time.monotonic() - begun
    failed = FAILED.search(output)
    finder, trouble = failed[1] if failed else None, ""
    if code is None:
        trouble = f"no end within {timeout:g} s"
    elif code != (finder is not None):
        # Nothing was collected, say; 1 means that tests ran, and some failed.
        trouble = f"pytest: {code}: {' | '.join(output.strip().splitlines()[-6:])}"
    return Outcome(finder=None if trouble else finder, seconds=seconds, trouble=trouble)


def try_bug(bug: Bug, pristine: Path, target: Path, *, timeout: float) -> Outcome:
    """Say whether the checks of `bug` find it in a copy of the tree at `pristine`."""
    shutil.copytree(pristine, target, symlinks=True)
    try:
        path = bug.apply(target)
        # A cache is told apart by seconds and size, which may be the same.
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
        check_imported(bug, target)
        return run_checks(target, bug.checks, timeout=timeout)
    except StaleBugError as error:
        return Outcome(trouble=str(error))
    finally:
        shutil.rmtree(target)


def check_imported(bug: Bug, tree: Path) -> None:
    """Raise `StaleBugError` unless the file that was changed is what is imported."""
    command = [sys.executable, "-c", WHERE, bug.module]
    code, output = run(command, tree, timeout=60)
    lines = output.strip().splitlines() or [""]
    if code != 0:
        raise StaleBugError(f"{bug.name}: {bug.module} does not load: {lines[-1]}")
    if Path(lines[-1]).resolve() != (tree / bug.file).resolve():
        raise StaleBugError(f"{bug.name}: {lines[-1]} was imported")


def run(
    command: Sequence[str], tree: Path, *, timeout: float
) -> tuple[int | None, str]:
    """Run `command` in a copy; return its exit code, `None` if it did not end."""
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment(tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


def environment(tree: Path) -> dict[str, str]:
    """Return the variables a copy runs with: ours, but for what steers these tests."""
    # Whoever runs this may be pytest itself, with a coverage of its own.
    ours = ("PYTEST_", "COV_", "COVERAGE_", "STATEWARD_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "PYTHONPATH": str(tree / LINKS), "STATEWARD_PROFILE": "ci"}
