"""Checking: nothing is found in a healthy store, and all that is wrong in another."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from stateward import CorruptStoreError, StoreLockedError
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.store.about import (
    FORMAT_NAME,
    PROGRESS_NAME,
    parse_progress,
    progress_row,
)
from stateward.actors.store.checking import Finding, inspect
from stateward.actors.store.ciphers import AeadCipher, KeyRing
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import head_name
from stateward.actors.store.opening import open_store
from stateward.actors.store.records import entry_record, guard, head_record, unguard
from stateward.actors.store.replay import Overlay
from stateward.actors.store.rotation import rekey
from stateward.actors.store.urls import parse_url
from stateward.testing import SimulatedClock
from tests.actors.store.kept import (
    EVERYTHING,
    NEW,
    OLD,
    RATES,
    journal_of,
    opened,
    rows_of,
    workflow,
)
from tests.actors.store.stores import ENGINES, A, B, Place, fill, name_in
from tests.actors.store.test_records import cell_of

Rows: TypeAlias = dict[bytes, bytes]
ONE: Final = name_in(A, "one")
OWNERS: Final = (RATES, A, B)


@pytest.fixture
def journal(tmp_path: Path) -> MemoryJournal:
    """Return a healthy journal of three owners."""
    return journal_of(tmp_path)


def found_after(
    journal: MemoryJournal, folder: Path, damage: Callable[[Rows], object]
) -> list[Finding]:
    """Return what is found in a store that is damaged once it is open."""
    left = journal.killed()
    with opened(left, folder) as store:
        before = rows_of(left)
        rows = dict(before)
        damage(rows)
        assert rows != before
        left.commit({**dict.fromkeys(before), **rows}, sync=True)
        found = list(inspect(store))
        assert rows_of(left) == rows
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_check_of_a_healthy_store_finds_nothing(tmp_path: Path, engine: str) -> None:
    """Nothing is found in what was written, and nothing is changed."""
    clock = SimulatedClock()
    place = Place(folder=tmp_path, engine=engine, clock=clock)
    with place.open() as manager:
        fill(manager, clock)
    with place.rows() as rows:
        before = dict(rows.scan(*EVERYTHING))
    told: list[tuple[int, int]] = []
    with closing(open_store(parse_url(place.url), read_only=True)) as store:
        assert list(inspect(store, progress=lambda *it: told.append(it))) == []
    assert told == [(number, 15) for number in range(1, 16)]
    with place.rows() as rows:
        assert dict(rows.scan(*EVERYTHING)) == before


@pytest.mark.parametrize("key", [None, OLD], ids=["open", "sealed"])
def test_check_finds_any_record_that_is_not_as_it_was(
    tmp_path: Path, key: bytes | None
) -> None:
    """Flipped, cut, emptied, removed, doubled or swapped, each record is missed."""
    journal = journal_of(tmp_path, key=key)
    chance = random.Random(8)
    with opened(journal, tmp_path, key=key) as store:
        before = rows_of(journal)
        assert len(before) == 14
        for name, record in before.items():
            flipped = bytearray(record)
            flipped[chance.randrange(len(record))] ^= 1 << chance.randrange(8)
            other = chance.choice(sorted(before.keys() - {name}))
            damages: list[dict[bytes, bytes | None]] = [
                {name: bytes(flipped)},
                {name: record[:-1]},
                {name: record + b"0"},
                {name: b""},
                {name: None},
                {name + b"2": record},
                {name + b"2": guard(name + b"2", unguard(name, record))},
                {name: None, name + b"2": record},
                {name: before[other], other: record},
            ]
            for damage in damages:
                journal.commit(damage, sync=True)
                assert list(inspect(store)), damage
                undo = dict.fromkeys(damage) | {
                    it: before[it] for it in damage if it in before
                }
                journal.commit(undo, sync=True)
        assert rows_of(journal) == before
        assert list(inspect(store)) == []


def set_row(rows: Rows, name: bytes, content: bytes) -> None:
    """Put a record that is whole under a name."""
    rows[name] = guard(name, content)


@pytest.mark.parametrize(
    "name",
    [
        *(b"\x00foreign", b"\x01", b"\x01zz\0", b"\x01wa", b"\x02", b"\x02wa\0?"),
        *(b"\x02wa\0s", b"\x02xa\0kb", b"\x03", b"diary", b"\xff\xff"),
    ],
)
def test_check_finds_what_is_not_of_a_store(
    journal: MemoryJournal, tmp_path: Path, name: bytes
) -> None:
    """A record of something else is found, wherever it stands, though it is whole."""
    findings = found_after(journal, tmp_path, lambda rows: set_row(rows, name, b"1"))
    assert name in [finding.name for finding in findings]


@pytest.mark.parametrize("scope", OWNERS, ids=str)
def test_check_says_whose_record_is_damaged(
    journal: MemoryJournal, tmp_path: Path, scope: OwnerScope
) -> None:
    """Only the owner whose head is damaged or missing is named, beside the store."""
    name = head_name(scope)
    findings: list[Finding] = []
    for head in (b"x", None):

        def damage(rows: Rows, head: bytes | None = head) -> None:
            if head is None:
                del rows[name]
            else:
                rows[name] = head

        findings = found_after(journal, tmp_path, damage)
        assert {finding.scope for finding in findings} - {None} == {scope}
        assert name in [finding.name for finding in findings]
        assert all(str(finding).count("\n") == 0 for finding in findings)
    wanted = "the store: 2 owners are found, 3 were committed (at b'\\x01')"
    assert str(findings[0]) == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("entries", 5), ("checksum", 11), ("keys", 3), ("size", 1), ("version", 1)),
        *(("revision", 3), ("moved", True)),
    ],
)
def test_check_finds_a_head_that_is_whole_and_wrong(
    journal: MemoryJournal, tmp_path: Path, field: str, value: int
) -> None:
    """Each figure of a head is compared with what is there."""
    with opened(journal.killed(), tmp_path) as store:
        head = store.heads.find(A)
    assert head is not None
    wrong = head.copy()
    setattr(wrong, field, value)

    def damage(rows: Rows) -> None:
        rows[head_name(A)] = head_record(head_name(A), wrong)

    findings = found_after(journal, tmp_path, damage)
    assert {finding.scope for finding in findings} == {A}
    told = {"moved": "it was moved", "version": "it is at version 1"}.get(field, field)
    assert any(finding.problem.startswith(told) for finding in findings)


def test_check_finds_a_head_without_records(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """An owner of which nothing but the head is left is found."""

    def damage(rows: Rows) -> None:
        for name in [name for name in rows if name.startswith(b"\x02wb\0")]:
            del rows[name]

    findings = found_after(journal, tmp_path, damage)
    problems = [it.problem for it in findings if it.scope == B]
    assert problems[0] == "entries is 0, and 4 was committed"


def test_check_finds_an_owner_that_is_lost(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """One of which not even the head is left is missed."""

    def damage(rows: Rows) -> None:
        for name in [name for name in rows if name[1:].startswith(b"wb\0")]:
            del rows[name]

    (finding,) = found_after(journal, tmp_path, damage)
    assert finding.problem == "2 owners are found, 3 were committed"
    assert finding.scope is None


@pytest.mark.parametrize("name", [FORMAT_NAME, PROGRESS_NAME])
@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_check_finds_what_is_wrong_with_the_stores_own_records(
    journal: MemoryJournal, tmp_path: Path, name: bytes, how: str
) -> None:
    """They are looked at again, though the store could be opened once."""

    def damage(rows: Rows) -> None:
        if how == "missing":
            del rows[name]
        else:
            rows[name] = rows[name][:-1]

    findings = found_after(journal, tmp_path, damage)
    assert name in [finding.name for finding in findings]
    assert {finding.scope for finding in findings} == {None}


def test_check_counts_owners(journal: MemoryJournal, tmp_path: Path) -> None:
    """A number of owners that is whole and wrong is found."""

    def damage(rows: Rows) -> None:
        progress = parse_progress(rows[PROGRESS_NAME])
        rows.update(progress_row(replace(progress, owners=4)))

    (finding,) = found_after(journal, tmp_path, damage)
    assert finding.problem == "3 owners are found, 4 were committed"


def test_check_finds_a_value_that_is_no_json(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """A record that is whole and holds no value is found."""
    broken = cell_of([1])
    broken.value, broken.size = b"[1", 2
    broken.revision = 1

    def damage(rows: Rows) -> None:
        rows[ONE] = entry_record(ONE, broken, 0.0)

    findings = found_after(journal, tmp_path, damage)
    assert findings[0].name == ONE
    assert findings[0].scope == A


def test_check_goes_on_after_the_first_finding(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """Everything that is wrong is told, not what comes first alone."""
    names = {name_in(A, "list"), name_in(A, "one", "s"), name_in(B, "one")}

    def damage(rows: Rows) -> None:
        for name in names:
            rows[name] = rows[name][:-1]

    findings = found_after(journal, tmp_path, damage)
    assert names <= {finding.name for finding in findings}


def test_check_without_an_older_key_tells_what_it_cannot_read(tmp_path: Path) -> None:
    """Where a rotation was interrupted, each value of the old key is told, and more."""
    journal = journal_of(tmp_path, key=OLD)
    with opened(journal, tmp_path, key=OLD) as store:
        rekey(store, AeadCipher(KeyRing(NEW, OLD)))
        left = journal.killed()
    with opened(left.killed(), tmp_path, key=KeyRing(NEW, OLD)) as store:
        assert list(inspect(store)) == []
    with opened(left, tmp_path, key=NEW) as store:
        name = name_in(B, "list")
        left.commit({name: rows_of(left)[name][:-1]}, sync=True)
        findings = list(inspect(store))
    entries = [it.problem for it in findings if it.name.startswith(b"\x02")]
    assert len(entries) == 9
    assert sum("no key" in problem for problem in entries) == 8
    assert sum("checksum" in problem for problem in entries) == 1


class Scanned(MemoryJournal):
    """A journal that reads as it is told to."""

    def __init__(self, rows: Rows) -> None:
        """Begin with rows that read as they are."""
        super().__init__(rows.items())
        self.act: Callable[[list[Any]], Iterator[Any]] = iter

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from self.act(list(super().scan(start, stop)))


def swapped(rows: list[Any]) -> Iterator[Any]:
    """Yield two rows in the wrong order."""
    rows[6], rows[7] = rows[7], rows[6]
    return iter(rows)


def mistyped(rows: list[Any]) -> Iterator[Any]:
    """Yield a row that is text."""
    rows[7] = (rows[7][0], "text")
    return iter(rows)


def ending(rows: list[Any]) -> Iterator[Any]:
    """End with an error."""
    yield from rows[:8]
    raise CorruptStoreError("a page is torn")


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (swapped, "what stands after this is no record"),
        (mistyped, "what stands after this is no record"),
        (ending, "the engine reads no further: a page is torn"),
    ],
)
def test_check_finds_what_an_engine_reads_wrongly(
    journal: MemoryJournal,
    tmp_path: Path,
    act: Callable[[list[Any]], Iterator[Any]],
    problem: str,
) -> None:
    """Rows out of order, of another type, or none any more are findings too."""
    scanned = Scanned(rows_of(journal))
    with opened(scanned, tmp_path) as store:
        assert list(inspect(store)) == []
        scanned.act = act
        assert problem in [finding.problem for finding in inspect(store)]


class Examining(MemoryJournal):
    """A journal that tells what it is told to of itself, and fails to then."""

    def problems(self) -> Iterator[str]:
        yield "page 7 is never used"
        raise CorruptStoreError("page 8 is torn")


@pytest.mark.parametrize("laid", [False, True])
def test_check_goes_on_to_the_engine_to_its_end(
    journal: MemoryJournal, tmp_path: Path, *, laid: bool
) -> None:
    """Each line of the engine is a finding, also beneath what is logged."""
    with opened(Examining(rows_of(journal).items()), tmp_path) as store:
        if laid:
            store.ledger.journal = Overlay(store.ledger.journal)
        assert [finding.problem for finding in inspect(store)] == [
            "the engine tells of damage: page 7 is never used",
            "the engine reads no further: page 8 is torn",
        ]


def test_check_beside_a_writer_that_is_too_fast_says_so(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """A store that goes faster than it is read is an error, and no finding."""

    def going(_: list[Any]) -> Iterator[Any]:
        raise StoreLockedError("try again")

    scanned = Scanned(rows_of(journal))
    scanned.act = going
    with opened(scanned, tmp_path) as store, pytest.raises(StoreLockedError):
        list(inspect(store))


def test_check_overlooks_what_counts_for_nothing(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    """Owners that moved away, are on their way or half cleared are healthy."""
    with opened(journal, tmp_path) as store:
        arrival = store.arrive(workflow(1))
        arrival.put([])
        assert list(inspect(store)) == []
        store.ledger.note(clearing=None)
        store.depart(A, "sqlite:///elsewhere")
        assert list(inspect(store)) == []
        journal.commit({ONE: None}, sync=True)
        assert list(inspect(store)) == []
        while store.clear_some():
            pass
        assert list(inspect(store)) == []
