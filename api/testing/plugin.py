"""What the fixtures of the pytest plugin do; pytest loads `stateward_pytest`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypedDict, Unpack

from stateward.actors.core.errors import ClosedError, UsageError
from stateward.actors.core.limits import Limits
from stateward.actors.core.ports import Clock, Dispatcher
from stateward.durability import Durability
from stateward.manager import StateManager
from stateward.migrations import Migration

MEMORY: Final = "memory"
FOLDERS: Final = {"sqlite": "state.db", "rocksdb": "state"}
"""Stores that take room on disk, and what that is called in the test's own folder."""


class Options(TypedDict, total=False):
    """Arguments of `StateManager`."""

    store: str
    durability: Durability
    limits: Limits | None
    migrations: Iterable[Migration] | None
    clock: Clock | None
    dispatcher: Dispatcher | None
    idle_timeout: float | None
    ask_timeout: float
    flush_interval: float
    cache_bytes: int | None


class Mark(Protocol):
    """One `@pytest.mark.stateward(...)`."""

    @property
    def args(self) -> tuple[object, ...]:
        """The store, or nothing."""
        ...

    @property
    def kwargs(self) -> Options:
        """What is asked for by name."""
        ...


def options_of(marks: Iterable[Mark], folder: Callable[[], Path]) -> Options:
    """Return what the manager of a test is made with.

    Args:
        marks: Of the test, its class and its module, the closest first; each adds to
            those further away, and wins over them.
        folder: Is called for a folder of the test's own, if one is needed.

    Raises:
        UsageError: A mark has more than one argument without a name, or names a store
            that there is not. Effect: none.
    """
    options: Options = {}
    for mark in reversed(list(marks)):
        match mark.args:
            case ():
                pass
            case (str(store),):
                options["store"] = store
            case other:
                raise UsageError(f"stateward{other!r}: the store, then names only")
        options.update(mark.kwargs)
    options["store"] = _url(options.get("store", MEMORY), folder)
    return options


def _url(store: str, folder: Callable[[], Path]) -> str:
    if "://" in store:
        return store
    if store == MEMORY:
        return "memory://"
    if store in FOLDERS:
        return f"{store}:///{(folder() / FOLDERS[store]).as_posix()}"
    known = ", ".join((MEMORY, *FOLDERS))
    raise UsageError(f"store is {store!r}, not one of {known}, nor an URL")


@contextmanager
def managed(**options: Unpack[Options]) -> Iterator[StateManager]:
    """Lend a manager, closed at the end.

    Raises:
        AssertionError: An owner was left in quarantine: a handler of the engine failed
            again and again, which no test should pass over. One that means to do it
            ends with `manager.release`.
    """
    with StateManager(**options) as manager:
        yield manager
        try:
            left = manager.stats().quarantined
        except ClosedError:  # by the test, which is free to
            left = ()
    if left:
        names = ", ".join(map(str, left))
        raise AssertionError(f"left in quarantine: {names}")
