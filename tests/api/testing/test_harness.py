import logging
from collections.abc import Callable

import pytest

from stateward import GlobalScope, Limits, StateManager, WorkflowScope
from stateward.testing import Call
from stateward.testing.harness import Harness, Outcome, Via, outcome

SCOPES = (GlobalScope(), WorkflowScope("w"))


def harness(*, exact: bool = True) -> Harness:
    """Return a manager and its model, with nothing stored."""
    it = Harness(
        scopes=SCOPES, keys=("k",), limits=Limits(), idle_timeout=None, exact=exact
    )
    it.watched.update(SCOPES)
    return it


@pytest.mark.parametrize("via", ["old", "new", "aio", "message"])
def test_call_is_compared_in_each_way_to_make_it(via: Via) -> None:
    """What comes of a call is the model's, and a model that differs is a failure."""
    it = harness(exact=False)
    it.call(WorkflowScope("w"), Call("increment", ("k", 2)), via)
    it.check()
    it.model.scope(WorkflowScope("w"))["k"] = 5
    with pytest.raises(AssertionError, match=r"increment\('k'\) gave"):
        it.call(WorkflowScope("w"), Call("increment", ("k",)), via)
    it.model.scope(WorkflowScope("w"))["k"] = 3
    it.close()


CHANGES: list[Callable[[StateManager], object]] = [
    lambda manager: manager.global_state().set("k", 2),
    lambda manager: manager.global_state().set("k", 1.0),
    lambda manager: manager.global_state().delete("k"),
    lambda manager: manager.global_state().set("other", 1),
    lambda manager: manager.global_state().set("k", 1, ttl=5),
    lambda manager: manager.step_state("w", "unknown").set("k", 1),
    lambda manager: manager.custom_state("unknown").set("k", 1),
]
"""What the model is not told of."""


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_check_finds_what_the_model_does_not_hold(
    change: Callable[[StateManager], object], exact: bool
) -> None:
    """A value, its type, a key, an expiry or a scope that differs is a failure."""
    it = harness(exact=exact)
    it.call(GlobalScope(), Call("set", ("k", 1)), "old")
    it.check()
    change(it.manager)
    with pytest.raises(AssertionError):
        it.check()
    it.manager.close()
    it.complaints.close()


@pytest.mark.parametrize("exact", [True, False])
def test_check_looks_at_revisions_only_when_exact(exact: bool) -> None:
    """The same value written twice is a difference to an exact harness alone."""
    it = harness(exact=exact)
    it.call(GlobalScope(), Call("set", ("k", 1)), "old")
    it.manager.global_state()["k"] = 1
    if exact:
        with pytest.raises(AssertionError, match="revision"):
            it.check()
        it.manager.close()
        it.complaints.close()
    else:
        it.check()
        it.call(GlobalScope(), Call("update", ({},)), "old")
        it.call(GlobalScope(), Call("increment", ("k",)), "old")
        it.close()


def test_time_passes_for_both() -> None:
    """What expires in the manager expires in the model, at the same moment."""
    it = harness()
    it.call(GlobalScope(), Call("set", ("k", 1), (("ttl", 5),)), "old")
    it.advance(4.75)
    assert it.manager.global_state() == {"k": 1}
    it.advance(0.25, lambda: it.call(GlobalScope(), Call("get", ("k",)), "old"))
    assert it.model.keys == 0
    it.close()


def test_workflow_is_dropped_from_both() -> None:
    """A drop tells the same of both."""
    it = harness()
    it.call(WorkflowScope("w"), Call("set", ("k", 1)), "old")
    for via in ("old", "aio"):
        it.drop(WorkflowScope("w"), via)
    assert it.manager.workflow_ids() == []
    it.close()


def test_close_fails_when_the_library_complained() -> None:
    """An error that the library logged and survived is still a failure."""
    it = harness()
    logging.getLogger("stateward").error("something is wrong")
    with pytest.raises(AssertionError):
        it.close()


def test_outcome_is_a_value_or_the_kind_of_an_error() -> None:
    """Errors are compared by type and limit, and anything else is passed on."""
    with StateManager(limits=Limits(max_keys=1)) as manager:
        state = manager.global_state()
        found = outcome(lambda: state.update({"a": 1, "b": 1}))
        assert found.limit == ("max_keys", 1, 2)
        assert not found.matches(Outcome(error=found.error))
        assert outcome(state.snapshot).matches(Outcome({}))
    with pytest.raises(ZeroDivisionError):
        outcome(lambda: 1 / 0)
