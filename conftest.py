"""Set-up shared by every test: Hypothesis profiles, what may not be left, documents.

`STATEWARD_PROFILE` chooses how hard Hypothesis looks: `dev`, `ci` (the default) or
`soak`. Under `ci` and `soak` the run draws one seed for all its tests and prints it
with a failure; `--hypothesis-seed` repeats it. Under `dev` Hypothesis keeps its own
seeds, and tries the examples that failed last time first.
"""

import contextlib
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pykka
import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from stateward.actors.runtime.turns import TurnRef

ROOT: Final = Path(__file__).resolve().parent
THREAD_PREFIX: Final = "stateward-"
SHARED_PREFIX: Final = "stateward-shared-"  # of actors without a manager; they stay
JOIN_SECONDS: Final = 5.0  # LIMIT: how long all that one test started has to end

hypothesis.settings.register_profile("dev", max_examples=30, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, print_blob=True, derandomize=False
)
hypothesis.settings.register_profile(
    "soak",
    parent=hypothesis.settings.get_profile("ci"),
    max_examples=10_000,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
PROFILE: Final = os.environ.get("STATEWARD_PROFILE", "ci")
hypothesis.settings.load_profile(PROFILE)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of this run, before Hypothesis looks whether there is one."""
    if PROFILE != "dev" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().getrandbits(32))


def pytest_report_header(config: pytest.Config) -> str:
    """Tell what repeats this run, also one that will pass."""
    return f"profile {PROFILE}, hypothesis seed {config.option.hypothesis_seed}"


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the tests marked `soak` out of every run that is not one."""
    if PROFILE == "soak":
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what repeats a failed run: profile, seed and commit."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        seed = config.option.hypothesis_seed
        terminalreporter.write_line(
            f"run with STATEWARD_PROFILE={PROFILE}"
            f"{f' --hypothesis-seed={seed}' if seed else ''} at commit {commit_id()}"
        )


def commit_id() -> str:
    """Return the commit of the working tree, or `unknown` outside a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return "unknown"
    return found.stdout.strip() or "unknown"


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail the test when a thread or an actor of ours that it started outlives it."""
    with all_actors_ended(), all_threads_ended():
        yield


@contextlib.contextmanager
def all_actors_ended() -> Iterator[None]:
    """Fail when Pykka's registry lists an actor of ours that it did not list before."""
    before = pykka.ActorRegistry.get_all()
    yield
    deadline = time.monotonic() + JOIN_SECONDS
    while left := sorted(
        str(ref)
        for ref in pykka.ActorRegistry.get_all()
        if isinstance(ref, TurnRef) and ref not in before
    ):
        if time.monotonic() > deadline:
            pytest.fail(f"actors left behind: {', '.join(left)}")
        time.sleep(0.002)  # One that was told to stop has yet to do so.


@contextlib.contextmanager
def all_threads_ended() -> Iterator[None]:
    """Fail when a thread of ours that was started in the block outlives it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + JOIN_SECONDS
    started = [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith(THREAD_PREFIX)
        and not thread.name.startswith(SHARED_PREFIX)
        and thread not in before
    ]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    if left := sorted(thread.name for thread in started if thread.is_alive()):
        pytest.fail(f"threads left behind: {', '.join(left)}")


@pytest.fixture(autouse=True)
def clean_end() -> Iterator[None]:
    """Hold every test to `nothing_left_behind`."""
    with nothing_left_behind():
        yield


open_documents: Final[list[contextlib.ExitStack]] = []


def enter_document(namespace: dict[str, object]) -> None:
    """Run a document in an empty folder, since its snippets may write files."""
    namespace["__name__"] = "__main__"
    with contextlib.ExitStack() as document:
        folder = document.enter_context(tempfile.TemporaryDirectory())
        document.enter_context(contextlib.chdir(folder))
        document.enter_context(nothing_left_behind())
        open_documents.append(document.pop_all())


def leave_document(namespace: dict[str, object]) -> None:
    """Let go of what the snippets of a document made, then check what is left."""
    namespace.clear()
    open_documents.pop().close()


# Each block of a document continues the one before it. `<!-- skip: next -->` in front
# of a block leaves it out.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    setup=enter_document,
    teardown=leave_document,
).pytest()
