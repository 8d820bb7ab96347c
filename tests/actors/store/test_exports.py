"""Exports: lines of JSON that are all of a store, and a store again, exactly."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from stateward import (
    CorruptStoreError,
    JsonValue,
    StateManager,
    StoreError,
    UsageError,
    WorkflowScope,
)
from stateward.actors.core.cells import Cell
from stateward.actors.core.limits import Limits
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import unpack
from stateward.actors.store.ciphers import AeadCipher, KeyRing
from stateward.actors.store.exports import Image, ImportedLines, export_lines
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import entry_range, head_name
from stateward.actors.store.records import entry_record
from stateward.actors.store.rotation import rekey
from stateward.actors.store.transfers import fill
from stateward.offline import check_store, import_store
from tests.actors.store.kept import (
    NEW,
    OLD,
    cells,
    exported,
    journal_of,
    loaded,
    opened,
    workflow,
)
from tests.actors.store.stores import FLOW, A, name_in
from tests.actors.store.test_records import cell_of
from tests.hostile import EXACT

ODD: Final = (":", "%", "%3A", "a:step:b", "\u00e9\U0001d4b3", " ", "\n", '"', "step:")


def write_odd(manager: StateManager) -> None:
    """Write every kind of value, id and record there is."""
    manager.global_state().update({f"{at:03}": it for at, it in enumerate(EXACT)})
    for number, name in enumerate(ODD):
        state = manager.workflow_state(name)
        state[name] = number
        state[name] = {name: [1.0, 1, -0.0, (1 << 64) - 1, -(1 << 63), None]}
        state.set("later", name, ttl=1e9 + number / 3)
        state.step(name)[name] = number
        manager.custom_state(name)[name] = name
    manager.workflow_state("gone")["a"] = 1
    manager.drop_workflow("gone")
    manager.run(FLOW, "run", input="world")


def imported(lines: list[bytes], folder: Path, **options: Any) -> MemoryJournal:
    """Return the journal of a store that is filled with what an export holds."""
    journal = MemoryJournal()
    with opened(journal, folder, **options) as store:
        export = ImportedLines(lines, "the export")
        _, version = fill(store, export.images())
        store.ledger.raise_floor(export.floor, version=version)
        return journal.killed()


def everything(image: Image) -> list[tuple[object, ...]]:
    """Return all there is to know of the entries of an owner."""
    return [
        (
            *(it.table.step_name, it.key, repr(unpack(it.value)), type(it.value)),
            *(it.depth, it.size, it.revision, it.created, it.updated, it.expires),
        )
        for it in cells(image.state)
    ]


@pytest.mark.parametrize("key", [None, OLD], ids=["open", "sealed"])
def test_export_comes_back_exactly(tmp_path: Path, key: bytes | None) -> None:
    """Values to the type, revisions, times, expiries, runs and odd ids are the same."""
    with opened(journal_of(tmp_path, write_odd, key=key), tmp_path, key=key) as store:
        lines = exported(store)
        images = list(ImportedLines(lines, "the export").images())
        heads = dict(store.heads.all())
        for image in images:
            state = loaded(store, image.scope)
            found = Image(scope=image.scope, revision=0, version=0, state=state)
            assert everything(image) == everything(found)
            assert (image.state.keys, image.state.size) == (state.keys, state.size)
    assert len(images) == 2 * len(ODD) + 2
    again = imported(lines, tmp_path)
    with opened(again, tmp_path) as store:
        assert exported(store) == lines
        assert store.floor > 0
        assert dict(store.heads.all()) == heads


def test_export_is_lines_of_json(tmp_path: Path) -> None:
    """Any program can read it: a header, each owner before its entries, and the end."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        lines = exported(store)
    parsed = [json.loads(line) for line in lines]
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    assert parsed[0] == {"stateward": "export", "format": 1, "floor": 0}
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    assert parsed[-1] == {"end": len(lines) - 2, "sha256": digest}
    owners = [line["owner"] for line in parsed if "owner" in line]
    assert owners == ["custom:rates:", "workflow:a:", "workflow:b:"]
    at = parsed.index(
        {"owner": "workflow:a:", "revision": 4, "version": 0, "entries": 4}
    )
    assert parsed[at + 1] == {
        "scope": "workflow:a:",
        "key": "later",
        "value": "kept",
        "revision": 3,
        "created": 1e6,
        "updated": 1e6,
        "expires": 1e9 + 1e6,
    }
    assert parsed[at + 4]["scope"] == "workflow:a:step:s:"


def test_export_of_an_empty_store_is_one(tmp_path: Path) -> None:
    """Nothing comes back as nothing."""
    with opened(MemoryJournal(), tmp_path) as store:
        lines = exported(store)
    assert len(lines) == 2
    assert list(ImportedLines(lines, "the export").images()) == []


def test_export_tells_its_progress(tmp_path: Path) -> None:
    """Each owner counts once it is written, up to all of them."""
    told: list[tuple[int, int]] = []
    with opened(journal_of(tmp_path), tmp_path) as store:
        list(export_lines(store, progress=lambda *it: told.append(it)))
    assert told == [(1, 3), (2, 3), (3, 3)]


DAMAGES: Final[dict[str, Callable[[], dict[bytes, bytes | None]]]] = {
    "entry flipped": lambda: {name_in(A, "one"): b"flipped"},
    "entry lost": lambda: {name_in(A, "one"): None},
    "step lost": lambda: {name_in(A, "one", "s"): None},
    "head damaged": lambda: {head_name(A): b"x"},
    "head lost": lambda: {head_name(A): None},
    "entries lost": lambda: dict.fromkeys(
        [*(name_in(A, key) for key in ("one", "list", "later")), name_in(A, "one", "s")]
    ),
    "owner lost": lambda: DAMAGES["entries lost"]() | DAMAGES["head lost"](),
    "owner added": lambda: {
        name_in(workflow(1), "a"): entry_record(
            name_in(workflow(1), "a"), cell_of(1), 0.0
        )
    },
    "foreign entry": lambda: {b"\x02wa\0?": b"x"},
    "progress lost": lambda: {b"\x00progress": None},
}


@pytest.mark.parametrize("how", DAMAGES)
def test_export_of_a_damaged_store_has_no_end(tmp_path: Path, how: str) -> None:
    """What is damaged or missing ends it with an error, and with no last line."""
    journal = journal_of(tmp_path)
    lines: list[bytes] = []
    with opened(journal, tmp_path) as store:
        journal.commit(DAMAGES[how](), sync=True)
        with pytest.raises(CorruptStoreError, match="is damaged at"):
            lines.extend(export_lines(store))
    with pytest.raises(UsageError, match="the export, line"):
        list(ImportedLines(lines, "the export").images())


def test_export_overlooks_what_counts_for_nothing(tmp_path: Path) -> None:
    """An owner that is on its way is not in it before it has come."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        before = exported(store)
        store.arrive(workflow(1)).put([cell_in(workflow(1))])
        assert len(list(store.ledger.journal.scan(*entry_range(workflow(1))))) == 1
        assert exported(store) == before


def cell_in(scope: WorkflowScope) -> Cell:
    """Return an entry of an owner."""
    state = OwnerState(scope, Limits(), 0, 0.0)
    state.restore(None, "key", cell_of(1))
    return state.own["key"]


def test_export_of_a_store_that_was_left_is_refused(tmp_path: Path) -> None:
    """Where an owner is in another store now, an export would not be all there is."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        store.depart(A, "sqlite:///elsewhere")
        with pytest.raises(StoreError, match="was moved to sqlite:///elsewhere"):
            exported(store)


def test_export_of_a_store_half_rotated_needs_both_keys(tmp_path: Path) -> None:
    """It reads what either key sealed, and says which one it lacks."""
    journal = journal_of(tmp_path, key=OLD)
    with opened(journal, tmp_path, key=OLD) as store:
        before = exported(store)
        rekey(store, AeadCipher(KeyRing(NEW, OLD)))
        left = journal.killed()
    with opened(left.killed(), tmp_path, key=KeyRing(NEW, OLD)) as store:
        assert exported(store) == before
    with (
        opened(left, tmp_path, key=NEW) as store,
        pytest.raises(PermissionError, match="no key"),
    ):
        exported(store)


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """Return an export of three owners: 1 + 2 + 5 + 5 + 1 lines."""
    with opened(journal_of(tmp_path), tmp_path) as store:
        found = exported(store)
    assert len(found) == 14
    return found


@pytest.fixture
def unsummed(lines: list[bytes]) -> list[bytes]:
    """Return the same without the sum, as who edits an export leaves it."""
    return [*lines[:-1], b'{"end": 12}']


def number_of_refusal(lines: list[bytes]) -> int:
    """Return the line that is said to be wrong."""
    with pytest.raises(UsageError, match=r"^a, line \d+: ") as caught:
        # A name that is in many messages, and still no part of them.
        list(ImportedLines(lines, "a").images())
    number = caught.value.context["line"]
    assert str(caught.value).startswith(f"a, line {number}: ")
    assert isinstance(number, int)
    return number


def test_import_refuses_an_export_that_ends_early(lines: list[bytes]) -> None:
    """Cut after any line or within the last one, it is no whole one."""
    for count in range(len(lines)):
        assert number_of_refusal(lines[:count]) == count + 1
    for index, line in enumerate(lines):
        cut = [*lines[:index], line[: len(line) // 2]]
        assert number_of_refusal(cut) == index + 1


def test_import_refuses_a_line_that_is_missing_or_doubled(lines: list[bytes]) -> None:
    """One line more or less anywhere is noticed, at the latest at the end."""
    for index in range(len(lines)):
        without = [*lines[:index], *lines[index + 1 :]]
        assert index < number_of_refusal(without) <= len(without) + 1
        double = [*lines[: index + 1], *lines[index:]]
        assert index < number_of_refusal(double) <= len(double) + 1


def test_import_refuses_entries_of_another_owner(lines: list[bytes]) -> None:
    """An entry among another owner's, or an owner among entries, is out of place."""
    order = list(lines)
    order[2], order[4] = order[4], order[2]
    assert number_of_refusal(order) == 3
    order = list(lines)
    order[3], order[4] = order[4], order[3]
    assert number_of_refusal(order) == 4
    order = list(lines)
    order[0], order[1] = order[1], order[0]
    assert number_of_refusal(order) == 1
    assert number_of_refusal([*lines[:-2], lines[-1], lines[-2]]) == len(lines) - 1
    assert number_of_refusal([*lines, b"\n"]) == len(lines)


def test_import_refuses_an_owner_that_is_there_twice(lines: list[bytes]) -> None:
    """Two lines for one owner are refused, though the end counts both."""
    order = [*lines[:3], *lines[1:-1], b'{"end": 14}']
    assert number_of_refusal(order) == 4


def test_import_refuses_a_byte_that_is_another(lines: list[bytes]) -> None:
    """Wherever one is flipped, also in a value, the end does not fit any more."""
    chance = random.Random("export")
    for _ in range(300):
        index = chance.randrange(len(lines) - 1)
        flipped = bytearray(lines[index])
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        edited = [*lines[:index], bytes(flipped), *lines[index + 1 :]]
        assert index < number_of_refusal(edited) <= len(lines)


@pytest.mark.parametrize("text", ["", "0" * 64, None, 5])
def test_import_refuses_another_sum(lines: list[bytes], text: JsonValue) -> None:
    """A sum that is there counts, and the refusal says how to do without."""
    end = json.dumps({"end": 12, "sha256": text}).encode()
    with pytest.raises(UsageError, match=r'line 14: .* remove "sha256"'):
        list(ImportedLines([*lines[:-1], end], "a").images())


def test_import_takes_lines_in_another_order_of_entries(
    lines: list[bytes], unsummed: list[bytes], tmp_path: Path
) -> None:
    """The entries of one owner may stand in any order: they are the same."""
    order = list(unsummed)
    order[4], order[5] = order[5], order[4]
    with opened(imported(order, tmp_path), tmp_path) as store:
        assert exported(store) == lines


EDITS: Final[dict[tuple[int, str], list[JsonValue]]] = {
    (0, "stateward"): ["import", 1],
    (0, "format"): [2, "1", 1.0, True],
    (0, "floor"): [1 << 63, (1 << 64) - 1, 1 << 64, -1, 1.5, "1", None, True],
    (3, "owner"): ["workflow:a:step:s:", "custom:rates:", "x", 5, None],
    (3, "revision"): [1 << 63, (1 << 64) - 1, 1 << 64, -1, 1.5, "4", True, 3],
    (3, "entries"): [-1, 3, 5, 1.0, "4"],
    (3, "version"): [-1, 1 << 32, 0.0, None],
    (4, "scope"): ["workflow:b:", "", "x", 5, "workflow:%61:"],
    (4, "key"): ["", 5, None, "a\0b", "one", ["a"]],
    (4, "revision"): [0, 5, 1.5, "1", None],
    (4, "created"): ["nan", "1", None, True, []],
    (4, "updated"): ["inf", "-inf", None, False],
    (4, "expires"): ["nan", "-inf", True, {}],
    (13, "end"): [0, 11, 13, None, "12"],
}


@pytest.mark.parametrize(
    ("index", "field", "value"),
    [(*place, value) for place, values in EDITS.items() for value in values],
)
def test_import_refuses_what_was_edited_to_nonsense(
    unsummed: list[bytes], index: int, field: str, value: JsonValue
) -> None:
    """A field that says what cannot be is refused, with the number of a line."""
    line = json.loads(unsummed[index]) | {field: value}
    edited = [*unsummed[:index], json.dumps(line).encode(), *unsummed[index + 1 :]]
    assert index < number_of_refusal(edited) <= len(unsummed)


@pytest.mark.parametrize("index", [0, 3, 4, 13])
def test_import_refuses_a_line_that_lacks_a_field(
    unsummed: list[bytes], index: int
) -> None:
    """Every field but the expiry is needed."""
    line = json.loads(unsummed[index])
    for field in line.keys() - {"expires"}:
        left = {key: value for key, value in line.items() if key != field}
        edited = [*unsummed[:index], json.dumps(left).encode(), *unsummed[index + 1 :]]
        assert index < number_of_refusal(edited) <= len(unsummed)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"7", b"null", b'"a"', b"\xff{}"])
def test_import_refuses_a_line_that_is_no_object(
    lines: list[bytes], text: bytes
) -> None:
    """Whatever is no JSON object is refused where it stands."""
    for index in range(len(lines)):
        edited = [*lines[:index], text, *lines[index + 1 :]]
        assert number_of_refusal(edited) == index + 1


def test_import_takes_only_what_can_go_on(
    unsummed: list[bytes], tmp_path: Path
) -> None:
    """With the largest revision and floor there may be, each owner can be written."""
    edited = list(unsummed)
    for index, field in ((0, "floor"), (3, "revision"), (4, "revision")):
        line = json.loads(edited[index]) | {field: (1 << 63) - 1}
        edited[index] = json.dumps(line).encode() + b"\n"
    url = f"sqlite:///{tmp_path / 'new'}"
    import_store(io.BytesIO(b"".join(edited)), url)
    with StateManager(url) as manager:
        for name in ("a", "new"):
            assert manager.workflow_state(name).set("k", 1) >= 1 << 63
    assert check_store(url) == []


def test_import_takes_a_value_that_was_edited(
    unsummed: list[bytes], tmp_path: Path
) -> None:
    """A value may be changed by hand, and is what was written then."""
    line = json.loads(unsummed[6]) | {"value": {"edited": [1.5]}}
    edited = [*unsummed[:6], json.dumps(line).encode(), *unsummed[7:]]
    with opened(imported(edited, tmp_path), tmp_path) as store:
        assert loaded(store, A).own["one"].thaw() == {"edited": [1.5]}
