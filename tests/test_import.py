import re
import subprocess
import sys
from pathlib import Path
from typing import Final

IMPORT_MILLISECONDS: Final = 150
ROUNDS: Final = 7
NEEDED: Final = frozenset({"stateward", "pykka", "orjson"})
HEAVY: Final = frozenset({"sqlite3", "unittest", "multiprocessing", "xml"})
"""Parts of the standard library that only an optional feature may load."""

LOADED: Final = """
import sys
before = set(sys.modules)
import stateward
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
print(*sys.modules)
"""


def test_import_loads_no_optional_package(tmp_path: Path) -> None:
    """Importing the library loads its two requirements and nothing optional."""
    packages, names = python(tmp_path, "-c", LOADED).stdout.splitlines()
    loaded = set(packages.split())
    assert sorted(loaded - NEEDED - sys.stdlib_module_names) == []
    assert sorted(loaded & HEAVY) == []
    assert "stateward.testing" not in names.split()


def test_import_is_quick(tmp_path: Path) -> None:
    """The best of a few imports in a fresh interpreter takes under 150 ms."""
    pattern = re.compile(r"\| +(\d+) \| stateward$", re.MULTILINE)
    rounds = [
        python(tmp_path, "-X", "importtime", "-c", "import stateward").stderr
        for _ in range(ROUNDS)
    ]
    microseconds = [int(pattern.findall(report)[-1]) for report in rounds]
    assert min(microseconds) / 1000 < IMPORT_MILLISECONDS, microseconds


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, shut off from its surroundings, in `folder`."""
    return subprocess.run(
        [sys.executable, "-I", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
