import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from stateward import (
    CorruptStoreError,
    InvalidStoreError,
    StateManager,
    StepScope,
    StoreError,
    StoreLockedError,
    UsageError,
    WrongKeyError,
)
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.heads import Heads
from stateward.actors.store.records import Head
from stateward.moving import stores_of
from stateward.offline import (
    backup_store,
    check_store,
    copy_store,
    export_store,
    import_store,
    preview_migrations,
    restore_store,
)
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, step
from tests.api.test_migrations import Change

SCHEMES: Final = ("sqlite", "rocksdb")
KEY: Final = b"k" * 32
VALUES: Final[list[Any]] = [
    *(None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.0, -0.0, 1.0, 5e-324, 1.7976931348623157e308, "", '\x01 \U0001f600 \\ "'),
    *([], {}, [[1, 1.0], {"": [None]}], {"b": 1, "a": 2}),
]
"""One of every kind of value, and those at the edge."""


class Place:
    """A folder of stores."""

    def __init__(self, scheme: str, folder: Path) -> None:
        """Put stores into `folder`."""
        self.scheme = scheme
        self.folder = folder

    def url(self, name: str = "state", scheme: str | None = None) -> str:
        """Return where the store of that name is."""
        return f"{scheme or self.scheme}:///{self.folder}/{name}"

    def names(self) -> set[str]:
        """Return what there is, without what is made beside it when it is opened."""
        beside = (".lock", ".mark", "-wal", "-shm")
        names = (it.name for it in self.folder.iterdir())
        return {name for name in names if not name.endswith(beside)}


@pytest.fixture(params=SCHEMES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a folder in which `state` holds one of everything."""
    place = Place(request.param, tmp_path)
    with StateManager(place.url(), clock=SimulatedClock()) as manager:
        fill(manager)
    return place


def fill(manager: StateManager) -> None:
    """Have a manager hold one of everything."""
    state = manager.workflow_state("a:b%")
    for number, value in enumerate(VALUES):
        state[f"k{number}"] = value
        state.step("s:")[f"k{number}"] = value
    state.set("short", 1, ttl=10)
    state.set("long", [1], ttl=1e9)
    del state["k0"]
    manager.global_state()["g"] = manager.custom_state("c")["c"] = 1
    manager.run(Sequential("f", step(name="s")(lambda _: 1)), "run")


def picture(url: str, **options: Any) -> dict[str, Any]:
    """Return all that a store holds, with revisions and times, as text."""
    found: dict[str, Any] = {}
    with StateManager(url, clock=SimulatedClock(), **options) as manager:
        for workflow_id in manager.workflow_ids():
            state = manager.workflow_state(workflow_id)
            scopes = [state, *(state.step(name) for name in state.steps())]
            for scope in scopes:
                found[str(scope.scope)] = {k: str(scope.entry(k)) for k in scope}
                found[f"revision of {scope.scope}"] = scope.revision
        for scope in (manager.global_state(), manager.custom_state("c")):
            found[str(scope.scope)] = {key: str(scope.entry(key)) for key in scope}
        found["run"] = manager.run_state("run")
    return found


def exported(url: str, **options: Any) -> bytes:
    """Return all that is stored at `url`."""
    file = io.BytesIO()
    assert export_store(url, file, **options) == len(file.getvalue().splitlines())
    return file.getvalue()


# ------------------------------------------------------------- whole and exact


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sealed", [False, True])
def test_copy_is_exact_on_any_engine(place: Place, scheme: str, sealed: bool) -> None:
    """It holds the same values, revisions and times, sealed or not, and is a store."""
    target, key = place.url("copy", scheme), KEY if sealed else None
    progress: list[tuple[int, int]] = []
    count = copy_store(
        place.url(),
        target,
        target_key=key,
        on_progress=lambda *done: progress.append(done),
    )
    assert count == 4
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert check_store(target, key=key) == []
    assert exported(target, key=key) == exported(place.url())
    assert picture(target, key=key) == picture(place.url())
    if sealed:
        back = place.url("back")
        assert copy_store(target, back, key=KEY) == 4
        assert exported(back) == exported(place.url())


def test_import_makes_what_was_exported(place: Place) -> None:
    """An export of it is the same to the byte, sealed or not."""
    export = exported(place.url())
    for name, key in (("import", None), ("sealed", KEY)):
        url = place.url(name)
        assert import_store(io.BytesIO(export), url, key=key) == 4
        assert check_store(url, key=key) == []
        assert exported(url, key=key) == export
        assert picture(url, key=key) == picture(place.url())


def test_transfers_tell_how_far_they_are(place: Place, tmp_path: Path) -> None:
    """By owners, each once it was read back; an import by bytes, up to all of them."""
    told: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        told.append((done, total))

    backup_store(place.url(), str(tmp_path / "backup"), on_progress=report)
    restore_store(place.url("backup"), place.url("restored"), on_progress=report)
    assert told == [(number, 4) for number in (1, 2, 3, 4)] * 2
    told.clear()
    export = exported(place.url())
    file = io.BytesIO(b"something else\n" + export)
    file.readline()
    import_store(file, place.url("imported"), on_progress=report)
    assert len(told) == 5
    assert told == sorted(told)
    assert 0 < told[0][0] < told[-1][0] == len(export)
    assert {total for _, total in told} == {len(export)}


def test_import_from_a_pipe_tells_nothing(place: Place) -> None:
    """How much there is cannot be told before its end; it is imported all the same."""
    export = exported(place.url())
    told: list[tuple[int, ...]] = []
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as out, os.fdopen(ends[1], "wb") as into:
        into.write(export)
        into.close()
        url = place.url("imported")
        assert import_store(out, url, on_progress=lambda *it: told.append(it)) == 4
    assert exported(url) == export
    assert told == []


def test_restored_store_goes_on(place: Place) -> None:
    """A backup is put in place of a store that was lost with newer commits in it."""
    backup = place.url("backup")
    with StateManager(place.url(), clock=SimulatedClock()) as manager:
        manager.backup(str(place.folder / "backup"))
        before = exported(backup)
        manager.workflow_state("newer")["a"] = 1
    with pytest.raises(StoreError, match="something at"):
        restore_store(backup, place.url())
    (place.folder / "state").rename(place.folder / "lost")
    # The mark of the lost store is still there, and of no account.
    assert (place.folder / "state.mark").exists()
    restore_store(backup, place.url())
    assert check_store(place.url()) == []
    assert exported(place.url()) == before == exported(backup)
    with StateManager(place.url()) as manager:
        manager.workflow_state("w")["a"] = 1
    restore_store(backup, place.url("again"))  # it stays as it was
    assert exported(place.url("again")) == before


def test_restore_keeps_a_store_sealed(place: Place) -> None:
    """Backup and restored store open with the key of the first, and with no other."""
    copy_store(place.url(), place.url("sealed"), target_key=KEY)
    with StateManager(place.url("sealed"), key=KEY) as manager:
        manager.backup(str(place.folder / "backup"))
    with pytest.raises(WrongKeyError):
        restore_store(place.url("backup"), place.url("restored"))
    restore_store(place.url("backup"), place.url("restored"), key=KEY)
    with pytest.raises(WrongKeyError):
        check_store(place.url("restored"), key=b"x" * 32)
    assert exported(place.url("restored"), key=KEY) == exported(place.url())


def test_store_is_looked_at_while_it_is_open(place: Place) -> None:
    """What changes nothing works beside a manager, what must be alone is refused."""
    with StateManager(place.url(), clock=SimulatedClock()) as manager:
        assert check_store(place.url()) == []
        manager.workflow_state("w")["seen"] = "yes"
        assert b'"seen"' in exported(place.url())
        (first, *_) = preview_migrations(place.url(), [Change(1)])
        assert first.changes == ()
        with pytest.raises(StoreLockedError):
            copy_store(place.url(), place.url("copy"))
    assert "copy" not in place.names()


def test_preview_beside_a_writer_is_of_one_moment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit between the head of an owner and its entries is not seen, nor damage."""
    url = place.url("live")
    with StateManager(url) as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        find = Heads.find

        def late(heads: Heads, scope: OwnerScope) -> Head | None:
            found = find(heads, scope)
            state["a"] = 2
            return found

        monkeypatch.setattr(Heads, "find", late)
        (preview,) = preview_migrations(url, [Change(1)])
        assert preview.error is None
        assert state["a"] == 2


# ----------------------------------------------------------------- refusals


CALLS: Final[dict[str, Callable[[str, str], object]]] = {
    "check": lambda url, _: check_store(url),
    "copy": copy_store,
    "restore": restore_store,
    "export": lambda url, _: export_store(url, io.BytesIO()),
    "preview": lambda url, _: list(preview_migrations(url, [Change(1)])),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_what_is_no_store_is_refused(
    place: Place, call: Callable[[str, str], object]
) -> None:
    """Nothing is made, where it should be or where it should go."""
    before = place.names()
    with pytest.raises(StoreError):
        call(place.url("nothing"), place.url("target"))
    with pytest.raises(InvalidStoreError):
        call("memory://", "memory://")
    with pytest.raises(InvalidStoreError):
        call("nosuch:///x", place.url("target"))
    assert place.names() == before


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_sealed_store_needs_its_key(
    place: Place, call: Callable[[str, str], object]
) -> None:
    """Without it nothing is read of it, and nothing is made."""
    copy_store(place.url(), place.url("sealed"), target_key=KEY)
    before = place.names()
    with pytest.raises(WrongKeyError):
        call(place.url("sealed"), place.url("target"))
    assert place.names() == before


def test_nothing_is_replaced(place: Place) -> None:
    """Where there is something already, it stays as it is."""
    before = exported(place.url())
    copy_store(place.url(), place.url("other"))
    names = place.names()
    for call in (
        lambda: copy_store(place.url("other"), place.url()),
        lambda: copy_store(place.url(), place.url()),
        lambda: restore_store(place.url("other"), place.url()),
        lambda: import_store(io.BytesIO(before), place.url()),
    ):
        with pytest.raises(StoreError, match="something at"):
            call()
    assert exported(place.url()) == before
    assert place.names() == names


def test_restore_refuses_another_engine(place: Place) -> None:
    """A backup is of its engine; the error says what makes it another one's."""
    other = "rocksdb" if place.scheme == "sqlite" else "sqlite"
    with pytest.raises(UsageError, match="copy_store"):
        restore_store(place.url(), place.url("target", other))
    assert "target" not in place.names()


@pytest.mark.slow
def test_half_of_a_move_is_not_copied_or_exported(place: Place) -> None:
    """Neither half passes for the whole; once all is in one, that is copied."""
    other = place.url("other")
    with StateManager(place.url()) as manager:
        for number in range(8):
            manager.workflow_state(f"w{number}")["a"] = 1
        manager.persist_to(other, rollout=0.5)
    for half in (place.url(), other):
        assert check_store(half) == []
        with pytest.raises(StoreError, match="moved to"):
            copy_store(half, place.url("copy"))
        with pytest.raises(StoreError, match="moved to"):
            export_store(half, io.BytesIO())
    with StateManager(place.url()) as manager:
        manager.persist_to(other)
    assert copy_store(other, place.url("copy")) == 12
    # All of it is elsewhere, so what is left here is not a store that holds nothing.
    with pytest.raises(StoreError, match="moved to"):
        copy_store(place.url(), place.url("empty"))
    assert "empty" not in place.names()


def test_damage_is_told_and_not_copied(place: Place) -> None:
    """The owner is named, and nothing is made of what is damaged."""
    with StateManager(place.url()) as manager:
        manager.workflow_state("w").step("s")["a"] = [1, 2]
        (store,) = stores_of(manager.engine)
        journal = store.ledger.journal
        *_, (name, record) = journal.scan(b"\x02", b"\x03")
        journal.commit({name: record[:-1] + b"?"}, sync=True)
        manager.backup(str(place.folder / "backup"))
    (finding, *_) = check_store(place.url())
    assert finding.scope == StepScope("w", "s").owner
    assert finding.name == name
    assert "checksum" in str(finding)
    calls: list[Callable[[], object]] = [
        lambda: copy_store(place.url(), place.url("copy")),
        lambda: export_store(place.url(), io.BytesIO()),
        lambda: restore_store(place.url("backup"), place.url("restored")),
    ]
    for call in calls:
        with pytest.raises(CorruptStoreError):
            call()
    assert not {"copy", "restored"} & place.names()


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[1:],
        lambda lines: lines[:3] + lines[4:],
        lambda lines: [*lines[:3], lines[3], *lines[3:]],
        lambda lines: [lines[0], b"{", *lines[2:]],
        lambda lines: [*lines, lines[-1]],
        lambda _: [],
        lambda lines: [lines[0].replace(b"1", b"99"), *lines[1:]],
    ],
)
def test_what_is_no_whole_export_is_refused(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """A line too few or too many is noticed, and there is no store then."""
    place = Place("sqlite", tmp_path)
    with StateManager(place.url(), clock=SimulatedClock()) as manager:
        fill(manager)
    before, lines = place.names(), exported(place.url()).splitlines(keepends=True)
    with pytest.raises(UsageError, match="the export"):
        import_store(io.BytesIO(b"".join(change(lines))), place.url("import"))
    assert place.names() == before


def test_export_is_lines_of_json(place: Place) -> None:
    """Each is an object that says whose entry it is, and the last counts the others."""
    lines = [orjson.loads(line) for line in exported(place.url()).splitlines()]
    assert (lines[0]["stateward"], lines[-1]["end"]) == ("export", len(lines) - 2)
    entries = {(it["scope"], it["key"]): it for it in lines if "key" in it}
    nested = VALUES.index([[1, 1.0], {"": [None]}])
    for prefix in ("workflow:a%3Ab%25:", "workflow:a%3Ab%25:step:s%3A:"):
        entry = entries[prefix, f"k{nested}"]
        assert str(entry["value"]) == "[[1, 1.0], {'': [None]}]"
        assert entry["created"] == entry["updated"] == 1_000_000.0
    assert entries["workflow:a%3Ab%25:", "short"]["expires"] == 1_000_010.0
    assert any(it.get("run") for it in entries.values())
