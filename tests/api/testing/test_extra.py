import subprocess
import sys

import pytest

WITHOUT = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: (
    None if name == "hypothesis" else found(name, *more)
)
import sys
sys.modules["hypothesis"] = None
"""
"""Python in which the extra is not installed."""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "from stateward.testing import StateMachine",
        "from stateward.testing import strategies",
        "from stateward.testing.strategies import scopes",
        "import stateward.testing.strategies.values",
    ],
)
def test_extra_is_named_where_it_is_missing(statement: str) -> None:
    """What needs Hypothesis says how to install it."""
    done = python(WITHOUT + statement)
    assert done.returncode == 1
    assert "ImportError: " in done.stderr
    assert "pip install 'stateward[testing]'" in done.stderr


@pytest.mark.slow
def test_rest_of_the_kit_needs_no_extra() -> None:
    """Clock, journals, models and interleaver work without Hypothesis."""
    done = python(
        WITHOUT + "from stateward.testing import Interleaver, JournalContract\n"
        "from stateward.testing import Model, SimulatedClock\n"
        "print(Model().keys, SimulatedClock(1.0).now())"
    )
    assert (done.stdout, done.stderr) == ("0 1.0\n", "")


@pytest.mark.slow
def test_kit_imports_hypothesis_only_when_asked() -> None:
    """`import stateward.testing` leaves Hypothesis alone until a name needs it."""
    done = python(
        "import sys, stateward.testing as kit\n"
        "print('hypothesis' in sys.modules)\n"
        "kit.StateMachine, kit.strategies.scopes\n"
        "print('hypothesis' in sys.modules)"
    )
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")
