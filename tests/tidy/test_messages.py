"""What passes between threads does not change on its way.

Holds for every dataclass of `actors/core` and `api`. One that must differ says why at
the end of its decorator's line: `# tidy: reason`.
"""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import ROOT, exempt_lines, modules

POSITIONAL_FIELDS: Final = 2
MUTABLE: Final = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict"})

GOOD: Final = "@dataclass(frozen=True, slots=True)\nclass A:\n    x: int\n"


def test_messages_are_immutable() -> None:
    """Every dataclass of the core and of the public face is a frozen value."""
    found = [
        f"{path}:{line}: {problem}"
        for path in modules("actors/core", "api")
        for line, problem in violations((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (GOOD, None),
        (GOOD + "    y: ClassVar[dict[str, int]] = {}\n", None),
        (GOOD.replace("True)", "True)  # tidy: built once"), None),
        (GOOD.replace("frozen=True, ", ""), "A is not frozen"),
        (GOOD.replace("slots=True", "eq=False"), "A is not slots"),
        ("@dataclass\nclass A:\n    pass\n", "A is not frozen, slots"),
        (GOOD + "    y: int\n    z: int\n", "A is not kw_only"),
        (GOOD.replace("int", "tuple[list[int], ...]"), "A.x is mutable"),
    ],
)
def test_violations_are_found_in_each_rule(source: str, problem: str | None) -> None:
    """Each way of being changeable is reported, and nothing else."""
    assert [found for _, found in violations(source)] == [problem] * bool(problem)


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the problem of each dataclass that could change."""
    exempt = exempt_lines(source)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not ast.unparse(called).endswith("dataclass"):
                continue
            if decorator.lineno not in exempt:
                yield from class_problems(node, decorator)


def class_problems(
    node: ast.ClassDef, decorator: ast.expr
) -> Iterator[tuple[int, str]]:
    """Yield the line and the problem of each part of one dataclass."""
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    given = {word.arg for word in keywords if ast.unparse(word.value) == "True"}
    fields = [
        item
        for item in node.body
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item)
    ]
    wanted = ["frozen", "slots", *["kw_only"] * (len(fields) > POSITIONAL_FIELDS)]
    if missing := [word for word in wanted if word not in given]:
        yield decorator.lineno, f"{node.name} is not {', '.join(missing)}"
    for field in fields:
        names = {
            part.id for part in ast.walk(field.annotation) if isinstance(part, ast.Name)
        }
        if names & MUTABLE:
            yield field.lineno, f"{node.name}.{ast.unparse(field.target)} is mutable"
