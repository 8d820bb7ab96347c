"""Batches: what was packed is unpacked, and commands add up to what they did."""

from contextlib import suppress
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward.actors.store.batches import (
    OVERWRITE,
    USUAL,
    Batch,
    Change,
    Entry,
    Overwrite,
    packed,
    unpacked,
)
from stateward.actors.store.records import (
    DamagedError,
    Head,
    created_of,
    parse_entry_record,
    revision_of,
    unguard,
)
from tests.actors.store.logs import Logger, seal_of, work

COUNTS = st.integers(0, (1 << 64) - 1)
SMALL = st.integers(0, (1 << 32) - 1)


def entries() -> st.SearchStrategy[list[Entry]]:
    """Return entries of a change, removed ones and empty ones among them."""
    content = st.none() | st.binary(max_size=30)
    entry = st.tuples(st.binary(max_size=20), content, st.integers(0, 9))
    return st.lists(entry, min_size=1, max_size=4)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Return any change that can be packed."""
    revision, keys, size = (draw(COUNTS) for _ in range(3))
    return Change(revision, keys, size, draw(SMALL), draw(entries()))


@given(changes(), COUNTS)
def test_change_is_unpacked_as_it_was(change: Change, commits: int) -> None:
    """All of it comes back, but for what it replaces, with the commit it rests on."""
    plain = [(name, content, 0) for name, content, _ in change.entries]
    expected = change._replace(entries=plain, commits=commits)
    assert unpacked(packed(change, commits)) == expected
    assert expected.name == change.entries[0][0]


@given(COUNTS, COUNTS, COUNTS, st.floats(allow_nan=False), st.integers(0, 255))
def test_overwrite_is_unpacked_as_it_was(
    revision: int, size: int, commits: int, updated: float, depth: int
) -> None:
    """Name and value come back, and what is said of them."""
    made = Overwrite(revision, size, updated, depth, b"name", b"[1]", commits)
    head = USUAL.pack(OVERWRITE, commits, revision, size, updated, depth, 4)
    assert unpacked(head + b"name[1]") == made
    content = made.content(1.5)
    assert (revision_of(content), created_of(content)) == (revision, 1.5)


@given(changes(), st.data())
def test_damaged_body_is_no_change(change: Change, data: st.DataObject) -> None:
    """Whatever the bytes are, they are a change or an error says that they are not."""
    body = bytearray(packed(change, 1))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    with suppress(DamagedError):
        unpacked(bytes(body))
    for size in range(len(packed(change, 1))):
        with pytest.raises(DamagedError):
            unpacked(packed(change, 1)[:size])
    with pytest.raises(DamagedError):
        unpacked(packed(change, 1) + b"\0")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_change_or_damaged(body: bytes) -> None:
    """No other error comes of bytes that nobody has packed."""
    with suppress(DamagedError):
        unpacked(body)


@pytest.mark.parametrize("seed", range(30))
def test_batch_adds_up_to_what_owners_hold(seed: int) -> None:
    """Records and heads after commits are those of the owners, in whatever order."""
    random, logger = Random(seed), Logger(size=1 << 16)
    for _ in range(60):
        assert work(logger, random)
        if random.random() < 0.1:
            logger.commit()
    logger.commit()
    for name in "abc":
        state = logger.owner(name)
        cells = [it for _, table in state.tables() for it in table.values()]
        head = seal_of(state).head
        assert head == Head(
            revision=state.revision,
            entries=len(cells),
            checksum=sum(it.revision for it in cells),
            keys=state.keys,
            size=state.size,
        )
        found = dict(logger.store.ledger.journal.scan(*logger.names(state)))
        assert len(found) == len(cells)
        for cell in cells:
            record = found[logger.name_of(state, cell)]
            kept = parse_entry_record(
                logger.name_of(state, cell), record, None, logger.store.offset
            )
            fields = "value", "revision", "created", "updated", "depth"
            for field in fields:
                assert getattr(kept, field) == getattr(cell, field)


def test_batch_keeps_the_newest_of_many_versions() -> None:
    """An entry that is overwritten many times is one record."""
    logger = Logger(size=1 << 16)
    state, batch = logger.owner(), Batch()
    logger.put(state, x=0, y=0)
    for value in range(1, 100):
        assert logger.overwrite(state, "x", value)
    batch.add_logged(*logger.redo.pending(), logger.store.offset)
    assert sorted(batch.contents) == sorted(it[0] for it in logger.done[0].entries)  # type: ignore[union-attr]  # the first is a change
    name = logger.name_of(state, state.own["x"])
    content = unguard(name, batch.rows()[name] or b"")
    assert (revision_of(content), content[-2:]) == (100, orjson.dumps(99))
    [(seal, head)] = batch.heads()
    assert seal is state.seal
    assert (head.revision, head.entries, head.checksum) == (100, 2, 101)
    assert seal_of(state).head == Head(), "nothing is there before the commit"


def test_seal_has_reached_what_is_logged_or_committed() -> None:
    """What was staged and not logged is not reached; what was logged always is."""
    logger = Logger()
    state = logger.owner()
    seal = seal_of(state)
    assert (seal.reached(), seal.behind) == ((0, 0, 0), False)
    assert logger.put(state, x=1)
    assert (seal.reached(), seal.behind) == ((1, 1, 2), True)
    logger.commit()
    assert (seal.reached(), seal.behind) == ((1, 1, 2), False)
    seal.newest = 2, 5, 50
    assert (seal.reached(), seal.behind) == ((1, 1, 2), True)
    assert logger.overwrite(state, "x", 22)
    assert (seal.reached(), seal.behind) == ((2, 1, 3), True)
