"""The examples in docstrings are run as they stand."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import stateward

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(stateward.__path__, "stateward.")
    if not info.name.endswith("__main__")  # importing it would run it
)


@pytest.mark.parametrize("name", ["stateward", *MODULES])
def test_docstring_examples_do_what_they_show(name: str) -> None:
    """Every `>>>` in a docstring gives the result that is printed under it."""
    module = import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_docstring_examples_are_found() -> None:
    """The test above has something to run: the public classes show examples."""
    examples = sum(
        len(test.examples)
        for name in MODULES
        for test in doctest.DocTestFinder().find(import_module(name))
    )
    assert examples > 20
