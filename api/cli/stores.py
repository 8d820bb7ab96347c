"""Where the commands find state: by the URL of a store."""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from stateward.actors.core.errors import InvalidStoreError, StoreError
from stateward.actors.core.ports import IN_MEMORY
from stateward.actors.store.ciphers import Key
from stateward.actors.store.urls import SCHEMES, parse_url
from stateward.cli.keys import key_of, key_option
from stateward.manager import StateManager
from stateward.migrations import Migration

F = TypeVar("F", bound=Callable[..., Any])


class Stores:
    """How commands come by a manager; tests and hosts give another as click's `obj`."""

    key: Key | None = None
    """Of the store to open."""
    migrations: Iterable[Migration] | None = None
    """What state goes through when it is loaded; `None` leaves it as it is stored."""

    def open(self, url: str) -> AbstractContextManager[StateManager]:
        """Return a manager of the store at `url`; leaving its block closes it.

        Raises:
            InvalidStoreError: No engine serves `url`. Effect: none.
        """
        return StateManager(url, key=self.key, migrations=self.migrations)

    def keeps(self, url: str) -> bool:
        """Return whether what one command writes is there for the next."""
        return url != IN_MEMORY

    def exists(self, url: str) -> bool:
        """Return whether there is a store at `url`, as far as that can be told."""
        scheme, _, _ = url.partition("://")
        try:
            return scheme not in SCHEMES or Path(parse_url(url).path).exists()
        except OSError:
            return True  # Opening it tells why it cannot be looked at.

    def open_kept(
        self, url: str, *, to_read: bool = True
    ) -> AbstractContextManager[StateManager]:
        """As `open`, for commands that make no sense on a store that keeps nothing.

        Raises:
            InvalidStoreError: It keeps nothing. Effect: none.
            StoreError: It is not there, and was to be read. Effect: none.
        """
        self.check_kept(url, to_read=to_read)
        return self.open(url)

    def check_kept(self, url: str, *, to_read: bool = True) -> None:
        """Raise as `open_kept` does, and open nothing."""
        if not self.keeps(url):
            raise InvalidStoreError(
                f"{url} keeps nothing between commands, so there is no state to look "
                "at; name a store that does, with --store or STATEWARD_STORE",
                url=url,
            )
        # A mistyped URL must not leave an empty store behind.
        if to_read and not self.exists(url):
            raise StoreError(f"there is no store at {url}", url=url)


def stores_of(
    context: click.Context, *, migrations: Iterable[Migration] | None = None
) -> Stores:
    """Return what the commands were given, or the stores there are.

    Args:
        context: Of the command; a key it was given goes before one of the host's.
        migrations: See `Stores.migrations`.
    """
    found = copy.copy(context.find_object(Stores) or Stores())
    key = key_of(context)
    if key is not None:
        found.key = key
    found.migrations = migrations
    return found


def store_option(command: F) -> F:
    """Give a command the options `--store` and `--key-file`."""
    option = click.option(
        "--store",
        default=IN_MEMORY,
        show_default=True,
        envvar="STATEWARD_STORE",
        show_envvar=True,
        metavar="URL",
        help="Where the state is.",
    )
    return option(key_option(command))
