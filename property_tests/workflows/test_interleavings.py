"""Branches that go on in every order, between any two of their calls."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from property_tests.workflows.bench import WORKFLOW_ID, bench, pausing
from stateward import StepRevokedError
from stateward.testing.batons import Batons
from stateward.testing.strategies import interleavings
from stateward.workflows import Parallel, Status, Step, StepContext

BRANCHES = 4
CALLS = 3

orders = interleavings(branches=BRANCHES + 1, max_choices=80)


def adding(batons: Batons, *, atomic: bool) -> Callable[[StepContext], None]:
    """Return a function that counts, and lets others go on between all it does."""

    def add(ctx: StepContext) -> None:
        for _ in range(CALLS):
            batons.pause()
            if atomic:
                found: Any = ctx.state.get("atomic", 0)
                batons.pause()
                ctx.state.set("atomic", found + 1)
            else:
                ctx.state.increment("plain")

    return add


@pytest.mark.slow
@given(order=orders, atomic=st.lists(st.booleans(), min_size=2, max_size=BRANCHES))
def test_branches_lose_no_update_in_any_order(
    order: list[int], atomic: list[bool]
) -> None:
    """What plain and atomic branches count in one state is there in full."""
    with bench(order) as it, pausing(it.batons):
        steps = [
            Step(name=f"s{place}", function=adding(it.batons, atomic=each), atomic=each)
            for place, each in enumerate(atomic)
        ]
        run = it.manager.start(Parallel("p", *steps), WORKFLOW_ID)
        it.finish(run)
        assert run.result(0).status is Status.COMPLETED
        counts = it.counts()
        assert counts.get("atomic", 0) == CALLS * sum(atomic)
        assert counts.get("plain", 0) == CALLS * (len(atomic) - sum(atomic))


# Seen to fail when giving up a job does not end its fence.
@pytest.mark.slow
@given(order=orders, moment=st.integers(0, 30), atomic=st.booleans())
def test_cancelled_run_writes_nothing_in_any_order(
    order: list[int], moment: int, atomic: bool
) -> None:
    """Once `cancel` has returned, no branch changes anything, wherever it was."""
    refused: list[StepRevokedError] = []
    with bench(order) as it, pausing(it.batons):
        add = adding(it.batons, atomic=atomic)

        def work(ctx: StepContext) -> None:
            try:
                add(ctx)
            except StepRevokedError as error:
                refused.append(error)
                raise

        steps = [
            Step(name=f"s{place}", function=work, atomic=atomic)
            for place in range(BRANCHES)
        ]
        run = it.manager.start(Parallel("p", *steps), WORKFLOW_ID)
        for _ in range(moment):
            it.batons.step()
        cancelled = it.manager.cancel(WORKFLOW_ID)
        assert not refused
        before = it.counts()
        it.batons.drain()
        it.finish(run)
        assert it.counts() == before
        status = run.result(0).status
        assert status is (Status.CANCELLED if cancelled else Status.COMPLETED)


@pytest.mark.slow
@given(order=orders, most=st.integers(1, BRANCHES + 1))
def test_branches_under_way_stay_within_their_limit(
    order: list[int], most: int
) -> None:
    """Never are more branches under way than `max_concurrency`, and all are run."""
    under_way: set[str] = set()
    seen: list[int] = []
    with bench(order) as it, pausing(it.batons):

        def work(ctx: StepContext) -> None:
            under_way.add(ctx.path)
            seen.append(len(under_way))
            it.batons.pause()
            under_way.discard(ctx.path)

        steps = [Step(name=f"s{place}", function=work) for place in range(BRANCHES)]
        flow = Parallel("p", *steps, max_concurrency=most)
        run = it.manager.start(flow, WORKFLOW_ID)
        it.finish(run)
        assert len(run.result(0).outputs) == len(seen) == BRANCHES
        assert max(seen) <= most
