"""Migrations that are no plain functions, or end as none should, change nothing."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stateward import (
    MigratedState,
    MigrationError,
    StateManager,
    UsageError,
    WorkflowScope,
)
from stateward.offline import preview_migrations


class Change:
    """A migration that returns what it is told to."""

    version = 1

    def __init__(self, function: Callable[[MigratedState], object]) -> None:
        """Have `function` called with each state."""
        self._function = function

    def migrate(self, state: MigratedState) -> Any:
        """Return what the function returns."""
        return self._function(state)


class Awaited:
    version = 1

    async def migrate(self, state: MigratedState) -> None:
        state["b"] = 1


class Yielding:
    version = 1

    def migrate(self, state: MigratedState) -> Iterator[None]:
        yield state.update({"b": 1})


class AsyncYielding:
    version = 1

    async def migrate(self, state: MigratedState) -> AsyncIterator[None]:
        yield state.update({"b": 1})


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return where there is a store of version 0, whose workflow `w` holds 1."""
    url = f"sqlite:///{tmp_path}/state.db"
    with StateManager(url) as manager:
        manager.workflow_state("w")["a"] = 1
    return url


def mended(url: str) -> dict[str, Any]:
    """Return what a workflow holds once a migration that can be carried out was."""
    good = Change(lambda state: state.set("c", 1))
    with StateManager(url, migrations=[good]) as manager:
        return dict(manager.workflow_state("w"))


@pytest.mark.parametrize("kind", [Awaited, Yielding, AsyncYielding])
def test_migration_that_would_do_nothing_is_refused(
    url: str, kind: Callable[[], Any]
) -> None:
    """Calling it does nothing, which would be recorded as done."""
    with pytest.raises(UsageError, match="without `async` and `yield`"):
        StateManager(url, migrations=[kind()])
    assert mended(url) == {"a": 1, "c": 1}


async def later() -> None:
    """Do nothing: nobody awaits it, and nothing warns of that."""


async def bit_by_bit() -> AsyncIterator[None]:
    """Do nothing either."""
    yield


@pytest.mark.parametrize("answer", [later, bit_by_bit])
def test_migration_that_returns_what_nobody_awaits_fails(
    url: str, answer: Callable[[], object]
) -> None:
    """It has not done what it is for, and is not recorded as done."""

    def migrate(state: MigratedState) -> object:
        state["b"] = 1
        return answer()

    with StateManager(url, migrations=[Change(migrate)]) as manager:
        report = manager.migrate()
        assert (report.migrated, list(report.failed)) == (0, [WorkflowScope("w")])
        with pytest.raises(MigrationError, match="which nobody awaits"):
            manager.workflow_state("w").get("b")
    assert mended(url) == {"a": 1, "c": 1}


def test_migration_that_exits_fails(url: str) -> None:
    """It does not end the process, and the error says which workflow it was."""

    def migrate(_: MigratedState) -> None:
        raise SystemExit(3)

    with StateManager(url, migrations=[Change(migrate)]) as manager:
        failed = manager.migrate().failed
        assert str(failed[WorkflowScope("w")]) == (
            f"migration 1 of {WorkflowScope('w')} failed: SystemExit(3)"
        )
        with pytest.raises(MigrationError, match="SystemExit"):
            manager.workflow_state("w").get("a")
    assert mended(url) == {"a": 1, "c": 1}


def test_migration_that_is_interrupted_is_not_contained(url: str) -> None:
    """Ctrl-C in a migration is for whoever pressed it; nothing is changed."""

    def migrate(_: MigratedState) -> None:
        raise KeyboardInterrupt

    preview = preview_migrations(url, [Change(migrate)])
    with pytest.raises(KeyboardInterrupt):
        list(preview)
    assert mended(url) == {"a": 1, "c": 1}
