import pytest

from stateward import (
    ConflictError,
    GlobalScope,
    InvalidValueError,
    JsonValue,
    KeyCountError,
    Limits,
    MissingKeyError,
    StateScope,
    StepScope,
    WorkflowScope,
    WrongTypeError,
)
from stateward.testing import Model
from stateward.testing.models import added, extended, merged_patch


def test_model_keeps_scopes_apart() -> None:
    """A workflow, its step and the global scope share no key."""
    model = Model()
    scopes: list[StateScope] = [GlobalScope(), WorkflowScope("a"), StepScope("a", "b")]
    for number, scope in enumerate(scopes):
        model.scope(scope)["k"] = number
    assert model.scope(WorkflowScope("a")).snapshot() == {"k": 1}
    assert (model.keys, model.steps("a"), model.workflow_ids()) == (3, ["b"], ["a"])


def test_model_drops_a_workflow_with_its_steps() -> None:
    """Dropping tells whether there was anything, and takes the steps along."""
    model = Model()
    model.scope(StepScope("a", "b"))["k"] = 1
    assert [model.drop_workflow("a"), model.drop_workflow("a")] == [True, False]
    assert (model.keys, model.size_bytes, model.steps("a")) == (0, 0, [])


def test_model_lets_entries_expire() -> None:
    """An entry is gone from the instant its time is over."""
    now = [0.0]
    state = Model(now=lambda: now[0]).scope(GlobalScope())
    state.set("k", 1, ttl=5)
    state.increment("k")
    now[0] = 4.75
    assert state["k"] == 2
    now[0] = 5.0
    assert "k" not in state


def test_model_refuses_what_is_over_a_limit() -> None:
    """A refused command changes nothing, and a workflow may have limits of its own."""
    model = Model(limits=Limits(max_keys=1))
    state = model.scope(WorkflowScope("a"))
    with pytest.raises(KeyCountError) as caught:
        state.update({"a": 1, "b": 2})
    assert (caught.value.limit, caught.value.allowance) == ("max_keys", 1)
    assert len(state) == 0
    model.set_limits("a", Limits(max_keys=2))
    state.update({"a": 1, "b": 2})
    assert len(state) == 2


def test_model_refuses_another_revision() -> None:
    """`expected` has to be what the key is at, and 0 where there is none."""
    state = Model().scope(GlobalScope())
    revision = state.set("k", 1, expected=0)
    assert state.set("k", 2, expected=revision) == revision + 1
    with pytest.raises(ConflictError):
        state.set("k", 3, expected=revision)
    with pytest.raises(ConflictError):
        state.delete("absent", expected=revision)


def test_model_tells_what_is_not_there() -> None:
    """What a mapping has to raise, the model raises."""
    state = Model().scope(GlobalScope())
    for call in (lambda: state["k"], lambda: state.pop("k"), state.popitem):
        with pytest.raises(MissingKeyError):
            call()
    assert (state.pop("k", 1), state.delete("k"), state.get_many(["k"])) == (
        1,
        False,
        {},
    )


def test_sum_has_to_be_a_number_that_can_be_stored() -> None:
    """Neither text nor truth is added to, and nothing beyond 64 bits comes out."""
    assert added(1, 0.5) == 1.5
    others: list[JsonValue] = ["1", True, None, [1]]
    for other in others:
        with pytest.raises(WrongTypeError):
            added(other, 1)
    for number, by in (((1 << 64) - 1, 1), (-(1 << 63), -1), (1e308, 1e308)):
        with pytest.raises(InvalidValueError):
            added(number, by)


def test_only_lists_are_extended() -> None:
    """Items go to the end of a list and of nothing else."""
    assert extended([1], (2, 3)) == [1, 2, 3]
    with pytest.raises(WrongTypeError):
        extended("1", (2,))


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, "bar", "bar"),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patch_is_merged_as_the_standard_says(
    target: object, patch: object, merged: object
) -> None:
    """The examples of RFC 7396 come out as it prints them."""
    assert merged_patch(target, patch) == merged  # type: ignore[arg-type]  # all are JSON
