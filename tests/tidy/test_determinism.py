"""What makes a test depend on the hour, the load of the machine or on luck.

`time.monotonic` is no wall clock: tests with real threads bound their waiting by it. A
line that must break the rule says so at its end: `# tidy: reason`.
"""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import ROOT, TESTS, exempt_lines, modules

SLEEPS: Final = frozenset({"time.sleep", "asyncio.sleep"})
CLOCKS: Final = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.localtime",
        "time.gmtime",
        "time.ctime",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "datetime.date.today",
    }
)
CHANCE: Final = frozenset({"os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4"})
SEEDED: Final = frozenset({"random.Random", "random.seed"})
"""Repeatable when they are called with a seed."""


def test_tests_are_repeatable() -> None:
    """No test sleeps, asks the wall clock or draws without a seed."""
    found = [
        f"{path}:{line}: {name}"
        for path in modules(*TESTS)
        for line, name in violations((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("from time import sleep as nap\nnap(1)", "time.sleep"),
        ("import asyncio as aio\nawait aio.sleep(1)", "asyncio.sleep"),
        ("import time as t\nread = t.time", "time.time"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
        ("import random\nrandom.choice([1])", "random.choice"),
        ("import random\nrandom.Random()", "random.Random"),
        ("from random import SystemRandom\nSystemRandom()", "random.SystemRandom"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
    ],
)
def test_violations_are_found_in_any_spelling(source: str, name: str) -> None:
    """Each forbidden use is reported once, on its line."""
    assert list(violations(source)) == [(2, name)]


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.monotonic()",
        "import asyncio\nasyncio.sleep(0)",
        "import random\nrandom.Random(7)",
        "import random\ndef draw(r: random.Random) -> None: ...",
        "import time\ntime.sleep(1)  # tidy: the system clock is what is tested",
        "clock.time()\nstate.sleep()",
    ],
)
def test_violations_are_not_found_in_repeatable_code(source: str) -> None:
    """What is repeatable, or exempt for a reason, is not reported."""
    assert list(violations(source)) == []


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of each forbidden use in `source`."""
    tree, exempt = ast.parse(source), exempt_lines(source)
    origins = imported_names(tree)
    calls = {
        id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name | ast.Attribute) or node.lineno in exempt:
            continue
        name = full_name(node, origins)
        if name is not None and is_forbidden(name, calls.get(id(node))):
            yield node.lineno, name


def is_forbidden(name: str, call: ast.Call | None) -> bool:
    """Return whether a use of `name`, perhaps in `call`, is not repeatable."""
    if name == "asyncio.sleep" and call is not None:
        return not is_zero(call)  # sleep(0) only lets others run
    if name in SEEDED:
        return call is not None and not call.args
    module, dot, _ = name.partition(".")
    return name in SLEEPS | CLOCKS | CHANCE or (
        module in {"random", "secrets"} and bool(dot)
    )


def is_zero(call: ast.Call) -> bool:
    """Return whether the first argument of `call` is the constant 0."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and first.value == 0


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return the full name behind each name that `tree` imports."""
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                origins[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return origins


def full_name(node: ast.expr, origins: dict[str, str]) -> str | None:
    """Return the dotted name that `node` stands for, if it starts at an import."""
    if isinstance(node, ast.Name):
        return origins.get(node.id)
    if isinstance(node, ast.Attribute):
        before = full_name(node.value, origins)
        return before and f"{before}.{node.attr}"
    return None
