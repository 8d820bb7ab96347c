"""How long things may be.

A rule that makes the code worse is broken with a reason: `LONGER` names what is longer,
how long it is and why. It is a ratchet: nothing in it may grow, what has become shorter
lowers its number, and what has become short enough leaves it.
"""

import ast
from typing import Final

import pytest

from tests.tidy.tree import EXAMPLES, LIBRARY, ROOT, TESTS, modules, parse

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60  # without the docstring

LONGER: Final[dict[str, tuple[int, str]]] = {}
"""From `path` or `path::function` to its lines and the reason."""


def test_modules_are_short() -> None:
    """No module has more lines than it may have."""
    found = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in modules(*LIBRARY, *TESTS, *EXAMPLES)
    }
    allowed = {name: why for name, why in LONGER.items() if "::" not in name}
    assert problems(found, MODULE_LINES, allowed) == []


def test_functions_are_short() -> None:
    """No function has more lines than it may have, its docstring left out."""
    found: dict[str, int] = {}
    for path in modules(*LIBRARY, *TESTS, *EXAMPLES):
        for name, lines in function_lines(parse(path)):
            full_name = f"{path}::{name}"
            found[full_name] = max(lines, found.get(full_name, 0))
    allowed = {name: why for name, why in LONGER.items() if "::" in name}
    assert problems(found, FUNCTION_LINES, allowed) == []


@pytest.mark.parametrize(
    ("lines", "allowed", "accepted"),
    [
        (10, {}, True),
        (11, {}, False),
        (12, {"a.py": (12, "a table")}, True),
        (13, {"a.py": (12, "a table")}, False),
        (11, {"a.py": (12, "a table")}, False),
        (12, {"a.py": (12, "")}, False),
        (10, {"a.py": (10, "a table")}, False),
        (10, {"b.py": (12, "a table")}, False),
    ],
)
def test_ratchet_holds_in_both_directions(
    lines: int, allowed: dict[str, tuple[int, str]], accepted: bool
) -> None:
    """An exception is exact, has a reason, and is there only while it is needed."""
    assert (problems({"a.py": lines}, 10, allowed) == []) is accepted


def problems(
    found: dict[str, int], limit: int, allowed: dict[str, tuple[int, str]]
) -> list[str]:
    """Return what is longer than `limit`, or not as `allowed` says it is."""
    too_long = [
        f"{name}: {lines} lines, at most {limit}"
        for name, lines in found.items()
        if lines > limit and name not in allowed
    ]
    stale = [
        f"{name}: {found.get(name, 0)} lines, and LONGER says {lines} for {reason!r}"
        for name, (lines, reason) in allowed.items()
        if not reason or lines <= limit or found.get(name, 0) != lines
    ]
    return too_long + stale


def function_lines(tree: ast.Module) -> list[tuple[str, int]]:
    """Return each function of one file with its number of lines."""
    return [
        (node.name, node.end_lineno - node.lineno + 1 - docstring_lines(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.end_lineno is not None
    ]


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines of a function are its docstring."""
    first = node.body[0]
    if ast.get_docstring(node) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1
