"""The command itself: help, errors in one line, and what happens without its extra."""

import errno
import os
import re
import runpy
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import pytest

from stateward import StateManager, cli
from stateward.cli.commands import stateward
from stateward.cli.stores import Stores
from tests.api.cli.processes import fill
from tests.commands import invoke
from tests.threads import WAIT, run_script

WITHOUT = """
import sys
sys.modules[{name!r}] = None
sys.stderr = sys.stdout
from stateward.cli import main
try:
    main()
except SystemExit as error:
    print(error.code)
"""


class Pressed(Stores):
    """Stores at which somebody sends a signal."""

    def __init__(self, number: signal.Signals) -> None:
        """Take the signal."""
        self._number = number

    def open(self, url: str) -> AbstractContextManager[StateManager]:
        """Be interrupted."""
        # Or a defect would end the tests and not fail one.
        assert signal.getsignal(self._number) is not signal.SIG_DFL
        signal.raise_signal(self._number)
        raise AssertionError(f"{url} is opened all the same")

    def keeps(self, url: str) -> bool:
        """Say that the store can be looked at."""
        return bool(url)


class Broken(Stores):
    """Stores at which the system fails."""

    def __init__(self, error: OSError) -> None:
        """Take what it raises."""
        self._error = error

    def keeps(self, url: str) -> bool:
        """Fail."""
        raise self._error from FileNotFoundError(url)


def test_command_tells_its_version() -> None:
    """The version is that of the installed distribution."""
    done = invoke(None, "--version")
    assert done.exit_code == 0
    assert done.stdout == f"stateward, version {version('stateward')}\n"


def test_package_run_as_a_module_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m stateward.cli` does what `stateward` does."""
    monkeypatch.setattr(sys, "argv", ["anything", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("stateward.cli", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("stateward, version ")


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("run",),
        ("runs",),
        ("state",),
        ("state", "show"),
        ("state", "get"),
        ("state", "set"),
        ("state", "delete"),
        ("state", "keys"),
        ("migrate",),
        ("backup",),
        ("restore",),
        ("copy",),
        ("export",),
        ("import",),
        ("check",),
        ("compact",),
        ("stats",),
        ("rotate-key",),
    ],
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_each_command_ends_in_an_example(
    command: tuple[str, ...], option: str
) -> None:
    """Both spellings of the option print how the command is used, on stdout."""
    done = invoke(None, *command, option)
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: " + " ".join(("stateward", *command)))
    assert "Example" in done.stdout
    assert not done.stderr


def test_unknown_command_exits_with_two() -> None:
    """A misspelt command is named on standard error, and nothing else is printed."""
    done = invoke(None, "rnu")
    assert done.exit_code == 2
    assert "No such command 'rnu'" in done.stderr
    assert not done.stdout


def test_refusal_is_one_line_on_standard_error(manager: StateManager) -> None:
    """What the engine refuses exits with 1 and shows no traceback."""
    done = invoke(manager, "state", "get", "global", "missing")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: 'missing' is not in ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_misuse_exits_with_two_in_one_line(manager: StateManager) -> None:
    """What would be refused again exits with 2 and shows no traceback."""
    done = invoke(manager, "state", "set", "global", "k", "1", "--ttl", "0")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ttl is 0.0")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")],
)
def test_signal_outside_a_run_exits_like_a_shell(
    number: signal.Signals, code: int, told: str
) -> None:
    """A signal while a store is opened gives its own exit code and no traceback."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = invoke(Pressed(number), "runs", "--store", "any://")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", told)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
@pytest.mark.parametrize(
    "command",
    [("export",), ("stats",), ("runs",), ("state", "show", "global"), ("run", "-h")],
)
def test_output_that_takes_nothing_is_one_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """The exit code is 1, also at the end of the process, and there is no traceback."""
    url = f"sqlite:///{tmp_path}/state"
    fill(url)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stateward.cli", *command],
            env={**os.environ, "STATEWARD_STORE": url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=WAIT,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot write to standard output: ")
    assert done.stderr.count("\n") == 1


def test_error_of_the_system_is_one_line() -> None:
    """What nobody below has put into words is told as the system tells it."""
    done = invoke(Broken(OSError(errno.EIO, "it is broken")), "runs")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: [Errno {errno.EIO}] it is broken\n"


def test_group_lists_every_command() -> None:
    """`stateward --help` is where commands are found, each with what it does."""
    done = invoke(None, "--help")
    for name in stateward.commands:
        assert re.search(rf"^  {name}  +\w.+\w", done.stdout, re.MULTILINE), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["click", "rich"])
def test_missing_extra_is_named_with_the_remedy(name: str) -> None:
    """Without click or rich one line says what to install, and the exit code is 2."""
    message, code = run_script(WITHOUT.format(name=name)).splitlines()
    assert message.startswith(f"stateward: the command line needs {name}, ")
    assert message.endswith("pip install 'stateward[cli]'")
    assert code == "2"


def test_missing_module_that_is_no_extra_is_not_disguised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of the installation is told as it is."""
    monkeypatch.setitem(sys.modules, "stateward.cli.commands", None)
    with pytest.raises(ModuleNotFoundError, match=r"stateward\.cli\.commands"):
        cli.main()
