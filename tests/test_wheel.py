import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = (
    "actors",
    "api",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
    "stateward_pytest.py",
)

SMOKE: Final = """
import importlib.metadata, pathlib, stateward
assert pathlib.Path(stateward.__file__).is_relative_to(pathlib.Path({site!r}))
assert importlib.metadata.version("stateward") == {version!r}
with stateward.StateManager() as manager:
    state = manager.workflow_state("order-123")
    state.set("retries", 3)
    print(state.increment("retries"), state["retries"])
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: a build leaves files behind, and takes old ones."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    built = source / "dist"
    run("-m", "build", "--no-isolation", "--wheel", "--outdir", built, source)
    [path] = built.glob("*.whl")
    return path


def test_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    """The wheel holds each module and type marker of the tree, and its own metadata."""
    shipped = set(zipfile.ZipFile(wheel).namelist())
    metadata = {
        name for name in shipped if re.match(r"stateward-[^/]+\.dist-info/", name)
    }
    assert shipped - metadata == {
        shipped_as(path.relative_to(ROOT))
        for folder in ("actors", "api")
        for path in (ROOT / folder).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    } | {"stateward_pytest.py"}
    assert "stateward/py.typed" in shipped
    assert plugins_of(wheel) == "[pytest11]\nstateward = stateward_pytest"
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_wheel_works_with_only_what_it_requires(wheel: Path, tmp_path: Path) -> None:
    """Beside its declared requirements alone, the installed library keeps a value."""
    version = wheel.name.split("-")[1]
    site = empty_environment(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = ("-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    copy_requirements("stateward", site)
    run(*pip, "check")
    empty = tmp_path / "empty"
    empty.mkdir()
    smoke = SMOKE.format(site=str(site), version=version)
    done = run("-I", "-W", "error", "-c", smoke, python=python, cwd=empty)
    assert done.stdout.split() == ["4", "4"]
    assert list(empty.iterdir()) == []


def plugins_of(wheel: Path) -> str:
    """Return what the wheel says of plugins of pytest."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (
            name for name in archive.namelist() if name.endswith("/entry_points.txt")
        )
        sections = archive.read(name).decode().strip().split("\n\n")
    (found,) = (section for section in sections if section.startswith("[pytest11]"))
    return found


def shipped_as(path: Path) -> str:
    """Return where a file of the tree stands in the wheel."""
    root = {"api": "stateward", "actors": "stateward/actors"}[path.parts[0]]
    return "/".join((root, *path.parts[1:]))


def empty_environment(folder: Path) -> Path:
    """Make an environment without a single package; return where they would go."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    return site


def copy_requirements(name: str, site: Path) -> None:
    """Copy what `name` requires, and what that requires, from this environment.

    An index would do too, but then the tests would need a network.
    """
    for requirement in distribution(name).requires or []:
        if "extra ==" in requirement:
            continue
        required = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        copy_files(distribution(required), site)
        copy_requirements(required, site)


def copy_files(package: Distribution, site: Path) -> None:
    """Copy the files of one installed package."""
    for file in package.files or []:
        target = site / file
        if target.resolve().is_relative_to(site.resolve()):  # and no scripts
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)


def run(
    *arguments: str | Path, python: Path = Path(sys.executable), cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter; fail with all it said if it fails."""
    done = subprocess.run(
        [python, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done
