"""Disks that are small, or that take no writes, for tests that may mount some."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[Path]:
    """Lend a folder on a disk of its own; skip the test if none can be mounted."""
    path.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if mount is None or subprocess.run([mount, *options], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # noqa: S607


def remount(path: Path, options: str) -> None:
    """Change what a small disk takes."""
    command = ["mount", "-o", f"remount,{options}", str(path)]
    subprocess.run(command, check=True)


KILLED = """
import os, signal
from {module} import {kind} as Engine
journal = Engine({path!r})
for number in range(200):
    journal.commit({{b"%03d" % number: b"1"}}, sync=number == 100)
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_source(engine: type, path: str) -> str:
    """Return a script that commits to a journal at `path` and is killed then."""
    return KILLED.format(module=engine.__module__, kind=engine.__name__, path=path)
