from pathlib import Path
from typing import Final

from tests.tidy.tree import INSTALLED_AS, LIBRARY, ROOT, modules, packages

UNMIRRORED: Final = ("__init__.py", "__main__.py")


def test_modules_have_mirrors() -> None:
    """Every module of the library has its test file at the same path under `tests`."""
    missing = [
        f"{path}: no {mirror_of(path)}"
        for path in modules(*LIBRARY)
        if path.name not in UNMIRRORED
        if not (ROOT / mirror_of(path)).is_file()
    ]
    assert missing == []


def test_mirrors_have_modules() -> None:
    """Every test file under `tests/actors` and `tests/api` has its module."""
    expected = {mirror_of(path) for path in modules(*LIBRARY)}
    orphans = [
        str(path)
        for path in modules(*(f"tests/{folder}" for folder in LIBRARY))
        if path.name.startswith("test_") and path not in expected
    ]
    assert orphans == []


def test_packages_are_shipped_when_they_hold_modules() -> None:
    """`setup.cfg` lists exactly the folders of the library that hold modules."""
    present = {
        ".".join((INSTALLED_AS[path.parts[0]], *path.parent.parts[1:]))
        for path in modules(*LIBRARY)
    }
    assert sorted(packages()) == sorted(present)


def test_packages_have_charters() -> None:
    """Every folder of the library that holds modules has an `__init__.py`."""
    missing = [
        str(folder)
        for folder in sorted({path.parent for path in modules(*LIBRARY)})
        if not (ROOT / folder / "__init__.py").is_file()
    ]
    assert missing == []


def mirror_of(module: Path) -> Path:
    """Return where the tests of `module` are."""
    return Path("tests", module.parent, f"test_{module.name}")
