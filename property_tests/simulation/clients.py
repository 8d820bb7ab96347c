"""Clients that do whatever a handle offers, and record what came of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from stateward import (
    AskTimeoutError,
    CustomScope,
    GlobalScope,
    JsonValue,
    StateError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.aio import AsyncScopedState
from stateward.messages import SetState
from stateward.testing.calls import Call
from stateward.testing.histories import Footprint, History
from stateward.testing.simulation import HandlerBugError, Simulation

OWNERS: Final[dict[str, StateScope]] = {
    "workflow": WorkflowScope("w"),
    "global": GlobalScope(),
    "custom": CustomScope("c"),
}
STEP: Final = "s/"
"""What the places of the workflow's step begin with."""
STEP_SCOPE: Final = StepScope("w", "s")
KEYS: Final = ("a", "b", "c")
NUMBER: Final = "n"
ITEMS: Final = "l"
SYNCED: Final = (("durability", "synced"),)


def scopes_of(owner: str) -> dict[str, StateScope]:
    """Return the scopes of an owner, by what their places begin with."""
    scope = OWNERS[owner]
    return {"": scope, STEP: STEP_SCOPE} if owner == "workflow" else {"": scope}


def contents(manager: StateManager, owner: str) -> dict[str, JsonValue]:
    """Return all that an owner holds."""
    return {
        prefix + key: value
        for prefix, scope in scopes_of(owner).items()
        for key, value in manager.state(scope).items()
    }


class Recorder:
    """What the clients of one process have done."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.history = History()
        self.newest: Counter[str] = Counter()
        """The newest revision of each owner that a client was told."""
        self.synced: Counter[str] = Counter()
        """As `newest`, when nothing was left that power loss could take."""

    async def make(
        self, name: str, owner: str, call: Call, function: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Make a call, and return its reply; `None` if it was refused or is unknown."""
        stalls = self.simulation.stalls
        history = self.history
        try:
            reply = await history.client(name, owner).awaited(call, function)
        except (StateError, HandlerBugError) as error:
            self.judge(error, stalls)
            return None
        if call.name in ("set", "update", "append"):
            self.newest[owner] = max(self.newest[owner], reply)
            if call.named == SYNCED:
                self.synced[owner] = max(self.synced[owner], reply)
        if self.simulation.manager.is_synced:
            self.synced |= self.newest
        return reply

    def judge(self, error: Exception, stalls: int) -> None:
        """Fail if nobody would have answered, however long it might have taken."""
        if isinstance(error, AskTimeoutError):
            assert self.simulation.stalls == stalls, f"nobody answered: {error}"

    def look(self, name: str, owner: str, call: Call, read: Callable[[], Any]) -> Any:
        """Make a read, which never waits."""
        return self.history.client(name, owner).call(call, read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Where a client makes one operation."""

    recorder: Recorder
    client: str
    manager: StateManager
    owner: str
    prefix: str
    """Of the places of the scope."""
    key: str
    state: AsyncScopedState

    @property
    def place(self) -> str:
        """What the key is called in the history."""
        return self.prefix + self.key

    def choose(self, count: int) -> int:
        """Make a choice."""
        return self.recorder.simulation.choose(count)

    async def make(self, call: Call, function: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, as `Recorder.make`."""
        return await self.recorder.make(self.client, self.owner, call, function)

    def look(self, call: Call, read: Callable[[], Any]) -> Any:
        """Make a read."""
        return self.recorder.look(self.client, self.owner, call, read)


class Worker:
    """A client: so many operations, each of them chosen."""

    def __init__(
        self,
        name: str,
        operations: int,
        recorder: Callable[[], Recorder],
        values: "count[int]",
    ) -> None:
        self.name = name
        self.left = operations
        self.values = values
        self._recorder = recorder
        self.revisions: dict[tuple[str, str], int] = {}
        """What it knows of places: the revision it has read last."""

    async def work(self, manager: StateManager) -> None:
        """Work until all is done; begun again after each crash."""
        while self.left:
            self.left -= 1
            recorder = self._recorder()
            choose = recorder.simulation.choose
            owner = list(OWNERS)[choose(len(OWNERS))]
            prefix, scope = list(scopes_of(owner).items())[
                choose(len(scopes_of(owner)))
            ]
            kind = KINDS[choose(len(KINDS))]
            visit = Visit(
                recorder=recorder,
                client=self.name,
                manager=manager,
                owner=owner,
                prefix=prefix,
                key=KEYS[choose(len(KEYS))],
                state=manager.state(scope).aio,
            )
            await kind(self, visit)
            await asyncio.sleep(0)

    async def set(self, it: Visit) -> None:
        value, how = next(self.values), it.choose(4)
        call = Call("set", (it.place, value), SYNCED if how == 3 else ())
        if how in (1, 2):
            await it.make(call, partial(it.state.set, it.key, value))
            return
        # A handle would make it a plain overwrite where it can.
        message = SetState(it.state.scope, it.key, value, sync=how == 3)
        ask = partial(it.manager.engine.ask_soon, it.state.scope.owner, message)
        await it.make(call, ask)

    async def expect(self, it: Visit) -> None:
        """Write if nobody else has since this client has looked."""
        value, expected = next(self.values), self.revisions.get((it.owner, it.place), 0)
        call = Call("set", (it.place, value), (("expected", expected),))
        await it.make(call, partial(it.state.set, it.key, value, expected=expected))

    async def get(self, it: Visit) -> None:
        it.look(Call("get", (it.place,)), partial(it.state.get, it.key))

    async def entry(self, it: Visit) -> None:
        entry = it.look(Call("entry", (it.place,)), partial(it.state.entry, it.key))
        self.revisions[it.owner, it.place] = 0 if entry is None else entry.revision

    async def snapshot(self, it: Visit) -> None:
        """Look at a whole scope, which is as new as anything this owner has told."""
        revision, newest = 0, it.recorder.newest[it.owner]

        def read() -> dict[str, JsonValue]:
            nonlocal revision
            snapshot = it.state.snapshot()
            revision = snapshot.revision
            return {it.prefix + key: value for key, value in snapshot.items()}

        found = it.look(Call("snapshot", (it.prefix,)), read)
        assert revision >= newest or not found, f"{it.owner}: {revision} < {newest}"

    async def delete(self, it: Visit) -> None:
        await it.make(Call("delete", (it.place,)), partial(it.state.delete, it.key))

    async def pop(self, it: Visit) -> None:
        await it.make(Call("pop", (it.place,)), partial(it.state.pop, it.key))

    async def increment(self, it: Visit) -> None:
        call = Call("increment", (it.prefix + NUMBER, 1))
        await it.make(call, partial(it.state.increment, NUMBER))

    async def modify(self, it: Visit) -> None:
        call = Call("modify", (it.prefix + NUMBER, 1))
        await it.make(call, partial(it.state.modify, NUMBER, _add, default=0))

    async def append(self, it: Visit) -> None:
        value = next(self.values)
        call = Call("append", (it.prefix + ITEMS, value))
        await it.make(call, partial(it.state.append, ITEMS, value))

    async def update(self, it: Visit) -> None:
        value = next(self.values)
        batch = dict.fromkeys(KEYS[: it.choose(len(KEYS)) + 1], value)
        call = Call("update", ({it.prefix + key: value for key in batch},))
        await it.make(call, partial(it.state.update, batch))

    async def clear(self, it: Visit) -> None:
        await it.make(Call("clear", (it.prefix,)), it.state.clear)

    async def drop(self, it: Visit) -> None:
        if it.owner == "workflow":
            await it.make(Call("drop", ()), partial(it.manager.drop_soon, "w"))

    async def transaction(self, it: Visit) -> None:
        """Read, let others go on, and write what follows from it."""
        stalls = it.recorder.simulation.stalls
        state = it.manager.state(OWNERS[it.owner]).aio
        scan, value = it.choose(2), next(self.values)

        async def attempt(seen: Footprint) -> None:
            async with state.transaction() as tx:
                keys = set(tx) if scan else {it.key}
                for key in (*KEYS, NUMBER, ITEMS) if scan else (it.key,):
                    seen.read(key, tx.get(key) if key in keys else None)
                await asyncio.sleep(0)
                if it.owner == "workflow":
                    tx.step("s").set(it.key, seen.wrote(STEP + it.key, value))
                tx.set(it.key, seen.wrote(it.key, value))

        client = it.recorder.history.client(self.name, it.owner)
        try:
            await client.transact_awaited(attempt)
        except (StateError, HandlerBugError) as error:
            it.recorder.judge(error, stalls)


def _add(number: int) -> int:
    return number + 1


KINDS: Final = (
    *(Worker.set,) * 4,
    *(Worker.get, Worker.entry, Worker.snapshot) * 2,
    *(Worker.expect, Worker.update, Worker.increment, Worker.transaction) * 2,
    *(Worker.delete, Worker.pop, Worker.modify, Worker.append),
    *(Worker.clear, Worker.drop),
)
