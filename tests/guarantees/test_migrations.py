"""Migrations: each owner goes through the chain once and whole, whatever happens."""

import io
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from stateward import (
    KeyRing,
    MigratedState,
    MigrationError,
    ScopedState,
    StateManager,
    StateScope,
    StepScope,
    StoreFormatError,
    WorkflowScope,
)
from stateward.actors.store.about import FORMAT_NAME, About, about_row, parse_about
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import ENTRIES
from stateward.offline import export_store, preview_migrations
from stateward.testing import SimulatedClock
from tests.api.test_migrations import Change, mark
from tests.guarantees.test_kill import child
from tests.journals import Disk, WatchedJournal
from tests.threads import Gate, Job, frequent_switches

SCHEMES: Final = ("sqlite", "rocksdb")
WORKFLOWS: Final = 6
CHAIN: Final = (1, 2, 3)
KEY: Final = b"k" * 32


@pytest.fixture(params=SCHEMES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where there is a store of version 0 with some workflows."""
    url = f"{request.param}:///{tmp_path}/state"
    with StateManager(url, clock=SimulatedClock()) as manager:
        fill(manager)
    return url


def fill(manager: StateManager) -> None:
    """Have workflows `w0` and on hold their number, in a step too."""
    for number in range(WORKFLOWS):
        state = manager.workflow_state(f"w{number}")
        state.update({"n": number, "kept": [number, 1.5]})
        state.step("s")["n"] = number


def chain() -> list[Change]:
    """Return three migrations, each of which tells that it was there."""
    return [mark(version) for version in CHAIN]


def exported(url: str, **options: Any) -> bytes:
    """Return all that is stored at `url`."""
    file = io.BytesIO()
    export_store(url, file, **options)
    return file.getvalue()


def paths(manager: StateManager) -> dict[str, Any]:
    """Return what each workflow has gone through."""
    return {it: manager.workflow_state(it)["path"] for it in manager.workflow_ids()}


ALL_THROUGH: Final = {f"w{number}": list(CHAIN) for number in range(WORKFLOWS)}


# --------------------------------------------------------------- exactly once


@pytest.mark.slow
def test_cold_workflow_is_migrated_once_by_many_threads(url: str) -> None:
    """Readers and writers that meet there find it done, and nobody does it twice."""
    calls: Counter[StateScope] = Counter()
    count = Change(1, lambda state: calls.update([state.scope]))

    def read(state: ScopedState) -> None:
        assert state["path"] == [2, 3]

    def write(state: ScopedState) -> None:
        state.increment("writes")
        assert state["path"] == [2, 3]

    migrations = [count, mark(2), mark(3)]
    with StateManager(url, migrations=migrations) as manager, frequent_switches():
        jobs = [
            Job(function, manager.workflow_state(f"w{number}"))
            for number in range(WORKFLOWS)
            for function in (read, write) * 4
        ]
        for job in jobs:
            job.result()
        written = [manager.workflow_state(f"w{n}")["writes"] for n in range(WORKFLOWS)]
    assert written == [4] * WORKFLOWS
    assert list(calls.values()) == [1] * WORKFLOWS


def test_migrate_takes_all_through_and_tells_how_far_it_is(url: str) -> None:
    """Each owner counts once, those used before do not, and then none does."""
    progress: list[tuple[int, int]] = []
    with StateManager(url, migrations=chain()) as manager:
        assert manager.workflow_state("w3")["path"] == list(CHAIN)
        report = manager.migrate(on_progress=lambda *done: progress.append(done))
        assert (report.migrated, report.failed) == (WORKFLOWS - 1, {})
        assert manager.migrate().migrated == 0
    count = WORKFLOWS - 1
    assert progress == [(number, count) for number in range(1, count + 1)]
    with StateManager(url, migrations=[Change(1), Change(2), Change(3)]) as manager:
        assert manager.migrate().migrated == 0
        assert paths(manager) == ALL_THROUGH


def test_reader_waits_for_the_whole_chain_and_others_do_not(url: str) -> None:
    """While one workflow is half-way nobody sees it, and another one is served."""
    gate = Gate()
    half = Change(1, lambda state: state.update({"n": -1, "half": True}))

    def finish(state: MigratedState) -> None:
        if state.scope == WorkflowScope("w0"):
            gate(None)
        del state["half"]

    with StateManager(url, migrations=[half, Change(2, finish)]) as manager:
        first, second = (
            Job(lambda: dict(manager.workflow_state("w0").snapshot())) for _ in "ab"
        )
        gate.wait_until_entered()
        assert manager.workflow_state("w1").snapshot() == {"n": -1, "kept": [1, 1.5]}
        assert not first.is_over()
        assert not second.is_over()
        gate.open()
        assert first.result() == second.result() == {"n": -1, "kept": [0, 1.5]}


# ------------------------------------------------------------------- failures


def test_migration_that_fails_leaves_every_byte(url: str) -> None:
    """The workflow is as it was, those beside it go on, and a mended one does it."""

    def fail(state: MigratedState) -> None:
        state["n"] = "half-way"
        state.step("s").clear()
        if state.scope == WorkflowScope("w2"):
            raise ZeroDivisionError

    before = exported(url)
    with StateManager(url, migrations=[mark(1), Change(2, fail)]) as manager:
        report = manager.migrate()
        assert report.migrated == WORKFLOWS - 1
        ((scope, error),) = report.failed.items()
        assert isinstance(error, MigrationError)
        assert scope == error.context["scope"] == WorkflowScope("w2")
        assert error.context["version"] == 2
        assert manager.workflow_state("w1")["n"] == "half-way"
        with pytest.raises(MigrationError):
            manager.workflow_state("w2").set("n", 1)
        again = manager.migrate()
        assert (again.migrated, list(again.failed)) == (0, [WorkflowScope("w2")])
    of_it = lines_of(before, "w2")
    assert len(of_it) == 4
    assert lines_of(exported(url), "w2") == of_it
    with StateManager(url, migrations=chain()) as manager:
        assert manager.workflow_state("w2")["path"] == list(CHAIN)
        assert manager.workflow_state("w1")["path"] == [1, 3]
        assert manager.workflow_state("w2").step("s")["n"] == 2


def lines_of(export: bytes, workflow_id: str) -> list[bytes]:
    """Return the lines of one workflow."""
    return [
        it for it in export.splitlines() if f"workflow:{workflow_id}:".encode() in it
    ]


def test_migration_that_fails_writes_nothing(tmp_path: Path) -> None:
    """Not one record of the journal is another than before."""
    disk, journal = filled(tmp_path)
    before = rows(journal)
    with disk.manager(migrations=[mark(1), Change(2, lambda _: 1 / 0)]) as manager:
        assert len(manager.migrate().failed) == WORKFLOWS
        assert rows(journal) == before
        assert journal.sizes == [0]  # the sync of whoever opens a store


@pytest.mark.parametrize("left", [MemoryJournal.crash, MemoryJournal.killed])
def test_crash_between_any_two_commits_of_migrate_loses_no_step(
    tmp_path: Path, left: Callable[[MemoryJournal], MemoryJournal]
) -> None:
    """Begun again, each owner has been through exactly the chain, none of it twice."""
    disk, journal = filled(tmp_path)
    crashed: list[Disk] = []
    with disk.manager(migrations=chain(), durability="buffered") as manager:
        journal.before = lambda: disk.shoot(lambda: left(journal), crashed)
        assert manager.migrate().migrated == WORKFLOWS
        journal.before()
    # What a migration did is synced, whatever the manager's writes are.
    assert journal.syncs[:WORKFLOWS] == [True] * WORKFLOWS
    migrated: list[int] = []
    for found in crashed:
        with found.manager(migrations=chain()) as it:
            migrated.append(it.migrate().migrated)
            assert paths(it) == ALL_THROUGH
    assert migrated[: WORKFLOWS + 1] == list(range(WORKFLOWS, -1, -1))


def filled(folder: Path) -> tuple[Disk, WatchedJournal]:
    """Return a disk with the workflows on it, whose journal has noted no commit yet."""
    disk = Disk(folder, WatchedJournal())
    with disk.manager(clock=SimulatedClock()) as manager:
        fill(manager)
    journal = WatchedJournal(rows(disk.journal.killed()).items())
    return Disk(folder, journal), journal


def rows(journal: MemoryJournal) -> dict[bytes, bytes]:
    """Return all records of a journal."""
    return dict(journal.scan(b"", ENTRIES + b"\xff"))


def migrate_until(url: str, owners: int) -> NoReturn:
    """Migrate in this process, and be killed in the middle of an owner."""
    calls = iter(range(1, WORKFLOWS + 1))

    def die(_: MigratedState) -> None:
        if next(calls) == owners:
            os.kill(os.getpid(), signal.SIGKILL)

    StateManager(url, migrations=[mark(1), mark(2), Change(3, die)]).migrate()
    raise AssertionError


@pytest.mark.slow
def test_killed_migrate_goes_on_where_it_was(url: str) -> None:
    """A process that dies in an owner leaves that as it was, and those before done."""
    source = (
        "from tests.guarantees.test_migrations import migrate_until\n"
        f"migrate_until({url!r}, 4)"
    )
    with child(source) as process:
        assert process.wait() == -signal.SIGKILL
    with StateManager(url, migrations=chain()) as manager:
        assert manager.migrate().migrated == WORKFLOWS - 3
        found = list(paths(manager).values())
    assert sorted(map(str, found)) == sorted(
        map(str, [[1, 2]] * 3 + [[1, 2, 3]] * (WORKFLOWS - 3))
    )


# ------------------------------------------------------------------ downgrades


def test_older_application_is_refused(url: str) -> None:
    """A store that was written to by a newer one is not opened, and is not changed."""
    with StateManager(url, migrations=chain()) as manager:
        manager.workflow_state("w0")["a"] = 1
    before = exported(url)
    for migrations in ([], chain()[:2]):
        with pytest.raises(StoreFormatError, match="has been through migration 3"):
            StateManager(url, migrations=migrations)
    assert exported(url) == before
    with StateManager(url, migrations=chain()) as manager:
        assert manager.workflow_state("w0")["a"] == 1


def test_owner_that_is_newer_is_refused_by_itself(tmp_path: Path) -> None:
    """Where the store does not say so, the owner does, and others are served."""
    disk, _ = filled(tmp_path)
    with disk.manager(migrations=chain()) as manager:
        assert manager.workflow_state("w0")["path"] == list(CHAIN)
    left = rows(disk.journal.killed())
    about = parse_about(left[FORMAT_NAME])
    assert about.version == 3
    left |= about_row(About(id=about.id))
    disk.journal = WatchedJournal(left.items())
    with disk.manager(migrations=chain()[:2]) as manager:
        with pytest.raises(StoreFormatError, match="migration 3") as caught:
            manager.workflow_state("w0").get("n")
        assert caught.value.context["scope"] == WorkflowScope("w0")
        assert manager.workflow_state("w1")["path"] == [1, 2]


# -------------------------------------------------------------------- previews


def test_preview_tells_exactly_what_would_change_and_changes_nothing(
    url: str,
) -> None:
    """Its differences are those between before and after, down to 1 and 1.0."""

    def migrate(state: MigratedState) -> None:
        number = state["n"]
        assert isinstance(number, int)
        state["n"] = float(number)
        state["kept"] = [number, 1.5]
        state["new"] = None
        del state.step("s")["n"]
        if number == 2:
            raise ZeroDivisionError

    before = exported(url)
    files = contents(url)
    progress: list[tuple[int, int]] = []
    previews = list(
        preview_migrations(
            url,
            [Change(1), Change(2, migrate)],
            on_progress=lambda *done: progress.append(done),
        )
    )
    assert progress == [(number, WORKFLOWS) for number in range(1, WORKFLOWS + 1)]
    assert exported(url) == before
    assert contents(url) == files
    for number, preview in enumerate(previews):
        scope = WorkflowScope(f"w{number}")
        assert preview.scope == scope
        if number == 2:
            assert preview.changes == ()
            assert isinstance(preview.error, MigrationError)
            continue
        found = [(it.scope, it.key, it.before, it.after) for it in preview.changes]
        assert str(found) == str(
            [
                (scope, "n", number, float(number)),
                (scope, "new", None, None),
                (StepScope(f"w{number}", "s"), "n", number, None),
            ]
        )
        kinds = [it.kind for it in preview.changes]
        assert kinds == ["changed", "added", "removed"]
        assert preview.error is None


def contents(url: str) -> dict[str, bytes]:
    """Return what the files of a store hold, as far as they hold what is stored."""
    store = Path(url.partition(":///")[2])
    files = [store] if store.is_file() else sorted(store.glob("*.sst"))
    return {it.name: it.read_bytes() for it in (*files, Path(f"{store}.mark"))}


def test_preview_shows_only_who_is_older(url: str) -> None:
    """What has been through the chain is not shown, and neither is what expired."""
    clock = SimulatedClock()
    with StateManager(url, migrations=chain(), clock=clock) as manager:
        assert manager.workflow_state("w1")["path"] == list(CHAIN)
    with StateManager(url, migrations=None, clock=clock) as manager:
        manager.workflow_state("w0").set("short", 1, ttl=1)
    found = {it.scope: it.changes for it in preview_migrations(url, chain())}
    assert len(found) == WORKFLOWS - 1
    assert WorkflowScope("w1") not in found
    assert {it.key for changes in found.values() for it in changes} == {"path"}


# ---------------------------------------------------------- with other features


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sealed_store_is_migrated_and_stays_sealed(tmp_path: Path, scheme: str) -> None:
    """What a migration writes is sealed with the newest key."""
    url = f"{scheme}:///{tmp_path}/state"
    with StateManager(url, key=KEY) as manager:
        fill(manager)
    ring = KeyRing(b"n" * 32, KEY)
    secret = Change(1, lambda state: state.set("secret", "in the open"))
    with StateManager(url, key=ring, migrations=[secret]) as manager:
        assert manager.migrate().migrated == WORKFLOWS
        manager.compact()
    files = [it for it in tmp_path.rglob("*") if it.is_file()]
    assert files
    assert not [it for it in files if b"in the open" in it.read_bytes()]
    (first, *_) = preview_migrations(url, [secret, mark(2)], key=ring)
    assert [it.key for it in first.changes] == ["path"]
    with StateManager(url, key=ring, migrations=[Change(1)]) as manager:
        assert manager.workflow_state("w0")["secret"] == "in the open"  # noqa: S105


def test_move_takes_each_workflow_through_the_chain_once(
    url: str, tmp_path: Path
) -> None:
    """What moves is migrated on its way, and what does not is when it is used."""
    target = f"sqlite:///{tmp_path}/target"
    with StateManager(url, migrations=chain()) as manager:
        for rollout in (0.4, 1):
            manager.persist_to(target, rollout=rollout, key=KEY)
            assert paths(manager) == ALL_THROUGH
        assert manager.migrate().migrated == 0
    with StateManager(target, migrations=chain(), key=KEY) as manager:
        assert manager.migrate().migrated == 0
        assert paths(manager) == ALL_THROUGH
    with pytest.raises(StoreFormatError):
        StateManager(target, key=KEY)
