"""Names of records: no two alike, in the order of what they name, and read back."""

from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward.actors.core.scopes import (
    RUN_STEP,
    CustomScope,
    GlobalScope,
    OwnerScope,
    WorkflowScope,
)
from stateward.actors.store.names import (
    ENTRIES,
    HEADS,
    STORE,
    entry_name,
    entry_range,
    head_name,
    parse_owner,
    parse_place,
)
from stateward.actors.store.records import DamagedError
from tests.hostile import AWKWARD_NAMES

Place: TypeAlias = tuple[OwnerScope, str | None, str]


def parse_entry(name: bytes) -> tuple[OwnerScope, str | None, str]:
    """Return owner, step name and key of an entry, read part by part."""
    scope, start = parse_owner(name)
    return scope, *parse_place(name, start)


def texts() -> SearchStrategy[str]:
    """Return ids and keys: any that are permitted, and many that resemble others."""
    alphabet = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    return st.one_of(
        st.text("\x01ks", min_size=1, max_size=4),
        st.text("a\x7f\x80\xff\u0100\uffff\U0010ffff", min_size=1, max_size=3),
        st.sampled_from([name[:50] for name in AWKWARD_NAMES]),
        st.text(alphabet, min_size=1, max_size=8),
    )


def owners() -> SearchStrategy[OwnerScope]:
    """Return owners of each kind."""
    return st.one_of(
        st.just(GlobalScope()),
        st.builds(WorkflowScope, texts()),
        st.builds(CustomScope, texts()),
    )


def places() -> SearchStrategy[Place]:
    """Return entries: owner, step name and key."""
    steps = st.one_of(st.none(), st.just(RUN_STEP), texts())
    return st.tuples(owners(), steps, texts())


def name_of(place: Place) -> bytes:
    """Return the name of an entry."""
    scope, step_name, key = place
    return entry_name(entry_range(scope)[0], step_name, key)


@given(left=places(), right=places())
@example(left=(WorkflowScope("a"), None, "k"), right=(WorkflowScope("a"), "k", "k"))
@example(left=(WorkflowScope("a"), "s", "t"), right=(WorkflowScope("a"), "st", "t"))
@example(left=(GlobalScope(), None, "a"), right=(CustomScope("g"), None, "a"))
def test_entry_names_are_injective(left: Place, right: Place) -> None:
    """Two entries have one name only if they are the same entry."""
    assert (name_of(left) == name_of(right)) == (left == right)


@given(left=owners(), right=owners())
def test_head_names_are_injective(left: OwnerScope, right: OwnerScope) -> None:
    """Two owners have one head only if they are the same owner."""
    assert (head_name(left) == head_name(right)) == (left == right)


@given(place=places(), other=owners())
@example(place=(WorkflowScope("aa"), None, "k"), other=WorkflowScope("a"))
@example(place=(WorkflowScope("a\x01"), None, "k"), other=WorkflowScope("a"))
def test_entry_range_holds_the_entries_of_one_owner(
    place: Place, other: OwnerScope
) -> None:
    """An entry is in the range of its own owner, and in no other's."""
    for owner in (place[0], other):
        start, stop = entry_range(owner)
        assert (start <= name_of(place) < stop) == (owner == place[0])


@given(place=places())
def test_names_lie_in_their_part_of_the_store(place: Place) -> None:
    """Records of the store, heads and entries follow each other, and never mix."""
    assert STORE < HEADS <= head_name(place[0]) < ENTRIES <= name_of(place) < b"\x03"
    assert STORE + b"format" < HEADS


@given(left=texts(), right=texts())
def test_names_are_ordered_as_ids_and_keys(left: str, right: str) -> None:
    """Names come in the order of what they name, by code point."""
    in_order = left < right
    ids = [WorkflowScope(text) for text in (left, right)]
    assert (head_name(ids[0]) < head_name(ids[1])) == in_order
    assert (entry_range(ids[0]) < entry_range(ids[1])) == in_order
    for step_name in (None, RUN_STEP, "s"):
        names = [name_of((GlobalScope(), step_name, key)) for key in (left, right)]
        assert (names[0] < names[1]) == in_order
    steps = [name_of((ids[0], name, "key")) for name in (left, right)]
    assert (steps[0] < steps[1]) == in_order


@given(place=places())
def test_names_are_read_back(place: Place) -> None:
    """A name tells the owner, the step and the key."""
    scope, step_name, key = place
    assert parse_entry(name_of(place)) == place
    prefix = entry_range(scope)[0]
    assert parse_place(name_of(place), len(prefix)) == (step_name, key)
    assert parse_owner(head_name(scope)) == (scope, len(head_name(scope)))


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"\x01",
        b"\x01w",
        b"\x01wa",
        b"\x01\0",
        b"\x01w\0",
        b"\x01c\0",
        b"\x01x\0",
        b"\x01ga\0",
        b"\x01w\xff\0",
        b"\x01w\xed\xa0\x80\0",
    ],
)
def test_parse_owner_refuses_what_names_no_owner(name: bytes) -> None:
    """A name that no owner has is an error."""
    with pytest.raises(DamagedError, match="names no owner"):
        parse_owner(name)


@pytest.mark.parametrize(
    "rest", [b"", b"x", b"xa", b"k\xff", b"r\xff", b"s\xff\0a", b"sa\0\xff", b"sa"]
)
def test_parse_entry_refuses_what_names_no_entry(rest: bytes) -> None:
    """A name that no entry has is an error."""
    with pytest.raises(DamagedError, match="names no entry"):
        parse_entry(b"\x02wa\0" + rest)
