from itertools import product

import pytest

from stateward import StateManager, UsageError
from stateward.reads import ReadableState
from stateward.testing import Interleaver
from stateward.testing.interleaver import ACCESSES
from stateward.workflows import (
    Access,
    Parallel,
    Retry,
    Sequential,
    Status,
    StepContext,
    step,
)


@step
def left(ctx: StepContext) -> None:
    """Add one by reading and writing."""
    ctx.state["n"] = ctx.state.get("n", 0) + 1  # type: ignore[operator]  # a number


right = left.using(name="right")
both = Parallel("both", left, right)


@step(atomic=True)
def atomic_left(ctx: StepContext) -> None:
    """Add one in the step's own transaction."""
    ctx.state["n"] = ctx.state.get("n", 0) + 1  # type: ignore[operator]  # a number


def counted(flow: Parallel, choices: list[int]) -> object:
    """Return what the branches of `flow` have counted, in an order."""
    with Interleaver(choices) as it:
        assert it.run(flow).ok
        return it.manager.workflow_state("workflow")["n"]


def test_branches_go_on_one_after_the_other_without_choices() -> None:
    """Nothing is overtaken unless a choice says so."""
    assert counted(both, []) == 2


def test_every_order_is_reached_by_some_choices() -> None:
    """Both a sum and a lost update come up, for choices of 0 and 1."""
    found = {counted(both, list(choices)) for choices in product((0, 1), repeat=4)}
    assert found == {1, 2}


def test_atomic_branches_lose_nothing_in_any_order() -> None:
    """An atomic step that is overtaken is run again, and waits for nobody."""
    flow = Parallel("both", atomic_left, atomic_left.using(name="right"))
    for choices in product((0, 1), repeat=5):
        assert counted(flow, list(choices)) == 2


def test_seed_makes_the_same_choices_each_time() -> None:
    """A seed repeats its order, and seeds differ in what they find."""
    traces = []
    for seed in [*range(12)] * 2:
        with Interleaver(seed=seed) as it:
            it.run(both)
        traces.append(str(it))
    assert traces[:12] == traces[12:]
    assert any("gives 1" in each for each in traces)
    assert any("gives 1" not in each for each in traces)


def test_choices_and_seed_exclude_each_other() -> None:
    """An order comes from one of both."""
    with pytest.raises(UsageError):
        Interleaver([1], seed=1)


def test_trace_tells_who_did_what() -> None:
    """Each access is noted once, with its scope and what it gave or raised."""

    @step
    def work(ctx: StepContext) -> None:
        ctx.state["k"] = [1]
        ctx.state.append("k", 2)
        assert "k" in ctx.state
        ctx.step_state.set("mine", 1)
        del ctx.step_state["mine"]
        len(ctx.state)
        ctx.state.custom_state("n").get("k")
        ctx.state.global_state().get("k")
        ctx.state["none"]

    with Interleaver() as it:
        access = Access(custom_state="read")
        result = it.run(Sequential("flow", work), access=access)
    assert result.status is Status.FAILED
    assert it.trace == [
        "work: state['k'] = [1]",
        "work: state.append('k', 2)",
        "work: 'k' in state gives True",
        "work: step('work').set('mine', 1)",
        "work: del step('work')['mine']",
        "work: len(state) gives 1",
        "work: custom_state('n').get('k') gives None",
        "work: global_state().get('k') gives None",
        "work: state['none'] raises MissingKeyError",
    ]


def test_failure_in_the_block_tells_the_trace() -> None:
    """Whatever a test raises says in which order the branches went on."""

    def run_and_fail() -> None:
        with Interleaver() as it:
            it.run(both)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        run_and_fail()
    (note,) = caught.value.__notes__
    assert "\nleft: state['n'] = 1" in note


def test_delays_take_no_time() -> None:
    """A retry after a minute comes at once, by the interleaver's clock."""

    @step(retry=Retry(attempts=2, backoff=60, jitter=0))
    def fail_once(ctx: StepContext) -> int:
        if ctx.attempt == 1:
            raise OSError
        return ctx.attempt

    with Interleaver() as it:
        before = it.clock.now()
        assert it.run(Sequential("flow", fail_once)).output == 2
        assert it.clock.now() - before == pytest.approx(60, abs=1)


def test_accesses_can_be_left_alone() -> None:
    """Without `accesses` a branch is overtaken only where it pauses."""

    def adding(it: Interleaver) -> Parallel:
        def add(ctx: StepContext) -> None:
            found = ctx.state.get("n", 0)
            it.pause()
            ctx.state["n"] = found + 1  # type: ignore[operator]  # a number

        return Parallel("both", step(name="a")(add), step(name="b")(add))

    sums = []
    for choices in product((0, 1), repeat=3):
        with Interleaver(choices, accesses=False) as it:
            it.run(adding(it))
            sums.append(it.manager.workflow_state("workflow")["n"])
            assert it.trace == []
    assert set(sums) == {1, 2}


def test_handles_are_as_before_when_it_is_closed() -> None:
    """Only while one is open do handles ask whether they are to wait."""
    before = {name: vars(ReadableState).get(name) for name in ACCESSES}
    with Interleaver() as it:
        assert ReadableState.get is not before["get"]
        it.run(both)
    assert {name: vars(ReadableState).get(name) for name in ACCESSES} == before


def test_other_managers_go_on_beside_it() -> None:
    """A manager of another kind works as always, and is not traced."""
    with StateManager() as other, Interleaver([1, 1, 1]) as it:
        assert other.global_state().increment("n") == 1
        assert it.trace == []


def test_one_interleaver_is_open_at_a_time() -> None:
    """A second one is refused, and the first one goes on."""
    with Interleaver() as it:
        with pytest.raises(UsageError, match="another"), Interleaver():
            pass
        assert it.run(both).ok
    with pytest.raises(UsageError, match="with"):
        _ = Interleaver().manager
