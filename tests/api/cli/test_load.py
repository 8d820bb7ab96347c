import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stateward.actors.core.errors import UsageError
from stateward.cli.load import find_flow, find_migrations
from stateward.workflows import Sequential, Step

SOURCE = """
from stateward.workflows import Sequential, step

@step
def load(ctx):
    return 1

class flows:
    inner = Sequential("inner", load)

checkout = Sequential("checkout", load)
number = 7


class First:
    version = 1

    def migrate(self, state):
        state["first"] = True


migrations = [First()]
twice = (First(), First())


def made():
    return tuple(migrations)


def failing():
    raise ValueError("not\\ntoday")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Go to a folder with a module of flows; forget what was imported from it."""
    (tmp_path / "cli_shop.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("place", ["cli_shop", "cli_shop.py", "./cli_shop.py"])
@pytest.mark.usefixtures("folder")
def test_flow_is_found_in_a_module_or_a_file(place: str) -> None:
    """A module is looked for in the current folder, and a file where it lies."""
    flow = find_flow(f"{place}:checkout")
    assert isinstance(flow, Sequential)
    assert flow.name == "checkout"


@pytest.mark.usefixtures("folder")
def test_flow_may_be_a_step_or_an_attribute() -> None:
    """A single step is a flow, and dots lead into a class or a module."""
    assert isinstance(find_flow("cli_shop:load"), Step)
    assert find_flow("cli_shop:flows.inner").name == "inner"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cli_shop", "write MODULE:FLOW or FILE.py:FLOW"),
        (":checkout", "write MODULE:FLOW or FILE.py:FLOW"),
        ("no_such.module:a", "there is no module 'no_such'"),
        ("no_such.py:a", r"there is no file 'no_such\.py'"),
        ("cli_shop:pay", "its flows are load, checkout$"),
        ("json:pay", "it has no flow$"),
        ("cli_shop:number", "is not a flow: "),
    ],
)
@pytest.mark.usefixtures("folder")
def test_flow_that_is_not_there_is_refused(target: str, message: str) -> None:
    """The message says in one line what is missing and what there is."""
    with pytest.raises(UsageError, match=message) as caught:
        find_flow(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_thing", "ModuleNotFoundError"),
        ("\n1 / 0", r"ZeroDivisionError: .* \(cli_bad\.py, line 2\)$"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
    ids=["import", "exception", "syntax", "exit"],
)
@pytest.mark.parametrize("place", ["cli_bad", "cli_bad.py"])
def test_module_that_fails_is_refused(
    place: str, source: str, message: str, folder: Path
) -> None:
    """A module that cannot be imported is told from one that is not there."""
    (folder / "cli_bad.py").write_text(source, encoding="utf-8")
    with pytest.raises(UsageError, match=f"cannot be imported: {message}"):
        find_flow(f"{place}:flow")
    assert "cli_bad" not in sys.modules


def test_file_does_not_replace_a_module(folder: Path) -> None:
    """A file called as a module that is loaded is imported under another name."""
    json = sys.modules["json"]
    (folder / "json.py").write_text(SOURCE, encoding="utf-8")
    assert find_flow("json.py:checkout").name == "checkout"
    assert sys.modules["json"] is json


@pytest.mark.parametrize("name", ["migrations", "made"])
@pytest.mark.usefixtures("folder")
def test_migrations_are_a_list_or_what_returns_one(name: str) -> None:
    """Either is found where a flow is, and a tuple is as good as a list."""
    (migration,) = find_migrations(f"cli_shop:{name}")
    assert migration.version == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cli_shop", "does not name migrations; write MODULE:NAME or FILE.py:NAME"),
        ("no_such:a", "there is no module 'no_such'"),
        ("no_such.py:a", r"there is no file 'no_such\.py'"),
        ("cli_shop:pay", "'cli_shop' has no 'pay'; its lists are migrations, twice$"),
        ("signal:pay", "'signal' has no 'pay'; it has no list$"),
        ("cli_shop:number", "'cli_shop:number' is a int, not a list of migrations$"),
        ("cli_shop:First", "'cli_shop:First' is a First, not a list of migrations$"),
        ("cli_shop:twice", "there are two migrations 1$"),
        (
            "cli_shop:failing",
            r"gives no migrations: ValueError: not today \(cli_shop\.py, line \d+\)$",
        ),
        ("sys:path", " is no migration: "),
    ],
)
@pytest.mark.usefixtures("folder")
def test_migrations_that_are_not_there_are_refused(target: str, message: str) -> None:
    """The message says in one line what is missing or what it is instead."""
    with pytest.raises(UsageError, match=message) as caught:
        find_migrations(target)
    assert "\n" not in str(caught.value)
