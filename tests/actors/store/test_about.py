"""What a store says of itself: written as little as may be, and read back."""

from math import inf
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward.actors.store.about import (
    FORMAT,
    FORMAT_NAME,
    PROGRESS_NAME,
    About,
    Progress,
    about_row,
    parse_about,
    parse_progress,
    progress_row,
)
from stateward.actors.store.records import DamagedError, guard, unguard

ID: Final = bytes(range(16))
NUMBERS: Final = st.integers(0, (1 << 64) - 1)
abouts: Final = st.builds(
    About,
    id=st.binary(min_size=16, max_size=16),
    version=st.integers(0, (1 << 32) - 1),
    token=st.none() | st.binary(),
    origin=st.none() | st.text(),
    moved_to=st.none() | st.text(),
    left_for=st.none() | st.text(),
    came_from=st.none() | st.text(),
    leaving=st.none() | st.binary(),
    arrived=st.none() | st.binary(),
    clearing=st.none() | st.binary(),
)


@given(about=abouts)
def test_about_row_is_read_back(about: About) -> None:
    """Whatever a store says of itself comes back as it was written."""
    ((name, record),) = about_row(about).items()
    assert name == FORMAT_NAME
    assert parse_about(record) == about


def test_about_row_leaves_out_what_is_as_usual() -> None:
    """A new store says its format and its id, and stores of old read the same."""
    record = about_row(About(id=ID))[FORMAT_NAME]
    fields = {"format": FORMAT, "id": ID.hex()}
    assert orjson.loads(unguard(FORMAT_NAME, record)) == fields
    assert parse_about(guard(FORMAT_NAME, orjson.dumps(fields))) == About(id=ID)


def test_about_of_a_newer_format_tells_that_alone() -> None:
    """What a newer version writes beside its format is not even looked at."""
    fields = {"format": FORMAT + 1, "id": ID.hex(), "version": [], "token": "no hex"}
    about = parse_about(guard(FORMAT_NAME, orjson.dumps(fields)))
    assert about == About(id=ID, format=FORMAT + 1)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"7", b"{}", b'{"format": 1}', b'{"id": "00"}'),
        *(b'{"format": 1, "id": "no hex"}', b'{"format": 1, "id": 5}'),
        *(b'{"format": "x", "id": "00"}', b'{"format": null, "id": "00"}'),
        *(
            b'{"format": 1, "id": "00", "token": 1}',
            b'{"format": 1, "id": "", "version": {}}',
        ),
    ],
)
def test_about_of_nonsense_is_refused(content: bytes) -> None:
    """A record that is whole and says nothing of a store is damage."""
    with pytest.raises(DamagedError, match="says nothing of a store"):
        parse_about(guard(FORMAT_NAME, content))


@given(
    progress=st.builds(
        Progress, NUMBERS, NUMBERS, NUMBERS, st.floats(0, inf, allow_nan=False)
    )
)
def test_progress_row_is_read_back(progress: Progress) -> None:
    """How far a store has come is read as it was written."""
    ((name, record),) = progress_row(progress).items()
    assert name == PROGRESS_NAME
    assert parse_progress(record) == progress


def test_records_damaged_anywhere_are_refused() -> None:
    """No flipped bit goes by in either record, nor one record in place of the other."""
    about = about_row(About(id=ID, token=b"token"))[FORMAT_NAME]
    progress = progress_row(Progress(3, 2, 1, 1.5))[PROGRESS_NAME]
    for parse, record, other in (
        (parse_about, about, progress),
        (parse_progress, progress, about),
    ):
        for index in range(len(record)):
            flipped = bytearray(record)
            flipped[index] ^= 1 << index % 8
            for damaged in (bytes(flipped), record[:index], other):
                with pytest.raises(DamagedError):
                    parse(damaged)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_progress_of_another_size_is_refused(size: int) -> None:
    """A record that is whole and no record of progress is damage."""
    with pytest.raises(DamagedError, match="no record of progress"):
        parse_progress(guard(PROGRESS_NAME, bytes(size)))
