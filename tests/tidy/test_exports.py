import importlib
from collections import Counter

import pytest

from tests.tidy.tree import module_names


@pytest.mark.parametrize("module", module_names())
def test_exports_are_sorted(module: str) -> None:
    """`__all__` of every module is in the one order ruff knows, without repeats."""
    names = exported(module)
    assert names == sorted(names, key=order)
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("module", module_names())
def test_exports_can_be_imported(module: str) -> None:
    """Every name in `__all__` of a module is there."""
    found = importlib.import_module(module)
    assert [name for name in exported(module) if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", ["stateward", "stateward.testing"])
def test_exports_are_named_by_public_packages(module: str) -> None:
    """A package that promises compatibility says for which names."""
    assert exported(module) != []


def exported(module: str) -> list[str]:
    """Return `__all__` of `module`; the linter sees to it that a re-export is in it."""
    names: list[str] = getattr(importlib.import_module(module), "__all__", [])
    return names


def order(name: str) -> tuple[bool, bool, str]:
    """Return the place of `name`: CONSTANTS, then Classes, then functions."""
    return not name.isupper(), not name[:1].isupper(), name
