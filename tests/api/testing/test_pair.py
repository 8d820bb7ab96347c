from collections.abc import Iterator

import pytest

from stateward import Limits, StepScope, WorkflowScope
from stateward.testing import Call
from stateward.testing.harness import Harness
from stateward.testing.pair import Pair

WORKFLOW = WorkflowScope("a")
SCOPES = (WORKFLOW, StepScope("a", "b"))


@pytest.fixture
def it() -> Iterator[Harness]:
    """Lend a manager and its model."""
    it = Harness(
        scopes=SCOPES, keys=("k",), limits=Limits(), idle_timeout=None, exact=True
    )
    yield it
    it.close()


@pytest.mark.parametrize("how", ["commit", "aio", "discard", "raise"])
@pytest.mark.parametrize("where", ["own", "workflow", "step"])
def test_pair_goes_on_and_ends_alike(it: Harness, where: str, how: str) -> None:
    """In each scope and with each end both transactions do the same."""
    pair = Pair(it, WORKFLOW)
    assert pair.go_on(where, Call("increment", ("k", 2)))
    assert pair.go_on(where, Call("get", ("k",)))
    pair.end(how)
    assert it.model.keys == (how in {"commit", "aio"})
    it.check()


def test_pair_ends_with_a_conflict_of_both(it: Harness) -> None:
    """A write in between stops both where something stale is read or committed."""
    it.call(WORKFLOW, Call("set", ("k", 1)), "old")
    pairs = [Pair(it, WORKFLOW) for _ in range(2)]
    for pair in pairs:
        assert pair.go_on("own", Call("increment", ("k",)))
    it.call(WORKFLOW, Call("set", ("k", 5)), "old")
    assert not pairs[0].go_on("own", Call("get", ("other",)))
    pairs[1].end("commit")
    assert it.manager.state(WORKFLOW) == {"k": 5}


def test_pair_fails_when_one_sees_what_the_other_does_not(it: Harness) -> None:
    """A value that is not the model's is a failure inside a transaction too."""
    pair = Pair(it, WORKFLOW)
    pair.model.workflow()["k"] = 1
    with pytest.raises(AssertionError, match="expected"):
        pair.go_on("own", Call("get", ("k",)))
