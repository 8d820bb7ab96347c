"""Tasks and threads mixed: what holds among threads holds with event loops too."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from property_tests.stress.rounds import Round, stress, times, together
from stateward import ScopedState, Transaction

TASKS = 4
CALLS = 6


# Seen to fail when `ask_soon` runs the message without the turn lock, and when a
# message that was queued is run a second time by the loop.
@stress(ci=40)
def test_tasks_and_threads_lose_no_update(it: Round) -> None:
    """Increments, functions and transactions of tasks and threads all count."""
    order = it.workflow

    def move(tx: Transaction) -> None:
        tx["moved"] = tx.get("moved", 0) + 1  # type: ignore[operator]  # a number
        tx.step("s").increment("moved")

    async def work() -> None:
        mine = it.manager.workflow_state(order.workflow_id).aio
        for _ in range(CALLS):
            await mine.increment("k")
            await mine.modify("items", lambda items: [*items, 1], default=[])
            await mine.transact(move, attempts=10_000)

    async def tasks() -> None:
        await asyncio.gather(*(work() for _ in range(TASKS)))

    def add() -> None:
        order.increment("k")
        order.modify("items", lambda items: [*items, 1], default=[])
        order.transact(move, attempts=10_000)

    together(*[partial(run_tasks, tasks)] * 2, *[times(CALLS, add)] * 2)
    total = 2 * (TASKS + 1) * CALLS
    assert order["k"] == total
    assert order["items"] == [1] * total
    assert order["moved"] == order.step("s")["moved"] == total


# Seen to fail when a message whose task was cancelled is carried out after all although
# it was withdrawn, and when it is withdrawn although its turn has begun.
@stress(ci=40)
def test_cancelled_tasks_leave_whole_updates(it: Round) -> None:
    """A cancelled batch happened whole or not at all, and what was awaited did."""
    order, keys = it.workflow, ("a", "b", "c")
    done: list[int] = []

    async def write(name: int) -> None:
        mine = it.manager.workflow_state(order.workflow_id).aio
        for number in range(CALLS):
            await mine.modify(f"{name}", lambda _, number=number: number)  # type: ignore[misc]  # bound here
            await mine.update({key: [name, number] for key in keys})
            await mine.increment("k")
            done.append(name)

    async def tasks() -> None:
        running = [asyncio.create_task(write(name)) for name in range(TASKS)]
        for task in it.chance.sample(running, 2):
            for _ in range(it.chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def read() -> None:
        mine = it.manager.workflow_state(order.workflow_id)
        for _ in range(4 * CALLS):
            seen = list(mine.get_many(keys).values())
            assert all(each == seen[0] for each in seen), f"half an update: {seen}"

    together(
        partial(run_tasks, tasks), read, times(CALLS, partial(order.increment, "k"))
    )
    assert len(done) + CALLS <= _number(order, "k") <= TASKS * CALLS + CALLS
    assert _number(order, "k") - len(done) - CALLS <= 2, "more than was cancelled"


def _number(state: ScopedState, key: str) -> int:
    number: Any = state.get(key, 0)
    return int(number)


def run_tasks(tasks: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run tasks on a loop of their own, in this thread."""
    asyncio.run(tasks())
