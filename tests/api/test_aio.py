import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from stateward import (
    AskTimeoutError,
    AsyncScopedState,
    AsyncWorkflowState,
    ClosedError,
    ConflictError,
    Entry,
    InvalidKeyError,
    InvalidValueError,
    JsonValue,
    KeyCountError,
    Limits,
    MailboxFullError,
    MissingKeyError,
    ReentrantCallError,
    StateError,
    StateManager,
    Transaction,
    UsageError,
    WorkflowState,
    WrongTypeError,
)
from stateward.messages import GetSnapshot
from tests.support import refused, unchanged

SECONDS = 30
"""LIMIT: how long anything here may take before it counts as stuck."""


class Blocker:
    """A function for `modify` that blocks its thread until the loop lets it go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.calls = 0
        self._loop = asyncio.get_running_loop()
        self._gate = threading.Event()

    def __call__(self, _: JsonValue) -> JsonValue:
        self.calls += 1
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._gate.wait(SECONDS)
        return "modified"

    def let_go(self) -> None:
        """Let every call of the function return."""
        self._gate.set()


@asynccontextmanager
async def blocked(state: AsyncScopedState) -> AsyncIterator[Blocker]:
    """Keep the owner of `state` in a turn for as long as the block runs."""
    blocker = Blocker()
    turn = asyncio.create_task(state.modify("blocked", blocker))
    await asyncio.wait_for(blocker.begun.wait(), SECONDS)
    try:
        yield blocker
    finally:
        blocker.let_go()
        assert await turn == "modified"


def test_writes_do_what_their_namesakes_do(state: WorkflowState) -> None:
    """Every awaited call gives the reply of the same call of a plain handle."""

    async def main(it: AsyncWorkflowState) -> None:
        assert await it.set("a", 1) == 1
        assert await it.set("a", 2, expected=1) == 2
        assert await it.update({"b": [1]}, c={}) == 3
        assert await it.update([("d", 1)]) == 4
        assert await it.update() == 4
        assert await it.increment("a", 2) == 4
        assert await it.increment("n", initial=0.5) == 1.5
        assert await it.append("b", 2, [3]) == 7
        assert await it.merge("c", {"x": 1}) == {"x": 1}
        assert await it.modify("a", lambda value: value * 10) == 40
        assert await it.modify("e", lambda value: value, default=[]) == []
        assert await it.setdefault("a", 7) == 40
        assert await it.setdefault("f", 7) == 7
        assert await it.pop("f") == 7
        assert await it.pop("f", 8) == 8
        assert await it.delete("e") is True
        assert await it.delete("e") is False
        assert await it.popitem() == ("n", 1.5)
        assert await it.delete_many(["d", "no"]) == 1
        assert it == {"a": 40, "b": [1, 2, [3]], "c": {"x": 1}} == state
        await it.clear()
        assert len(it) == 0

    asyncio.run(main(state.aio))


def test_reads_are_plain_calls(state: WorkflowState) -> None:
    """Every reading call of a handle is there, and is not awaited."""
    state.set("a", [1], ttl=60)

    async def main(it: AsyncScopedState) -> None:
        assert (it["a"], it.get("a"), it.get("b", 7)) == ([1], [1], 7)
        assert (it.view("a"), it.entry("a")) == ((1,), state.entry("a"))
        assert (it.get_many(["a"]), dict(it.snapshot())) == ({"a": [1]}, {"a": [1]})
        assert (list(it), len(it), "a" in it, "b" in it) == (["a"], 1, True, False)
        assert (list(it.keys()), list(it.values())) == (["a"], [[1]])
        assert (it.revision, it.scope, it.manager) == (1, state.scope, state.manager)
        with pytest.raises(MissingKeyError):
            it["b"]

    asyncio.run(main(state.aio))
    assert repr(state.aio) == "<AsyncWorkflowState of WorkflowScope(workflow_id='w')>"


def test_workflow_leads_to_asynchronous_handles(state: WorkflowState) -> None:
    """Whatever is reached from a handle for asyncio is one itself."""

    async def main(it: AsyncWorkflowState) -> None:
        await it.step("s").set("a", 1)
        await it.global_state().set("a", 2)
        await it.custom_state("c").set("a", 3)
        assert (it.workflow_id, it.steps()) == ("w", ["s"])
        assert await it.drop() is True
        assert (it.steps(), await it.drop()) == ([], False)

    asyncio.run(main(state.aio))
    assert (state.global_state()["a"], state.custom_state("c")["a"]) == (2, 3)


REFUSALS: dict[str, tuple[type[StateError], Callable[[AsyncScopedState], Any]]] = {
    "conflict": (ConflictError, lambda it: it.set("a", 1, expected=9)),
    "key": (InvalidKeyError, lambda it: it.set("", 1)),
    "value": (InvalidValueError, lambda it: it.set("a", {1})),  # type: ignore[arg-type]  # to be refused
    "result": (InvalidValueError, lambda it: it.modify("a", lambda _: {1})),  # type: ignore[arg-type,return-value]  # to be refused
    "limit": (KeyCountError, lambda it: it.set("b", 1)),
    "missing": (MissingKeyError, lambda it: it.pop("b")),
    "kind": (WrongTypeError, lambda it: it.append("a", 1)),
    "several": (UsageError, lambda it: it.delete_many("a")),
    "attempts": (UsageError, lambda it: it.transact(len, attempts=0)),
}


@pytest.mark.parametrize(("kind", "call"), REFUSALS.values(), ids=list(REFUSALS))
def test_refusals_come_out_of_await(
    manager: StateManager,
    state: WorkflowState,
    kind: type[StateError],
    call: Callable[[AsyncScopedState], Awaitable[object]],
) -> None:
    """Each error is raised where its call is awaited, and had no effect."""
    manager.set_limits("w", Limits(max_keys=1))
    state["a"] = 1

    async def main() -> None:
        await call(state.aio)

    with refused(kind, state):
        asyncio.run(main())


def test_loop_is_never_blocked_by_a_turn(
    manager: StateManager, state: WorkflowState
) -> None:
    """While a function blocks a worker, the loop goes on, and so do other owners."""

    async def main(it: AsyncWorkflowState) -> None:
        await it.set("a", 1)
        async with blocked(it.step("s")) as blocker:
            waiting = [
                asyncio.create_task(it.increment("a", 10)),
                asyncio.create_task(it.increment("a", 100)),
            ]
            assert await manager.workflow_state("other").aio.set("a", 1) == 1
            for _ in range(100):
                await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
            assert (it["a"], it.get("blocked"), blocker.calls) == (1, None, 1)
        assert await asyncio.gather(*waiting) == [11, 111]

    asyncio.run(main(state.aio))


def test_writes_of_one_task_take_effect_in_their_order(state: WorkflowState) -> None:
    """Writes begun one after another are carried out one after another."""

    async def main(it: AsyncWorkflowState) -> None:
        async with blocked(it):
            tasks = [asyncio.create_task(it.append("a", turn)) for turn in range(50)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(main(state.aio))
    assert state["a"] == list(range(50))


def test_cancelled_write_never_happens_when_it_had_to_wait(
    state: WorkflowState,
) -> None:
    """A write cancelled before its turn is taken back for good."""

    async def main(it: AsyncWorkflowState) -> None:
        async with blocked(it):
            task = asyncio.create_task(it.set("a", 1))
            for _ in range(10):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await it.set("b", 1) == 2
        assert "a" not in it

    asyncio.run(main(state.aio))


@pytest.mark.slow
def test_write_that_waits_too_long_is_withdrawn() -> None:
    """At its deadline a waiting write is dropped, one under way is in the open."""

    async def main() -> None:
        async with StateManager(ask_timeout=0.2) as manager:
            it = manager.workflow_state("w").aio
            blocker = Blocker()
            turn = asyncio.create_task(it.modify("a", blocker))
            await asyncio.wait_for(blocker.begun.wait(), SECONDS)
            with pytest.raises(AskTimeoutError) as waiting:
                await it.set("b", 1)
            with pytest.raises(TimeoutError) as under_way:
                await turn
            assert waiting.value.effect == "none"
            assert getattr(under_way.value, "effect", None) == "unknown"
            blocker.let_go()
            query = GetSnapshot(it.scope)
            left = await asyncio.to_thread(manager.supervisor.ask, query)
            assert left == {"a": "modified"}

    asyncio.run(main())


def test_mailbox_takes_exactly_as_many_writes_as_allowed(
    manager: StateManager, state: WorkflowState
) -> None:
    """`max_pending` writes may wait for an owner, and one more is refused."""
    manager.set_limits("w", Limits(max_pending=2))

    async def main(it: AsyncWorkflowState) -> None:
        async with blocked(it):
            first = asyncio.create_task(it.set("a", 1))
            second = asyncio.create_task(it.set("b", 2))
            await asyncio.sleep(0)
            with pytest.raises(MailboxFullError) as caught:
                await it.set("c", 3)
            assert (caught.value.allowance, caught.value.actual) == (2, 3)
        await asyncio.gather(first, second)

    state["a"] = 0
    asyncio.run(main(state.aio))
    assert dict(state) == {"a": 1, "blocked": "modified", "b": 2}


@pytest.mark.parametrize("error", [TimeoutError, ZeroDivisionError, ConflictError])
def test_modify_gives_what_the_function_raises_to_its_caller(
    state: WorkflowState, error: type[Exception]
) -> None:
    """Even an error that looks like one of ours comes out as it was raised."""

    async def main(it: AsyncWorkflowState) -> None:
        def fail(_: object) -> JsonValue:
            raise error("mine")

        with pytest.raises(error, match=r"^mine$") as caught:
            await it.modify("a", fail)
        assert type(caught.value) is error

    with unchanged(state):
        asyncio.run(main(state.aio))


def test_modify_is_refused_what_would_wait(state: WorkflowState) -> None:
    """The function cannot write, from a worker as little as from the caller."""

    async def main(it: AsyncWorkflowState) -> None:
        with pytest.raises(ReentrantCallError):
            await it.modify("a", lambda _: state.set("b", 1))
        assert await it.set("b", 1) == 1

    asyncio.run(main(state.aio))


def test_transaction_commits_at_the_end_of_its_block(state: WorkflowState) -> None:
    """Reads and writes in the block are plain, its commit is awaited."""

    async def main(it: AsyncWorkflowState) -> None:
        async with it.transaction() as tx:
            tx["a"] = 1
            tx.step("s")["a"] = tx["a"]
            assert dict(it) == {}
        assert (dict(it), dict(it.step("s"))) == ({"a": 1}, {"a": 1})
        async with it.transaction() as read_only:
            assert read_only["a"] == 1
        assert (tx.revision, read_only.revision) == (1, 1)
        async with it.transaction() as early:
            early["a"] = 2
            early.discard()
        with pytest.raises(ZeroDivisionError):
            await broken_off(it)
        assert dict(it) == {"a": 1}

    asyncio.run(main(state.aio))


async def broken_off(state: AsyncWorkflowState) -> None:
    """Raise inside a transaction that has written something."""
    async with state.transaction() as tx:
        tx["a"] = 9
        raise ZeroDivisionError


def test_transact_repeats_after_each_conflict(state: WorkflowState) -> None:
    """The function runs again until it fits, or until its last attempt."""
    state["a"] = 0

    def clash(tx: Transaction) -> JsonValue:
        seen = tx["a"]
        state.increment("a")
        tx["b"] = seen
        return seen

    def settle(tx: Transaction) -> JsonValue:
        return clash(tx) if state["a"] != 3 else tx.setdefault("c", 7)

    async def main(it: AsyncWorkflowState) -> None:
        assert await it.transact(settle) == 7
        with pytest.raises(ConflictError):
            await it.transact(clash, attempts=2)

    asyncio.run(main(state.aio))
    assert dict(state) == {"a": 5, "c": 7}


def test_set_overwrites_as_it_writes_first(state: WorkflowState) -> None:
    """A key that is there gets its next value without a message, no less strictly."""

    async def main(it: AsyncWorkflowState) -> None:
        values: list[JsonValue] = [1, 2, [3], "4", 5]
        assert [await it.set("a", value) for value in values] == [1, 2, 3, 4, 5]
        assert (await it.set("a", 6, ttl=9), await it.set("a", 7)) == (6, 7)
        bad: Any
        for bad in (object(), 1 << 64, float("nan"), "\ud800"):
            with pytest.raises(InvalidValueError):
                await it.set("a", bad)
        entry = cast("Entry", it.entry("a"))
        assert (entry.revision, entry.expires) == (7, None)
        assert await it.drop()
        assert 7 < await it.set("a", 8) < await it.set("a", 9)
        assert dict(it) == {"a": 9}

    asyncio.run(main(state.aio))


def test_increments_of_many_tasks_are_all_counted(state: WorkflowState) -> None:
    """Tasks that interleave on one loop lose no update."""

    async def add(it: AsyncWorkflowState) -> None:
        for _ in range(10):
            await it.increment("a")
            await it.transact(lambda tx: tx.increment("b"), attempts=1_000)
            await it.modify("c", lambda value: value + 1, default=0)

    async def main(it: AsyncWorkflowState) -> None:
        await asyncio.gather(*(add(it) for _ in range(10)))

    asyncio.run(main(state.aio))
    assert dict(state) == {"a": 100, "b": 100, "c": 100}


def test_block_of_a_manager_closes_it() -> None:
    """After `async with`, awaiting a write says that the manager is closed."""

    async def main() -> None:
        async with StateManager() as manager:
            it = manager.workflow_state("w").aio
            await it.set("a", 1)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: it.set("a", 2),
            lambda: manager.workflow_state("new").aio.set("a", 2),
            lambda: it.modify("a", lambda value: value),
            it.drop,
            lambda: it.transact(lambda tx: tx.get("a")),
        ]
        for call in calls:
            with pytest.raises(ClosedError, match="the manager is closed"):
                await call()
        with pytest.raises(ClosedError):
            it.get("a")

    asyncio.run(main())
