"""Everything a handle promises holds on every store, and again after reopening it.

The behavioural tests of `tests/api` run here once more, each on every store that keeps
something: they ask for the fixtures `manager` and `state`, which are of a store here.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from stateward import (
    ConflictError,
    CustomScope,
    Entry,
    GlobalScope,
    KeyCountError,
    Limits,
    MissingKeyError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.messages import IncrementState, SetState
from stateward.testing import SimulatedClock
from stateward.workflows import (
    Conditional,
    Loop,
    Parallel,
    Sequential,
    StepContext,
    branch,
    step,
)
from tests.api import (
    test_aio,
    test_handles,
    test_messages,
    test_reads,
    test_snapshots,
    test_stats,
    test_transactions,
)
from tests.api.workflows import test_atomic, test_loops, test_runs
from tests.guarantees import test_transaction_calls
from tests.guarantees import test_transactions as test_serializable

AGAIN: Final[tuple[ModuleType, ...]] = (
    test_aio,
    test_handles,
    test_messages,
    test_reads,
    test_snapshots,
    test_stats,
    test_transactions,
    test_atomic,
    test_loops,
    test_runs,
    test_transaction_calls,
    test_serializable,
)
LEFT_OUT: Final[dict[str, str]] = {
    "test_supervisor_administers_owners": (
        "dropping a workflow that is not in memory activates its owner"
    ),
}
"""Tests of what only memory does, with the reason."""
KEPT: Final = ("sqlite", "rocksdb")
STORES: Final = ("memory", *KEPT)


def repeated() -> Iterator[tuple[str, object]]:
    """Yield the tests on a manager, and what they ask for, under names of their own."""
    for module in AGAIN:
        fixtures = {
            name: it
            for name, it in vars(module).items()
            if type(it).__name__ == "FixtureFunctionDefinition"
        }
        yield from fixtures.items()
        for name, it in vars(module).items():
            if name.startswith("test_") and name not in LEFT_OUT and callable(it):
                wanted = {"manager", "state", *fixtures}
                if wanted & set(inspect.signature(it).parameters):
                    yield f"{name}_in_{module.__name__.rpartition('.')[2]}", it


globals().update(repeated())


def url_of(scheme: str, path: Path) -> str:
    """Return the URL of a store at `path`."""
    return "memory://" if scheme == "memory" else f"{scheme}:///{path}/state"


@pytest.fixture(params=KEPT)
def manager(
    request: pytest.FixtureRequest, clock: SimulatedClock, tmp_path: Path
) -> Iterator[StateManager]:
    """Return a manager of a store on `clock`, closed at the end."""
    url = url_of(request.param, tmp_path)
    with StateManager(url, durability="buffered", clock=clock) as manager:
        yield manager


# ------------------------------------------------------- again after reopening

Open = Callable[[], StateManager]


@pytest.fixture(params=KEPT)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a store that can be closed and opened again."""
    return url_of(request.param, tmp_path)


SCOPES: Final[tuple[StateScope, ...]] = (
    GlobalScope(),
    WorkflowScope("w"),
    StepScope("w", "s"),
    CustomScope("c"),
)
WRITES: Final[dict[str, Callable[[Any], object]]] = {
    "set": lambda it: it.set("new", {"x": [1, None, "\xe9", 1.5, True]}),
    "overwrite": lambda it: it.set("n", 2),
    "set with ttl": lambda it: it.set("t", 1, ttl=10),
    "item": lambda it: it.__setitem__("n", [1]),
    "update": lambda it: it.update({"n": 3, "new": 4}, more=5),
    "delete": lambda it: it.delete("n"),
    "del": lambda it: it.__delitem__("n"),
    "delete_many": lambda it: it.delete_many(["n", "list", "no"]),
    "clear": lambda it: it.clear(),
    "increment": lambda it: it.increment("n", 0.5),
    "append": lambda it: it.append("list", 2, [3]),
    "merge": lambda it: it.merge("d", {"a": None, "b": {"c": 1}}),
    "modify": lambda it: it.modify("list", lambda value: [*value, 9]),
    "setdefault": lambda it: [it.setdefault("new", 1), it.setdefault("n", 7)],
    "pop": lambda it: it.pop("n"),
    "pop default": lambda it: it.pop("no", 5),
    "popitem": lambda it: it.popitem(),
    "transact": lambda it: it.transact(
        lambda tx: [tx.increment("n"), tx.delete("list"), tx.set("tx", 1)]
    ),
    "delete and set": lambda it: [it.delete("n"), it.set("n", 8)],
    "aio.set": lambda it: asyncio.run(it.aio.set("new", 1)),
    "aio.update": lambda it: asyncio.run(it.aio.update({"n": 1, "new": 2})),
    "aio.transact": lambda it: asyncio.run(it.aio.transact(lambda tx: tx.pop("n"))),
}
"""Every way to write to a scope that holds `n`, `list` and `d`."""


def fill(manager: StateManager, scope: StateScope) -> None:
    """Write what `WRITES` begin with."""
    manager.state(scope).update({"n": 1, "list": [1], "d": {"a": 1, "z": 2}})


def entries(manager: StateManager) -> dict[StateScope, dict[str, Entry | None]]:
    """Return all there is in `SCOPES`: values, revisions, times and expiries."""
    found = {}
    for scope in SCOPES:
        state = manager.state(scope)
        found[scope] = {key: state.entry(key) for key in sorted(state)}
    return found


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
@pytest.mark.parametrize("scheme", STORES)
@pytest.mark.parametrize("durability", ["synced", "buffered"])
def test_write_is_the_same_on_every_store_and_after_reopening(
    tmp_path: Path,
    write: Callable[[Any], object],
    scheme: str,
    durability: Any,
) -> None:
    """Answer, entries and revisions are those of memory, now and later."""
    outcomes = []
    for each in {"memory", scheme}:
        clock = SimulatedClock()
        place = url_of(each, tmp_path)
        with StateManager(place, clock=clock, durability=durability) as manager:
            for scope in SCOPES:
                fill(manager, scope)
            clock.advance(1)
            answers = [write(manager.state(scope)) for scope in SCOPES]
            stats = manager.stats()
            found = entries(manager)
            ids = manager.workflow_ids()
            outcomes.append((answers, found, ids, stats.keys, stats.size_bytes))
        if each == "memory":
            continue
        with StateManager(place, clock=clock, durability=durability) as manager:
            stats = manager.stats()
            assert (stats.keys, stats.size_bytes) == outcomes[-1][3:]
            assert manager.workflow_ids() == ids
            assert entries(manager) == found
    assert all(it == outcomes[0] for it in outcomes)


def test_ttl_goes_on_while_nobody_has_the_store_open(
    url: str, clock: SimulatedClock
) -> None:
    """A key is there until its instant, and gone from it on, across reopening."""
    with StateManager(url, clock=clock) as manager:
        manager.workflow_state("w").set("t", 1, ttl=10)
        manager.workflow_state("w")["a"] = 1
    clock.advance(9.5)
    with StateManager(url, clock=clock) as manager:
        assert dict(manager.workflow_state("w")) == {"t": 1, "a": 1}
    clock.advance(0.5)
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        assert (dict(state), "t" in state) == ({"a": 1}, False)
        assert state.set("t", 2, expected=0) > 2
    with StateManager(url, clock=clock) as manager:
        assert dict(manager.workflow_state("w")) == {"t": 2, "a": 1}


def test_revisions_go_on_after_reopening(url: str, clock: SimulatedClock) -> None:
    """What was read before is still stale or fresh; none is given out twice."""
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        old = state.set("a", 1)
        seen = state.set("a", 2)
        gone = state.set("b", 1)
        state.delete("b")
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        with pytest.raises(ConflictError):
            state.set("a", 3, expected=old)
        with pytest.raises(ConflictError):
            state.set("b", 3, expected=gone)
        assert state.set("a", 3, expected=seen) > gone + 1


def test_limits_count_what_was_stored(url: str, clock: SimulatedClock) -> None:
    """Keys of an earlier process fill an owner as its own do."""
    limits = Limits(max_keys=2)
    for _ in range(2):
        with StateManager(url, clock=clock, limits=limits) as manager:
            state = manager.workflow_state("w")
            state.update({"a": 1})
            state.step("s")["b"] = 1
            with pytest.raises(KeyCountError):
                state["c"] = 1
            assert (dict(state), dict(state.step("s"))) == ({"a": 1}, {"b": 1})


def test_dropped_workflow_stays_dropped(url: str, clock: SimulatedClock) -> None:
    """Neither keys nor steps nor runs come back, and later revisions are higher."""
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        state["a"] = 1
        state.step("s")["b"] = 1
        manager.run(step(name="s")(lambda _: 1), "w")
        revision = state.revision
        assert manager.drop_workflow("w")
    with StateManager(url, clock=clock) as manager:
        state = manager.workflow_state("w")
        assert (dict(state), state.steps()) == ({}, [])
        assert (manager.workflow_ids(), manager.run_ids()) == ([], [])
        assert not state.drop()
        assert state.set("a", 1) > revision


def test_passivated_owner_comes_back_from_its_store(
    url: str, clock: SimulatedClock
) -> None:
    """It is let go with all it holds, and reads and writes find it again."""
    with StateManager(url, clock=clock, cache_bytes=20_000) as manager:
        for number in range(20):
            manager.workflow_state(f"w{number}")["a"] = number
        for number in range(20):
            manager.passivate(WorkflowScope(f"w{number}"))
        for number in range(20):
            state = manager.workflow_state(f"w{number}")
            assert state["a"] == number
            assert state.increment("a") == number + 1
        assert len(manager.workflow_ids()) == 20
    with StateManager(url, clock=clock) as manager:
        found = {it: manager.workflow_state(it)["a"] for it in manager.workflow_ids()}
    assert found == {f"w{number}": number + 1 for number in range(20)}


def test_messages_to_the_supervisor_are_kept(url: str, clock: SimulatedClock) -> None:
    """A host that speaks in messages has its writes stored as handles have."""
    with StateManager(url, clock=clock) as manager:
        scope = WorkflowScope("w")
        ask, in_step = manager.supervisor.ask, StepScope("w", "s")
        assert ask(SetState(scope, "a", 1), timeout=30) == 1
        manager.supervisor.tell(IncrementState(in_step, "n", 2))
        assert ask(IncrementState(in_step, "n", 3), timeout=30) == 5
    with StateManager(url, clock=clock) as manager:
        assert dict(manager.workflow_state("w")) == {"a": 1}
        assert dict(manager.step_state("w", "s")) == {"n": 5}


def test_run_of_all_four_kinds_is_kept(url: str, clock: SimulatedClock) -> None:
    """Its result is the same after reopening, and it is not run again."""
    calls: list[str] = []

    def note(ctx: StepContext) -> Any:
        calls.append(ctx.path)
        return ctx.state.increment("n")

    def named(name: str, *, atomic: bool = False) -> Any:
        return step(name=name, atomic=atomic)(note)

    flow = Sequential(
        "all",
        named("first", atomic=True),
        Parallel("side", named("a"), named("b", atomic=True)),
        Conditional(
            "if",
            branch(lambda state: state["n"] == 3, named("yes")),
            otherwise=named("no"),
        ),
        Loop("loop", named("each", atomic=True), over=[1, 2, 3]),
    )
    with StateManager(url, clock=clock) as manager:
        result = manager.run(flow, "w", input={"x": 1})
        result.raise_for_failure()
        left = dict(manager.workflow_state("w"))
    assert left == {"n": 7}
    before = list(calls)
    with StateManager(url, clock=clock) as manager:
        assert manager.run_ids() == ["w"]
        again = manager.run(flow, "w")
        assert again == manager.resume(flow, "w") == manager.run_state("w")
        # The steps come in the order of their paths, not of their beginnings.
        assert {it.path: it for it in again.steps} == {
            it.path: it for it in result.steps
        }
        assert (again.status, again.output) == (result.status, result.output)
        assert (again.input, again.started) == (result.input, result.started)
        assert dict(manager.workflow_state("w")) == left
        assert manager.resume_all([flow]) == {}
    assert calls == before


def test_absent_key_is_absent_after_reopening(url: str, clock: SimulatedClock) -> None:
    """Errors are those of a key that never was."""
    with StateManager(url, clock=clock) as manager:
        manager.global_state().update({"a": 1, "b": 2})
        del manager.global_state()["a"]
    with StateManager(url, clock=clock) as manager:
        state = manager.global_state()
        assert (state.get("a", 5), "a" in state, len(state)) == (5, False, 1)
        with pytest.raises(MissingKeyError):
            state["a"]
