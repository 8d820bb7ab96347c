"""What tests of the command line need of processes and stores of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from stateward import StateManager
from stateward.actors.store.ciphers import Key
from stateward.actors.store.names import ENTRIES
from stateward.actors.store.urls import open_journal, parse_url
from stateward.offline import export_store
from tests.threads import WAIT

SCHEMES: Final = ("sqlite", "rocksdb")

MAIN: Final = """
import signal
from stateward.cli import main
# A shell may have started the tests with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command, whatever the tests were started by."""

HOLD: Final = """
import sys
from stateward import StateManager
with StateManager(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=SCHEMES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a store of each engine, which is not there yet."""
    return f"{request.param}:///{tmp_path}/state"


def beside(url: str, name: str) -> str:
    """Return the URL of a store of the same engine in the same folder."""
    return f"{url.rpartition('/')[0]}/{name}"


def command(*args: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Return what the real command does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "stateward.cli", *args],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def begun(*args: str, line: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """Lend the real command in a process, once it has printed `line` to either stream.

    It must end in the block, and is killed if it does not.
    """
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **env},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == line
            yield process
            process.wait(WAIT)
        finally:
            process.kill()


@contextmanager
def held(url: str) -> Iterator[int]:
    """Have another process open a store until the block ends; lend its id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process.pid
        finally:
            process.communicate(timeout=WAIT)


def fill(url: str, *, count: int = 3, key: Key | None = None) -> None:
    """Make a store of `count` workflows `w0` and so on, each with its number as `n`."""
    with StateManager(url, key=key, durability="buffered") as manager:
        for number in range(count):
            manager.workflow_state(f"w{number}")["n"] = number
        manager.workflow_state("w0").step("load")["rows"] = [1, 2.0]
        manager.global_state()["limit"] = 7


def exported(url: str, *, key: Key | None = None) -> bytes:
    """Return all that is in a store, for comparing."""
    file = BytesIO()
    export_store(url, file, key=key)
    return file.getvalue()


def damage(url: str) -> None:
    """Flip a bit in the first entry of a workflow, below all that would notice."""
    with closing(open_journal(parse_url(url), must_exist=True)) as journal:
        name, record = next(
            (name, record)
            for name, record in journal.scan(ENTRIES, b"\xff" * 16)
            if b"w0" in name
        )
        flipped = record[:-1] + bytes([record[-1] ^ 1])
        journal.commit({name: flipped}, sync=True)


def leftovers(folder: Path) -> list[str]:
    """Return the names of files that are left of something that was not finished."""
    return [each.name for each in folder.iterdir() if ".part" in each.name]
