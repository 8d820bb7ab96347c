"""What tests of the command line need: commands on a manager of the test's own."""

import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from stateward import StateManager
from stateward.cli.commands import stateward
from stateward.cli.stores import Stores


class Shared(Stores):
    """Stores that all are one manager, which outlives the commands."""

    def __init__(self, manager: StateManager) -> None:
        """Serve `manager` whatever the URL."""
        self._manager = manager

    def open(self, url: str) -> AbstractContextManager[StateManager]:
        """Return the manager; leaving its block does not close it."""
        del url
        return nullcontext(self._manager)

    def keeps(self, url: str) -> bool:
        """Say that the next command finds what this one writes."""
        del url
        return True


def invoke(
    obj: StateManager | Stores | None,
    *args: str,
    input: str | None = None,  # noqa: A002  # as click has it
    env: dict[str, str | None] | None = None,
) -> Result:
    """Return what `stateward` does with `args`; without `obj`, on the real stores."""
    stores = Shared(obj) if isinstance(obj, StateManager) else obj
    # A variable of whoever runs the tests must not choose the store.
    variables = {
        "STATEWARD_STORE": None,
        "STATEWARD_KEY_FILE": None,
        **(env or {}),
    }
    return CliRunner().invoke(
        stateward, args, obj=stores, input=input, env=variables, prog_name="stateward"
    )


def publish(monkeypatch: pytest.MonkeyPatch, **flows: object) -> None:
    """Let `shop:NAME` name a flow until the test ends."""
    module = ModuleType("shop")
    vars(module).update(flows)
    monkeypatch.setitem(sys.modules, "shop", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
