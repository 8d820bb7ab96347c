import ast
import re
from pathlib import Path
from typing import Final

from tests.tidy.tree import TESTS, modules, parse

NAME: Final = re.compile(r"test_[a-z0-9]+(_[a-z0-9]+)+")
SECOND_SENTENCE: Final = re.compile(r"[.!?]\s+[A-Z]")


def test_names_say_subject_and_claim() -> None:
    """Every test is called `test_<subject>_<claim>`, with a condition if it has one."""
    found = [
        f"{path}::{name}" for path, name, _ in claims() if not NAME.fullmatch(name)
    ]
    assert found == []


def test_docstrings_state_one_claim() -> None:
    """The docstring of every test is one sentence."""
    found = [
        f"{path}::{name}" for path, name, text in claims() if not is_sentence(text)
    ]
    assert found == []


def is_sentence(text: str) -> bool:
    """Return whether `text` is one paragraph with its only full stop at the end."""
    return (
        text.endswith(".") and "\n\n" not in text and not SECOND_SENTENCE.search(text)
    )


def claims() -> list[tuple[Path, str, str]]:
    """Return the file, the name and the docstring of every test."""
    return [
        (path, node.name, ast.get_docstring(node) or "")
        for path in modules(*TESTS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    ]
