"""Where the commands find state: the option, the variable, and stores of a host."""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

import click
import pytest

from stateward import ClosedError, InvalidStoreError, StateManager
from stateward.actors.core.ports import IN_MEMORY
from stateward.cli.keys import KEY
from stateward.cli.stores import Stores, stores_of
from tests.api.cli.processes import SCHEMES, command, exported, fill
from tests.commands import Shared, invoke, publish
from tests.support import refused


class Noted(Shared):
    """Stores that note which URLs are opened."""

    def __init__(self, manager: StateManager) -> None:
        """Begin with none."""
        super().__init__(manager)
        self.urls: list[str] = []

    def open(self, url: str) -> AbstractContextManager[StateManager]:
        """Note the URL."""
        self.urls.append(url)
        return super().open(url)


@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("state", "show", "global"),
        ("state", "keys", "global"),
        ("state", "get", "global", "k"),
        ("state", "set", "global", "k", "1"),
        ("state", "delete", "global", "k"),
        ("migrate", "--migrations", "shop:migrations"),
        ("backup", "a"),
        ("restore", "memory://", "sqlite:///a"),
        ("copy", "memory://", "sqlite:///a"),
        ("export",),
        ("check",),
        ("compact",),
        ("stats",),
        ("rotate-key", "--key-file", "{key}", "--new-key-file", "{key}"),
    ],
)
def test_store_that_keeps_nothing_is_refused(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On memory:// there would never be anything to see, which the message says."""
    publish(monkeypatch, migrations=[])
    (tmp_path / "key").write_bytes(bytes(32))
    done = invoke(None, *(part.format(key=tmp_path / "key") for part in command))
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: memory:// keeps nothing between commands")
    assert "--store or STATEWARD_STORE" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("command", [("runs",), ("state", "keys", "global")])
def test_store_of_unknown_scheme_is_refused(command: tuple[str, ...]) -> None:
    """The message names the URL and the schemes there are."""
    done = invoke(None, *command, "--store", "nosuch://here")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: no store for 'nosuch://here'")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "command",
    [
        ("runs", "--store", "{long}"),
        ("check", "--store", "{long}"),
        ("stats", "--store", "{long}"),
        ("import", "{file}", "--store", "{long}"),
        ("restore", "{url}", "{long}"),
        ("copy", "{url}", "{long}"),
        ("backup", "{name}", "--store", "{url}"),
        ("export", "{name}", "--store", "{url}"),
        ("export", "/", "--store", "{url}"),
    ],
)
def test_name_that_no_file_can_have_is_refused_in_one_line(
    command: tuple[str, ...], scheme: str, tmp_path: Path
) -> None:
    """No command ends in a traceback, nor leaves anything."""
    url, name = f"{scheme}:///{tmp_path}/state", f"{tmp_path}/{'n' * 300}"
    fill(url)
    (tmp_path / "file").write_bytes(exported(url))
    there = sorted(tmp_path.iterdir())
    texts = {
        "url": url,
        "name": name,
        "long": f"{scheme}:///{name}",
        "file": str(tmp_path / "file"),
    }
    done = invoke(None, *(part.format(**texts) for part in command))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert [it for it in sorted(tmp_path.iterdir()) if it not in there] == []


def test_store_option_goes_before_the_variable(manager: StateManager) -> None:
    """STATEWARD_STORE names the store unless `--store` does."""
    stores = Noted(manager)
    env: dict[str, str | None] = {"STATEWARD_STORE": "from://variable"}
    assert invoke(stores, "runs", env=env).exit_code == 0
    assert invoke(stores, "runs", "--store", "by://hand", env=env).exit_code == 0
    assert invoke(stores, "runs").exit_code == 0
    assert stores.urls == ["from://variable", "by://hand", IN_MEMORY]


def test_stores_close_the_manager_they_open() -> None:
    """A manager lives as long as the block, and no longer."""
    with Stores().open(IN_MEMORY) as manager:
        manager.global_state()["k"] = 1
    with pytest.raises(ClosedError):
        manager.global_state().get("k")


def test_stores_refuse_to_open_memory_as_kept() -> None:
    """The error carries the URL for programs."""
    with refused(InvalidStoreError, url=IN_MEMORY):
        Stores().open_kept(IN_MEMORY)


def test_stores_are_those_of_the_context_if_it_has_any(manager: StateManager) -> None:
    """A host that gives none gets the stores there are."""
    command = click.Command("c")
    with stores_of(click.Context(command, obj=Shared(manager))).open("any") as found:
        assert found is manager
    assert type(stores_of(click.Context(command))) is Stores


def test_stores_of_a_host_are_told_key_and_migrations(manager: StateManager) -> None:
    """A key on the command line goes before the host's own, which stays as it is."""
    given = Shared(manager)
    given.key = b"h" * 32
    context = click.Context(click.Command("c"), obj=given)
    assert stores_of(context).key == b"h" * 32
    assert stores_of(context).migrations is None
    context.meta[KEY] = b"c" * 32
    found = stores_of(context, migrations=[])
    assert (found.key, found.migrations) == (b"c" * 32, [])
    assert (given.key, given.migrations) == (b"h" * 32, None)


FLOWS = """
from stateward.workflows import Sequential, step


@step(name="count", atomic=True)
def count(ctx):
    return ctx.state.increment("n", ctx.input)


@step(name="check")
def check(ctx):
    if "open" not in ctx.state:
        raise OSError("not open")
    return ctx.outputs["count"]


flow = Sequential("f", count, check)
"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_commands_share_a_store_from_process_to_process(
    tmp_path: Path, scheme: str
) -> None:
    """A run that failed is listed, its state is mended by hand, and it continues."""
    flows = tmp_path / "flows.py"
    flows.write_text(FLOWS, encoding="utf-8")
    store = ("--store", f"{scheme}:///{tmp_path}/state")
    run = ("run", f"{flows}:flow", "--id", "w", *store, "--json")
    done = command(*run, "--input", "5")
    assert done.returncode == 4, done.stderr
    done = command("runs", *store, "--json")
    (listed,) = json.loads(done.stdout)
    assert (listed["workflow_id"], listed["status"]) == ("w", "failed")
    assert listed["steps"] == {"completed": 1, "failed": 1}
    done = command("state", "set", "workflow:w", "open", "true", *store)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = command(*run)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == 5
    done = command("state", "show", "workflow:w", *store, "--json")
    assert json.loads(done.stdout) == {"n": 5, "open": True}


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_state_commands_work_on_stores(tmp_path: Path, scheme: str) -> None:
    """Each command opens the store, and finds what the one before it wrote."""
    store = ("--store", f"{scheme}:///{tmp_path}/state")
    assert invoke(None, "state", "set", "global", "a", "[1]", *store).exit_code == 0
    assert invoke(None, "state", "set", "step:w/s", "b", "-2", *store).exit_code == 0
    assert invoke(None, "state", "get", "global", "a", *store).stdout == "[1]\n"
    assert invoke(None, "state", "keys", "step:w/s", *store).stdout == "b\n"
    done = invoke(None, "state", "delete", "global", "a", "c", *store)
    assert (done.exit_code, done.stdout) == (1, "deleted 1 of 2\n")
    assert invoke(None, "state", "get", "global", "a", *store).exit_code == 1
    done = invoke(None, "state", "show", "step:w/s", "--json", *store)
    assert done.stdout == '{"b": -2}\n'
    done = invoke(None, "runs", "--json", *store)
    assert (done.exit_code, done.stdout) == (0, "[]\n")


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
@pytest.mark.parametrize(
    "command",
    [("runs",), ("state", "keys", "global"), ("state", "set", "global", "k", "1")],
)
def test_store_that_is_locked_is_told_in_one_line(
    tmp_path: Path, scheme: str, command: tuple[str, ...]
) -> None:
    """The line names the process that has it open; the exit code is 1."""
    url = f"{scheme}:///{tmp_path}/state"
    with StateManager(url) as manager:
        done = invoke(None, *command, "--store", url)
        assert dict(manager.global_state()) == {}
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: process {os.getpid()} (this one) has ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("state", "show", "global"),
        ("state", "keys", "global"),
        ("state", "get", "global", "k"),
        ("state", "delete", "global", "k"),
        ("migrate", "--migrations", "shop:migrations"),
        ("migrate", "--migrations", "shop:migrations", "--dry-run"),
        ("backup", "backup"),
        ("export",),
        ("export", "file"),
        ("check",),
        ("compact",),
        ("stats",),
    ],
)
def test_store_that_is_not_there_is_not_made_to_be_read(
    tmp_path: Path,
    scheme: str,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistyped URL is told, and leaves nothing behind."""
    publish(monkeypatch, migrations=[])
    monkeypatch.chdir(tmp_path)
    url = f"{scheme}:///{tmp_path}/state"
    done = invoke(None, *command, "--store", url)
    assert done.exit_code == 1
    assert done.stderr == f"Error: there is no store at {url}\n"
    assert list(tmp_path.iterdir()) == []
