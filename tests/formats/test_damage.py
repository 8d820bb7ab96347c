"""Damage: whatever becomes of a closed store, a read of it is right or an error."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from stateward import (
    CorruptStoreError,
    StateError,
    StateScope,
    WorkflowScope,
)
from stateward.actors.store.names import entry_range, head_name
from stateward.actors.store.records import guard, unguard
from stateward.testing import SimulatedClock
from tests.actors.store.stores import (
    ENGINES,
    A,
    B,
    Place,
    content,
    fill,
    name_in,
    scopes,
)

TRIALS: Final = 40


@pytest.fixture
def sqlite_place(tmp_path: Path, clock: SimulatedClock) -> Place:
    """Return a SQLite store that nobody has made yet."""
    return Place(folder=tmp_path, engine="sqlite", clock=clock)


def missing_row(place: Place) -> None:
    """Lose an entry."""
    place.change({name_in(A, "one"): None})


def missing_step_row(place: Place) -> None:
    """Lose an entry of a step."""
    place.change({name_in(A, "one", "s"): None})


def extra_row(place: Place) -> None:
    """Have an entry twice, under another name the second time."""
    with place.rows() as journal:
        name = name_in(A, "new")
        record = journal.get(name_in(A, "one"))
        assert record is not None
        journal.commit(
            {name: guard(name, unguard(name_in(A, "one"), record))}, sync=True
        )


def stale_row(place: Place) -> None:
    """Put back an older version of an entry."""
    before = place.row(name_in(A, "one"))
    place.write("a", one=5)
    place.change({name_in(A, "one"): before})


def deleted_row_again(place: Place) -> None:
    """Put back an entry that was deleted."""
    before = place.row(name_in(A, "one"))
    with place.open() as manager:
        del manager.workflow_state("a")["one"]
    place.change({name_in(A, "one"): before})


def swapped_rows(place: Place) -> None:
    """Put two entries in each other's place."""
    names = name_in(A, "one"), name_in(A, "two")
    place.change({names[0]: place.row(names[1]), names[1]: place.row(names[0])})


def row_of_another(place: Place) -> None:
    """Put another owner's entry in place of one."""
    place.change({name_in(A, "one"): place.row(name_in(B, "one"))})


def cut_row(place: Place) -> None:
    """Cut an entry short."""
    place.change({name_in(A, "one"): place.row(name_in(A, "one"))[:-1]})


def empty_row(place: Place) -> None:
    """Leave nothing of an entry."""
    place.change({name_in(A, "one"): b""})


def unknown_row(place: Place) -> None:
    """Have a record that is no entry."""
    place.change({b"\x02wa\0?": b"x"})


def missing_head(place: Place) -> None:
    """Lose a head."""
    place.change({head_name(A): None})


def cut_head(place: Place) -> None:
    """Cut a head short."""
    place.change({head_name(A): place.row(head_name(A))[:20]})


def stale_head(place: Place) -> None:
    """Put back an older head."""
    before = place.row(head_name(A))
    place.write("a", one=5)
    place.change({head_name(A): before})


def head_of_another(place: Place) -> None:
    """Put another owner's head in place of one."""
    place.change({head_name(A): place.row(head_name(B))})


def head_alone(place: Place) -> None:
    """Lose every entry of an owner."""
    with place.rows() as journal:
        names = [name for name, _ in journal.scan(*entry_range(A))]
        journal.commit(dict.fromkeys(names), sync=True)


DAMAGES: Final = (
    *(missing_row, missing_step_row, extra_row, stale_row, deleted_row_again),
    *(swapped_rows, row_of_another, cut_row, empty_row, unknown_row, missing_head),
    *(cut_head, stale_head, head_of_another, head_alone),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda it: it.__name__)
def test_store_damaged_in_one_owner_says_so(
    sqlite_place: Place, damage: Callable[[Place], None]
) -> None:
    """The error names file and scope, reads and writes have it, others go on."""
    place = sqlite_place
    for workflow_id in ("a", "b"):
        place.write(workflow_id, one=1, two=2)
        with place.open() as manager:
            manager.step_state(workflow_id, "s")["one"] = 1
    damage(place)
    with place.open() as manager:
        damaged, whole = manager.workflow_state("a"), manager.workflow_state("b")
        for use in (
            lambda: damaged["one"],
            lambda: damaged.get("absent"),
            lambda: dict(damaged.step("s")),
            damaged.snapshot,
            lambda: damaged.set("three", 3),
        ):
            with pytest.raises(CorruptStoreError) as caught:
                use()
            assert str(place.path) in str(caught.value)
            assert "'a'" in str(caught.value)
            assert caught.value.context["scope"] == A
            assert caught.value.effect == "none"
        assert dict(whole) == {"one": 1, "two": 2}
        assert dict(whole.step("s")) == {"one": 1}
        whole["three"] = 3
    with place.open() as manager:
        assert manager.workflow_state("b")["three"] == 3
        with pytest.raises(CorruptStoreError):
            manager.workflow_state("a").get("one")


def test_store_with_a_damaged_head_lists_no_workflows(sqlite_place: Place) -> None:
    """A list of workflows is whole, or an error that names file and record."""
    sqlite_place.write("a", one=1)
    sqlite_place.write("b", one=1)
    sqlite_place.change({head_name(A): sqlite_place.row(head_name(A))[:-1]})
    with sqlite_place.open() as manager:
        with pytest.raises(CorruptStoreError, match=r"damaged at .*wa") as caught:
            manager.workflow_ids()
        assert str(sqlite_place.path) in str(caught.value)


@pytest.mark.parametrize("whole", [False, True], ids=["head", "all"])
def test_store_that_lost_an_owner_lists_no_workflows(
    sqlite_place: Place, *, whole: bool
) -> None:
    """A head that is missing is noticed when workflows are listed."""
    sqlite_place.write("a", one=1)
    sqlite_place.write("b", one=1)
    sqlite_place.change({head_name(A): None})
    if whole:
        sqlite_place.change({name_in(A, "one"): None})
    with (
        sqlite_place.open() as manager,
        pytest.raises(CorruptStoreError, match=r"1 owners .* 2 were committed"),
    ):
        manager.workflow_ids()


def test_store_with_a_misplaced_name_misses_no_owner(sqlite_place: Place) -> None:
    """A damaged name leads a search astray, but no owner then seems empty."""
    ids = [f"w{index}" for index in range(9)]
    with sqlite_place.open() as manager:
        for workflow_id in ids:
            manager.workflow_state(workflow_id)["a"] = workflow_id
    whole = sqlite_place.path.read_bytes()
    lost = 0
    for workflow_id in ids:
        scope = WorkflowScope(workflow_id)
        for name in (head_name(scope), name_in(scope, "a")):
            assert whole.count(name) == 1
            sqlite_place.path.write_bytes(whole.replace(name, b"\xff" + name[1:]))
            with sqlite_place.open() as manager:
                for each in ids:
                    try:
                        assert dict(manager.workflow_state(each)) == {"a": each}
                    except CorruptStoreError:
                        lost += 1
    assert lost > 2 * len(ids)


@pytest.mark.parametrize("byte", [0, 8, 0xFF])
def test_store_with_unreadable_rows_says_so(sqlite_place: Place, byte: int) -> None:
    """What SQLite takes for another type once its notes are damaged is an error."""
    sqlite_place.write("a", one=1)
    sqlite_place.write("b", one=1)
    with sqlite_place.open() as manager:
        before: dict[StateScope, object] = {it: content(manager, it) for it in (A, B)}
    names = head_name(A), name_in(A, "one")
    records = [sqlite_place.row(name) for name in names]
    whole = sqlite_place.path.read_bytes()
    for name, record in zip(names, records, strict=True):
        start = whole.index(name + record)
        for back in (1, 2, 3):  # types of record and name, size of the notes
            damaged = bytearray(whole)
            damaged[start - back] = byte
            sqlite_place.path.write_bytes(damaged)
            assert check(sqlite_place, before, ["a", "b"], f"{name!r} {back}") > 0
        for kind, size in ((0, 0), (1, 1), (6, 8), (13 + 2 * len(record), len(record))):
            damaged = bytearray(whole)  # another type, and a length that goes with it
            damaged[start - 4], damaged[start - 1] = 3 + len(name) + size, kind
            sqlite_place.path.write_bytes(damaged)
            assert check(sqlite_place, before, ["a", "b"], f"{name!r} is {kind}") > 0


def test_store_of_a_damaged_schema_is_refused(sqlite_place: Place) -> None:
    """SQLite quotes its damaged schema in words that are no text any more."""
    sqlite_place.write(a=1)
    whole = sqlite_place.path.read_bytes()
    sqlite_place.path.write_bytes(
        whole.replace(b"CREATE TABLE rows", b"CRE\xff" * 4 + b" ")
    )
    with pytest.raises(StateError):
        sqlite_place.open()


@pytest.fixture(scope="module")
def closed_stores(
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, tuple[Place, Mapping[StateScope, object], list[str]]]:
    """Return a closed store of each engine, what is in it, and its workflows."""
    found = {}
    for engine in ENGINES:
        clock = SimulatedClock()
        place = Place(
            folder=tmp_path_factory.mktemp(engine), engine=engine, clock=clock
        )
        with place.open() as manager:
            fill(manager, clock)
            before = {scope: content(manager, scope) for scope in scopes()}
            ids = sorted(manager.workflow_ids())
        found[engine] = place, before, ids
    return found


def flip(place: Place, chance: random.Random) -> str:
    """Change one to three bytes of a closed store; return which."""
    files = [place.path]
    if place.path.is_dir():
        files = sorted(
            file
            for file in place.path.iterdir()
            if file.suffix in {".sst", ".log"} or file.name.startswith("MANIFEST")
            if file.stat().st_size
        )
    file = chance.choice(files)
    data = bytearray(file.read_bytes())
    places = [index for index, byte in enumerate(data) if byte] or [0]
    done = []
    for _ in range(chance.randint(1, 3)):
        # Most of a page is nothing, which says nothing when it changes.
        index = chance.choice(places)
        data[index] = chance.choice((0, 0xFF, data[index] ^ 1 << chance.randrange(8)))
        done.append(f"{file.name}[{index}] = {data[index]}")
    file.write_bytes(data)
    return ", ".join(done)


def check(
    place: Place, before: Mapping[StateScope, object], ids: list[str], done: str
) -> int:
    """Read all of a damaged store; return how many reads were refused."""
    try:
        manager = place.open()
    except StateError:
        return 1
    refused = 0
    with manager:
        for scope, expected in before.items():
            try:
                found = content(manager, scope)
            except StateError:
                refused += 1
            else:
                assert found == expected, f"{scope} after {done}"
        try:
            assert sorted(manager.workflow_ids()) == ids, done
        except StateError:
            refused += 1
    return refused


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_store_with_flipped_bytes_tells_no_lies(
    engine: str,
    closed_stores: Mapping[str, tuple[Place, Mapping[StateScope, object], list[str]]],
    tmp_path: Path,
) -> None:
    """Whatever is damaged, a read is right or an error, and never silently empty."""
    original, before, ids = closed_stores[engine]
    refused = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        shutil.copytree(original.folder, folder)
        place = Place(folder=folder, engine=engine, clock=original.clock)
        done = flip(place, random.Random(f"{engine} {trial}"))
        refused += check(place, before, ids, f"trial {trial}: {done}") > 0
        shutil.rmtree(folder)
    assert refused > TRIALS // 4
