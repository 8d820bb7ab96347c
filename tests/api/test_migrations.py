from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stateward import (
    CustomScope,
    GlobalScope,
    InvalidValueError,
    Limits,
    MigratedState,
    Migration,
    MigrationError,
    ReentrantCallError,
    StateManager,
    StepScope,
    UsageError,
    WorkflowScope,
)
from stateward.migrations import Contents, Migrations, changes
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, step


class Change:
    """A migration that does what it is told, and notes for whom."""

    def __init__(
        self,
        version: Any,
        function: Callable[[MigratedState], object] = lambda _: None,
        **attributes: Any,
    ) -> None:
        """Have `function` called with each state."""
        self.version = version
        self.seen: list[Any] = []
        self._function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def migrate(self, state: MigratedState) -> None:
        self.seen.append(state.scope)
        self._function(state)


class NoMigrate:
    version = 1


def mark(version: int) -> Change:
    """Return a migration that adds its version to what a workflow went through."""
    return Change(version, lambda state: state.append("path", version))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return where there is a store of version 0, whose workflow `w` holds 1."""
    url = f"sqlite:///{tmp_path}/state"
    with StateManager(url, clock=SimulatedClock()) as manager:
        manager.workflow_state("w")["a"] = 1
    return url


def opened(url: str, *migrations: Migration) -> StateManager:
    """Return a manager with migrations, whose clock stands still."""
    return StateManager(url, migrations=migrations, clock=SimulatedClock())


# --------------------------------------------------------------- the chain


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (5, "not migrations in a list"),
        (Change(1), "not migrations in a list"),
        ([5], "is no migration: its version is None"),
        ([NoMigrate()], "it has no method `migrate`"),
        ([Change("1")], "its version is '1'"),
        ([Change(True)], "its version is True"),
        ([Change(1.0)], "its version is 1.0"),
        ([Change(0)], "not an integer >= 1"),
        ([Change(1 << 32)], "not an integer >= 1"),
        ([NoMigrate], "it has no method `migrate`"),
        ([Change(1, scopes=WorkflowScope)], "not a tuple of"),
        ([Change(1, scopes=(StepScope,))], "not a tuple of"),
        ([Change(1), Change(2), Change(1)], "there are two migrations 1"),
        ([Change(1), Change(3)], "migration 2 is missing: 1 is followed by 3"),
    ],
)
def test_chain_that_makes_no_sense_is_refused(chain: Any, message: str) -> None:
    """What is no migration, is there twice or leaves a gap is named at once."""
    with pytest.raises(UsageError, match=message):
        StateManager(migrations=chain)


def test_chain_runs_in_the_order_of_versions(url: str) -> None:
    """Each sees what the ones before it did, in whatever order they were given."""
    with opened(url, mark(3), mark(1), mark(2)) as manager:
        assert manager.workflow_state("w")["path"] == [1, 2, 3]
    assert Migrations([Change(3), Change(4)]).version == 4
    assert Migrations([]).version == 0


def test_chain_runs_on_from_where_an_owner_is(url: str) -> None:
    """What it has been through is not run again, and may be left away."""
    with opened(url, mark(1), mark(2)) as manager:
        assert manager.workflow_state("w")["path"] == [1, 2]
    with opened(url, mark(3)) as manager:
        assert manager.workflow_state("w")["path"] == [1, 2, 3]
    with opened(url, *map(mark, (1, 2, 3, 4, 5))) as manager:
        assert manager.workflow_state("w")["path"] == [1, 2, 3, 4, 5]


def test_chain_that_begins_too_late_is_refused_to_an_owner(url: str) -> None:
    """Who has not been through what was left away learns which one that is."""
    with opened(url, mark(2)) as manager:
        with pytest.raises(MigrationError, match="migration 1 is not here") as caught:
            manager.workflow_state("w").get("a")
        assert caught.value.context == {"scope": WorkflowScope("w"), "version": 1}
    with opened(url, mark(1), mark(2)) as manager:
        assert manager.workflow_state("w")["path"] == [1, 2]


def test_migration_is_a_protocol() -> None:
    """Any object of that shape is one."""
    assert isinstance(mark(1), Migration)
    assert not isinstance(NoMigrate(), Migration)


# ----------------------------------------------------------- what is migrated


def test_workflow_is_migrated_before_its_first_read_or_write(url: str) -> None:
    """Neither a read nor a write ever meets the older state."""
    double = Change(1, lambda state: state.modify("a", lambda it: it * 10))
    with opened(url) as manager:
        manager.workflow_state("x")["a"] = 2
    with opened(url, double) as manager:
        assert double.seen == []
        assert manager.workflow_state("x").increment("a") == 21
        assert manager.workflow_state("w")["a"] == 10
        assert double.seen == [WorkflowScope("x"), WorkflowScope("w")]


def test_new_workflow_begins_at_the_newest_version(url: str) -> None:
    """What is new is not migrated, now or later."""
    with opened(url, one := mark(1)) as manager:
        manager.workflow_state("new")["a"] = 1
        manager.workflow_state("new").step("s")["a"] = 1
    with opened(url, again := mark(1)) as manager:
        assert dict(manager.workflow_state("new")) == {"a": 1}
        assert manager.migrate().migrated == 1
    assert one.seen == []
    assert again.seen == [WorkflowScope("w")]


def test_migration_is_for_the_scopes_it_names(url: str) -> None:
    """Without saying so for workflows; global and custom state go the same way."""
    of_workflows = mark(1)
    of_others = Change(
        2, lambda state: state.append("path", 2), scopes=(GlobalScope, CustomScope)
    )
    with opened(url) as manager:
        manager.global_state()["g"] = manager.custom_state("c")["c"] = 1
    with opened(url, of_workflows, of_others) as manager:
        assert dict(manager.global_state()) == {"g": 1, "path": [2]}
        assert dict(manager.custom_state("c")) == {"c": 1, "path": [2]}
        assert dict(manager.workflow_state("w")) == {"a": 1, "path": [1]}
    assert of_others.seen == [GlobalScope(), CustomScope("c")]
    # Who was left out counts as migrated all the same.
    with opened(url, Change(1), Change(2)) as manager:
        assert manager.migrate().migrated == 0


def test_migration_reaches_the_steps(url: str) -> None:
    """`steps` names those that hold something, no record of a run, and `step` opens."""
    flow = Sequential("f", step(name="s")(lambda ctx: ctx.step_state.set("n", 1)))
    names: list[list[str]] = []

    def migrate(state: MigratedState) -> None:
        names.append(state.steps())
        for name in state.steps():
            state.step(name).increment("n")
            state.workflow()[f"saw {name}"] = state.step(name)["n"]

    with opened(url) as manager:
        result = manager.run(flow, "w")
        manager.workflow_state("w").step("emptied").set("n", 1)
        manager.workflow_state("w").step("emptied").clear()
        (path,) = manager.workflow_state("w").steps()
    with opened(url, Change(1, migrate)) as manager:
        state = manager.workflow_state("w")
        assert dict(state) == {"a": 1, f"saw {path}": 2}
        assert dict(state.step(path)) == {"n": 2}
        assert manager.run_state("w") == result
    assert names == [[path]]


def test_state_of_a_migration_is_a_transaction(url: str) -> None:
    """It reads its own writes, and cannot be committed by the migration itself."""
    found: list[Any] = []

    def migrate(state: MigratedState) -> None:
        state["b"] = [1]
        found.append((state["b"], sorted(state), len(state), state.pop("a")))
        with pytest.raises(UsageError, match="no other"):
            state.commit()

    with opened(url, Change(1, migrate)) as manager, pytest.raises(MigrationError):
        manager.workflow_state("w").get("a")
    assert found == [([1], ["a", "b"], 2, 1)]


def test_revisions_go_on(url: str) -> None:
    """A migration that writes is one command, and one that does not is none."""
    with opened(url, Change(1), mark(2), mark(3)) as manager:
        state = manager.workflow_state("w")
        assert state.revision == 3
        entries = {key: state.entry(key) for key in state}
        assert {key: it.revision for key, it in entries.items() if it} == {
            "a": 1,
            "path": 3,
        }
        assert state.set("a", 2) == 4


def test_lifetimes_are_kept_and_what_expired_is_not_shown(url: str) -> None:
    """A migration sees no expired key, which counts for nothing, and keeps the rest."""
    shown: list[list[str]] = []
    clock = SimulatedClock()
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        state.set("short", 1, ttl=10)
        state.set("long", 1, ttl=100)
        expiry = state.entry("long")
    clock.advance(20)

    def migrate(state: MigratedState) -> None:
        shown.append(sorted(state))
        state["b"] = 1

    options: dict[str, Any] = {"migrations": [Change(1, migrate)], "clock": clock}
    with StateManager(url, limits=Limits(max_keys=3), **options) as manager:
        state = manager.workflow_state("w")
        assert sorted(state) == ["a", "b", "long"]
        assert state.entry("long") == expiry
        clock.advance(85)
        assert sorted(state) == ["a", "b"]
    assert shown == [["a", "long"]]


def test_limits_hold_for_migrations(url: str) -> None:
    """One that would pass a limit fails, and nothing of it is kept."""
    two = Change(1, lambda state: state.update({"b": 1, "c": 2}))
    limits = Limits(max_keys=2)
    with (
        StateManager(url, migrations=[two], limits=limits) as manager,
        pytest.raises(MigrationError, match="KeyCountError"),
    ):
        manager.workflow_state("w").get("a")
    with StateManager(url, migrations=None) as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1}


def test_migration_that_writes_no_json_fails(url: str) -> None:
    """The error tells the workflow, the version and the cause, to programs too."""
    nothing: Any = {1}
    wrong = Change(2, lambda state: state.set("b", nothing))
    with (
        opened(url, Change(1), wrong) as manager,
        pytest.raises(MigrationError, match="migration 2 of ") as caught,
    ):
        manager.workflow_state("w").get("a")
    assert caught.value.context == {"scope": WorkflowScope("w"), "version": 2}
    assert isinstance(caught.value.__cause__, InvalidValueError)
    assert caught.value.effect == "none"


@pytest.mark.parametrize("first", ["read", "write"])
@pytest.mark.parametrize("inner", ["read", "write", "drop"])
def test_migration_that_asks_for_its_own_workflow_fails(
    url: str, first: str, inner: str
) -> None:
    """It gets an error at once, whoever had it run; it does not wait for itself."""

    def migrate(_: MigratedState) -> None:
        mine = manager.workflow_state("w")
        call: Callable[[], object] = {
            "read": lambda: mine.get("a"),
            "write": lambda: mine.set("a", 2),
            "drop": mine.drop,
        }[inner]
        call()

    with opened(url, Change(1, migrate)) as manager:
        outer = manager.workflow_state("w")
        for _ in range(4):  # a scope that fails three times would be quarantined
            with pytest.raises(MigrationError) as caught:
                outer.get("a") if first == "read" else outer.set("a", 3)
            assert isinstance(caught.value.__cause__, ReentrantCallError)
    with opened(url, Change(1)) as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1}


def test_migrations_none_leaves_everything(url: str) -> None:
    """A tool that has no migrations reads and writes what is there, as it is."""
    with opened(url, broken := Change(1, lambda _: 1 / 0)) as manager:
        manager.workflow_state("new")["a"] = 1
        assert len(manager.migrate().failed) == 1
    with StateManager(url, migrations=None) as manager:
        assert manager.migrate().migrated == 0
        assert manager.workflow_state("w").increment("a") == 2
    with opened(url, mark(1)) as manager:
        assert dict(manager.workflow_state("w")) == {"a": 2, "path": [1]}
        assert dict(manager.workflow_state("new")) == {"a": 1}
    assert broken.seen == [WorkflowScope("w")]


def test_state_that_moves_out_of_memory_is_at_the_newest_version(
    tmp_path: Path,
) -> None:
    """The application that has these migrations made it, so none of them runs."""
    url = f"sqlite:///{tmp_path}/state"
    with StateManager(migrations=[mark(1), mark(2)]) as manager:
        manager.workflow_state("w")["a"] = 1
        manager.persist_to(url)
    with StateManager(url, migrations=[mark(1), mark(2), mark(3)]) as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1, "path": [3]}


# ------------------------------------------------------------------ changes


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (1, True), (0.0, -0.0), (b"[1]", b"[1.0]"), ("", None)]
)
def test_changes_tell_what_is_equal_and_not_the_same(old: object, new: object) -> None:
    """Each of these is a change, and what is the same is none."""
    owner = WorkflowScope("w")
    before: Contents = {(None, "a"): old, (None, "same"): old}
    (found,) = changes(owner, before, {**before, (None, "a"): new})
    assert (found.key, found.kind) == ("a", "changed")


def test_changes_are_sorted_by_step_and_key() -> None:
    """The workflow's own come first, and each names its scope."""
    found = changes(
        WorkflowScope("w"),
        {("s", "b"): 1, (None, "z"): 1},
        {("s", "a"): 2, (None, "z"): 2},
    )
    assert [(it.scope, it.key, it.kind, it.before, it.after) for it in found] == [
        (WorkflowScope("w"), "z", "changed", 1, 2),
        (StepScope("w", "s"), "a", "added", None, 2),
        (StepScope("w", "s"), "b", "removed", 1, None),
    ]
