"""The engine: asked from threads and loops, closed once and for all."""

import asyncio
import gc
import threading
import warnings
from pathlib import Path
from typing import Any

import pykka
import pytest

from stateward import (
    AskTimeoutError,
    ClosedError,
    ReentrantCallError,
    StateManager,
    WorkflowScope,
)
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.inbox import StoppedError
from stateward.actors.store.store import DurableStore
from stateward.messages import GetState, ModifyState, SetState
from tests.threads import Gate, Job, eventually

SCOPE = WorkflowScope("w")


def own_threads() -> list[str]:
    """Return the names of the threads managers have started."""
    names = [thread.name for thread in threading.enumerate()]
    return [
        it for it in names if it.startswith(("stateward-worker", "stateward-timer"))
    ]


def test_engine_gives_the_live_owner_of_a_scope() -> None:
    """An owner is made when it is needed, and the same while it lives."""
    with StateManager() as manager:
        engine: Engine = manager.engine
        assert engine.state(SCOPE) is None
        owner = engine.owner(SCOPE)
        assert engine.owner(SCOPE) is owner
        assert manager.passivate(SCOPE)
        assert engine.owner(SCOPE) is not owner


def test_engine_starts_again_when_the_owner_has_just_gone() -> None:
    """A command that meets a passivated owner is served by the next."""
    with StateManager() as manager:
        engine = manager.engine
        gone = engine.owner(SCOPE)
        assert manager.passivate(SCOPE)
        engine.directory.owners[SCOPE] = gone
        engine.ask_owner(SCOPE, SetState(SCOPE, "k", 1))
        assert engine.ask(GetState(SCOPE, "k")) == 1


def test_engine_passes_on_what_a_function_raises_of_its_kind() -> None:
    """An error about some other actor, raised by a function, is not retried."""

    def fail(_: object) -> None:
        raise StoppedError("some other actor")

    with StateManager() as manager:
        with pytest.raises(StoppedError, match="some other"):
            manager.engine.ask_owner(SCOPE, ModifyState(SCOPE, "k", fail))

        async def main() -> None:
            await manager.engine.ask_soon(SCOPE, ModifyState(SCOPE, "k", fail))

        with pytest.raises(StoppedError, match="some other"):
            asyncio.run(main())


def test_engine_says_of_a_late_answer_whether_it_may_come() -> None:
    """Awaited too long: dropped while it waits, unknown once its turn has begun."""
    gate = Gate()
    with StateManager(ask_timeout=0.05) as manager:
        state = manager.workflow_state("w")
        state.set("k", 0)

        async def slow() -> None:
            await state.aio.modify("k", gate)

        async def waiting() -> None:
            await state.aio.set("k", 1)

        with pytest.raises(AskTimeoutError) as caught:
            asyncio.run(slow())
        assert caught.value.effect == "unknown"
        with pytest.raises(AskTimeoutError) as caught:
            asyncio.run(waiting())
        assert caught.value.effect == "none"
        gate.open()
        eventually(lambda: state.revision == 2, "the function's value is stored")
        assert state["k"] == 0


def test_engine_passes_on_a_timeout_that_a_function_raises() -> None:
    """A `TimeoutError` of the function is not mistaken for one of the engine."""

    def fail(_: object) -> None:
        raise TimeoutError("mine")

    with StateManager() as manager:

        async def main() -> None:
            await manager.workflow_state("w").aio.modify("k", fail)

        with pytest.raises(TimeoutError, match="mine"):
            asyncio.run(main())


def test_engine_withdraws_what_a_cancelled_task_had_queued() -> None:
    """A write cancelled before its turn never happens."""
    gate = Gate()
    with StateManager() as manager:
        state = manager.workflow_state("w")
        state.set("k", 0)
        holder = Job(state.modify, "k", gate)
        gate.wait_until_entered()

        async def main() -> None:
            task = asyncio.ensure_future(state.aio.set("k", 9))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        gate.open()
        assert holder.result() == 0
        assert state["k"] == 0


def test_engine_that_is_closed_refuses_every_call() -> None:
    """Asked from a thread or a loop, it says that it is closed."""
    manager = StateManager()
    engine = manager.engine
    manager.close()

    async def ask() -> None:
        await engine.ask_soon(SCOPE, SetState(SCOPE, "k", 1))

    calls = (
        lambda: engine.ask(GetState(SCOPE, "k")),
        lambda: engine.owner(SCOPE),
        lambda: engine.state(SCOPE),
        engine.usages,
        lambda: asyncio.run(ask()),
    )
    for call in calls:
        with pytest.raises(ClosedError):
            call()


def test_engine_closes_after_somebody_stopped_every_actor() -> None:
    """`ActorRegistry.stop_all` takes the supervisor; closing still ends the threads."""
    manager = StateManager()
    manager.workflow_state("w").set("k", 1)
    pykka.ActorRegistry.stop_all()
    manager.close()
    assert own_threads() == []


def test_engine_goes_on_closing_when_an_owner_took_too_long() -> None:
    """A turn that does not end is reported, and closing can be repeated."""
    gate = Gate()
    manager = StateManager(ask_timeout=0.05)
    state = manager.workflow_state("w")
    holder = Job(state.modify, "k", gate)
    gate.wait_until_entered()
    with pytest.raises(AskTimeoutError):
        manager.close()
    gate.open()
    holder.result()
    manager.close()
    assert own_threads() == []


def test_engine_is_not_closed_inside_a_turn() -> None:
    """A function in a turn cannot close the manager it runs in."""
    with StateManager() as manager:
        state = manager.workflow_state("w")
        with pytest.raises(ReentrantCallError):
            state.modify("k", lambda _: manager.close())
        state.set("k", 1)


def test_engine_closes_while_an_owner_is_just_going() -> None:
    """An owner that ended by itself does not keep the others from being closed."""
    manager = StateManager()
    scope = manager.workflow_state("w").scope
    manager.workflow_state("w").set("k", 1)
    gone = manager.engine.owner(SCOPE)
    manager.passivate(scope)
    manager.engine.directory.owners[SCOPE] = gone
    manager.close()
    assert own_threads() == []


def test_engine_that_is_forgotten_warns_and_ends() -> None:
    """A manager dropped unclosed says so, and leaves no thread behind."""
    manager = StateManager()
    manager.global_state().set("k", 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del manager
        gc.collect()
    assert [it.category for it in caught] == [ResourceWarning]
    eventually(lambda: own_threads() == [], "the threads end")


def test_engine_does_not_touch_what_it_was_given() -> None:
    """A dispatcher and a clock of the caller's are left running."""
    from property_tests.dispatchers import InlineDispatcher
    from stateward.testing import SimulatedClock

    before = own_threads()
    dispatcher = InlineDispatcher()
    manager = StateManager(dispatcher=dispatcher, clock=SimulatedClock())
    manager.workflow_state("w").set("k", 1)
    assert own_threads() == before
    manager.close()


def test_engine_that_is_forgotten_does_not_end_what_it_was_given() -> None:
    """Dropped unclosed, it warns and leaves its caller's dispatcher alone."""
    from property_tests.dispatchers import InlineDispatcher
    from stateward.testing import SimulatedClock

    manager = StateManager(dispatcher=InlineDispatcher(), clock=SimulatedClock())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del manager
        gc.collect()
    assert [it.category for it in caught] == [ResourceWarning]


@pytest.mark.parametrize("failing", ["start", "attach"])
def test_engine_that_cannot_begin_lets_go_of_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """No more threads, say: the store can be opened again, and no thread is left."""
    url = f"sqlite:///{tmp_path}/state"
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "stateward-committer":
            raise RuntimeError("can't start new thread")
        start(thread)

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        if failing == "start":
            patched.setattr(threading.Thread, "start", refuse)
        else:
            patched.setattr(Engine, "ask", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            StateManager(url)
    eventually(lambda: not own_threads(), "no thread is left")
    with StateManager(url) as manager:
        assert manager.workflow_state("w").set("k", 1) == 1


def test_loop_is_not_blocked_while_an_owner_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cold owner has on disk is read in another thread, once."""
    url = f"sqlite:///{tmp_path}/state"
    with StateManager(url) as manager:
        manager.workflow_state("w").set("k", 1)
    gate, load, loads = Gate(), DurableStore.load, list[object]()

    def slow(self: DurableStore, *args: Any, **kwargs: Any) -> None:
        loads.append(gate(args[0].scope))
        load(self, *args, **kwargs)

    monkeypatch.setattr(DurableStore, "load", slow)

    async def main() -> None:
        async with StateManager(url) as manager:
            state = manager.workflow_state("w").aio
            writes = [asyncio.ensure_future(state.increment("k")) for _ in range(3)]
            await asyncio.to_thread(gate.wait_until_entered)
            assert not any(it.done() for it in writes)
            gate.open()
            assert await asyncio.gather(*writes) == [2, 3, 4]

    asyncio.run(main())
    assert loads == [SCOPE]
