import re
from typing import Final

import pytest

from tests.tidy.tree import text_lines

# Each pattern is written so that it does not find itself.
UNFINISHED: Final = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")
IGNORED: Final = re.compile(r"#\s*(type|pyright|mypy):\s*ignor[e]")
IGNORED_WELL: Final = re.compile(
    r"#\s*(type|pyright): ignor[e]\[[\w, -]+\]\s+#\s+\S+ \S+"
)
MACHINE_PATH: Final = re.compile(
    r"(?<![\w.~/-])(/(home|root|Users|work|workspace)/\w|[A-Z]:\\+Users\\)"
)
REGISTRY: Final = re.compile(
    r"index[-_]ur[l]|find[-_]link[s]|trusted[-_]hos[t]|pythonhoste[d]\.org"
    r"|pypi\.org/simpl[e]|registry\.npmj[s]",
    re.IGNORECASE,
)


def test_text_has_no_unfinished_work() -> None:
    """No tracked file holds a mark of unfinished work."""
    assert lines_with(UNFINISHED) == []


def test_text_names_no_machine() -> None:
    """No tracked file holds a path that exists on one machine only."""
    assert lines_with(MACHINE_PATH) == []


def test_text_names_no_registry() -> None:
    """No tracked file says where packages are to be fetched from."""
    assert lines_with(REGISTRY) == []


def test_ignored_types_have_reasons() -> None:
    """Every ignored type error names its code, then its reason after a second `#`."""
    found = lines_with(IGNORED, suffix=".py")
    assert [line for line in found if not IGNORED_WELL.search(line)] == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (UNFINISHED, "# TO" + "DO: later"),
        (UNFINISHED, "# FIX" + "ME"),
        (IGNORED, "x = 1  # type: " + "ignore"),
        (MACHINE_PATH, "open('/" + "home/someone/state.db')"),
        (MACHINE_PATH, "see /" + "root/notes"),
        (REGISTRY, "pip --index-" + "url x"),
        (REGISTRY, "https://files.pythonhost" + "ed.org/x"),
    ],
)
def test_patterns_find_a_planted_line(pattern: re.Pattern[str], line: str) -> None:
    """Each pattern finds what it is there for."""
    assert pattern.search(line)


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("x = f()  # type: " + "ignore[misc]  # Pykka's type says the same", True),
        ("x = f()  # type: " + "ignore[misc, arg-type]  # two words", True),
        ("x = f()  # type: " + "ignore[misc]", False),
        ("x = f()  # type: " + "ignore  # no code", False),
    ],
)
def test_ignored_types_are_told_apart(line: str, accepted: bool) -> None:
    """Only an ignored error with a code and a reason is accepted."""
    assert bool(IGNORED_WELL.search(line)) is accepted


def lines_with(pattern: re.Pattern[str], suffix: str = "") -> list[str]:
    """Return the lines of the tracked files in which `pattern` is found."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path, number, line in text_lines()
        if path.name.endswith(suffix) and pattern.search(line)
    ]
