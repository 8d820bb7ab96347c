import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stateward import Limits, StateManager, UsageError
from stateward.actors.core import faults
from stateward.testing.plugin import Options, managed, options_of

TESTS = """
import pytest
from stateward import KeyCountError, Limits

before = []

@pytest.mark.parametrize("round", [1, 2])
def test_manager_is_fresh(stateward_manager, round):
    assert stateward_manager.global_state().increment("n") == 1
    assert stateward_manager.store == "memory://"
    before.append(stateward_manager)

def test_manager_is_closed_afterwards():
    for manager in before:
        with pytest.raises(Exception, match="closed"):
            manager.global_state().set("n", 1)

def test_clock_is_that_of_the_manager(stateward_clock, stateward_manager):
    stateward_manager.global_state().set("n", 1, ttl=60)
    stateward_clock.advance(60)
    assert stateward_manager.global_state() == {}

@pytest.mark.stateward(limits=Limits(max_keys=1), durability="buffered")
class TestMarked:
    @pytest.mark.stateward(store="sqlite")
    def test_marks_add_up(self, stateward_manager, tmp_path):
        stateward_manager.global_state()["n"] = 1
        with pytest.raises(KeyCountError):
            stateward_manager.global_state()["m"] = 1
        assert (tmp_path / "state.db").exists()

@pytest.mark.stateward("oracle")
def test_unknown_store_is_refused(stateward_manager):
    pass
"""


SIMULATED = """
import pytest

async def add(manager):
    state = manager.workflow_state("w").aio
    await state.set("n", state.get("n", 0) + 1)

def test_manager_is_moved_on_by_its_simulation(simulated_manager):
    simulation = simulated_manager.simulation
    assert simulation.manager is simulated_manager
    simulation.client("a", add)
    simulation.run()
    assert simulated_manager.store == "memory://"
    assert simulated_manager.workflow_state("w") == {"n": 1}

@pytest.mark.simulated(durability="synced", seed=3)
class TestMarked:
    @pytest.mark.simulated(seed=4)
    def test_marks_add_up(self, simulated_manager):
        assert simulated_manager.store == "simulated://"
        assert "seed=4" in str(simulated_manager.simulation)
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """What pytest makes of `@pytest.mark.stateward`."""

    args: tuple[object, ...] = ()
    kwargs: Options = field(default_factory=Options)


def nowhere() -> Path:
    """Stand for a folder that nobody may ask for."""
    raise AssertionError


def run_pytest(folder: Path, source: str, *options: str) -> str:
    """Run tests of a user, with the plugin as pytest finds it; return what is said."""
    (folder / "test_user.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA"]
    done = subprocess.run(
        [*command, "--strict-markers", "-W", "error", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_plugin_serves_the_tests_of_a_user(tmp_path: Path) -> None:
    """Fixtures and marker are there in any run of pytest, and do what they say."""
    said = run_pytest(tmp_path, TESTS)
    assert "5 passed, 1 error" in said, said
    assert "store is 'oracle', not one of memory, sqlite, rocksdb" in said


@pytest.mark.slow
def test_simulated_manager_is_moved_on_by_its_simulation(tmp_path: Path) -> None:
    """The fixture lends the manager of a simulation, made with what marks say."""
    said = run_pytest(tmp_path, SIMULATED)
    assert "2 passed" in said, said


@pytest.mark.slow
def test_plugin_imports_nothing_before_it_is_used(tmp_path: Path) -> None:
    """A run whose tests use no fixture loads neither the library nor Hypothesis."""
    source = (
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    assert 'stateward_pytest' in sys.modules\n"
        "    assert 'stateward' not in sys.modules\n"
        "    assert 'hypothesis' not in sys.modules\n"
    )
    said = run_pytest(tmp_path, source, "-p", "no:hypothesispytest")
    assert "1 passed" in said, said


def test_options_of_the_closest_mark_win() -> None:
    """Marks add up, and what stands closer to the test replaces what does not."""
    near, far = Limits(max_keys=1), Limits(max_keys=2)
    marks = [
        Mark(kwargs={"limits": near}),
        Mark(("memory",), {"limits": far, "idle_timeout": 5.0}),
    ]
    assert options_of(marks, nowhere) == {
        "store": "memory://",
        "limits": near,
        "idle_timeout": 5.0,
    }


@pytest.mark.parametrize(
    ("store", "url"),
    [
        ("sqlite", "sqlite:///{}/state.db"),
        ("rocksdb", "rocksdb:///{}/state"),
        ("sqlite:///else.db", "sqlite:///else.db"),
    ],
)
def test_store_is_in_a_folder_of_the_test(store: str, url: str, tmp_path: Path) -> None:
    """A kind of store becomes the URL of one in the test's own folder."""
    options = options_of([Mark((store,))], lambda: tmp_path)
    assert options["store"] == url.format(tmp_path)


@pytest.mark.parametrize("arguments", [("sqlite", "more"), (1,)])
def test_mark_takes_one_argument_without_a_name(arguments: tuple[object, ...]) -> None:
    """Anything but a store has to be named."""
    with pytest.raises(UsageError):
        options_of([Mark(arguments)], nowhere)


def fail() -> None:
    """Fail as no handler should."""
    raise RuntimeError("broken")


def quarantine(manager: StateManager) -> None:
    """Let the owner of the global scope fail until it is put in quarantine."""
    state = manager.global_state()
    state["n"] = 0
    with faults.arm("owner.decided", fail):
        while not manager.stats().quarantined:
            with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it becomes
                state["n"] = 1


@pytest.mark.parametrize(
    "end",
    [
        lambda manager: manager.release(manager.global_state().scope),
        lambda manager: manager.close(),
    ],
    ids=["released", "closed"],
)
def test_manager_may_fail_on_purpose(end: Callable[[StateManager], object]) -> None:
    """A test that released what it broke, or closed the manager, is left alone."""
    with managed() as manager:
        quarantine(manager)
        end(manager)


def test_owner_left_in_quarantine_is_a_failure() -> None:
    """A test does not pass over an owner that failed again and again."""

    def leave() -> None:
        with managed() as manager:
            quarantine(manager)

    with pytest.raises(AssertionError, match="left in quarantine: GlobalScope"):
        leave()
