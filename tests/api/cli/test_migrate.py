"""`stateward migrate`: take all state in a store through migrations, or look first."""

import json
import signal
from pathlib import Path

import pytest

from stateward import MigrationError, StateManager
from stateward.actors.core.scopes import WorkflowScope
from stateward.cli.migrate import diff_lines
from stateward.migrations import Change, MigratedState
from stateward.offline import Preview
from tests.api.cli.processes import begun, beside, command, exported, fill, held, url
from tests.commands import invoke, publish

__all__ = ["url"]

ARGS = ("migrate", "--migrations", "shop:migrations", "--store")
DRY = ("migrate", "--migrations", "shop:migrations", "--dry-run", "--store")

HOLDING = """
import os
import threading


class Count:
    version = 1

    def migrate(self, state):
        if "STATEWARD_TEST_HOLD" in os.environ and state["n"] == 2:
            print("in the middle", flush=True)
            threading.Event().wait()
        state["times"] = state.get("times", 0) + 1


migrations = [Count()]
"""


class Rename:
    """Gives a key another name, and every step another one."""

    version = 1

    def migrate(self, state: MigratedState) -> None:
        """Do so."""
        print("renaming")
        state["number"] = state.pop("n")
        for name in state.steps():
            state.step(name)["rows"] = [3]
            state.step(name)["seen"] = True


class Picky:
    """Fails for one workflow."""

    version = 2

    def migrate(self, state: MigratedState) -> None:
        """Fail, or do nothing."""
        if state["number"] == 1:
            raise ValueError("not\nthis one")


@pytest.fixture
def shop(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a store to be migrated by `shop:migrations`."""
    fill(url)
    publish(monkeypatch, migrations=[Rename()], all=[Rename(), Picky()], none=())
    return url


def test_migrate_takes_everything_through(shop: str) -> None:
    """Global state counts as well, and run again there is nothing left to do."""
    done = invoke(None, *ARGS, shop)
    assert (done.exit_code, done.stdout) == (0, "migrated 4, failed 0\n")
    assert done.stderr == "renaming\n" * 3
    with StateManager(shop, migrations=None) as manager:
        for number in range(3):
            assert dict(manager.workflow_state(f"w{number}")) == {"number": number}
        assert dict(manager.step_state("w0", "load")) == {"rows": [3], "seen": True}
    then = exported(shop)
    done = invoke(None, *ARGS, shop, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"migrated": 0, "failed": []}
    assert exported(shop) == then


def test_migrate_names_what_fails_and_goes_on(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are migrated, the exit code is 1, and mended it does the rest."""
    args = ("migrate", "--migrations", "shop:all", "--store", shop)
    done = invoke(None, *args)
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "migrated 3, failed 1",
        f"  workflow:w1: migration 2 of {WorkflowScope('w1')} failed: "
        + repr(ValueError("not\nthis one")),
    ]
    with StateManager(shop, migrations=None) as manager:
        assert dict(manager.workflow_state("w1")) == {"n": 1}
        assert dict(manager.workflow_state("w2")) == {"number": 2}
    done = invoke(None, *args, "--json")
    assert done.exit_code == 1
    (failed,) = json.loads(done.stdout)["failed"]
    assert failed["scope"] == "workflow:w1"
    assert "this one" in failed["error"]
    monkeypatch.setattr(Picky, "migrate", lambda _, state: state.update(ok=True))
    done = invoke(None, *args)
    assert (done.exit_code, done.stdout) == (0, "migrated 1, failed 0\n")
    with StateManager(shop, migrations=None) as manager:
        assert dict(manager.workflow_state("w1")) == {"number": 1, "ok": True}


def test_dry_run_prints_a_diff_and_changes_nothing(shop: str) -> None:
    """What goes and what comes stands below its scope, also while the store is open."""
    then = exported(shop)
    with StateManager(shop, migrations=None):
        done = invoke(None, *DRY, shop)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "workflow:w0",
        "- n = 0",
        "+ number = 0",
        "workflow:w0:step:load",
        "- rows = [1, 2.0]",
        "+ rows = [3]",
        "+ seen = true",
        "workflow:w1",
        "- n = 1",
        "+ number = 1",
        "workflow:w2",
        "- n = 2",
        "+ number = 2",
    ]
    assert done.stderr == "renaming\n" * 3
    assert exported(shop) == then


def test_dry_run_tells_what_would_fail(shop: str) -> None:
    """The workflow is named with the reason, and the exit code is 1."""
    then = exported(shop)
    args = ("migrate", "--migrations", "shop:all", "--dry-run", "--store", shop)
    done = invoke(None, *args)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    place = lines.index("workflow:w1")
    assert lines[place + 1].startswith("! migration 2 of ")
    assert lines[place + 2] == "workflow:w2"
    done = invoke(None, *args, "--json")
    assert done.exit_code == 1
    found = {each["scope"]: each for each in json.loads(done.stdout)}
    assert sorted(found) == ["global", "workflow:w0", "workflow:w1", "workflow:w2"]
    assert "this one" in found["workflow:w1"]["error"]
    assert found["workflow:w1"]["changes"] == []
    assert found["workflow:w2"] == {
        "scope": "workflow:w2",
        "changes": [
            {
                "scope": "workflow:w2",
                "key": "n",
                "kind": "removed",
                "before": 2,
                "after": None,
            },
            {
                "scope": "workflow:w2",
                "key": "number",
                "kind": "added",
                "before": None,
                "after": 2,
            },
        ],
        "error": None,
    }
    assert exported(shop) == then


def test_dry_run_with_nothing_to_do_is_an_empty_list(shop: str) -> None:
    """As JSON it is a list of nothing, for people it is no line."""
    args = ("migrate", "--migrations", "shop:none", "--dry-run", "--store", shop)
    done = invoke(None, *args, "--json")
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    assert invoke(None, *args).stdout == ""


def test_diff_cannot_steer_a_terminal() -> None:
    """What a workflow, a key or an error is called is escaped, as everywhere."""
    scope = WorkflowScope("a\x1b[2J")
    error = MigrationError("no\x1b[2J", scope=scope, version=1)
    change = Change(scope=scope, key="k\x1b", before=None, after=1, kind="added")
    preview = Preview(scope=scope, changes=(change,), error=error)
    title, line, again, diff = diff_lines([preview])
    assert "workflow:a\\x1b[2J" in title == again
    assert "! no\\x1b[2J" in line
    assert "+ k\\x1b = 1" in diff


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such:migrations", "there is no module 'no_such'"),
        ("shop:other", "'shop' has no 'other'; its lists are migrations, all, none"),
        ("shop:migrations.append", "gives no migrations: TypeError"),
        ("sys:path", "is no migration: its version is None"),
    ],
)
def test_migrate_without_migrations_exits_with_two(
    target: str, message: str, dry: tuple[str, ...], shop: str
) -> None:
    """One line says what is wrong, and nothing is changed."""
    then = exported(shop)
    done = invoke(None, "migrate", "--migrations", target, *dry, "--store", shop)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert exported(shop) == then


def test_migrate_of_a_newer_store_is_refused(shop: str) -> None:
    """A store that has been further is not taken back; the exit code is 1."""
    args = ("migrate", "--migrations", "shop:none", "--store", shop)
    assert invoke(None, *ARGS, shop).exit_code == 0
    then = exported(shop)
    for dry in ((), ("--dry-run",)):
        done = invoke(None, *args, *dry)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "has been through migration 1" in done.stderr
    assert exported(shop) == then


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_migrate_goes_on_after_it_was_stopped(
    number: signal.Signals, code: int, url: str, tmp_path: Path
) -> None:
    """Stopped in the middle and run again, everything has been through exactly once."""
    fill(url, count=5)
    path = tmp_path / "shop.py"
    path.write_text(HOLDING, encoding="utf-8")
    args = ("migrate", "--migrations", f"{path}:migrations", "--store", url)
    with begun(*args, line="in the middle\n", STATEWARD_TEST_HOLD="1") as process:
        process.send_signal(number)
        assert process.stdout is not None
        told = process.stdout.read()
    assert process.returncode == code, told
    assert "Traceback" not in told
    with StateManager(url, migrations=None) as manager:
        times = [manager.workflow_state(f"w{n}").get("times") for n in range(5)]
    assert times == [1, 1, None, None, None]
    done = command(*args, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"migrated": 3, "failed": []}
    with StateManager(url, migrations=None) as manager:
        times = [manager.workflow_state(f"w{n}").get("times") for n in range(5)]
        assert manager.check() == []
    assert times == [1] * 5


@pytest.mark.slow
def test_migrate_of_a_store_that_another_process_has_open(shop: str) -> None:
    """The process is named and nothing is changed; a dry run goes on."""
    then = exported(shop)
    with held(shop) as pid:
        done = invoke(None, *ARGS, shop)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Error: process {pid} has ")
        assert invoke(None, *DRY, shop).exit_code == 0
    assert exported(shop) == then


def test_migrate_of_a_mistyped_store_makes_none(shop: str, tmp_path: Path) -> None:
    """What is not there is told, and is not there afterwards."""
    before = sorted(tmp_path.iterdir())
    done = invoke(None, *ARGS, beside(shop, "mistyped"))
    assert done.exit_code == 1
    assert "there is no store at" in done.stderr
    assert sorted(tmp_path.iterdir()) == before
