import sys
from collections.abc import Callable
from math import copysign, nan
from types import FrameType
from typing import Any

import pytest

from stateward import DepthError, InvalidValueError, ValueTooLargeError
from stateward.actors.core import values
from stateward.actors.core.limits import DEPTH_MAX
from stateward.actors.core.values import (
    JsonValue,
    extend,
    freeze,
    merge_patch,
    pack,
    unpack,
)
from tests.hostile import ALIEN, ALIEN_KEYS, EXACT, RFC_7396, WRAPPERS, label


@pytest.mark.parametrize("value", EXACT, ids=label)
def test_pack_keeps_values_exactly(value: JsonValue) -> None:
    """What goes in comes out equal and of the same type, alone and inside others."""
    wholes: list[JsonValue] = [
        value,
        [value],
        {"k": value},
        [*[0] * 40, value],
        [[[[value]]]],
    ]
    for whole in wholes:
        packed, size, _ = pack(whole)
        assert typed(unpack(packed)) == typed(whole)
        assert size == len(values.dumps(whole))


@pytest.mark.parametrize(("place", "wrap"), WRAPPERS, ids=[it[0] for it in WRAPPERS])
@pytest.mark.parametrize(("alien", "fault"), ALIEN, ids=[it[1] for it in ALIEN])
def test_pack_refuses_what_is_not_json_and_names_the_place(
    place: str, wrap: Callable[[object], object], alien: object, fault: str
) -> None:
    """Nothing is converted: what JSON cannot hold is refused, wherever it stands."""
    with pytest.raises(InvalidValueError) as caught:
        pack(wrap(alien))
    assert type(caught.value) is InvalidValueError
    assert str(caught.value) == f"{place} {fault}"
    assert caught.value.context == {"place": place}


@pytest.mark.parametrize(("place", "wrap"), WRAPPERS, ids=[it[0] for it in WRAPPERS])
@pytest.mark.parametrize("key", ALIEN_KEYS, ids=lambda key: type(key).__name__)
def test_pack_refuses_keys_that_are_not_strings(
    place: str, wrap: Callable[[object], object], key: object
) -> None:
    """A name inside a value is a `str` and nothing that looks like one."""
    with pytest.raises(InvalidValueError) as caught:
        pack(wrap({"ok": 1, key: 2}))
    assert str(caught.value).startswith(f"{place} has the key ")
    assert str(caught.value).endswith(f" of type {type(key).__name__}, not str")


def test_pack_refuses_keys_with_lone_surrogates() -> None:
    """A name inside a value is held to the same rule as any other string."""
    with pytest.raises(InvalidValueError, match="has a lone surrogate at index 1"):
        pack([{"ok": 1}, {"a\udfff": 2}])


@pytest.mark.parametrize("wrap", [it[1] for it in WRAPPERS[1:]])
def test_pack_refuses_cycles(wrap: Callable[[object], Any]) -> None:
    """A value that contains itself is refused, and told from one that is only deep."""
    inner: list[object] = []
    whole = wrap(inner)
    inner.append(whole)
    with pytest.raises(InvalidValueError, match=r"contains itself$") as caught:
        pack(whole)
    assert type(caught.value) is InvalidValueError


@pytest.mark.parametrize("wrap", [lambda part: [part], lambda part: {"a": part}])
def test_pack_accepts_depth_up_to_the_most_there_is(
    wrap: Callable[[JsonValue], JsonValue],
) -> None:
    """A value of 250 levels is kept exactly, and one of 251 refused with its place."""
    value: JsonValue = 1
    for _ in range(DEPTH_MAX):
        value = wrap(value)
    packed, _, depth = pack(value)
    assert depth == DEPTH_MAX
    assert unpack(packed) == value
    with pytest.raises(DepthError) as caught:
        pack(wrap(value))
    error = caught.value
    assert (error.limit, error.allowance, error.actual) == ("max_depth", 250, 251)
    assert error.context["place"].count("[") == DEPTH_MAX
    assert len(str(error)) < 300


def test_pack_refuses_depth_far_beyond_the_most_there_is() -> None:
    """A value of 100,000 levels is refused as any that is too deep."""
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(DepthError):
        pack(value)


def test_pack_names_the_place_of_depth_behind_a_shared_part() -> None:
    """A part met before at a level that was allowed is still too deep further down."""
    shared: list[object] = []
    for _ in range(100):
        shared = [shared]
    deep: list[object] = shared
    for _ in range(DEPTH_MAX - 100):
        deep = [deep]
    with pytest.raises(DepthError) as caught:
        pack([shared, deep])
    assert caught.value.context["place"].startswith("value[1][0]")


@pytest.mark.parametrize("levels", [27, 60, 200])
def test_pack_refuses_sharing_that_explodes(levels: int) -> None:
    """A value small in memory and endless as JSON is refused before it is encoded."""
    value: list[object] = []
    for _ in range(levels):
        value = [value, value]
    with pytest.raises(ValueTooLargeError) as caught:
        pack(value)
    assert caught.value.limit == "max_value_bytes"
    assert caught.value.actual > caught.value.allowance == values.NODES_MAX


def test_pack_keeps_shared_parts_apart() -> None:
    """A part that stands at two places is stored at both."""
    part: list[JsonValue] = [1]
    for whole in ([part, part], [[part] * 40], {"a": part, "b": {"c": {"d": [part]}}}):
        assert unpack(pack(whole)[0]) == whole


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        (1, 0),
        ([], 1),
        ({"a": 1}, 1),
        ([[]], 2),
        ([1, {"a": []}, []], 3),
        ([[[[]]]], 4),
        ([0] * 33, 1),
        ([0] * 33 + [[]], 2),
        ([[[]], [[[[[1]]]]]], 6),
    ],
)
def test_depth_counts_levels_of_containers(value: JsonValue, depth: int) -> None:
    """A scalar nests no level, a flat container one."""
    assert pack(value)[2] == depth


def test_pack_explains_quickly_in_a_value_of_many_parts() -> None:
    """Naming the place takes time in proportion to the value, not to its square."""
    rows: list[object] = [{"id": index} for index in range(2_000)]
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(step)
    try:
        with pytest.raises(InvalidValueError, match=r"^value\[2000\] is of type"):
            pack([*rows, object()])
    finally:
        sys.setprofile(None)
    assert steps < 2_000 * 100


def test_pack_refuses_a_value_that_changes_meanwhile() -> None:
    """A dictionary that grows while it is read is refused, not half stored."""
    shared: dict[str, object] = {"a": [1], "b": [2]}

    def meddle(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == values.__file__:
            shared[f"k{len(shared)}"] = [3]

    sys.setprofile(meddle)
    try:
        with pytest.raises(InvalidValueError, match=r"^value cannot be stored: dict"):
            pack(shared)
    finally:
        sys.setprofile(None)


def test_pack_refuses_a_value_that_was_bad_a_moment_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value mended between refusal and explanation is refused all the same."""
    value: list[object] = [nan]

    def refuse(*_: object) -> int:
        value.clear()
        raise TypeError("something was wrong")

    monkeypatch.setattr(values, "_small_depth", refuse)
    with pytest.raises(InvalidValueError, match="something was wrong") as caught:
        pack(value)
    assert caught.value.context == {"place": "value"}


class Unhashable(type):
    """Of types that cannot be looked up in a set."""

    __hash__ = None  # type: ignore[assignment]  # what must not matter


def test_pack_refuses_objects_of_types_without_a_hash() -> None:
    """The strangest object is named as any other that is not JSON."""
    stranger = Unhashable("Stranger", (), {})()
    for place, wrap in WRAPPERS:
        with pytest.raises(InvalidValueError) as caught:
            pack(wrap(stranger))
        assert str(caught.value) == f"{place} is of type Stranger, which is not JSON"


def test_pack_refuses_keys_that_cannot_be_shown() -> None:
    """A key whose `repr` fails does not fail the explanation."""

    class Shy:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(InvalidValueError, match=r"of type Shy, not str$"):
        pack({Shy(): 1})


def test_messages_stay_short_for_long_names() -> None:
    """A place is cut in the middle of the message and whole in the context."""
    name = "n" * 10_000
    with pytest.raises(InvalidValueError) as caught:
        pack({name: [nan]})
    assert len(str(caught.value)) < 250
    assert caught.value.context["place"] == f"value[{name!r}][0]"


def test_unpack_gives_a_private_copy() -> None:
    """What one reader does to a value is seen by no other."""
    packed, _, _ = pack({"a": [1]})
    mine: Any = unpack(packed)
    mine["a"].append(2)
    mine["b"] = 3
    assert unpack(packed) == {"a": [1]}


def test_freeze_is_read_only_all_the_way_down() -> None:
    """No part of a frozen value can be changed, and it equals what it was made of."""
    frozen: Any = freeze({"a": [{"b": 1}, []]})
    assert frozen == {"a": ({"b": 1}, ())}
    changes: list[Callable[[], object]] = [
        lambda: frozen.update(c=1),
        lambda: frozen.__setitem__("c", 1),
        lambda: frozen["a"].append(1),
        lambda: frozen["a"][0].__delitem__("b"),
    ]
    for change in changes:
        with pytest.raises((AttributeError, TypeError)):
            change()
    assert frozen == {"a": ({"b": 1}, ())}


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a"])
def test_freeze_leaves_scalars_as_they_are(value: JsonValue) -> None:
    """What cannot be changed needs no read-only form."""
    assert freeze(value) is value


@pytest.mark.parametrize(
    ("head", "tail"),
    [([], []), ([], [1]), ([1], []), ([1, "a"], [[2]]), ([[[1]]], [{"a": "]["}, None])],
)
def test_extend_gives_the_list_of_both(
    head: list[JsonValue], tail: list[JsonValue]
) -> None:
    """The joined bytes are those of the joined list."""
    assert extend(encoded(head), encoded(tail)) == encoded([*head, *tail])


@pytest.mark.parametrize(("target", "patch", "merged"), RFC_7396)
def test_merge_patch_gives_the_results_of_the_rfc(
    target: JsonValue, patch: JsonValue, merged: JsonValue
) -> None:
    """Every example of the appendix of RFC 7396 comes out as printed there."""
    assert merge_patch(target, patch) == merged


def encoded(value: list[JsonValue]) -> bytes:
    """Return `value` as the engine keeps it."""
    packed, _, _ = pack(value)
    assert isinstance(packed, bytes)
    return packed


def typed(value: JsonValue) -> object:
    """Return `value` with the type of each part, and the sign of each zero."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    sign = copysign(1, value) if isinstance(value, float) else None
    return (type(value), sign, value)
