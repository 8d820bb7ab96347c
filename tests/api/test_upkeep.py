import io
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from stateward import (
    ClosedError,
    CorruptStoreError,
    KeyRing,
    StateError,
    StateManager,
    StoreError,
    UsageError,
    WorkflowState,
    WrongKeyError,
)
from stateward.actors.core.ports import Journal
from stateward.actors.store.files import remove
from stateward.moving import stores_of
from stateward.offline import backup_store, check_store, import_store
from tests.threads import Job, eventually

SCHEMES: Final = ("sqlite", "rocksdb")
PAIR: Final = 1000
"""What the two keys that each transaction changes add up to."""
OLD: Final = b"o" * 32
NEW: Final = b"n" * 32


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """Return the scheme of a store."""
    scheme: str = request.param
    return scheme


@pytest.fixture
def url(scheme: str, tmp_path: Path) -> str:
    """Return where there is no store yet."""
    return f"{scheme}:///{tmp_path}/state"


@contextmanager
def writers(manager: StateManager) -> Iterator[WorkflowState]:
    """Have threads write all the time, as `check_moment` wants it to look.

    Yields:
        A state that holds how often one thread has written.
    """
    over = threading.Event()
    for name in "pq":
        pair = manager.workflow_state(name)
        pair["a"], pair.step("s")["b"] = PAIR, 0
    first, second = manager.workflow_state("1"), manager.workflow_state("2")
    first["n"] = second["n"] = 0

    def in_pairs(name: str) -> None:
        state = manager.workflow_state(name)
        while not over.is_set():
            with state.transaction() as tx:
                tx.increment("a", -1)
                tx.step("s").increment("b")

    def in_order() -> None:
        for number in itertools.count(1):
            if over.is_set():
                return
            first.update({"n": number, "text": "x" * (number % 300)})
            second["n"] = number

    jobs: list[Job[..., None]] = [
        *(Job(in_pairs, name) for name in "pq"),
        Job(in_order),
    ]
    try:
        eventually(lambda: second["n"] != 0, "a write")
        yield second
    finally:
        over.set()
        for job in jobs:
            job.result()


def check_moment(manager: StateManager) -> int:
    """Check that a store is as `writers` left it at one moment; return which."""
    for name in "pq":
        pair = manager.workflow_state(name)
        a, b = pair["a"], pair.step("s")["b"]
        assert isinstance(a, int)
        assert isinstance(b, int)
        assert a + b == PAIR
    # The one is written after the other has returned.
    first, second = (manager.workflow_state(it)["n"] for it in "12")
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert second <= first <= second + 1
    return second


@pytest.mark.parametrize("by", ["manager", "store"])
@pytest.mark.parametrize("written", [False, True])
def test_backup_is_not_judged_by_the_mark_of_an_earlier_one(
    url: str, scheme: str, tmp_path: Path, by: str, written: bool
) -> None:
    """A mark that would say that commits are lost is refused; another is no matter."""
    target = tmp_path / "backup"

    def make() -> None:
        if by == "store":
            backup_store(url, str(target))
        else:
            with StateManager(url) as manager:
                manager.backup(str(target))

    with StateManager(url) as manager:
        manager.global_state()["a"] = 1
    make()
    with StateManager(f"{scheme}:///{target}") as manager:
        for number in range(5 if written else 0):
            manager.global_state()["a"] = number
    remove(target)
    mark = Path(f"{target}.mark")
    if written:
        with pytest.raises(StoreError, match=r"backup\.mark already, left by"):
            make()
        assert not target.exists()
        mark.unlink()
    make()
    assert check_store(f"{scheme}:///{target}") == []
    with StateManager(f"{scheme}:///{target}") as manager:
        assert manager.global_state()["a"] == 1


def test_backup_that_was_only_checked_makes_room_for_the_next(
    url: str, scheme: str, tmp_path: Path
) -> None:
    """It was removed alone, and nothing that SQLite left beside it is in the way."""
    target = tmp_path / "backup"
    with StateManager(url) as manager:
        manager.global_state()["a"] = 1
        for _ in range(2):
            backup_store(url, str(target))
            assert check_store(f"{scheme}:///{target}") == []
            remove(target)


# ------------------------------------------------------------ while others write


@pytest.mark.slow
def test_backup_is_of_one_moment_while_others_write(
    url: str, scheme: str, tmp_path: Path
) -> None:
    """What it holds was there at once, and is not older than its begin."""
    paths = [str(tmp_path / f"backup-{number}") for number in range(5)]
    with StateManager(url) as manager, writers(manager) as state:
        begun = []
        for path in paths:
            begun.append(state["n"])
            manager.backup(path)
    for path, earliest in zip(paths, begun, strict=True):
        assert check_store(f"{scheme}:///{path}") == []
        with StateManager(f"{scheme}:///{path}") as manager:
            assert check_moment(manager) >= earliest  # type: ignore[operator]  # an int


@pytest.mark.slow
def test_export_is_of_one_moment_while_others_write(
    url: str, scheme: str, tmp_path: Path
) -> None:
    """As a backup; and it ends with how many lines there are."""
    with StateManager(url) as manager, writers(manager) as state:
        exports = []
        for _ in range(5):
            begun, file = state["n"], io.BytesIO()
            lines = manager.export(file)
            assert len(file.getvalue().splitlines()) == lines
            exports.append((begun, file))
    for number, (earliest, file) in enumerate(exports):
        copy = f"{scheme}:///{tmp_path}/import-{number}"
        file.seek(0)
        assert import_store(file, copy) == 4
        with StateManager(copy) as manager:
            assert check_moment(manager) >= earliest  # type: ignore[operator]  # an int


@pytest.mark.slow
def test_check_finds_nothing_wrong_while_others_write(url: str) -> None:
    """It looks at one moment, at which everything adds up."""
    progress: list[tuple[int, int]] = []
    with StateManager(url) as manager, writers(manager):
        for _ in range(10):
            assert manager.check() == []
        assert manager.check(on_progress=lambda *done: progress.append(done)) == []
    assert progress == [(number, 4) for number in range(1, 5)]


@pytest.mark.slow
def test_compaction_goes_on_beside_writers(url: str) -> None:
    """Writes wait for it, and none is lost or refused."""
    with StateManager(url) as manager:
        with writers(manager) as state:
            for _ in range(5):
                manager.compact()
            last = state["n"]
        assert check_moment(manager) >= last  # type: ignore[operator]  # an int
        assert manager.check() == []
    with StateManager(url) as manager:
        check_moment(manager)


@pytest.mark.slow
def test_key_is_rotated_while_others_write(url: str) -> None:
    """Afterwards the new key opens everything, and the old one is of no use."""
    with StateManager(url, key=OLD) as manager:
        manager.workflow_state("big").update({f"k{n}": n for n in range(1200)})
        with writers(manager):
            assert manager.rotate_key(KeyRing(NEW, OLD)) >= 1200
            assert manager.rotate_key(KeyRing(NEW, OLD)) == 0
        assert manager.check() == []
    with pytest.raises(WrongKeyError):
        StateManager(url, key=OLD)
    with StateManager(url, key=NEW) as manager:
        check_moment(manager)
        assert len(manager.workflow_state("big")) == 1200
        assert manager.check() == []


# ------------------------------------------------------------------ one by one


def test_compaction_gives_space_back(url: str) -> None:
    """Of what was removed nothing is left on the disk, and the rest is."""
    with StateManager(url, durability="buffered") as manager:
        state = manager.workflow_state("w")
        # No compression makes anything of it.
        text = orjson.dumps([hash((n, "x")) for n in range(20_000)]).decode()
        state.update({f"k{n}": f"{n} {text}" for n in range(5)})
        state["kept"] = 1
        manager.compact()
        before = size_of(manager)
        state.delete_many([f"k{n}" for n in range(5)])
        manager.compact()
        assert size_of(manager) < before / 4
        assert dict(state) == {"kept": 1}
        assert manager.check() == []


def size_of(manager: StateManager) -> int:
    """Return how much the store of a manager takes."""
    return journal_of(manager).size_bytes()


def journal_of(manager: StateManager) -> Journal:
    """Return what keeps the state of a manager."""
    (store,) = stores_of(manager.engine)
    return store.ledger.journal


def test_backup_is_a_store_of_its_own(url: str, scheme: str, tmp_path: Path) -> None:
    """It can be opened, written to and backed up, and the first one goes on."""
    copy = f"{scheme}:///{tmp_path}/copy"
    with StateManager(url) as manager:
        manager.workflow_state("w")["a"] = 1
        manager.backup(str(tmp_path / "copy"))
        manager.workflow_state("w")["a"] = 2
        with StateManager(copy) as other:
            assert other.workflow_state("w").increment("a", 10) == 11
            other.backup(str(tmp_path / "third"))
        assert manager.workflow_state("w")["a"] == 2
        with pytest.raises(StoreError, match="already"):
            manager.backup(str(tmp_path / "copy"))
    with StateManager(copy) as other:
        assert other.workflow_state("w")["a"] == 11


def test_rotation_that_was_interrupted_goes_on(url: str) -> None:
    """Until it is over both keys are needed, and calling it again ends it."""
    ring = KeyRing(NEW, OLD)

    def stop(*_: int) -> None:
        raise ZeroDivisionError

    with StateManager(url, key=OLD) as manager:
        for name in "abc":
            manager.workflow_state(name)["n"] = name
        with pytest.raises(ZeroDivisionError):
            manager.rotate_key(ring, on_progress=stop)
    # The new key is that of the store from the first moment on.
    with StateManager(url, key=NEW) as manager, pytest.raises(WrongKeyError):
        manager.workflow_state("c").get("n")
    with StateManager(url, key=ring) as manager:
        assert manager.workflow_state("c")["n"] == "c"
        progress: list[tuple[int, int]] = []
        sealed = manager.rotate_key(ring, on_progress=lambda *it: progress.append(it))
        assert sealed == 2
        assert progress == [(1, 3), (2, 3), (3, 3)]
    with StateManager(url, key=NEW) as manager:
        found = {it: manager.workflow_state(it)["n"] for it in manager.workflow_ids()}
    assert found == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.parametrize(
    ("sealed_with", "key", "error"),
    [
        (None, NEW, WrongKeyError),
        (OLD, NEW, WrongKeyError),
        (OLD, b"short", UsageError),
        (OLD, "text", UsageError),
    ],
)
def test_rotation_needs_the_present_key(
    tmp_path: Path, sealed_with: bytes | None, key: Any, error: type[StateError]
) -> None:
    """Without it, or with what is no key, nothing is changed."""
    url = f"sqlite:///{tmp_path}/state"
    with StateManager(url, key=sealed_with) as manager:
        manager.workflow_state("w")["a"] = 1
        with pytest.raises(error) as caught:
            manager.rotate_key(key)
        assert caught.value.effect == "none"
    with StateManager(url, key=sealed_with) as manager:
        assert manager.workflow_state("w")["a"] == 1


def test_upkeep_meets_damage_with_an_error(url: str) -> None:
    """A damaged entry is found by `check`, and stops an export and a rotation."""
    with StateManager(url, key=OLD) as manager:
        manager.workflow_state("sound")["a"] = 1
        manager.workflow_state("w").update({"a": 1, "b": [2]})
    with StateManager(url, key=OLD) as manager:
        journal = journal_of(manager)
        rows = journal.scan(b"\x02", b"\x03")
        name, record = [row for row in rows if b"w" in row[0]][-1]
        journal.commit({name: record[:-1] + bytes([record[-1] ^ 1])}, sync=True)
        findings = manager.check()
        assert any(it.name == name for it in findings)
        assert {str(it.scope) for it in findings} == {
            str(manager.workflow_state("w").scope)
        }
        with pytest.raises(CorruptStoreError):
            manager.export(io.BytesIO())
        with pytest.raises(CorruptStoreError):
            manager.rotate_key(KeyRing(NEW, OLD))
        assert manager.workflow_state("sound")["a"] == 1


CALLS: Final[dict[str, Callable[[StateManager], object]]] = {
    "backup": lambda it: it.backup("backup"),
    "compact": lambda it: it.compact(),
    "check": lambda it: it.check(),
    "export": lambda it: it.export(io.BytesIO()),
    "rotate_key": lambda it: it.rotate_key(NEW),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_upkeep_needs_one_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[StateManager], object],
) -> None:
    """In memory, in the middle of a move and after the end there is not one."""
    monkeypatch.chdir(tmp_path)
    with StateManager() as manager:
        assert manager.migrate().migrated == 0
        with pytest.raises(UsageError, match="nothing is stored"):
            call(manager)
    with StateManager(f"sqlite:///{tmp_path}/one") as manager:
        manager.workflow_state("w")["a"] = 1
        manager.persist_to(f"sqlite:///{tmp_path}/two", rollout=0.5)
        with pytest.raises(UsageError, match="a move is under way"):
            call(manager)
        manager.persist_to(f"sqlite:///{tmp_path}/two")
    with pytest.raises(ClosedError):
        call(manager)
    assert not (tmp_path / "backup").exists()


def test_export_of_half_a_move_is_refused(url: str, tmp_path: Path) -> None:
    """A store whose other half is elsewhere cannot be told whole, so it is not told."""
    with StateManager(url) as manager:
        for number in range(10):
            manager.workflow_state(f"w{number}")["a"] = 1
        manager.persist_to(f"sqlite:///{tmp_path}/two", rollout=0.5)
    with StateManager(url) as manager:
        with pytest.raises(StoreError, match=r"some of .* was moved to"):
            manager.export(io.BytesIO())
        manager.persist_to(f"sqlite:///{tmp_path}/two", rollout=0)
        assert manager.export(io.BytesIO()) == 22
