"""Where the commands find state: the option, the variable, and stores of a host."""

from contextlib import AbstractContextManager

import click
import pytest

from stateward import ClosedError, InvalidStoreError, StateManager
from stateward.cli.stores import MEMORY, Stores, stores_of
from tests.commands import Shared, invoke
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
    ],
)
def test_store_that_keeps_nothing_is_refused(command: tuple[str, ...]) -> None:
    """On memory:// there would never be anything to see, which the message says."""
    done = invoke(None, *command)
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


def test_store_option_goes_before_the_variable(manager: StateManager) -> None:
    """STATEWARD_STORE names the store unless `--store` does."""
    stores = Noted(manager)
    env: dict[str, str | None] = {"STATEWARD_STORE": "from://variable"}
    assert invoke(stores, "runs", env=env).exit_code == 0
    assert invoke(stores, "runs", "--store", "by://hand", env=env).exit_code == 0
    assert invoke(stores, "runs").exit_code == 0
    assert stores.urls == ["from://variable", "by://hand", MEMORY]


def test_stores_close_the_manager_they_open() -> None:
    """A manager lives as long as the block, and no longer."""
    with Stores().open(MEMORY) as manager:
        manager.global_state()["k"] = 1
    with pytest.raises(ClosedError):
        manager.global_state().get("k")


def test_stores_refuse_to_open_memory_as_kept() -> None:
    """The error carries the URL for programs."""
    with refused(InvalidStoreError, url=MEMORY):
        Stores().open_kept(MEMORY)


def test_stores_are_those_of_the_context_if_it_has_any(manager: StateManager) -> None:
    """A host that gives none gets the stores there are."""
    command = click.Command("c")
    given = Shared(manager)
    assert stores_of(click.Context(command, obj=given)) is given
    assert type(stores_of(click.Context(command))) is Stores
