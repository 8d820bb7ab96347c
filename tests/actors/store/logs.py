"""A store in memory before which lies a small log, and owners that write to it."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeAlias

import orjson

from stateward import CorruptStoreError, JsonValue, StepScope, WorkflowScope
from stateward.actors.core.cells import Cell
from stateward.actors.core.decider import decide
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import DeleteManyState, Message, UpdateState
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.core.values import pack
from stateward.actors.store.batches import Change, Overwrite, Seal
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.names import entry_name, entry_range
from stateward.actors.store.records import Cipher, entry_content
from stateward.actors.store.redo import RedoLog
from stateward.actors.store.redo_format import START
from stateward.actors.store.regions import Region
from stateward.actors.store.store import DurableStore
from stateward.testing.faulty import MemoryMark, MemoryRegion

Done: TypeAlias = Change | Overwrite
RING: Final = 2048
NOW: Final = 20.0
ABOUT: Final = 60
"""Bytes of what a log says of itself."""
FLIPS: Final = (*(1 << bit for bit in range(8)), 0xFF)


class Logger:
    """Whoever has a store open that logs: what owners do, and what was logged."""

    def __init__(
        self,
        region: Region | None = None,
        *,
        size: int = RING,
        start: int = 0,
        cipher: Cipher | None = None,
    ) -> None:
        """Make a store, and have its log be ready.

        Args:
            region: Where to log.
            size: Of the ring.
            start: Where what is logged begins.
            cipher: As of the store.
        """
        self.region = MemoryRegion() if region is None else region
        ledger = Ledger(MemoryJournal(), MemoryMark(), "memory", anew=True)
        self.id = ledger.about.id
        self.redo = RedoLog(self.region, size=size)
        self.store = DurableStore(ledger, redo=self.redo, cipher=cipher)
        self.redo.prepare(self.id, start)
        self.start = start
        """Where begins what was not settled."""
        self.done: list[Done] = []
        """What was logged and not settled."""
        self._owners: dict[str, OwnerState] = {}

    def owner(self, name: str = "w") -> OwnerState:
        """Return the state of one of the owners."""
        state = self._owners.get(name)
        if state is None:
            state = OwnerState(WorkflowScope(name), Limits(), 0, 0.0)
            self.store.load(state)
            self._owners[name] = state
        return state

    def put(
        self, state: OwnerState, step_name: str | None = None, **values: JsonValue
    ) -> bool:
        """Set keys by a command; return whether that was logged."""
        scope = state.scope
        assert isinstance(scope, WorkflowScope)
        if step_name is None:
            return self.carry_out(state, UpdateState(scope, values))
        step = StepScope(scope.workflow_id, step_name)
        return self.carry_out(state, UpdateState(step, values))

    def delete(self, state: OwnerState, *keys: str) -> bool:
        """Delete keys by a command; return whether that was logged."""
        return self.carry_out(state, DeleteManyState(state.scope, keys))

    def carry_out(self, state: OwnerState, command: Message) -> bool:
        """Carry out a command; return whether it was logged."""
        event, _ = decide(state, command, NOW)
        assert event is not None
        state.stage(event)
        if not self.redo.log(state, event):
            state.undo(event)
            return False
        self.done.append(self.change_of(state, event))
        state.revision = event[0]
        state.settle(event)
        return True

    def change_of(self, state: OwnerState, event: Event) -> Change:
        """Return what must be read of an event."""
        entries = []
        prefix, _ = entry_range(state.scope)
        for cell in event[1]:
            name = entry_name(prefix, cell.table.step_name, cell.key)
            gone = cell.expires is not None and cell.expires < 0
            content = None if gone else entry_content(name, cell, self.store.offset)
            entries.append((name, content, 0))
        return Change(event[0], event[2], event[3], 0, entries, self.redo.commits)

    def overwrite(
        self,
        state: OwnerState,
        key: str,
        value: JsonValue,
        step_name: str | None = None,
    ) -> bool:
        """Set a key that is there, as owners do it; return whether that was logged."""
        table = state.table(step_name)
        old, cell = table[key], Cell()
        cell.table, cell.key = table, key
        cell.value, cell.size, cell.depth = pack(value)
        cell.revision, cell.created, cell.updated = state.latest + 1, old.created, NOW
        cell.expires = cell.frozen = None
        cell.previous, cell.direct = old, cell.depth == 0
        size = state.size + cell.size - old.size
        if not self.redo.overwrite(state, cell, old, size):
            return False
        event = (cell.revision, (cell,), state.keys, size, None)
        state.carry_out(event)
        prefix, _ = entry_range(state.scope)
        name, commits = entry_name(prefix, step_name, key), self.redo.commits
        data, updated = orjson.dumps(value), NOW + self.store.offset
        self.done.append(
            Overwrite(cell.revision, size, updated, cell.depth, name, data, commits)
        )
        return True

    def names(self, state: OwnerState) -> tuple[bytes, bytes]:
        """Return the bounds of the names of an owner's entries."""
        return entry_range(state.scope)

    def name_of(self, state: OwnerState, cell: Cell) -> bytes:
        """Return the name of one version of an entry."""
        return entry_name(self.names(state)[0], cell.table.step_name, cell.key)

    def settle(self, count: int | None = None) -> list[Done]:
        """Have the oldest of what is logged leave the log; return that."""
        logged = self.redo.pending()[0][:count]
        if logged:
            self.start = logged[-1][3]
        self.redo.settle(logged)
        left, self.done = self.done[: len(logged)], self.done[len(logged) :]
        return left

    def ends(self) -> list[int]:
        """Return where each of what is logged ends."""
        return [it[3] for it in self.redo.pending()[0]]

    def commit(self, *, sync: bool = False) -> None:
        """Have the journal have everything."""
        self.store.commit([], sync=sync)
        self.done.clear()
        self.start = self.store.ledger.progress.logged

    def image(self) -> bytes:
        """Return what lies in the region now."""
        return self.region.read(anyway=True) or b""

    def read(
        self,
        image: bytes | None = None,
        *,
        boot: int = 1,
        start: int | None = None,
        commits: int = 0,
    ) -> list[Done]:
        """Return what somebody reads who finds `image`, by default what lies there.

        Args:
            image: Of the region.
            boot: How often the machine has been started.
            start: Where to begin.
            commits: Number of the journal's newest commit.
        """
        content = self.image() if image is None else image
        found = RedoLog(MemoryRegion(content, boot), size=RING)
        start = self.start if start is None else start
        return list(found.read(self.id, start, commits, alone=True))


def work(logger: Logger, random: Random, *, owners: str = "abc") -> bool:
    """Do something that `random` chooses; return whether it was logged."""
    state = logger.owner(random.choice(owners))
    key = random.choice("xyz")
    text = "v" * random.randrange(120)
    if key in state.own and random.random() < 0.6:
        choices: list[JsonValue] = [text, 7, [text]]
        return logger.overwrite(state, key, random.choice(choices))
    if key in state.own and random.random() < 0.4:
        return logger.delete(state, key)
    values: dict[str, JsonValue] = dict.fromkeys(random.sample("xyz", 2), text)
    return logger.put(state, random.choice([None, "s"]), **values)


def outcome(read: Callable[[], Sequence[Done]]) -> list[Done] | None:
    """Return what was read; `None` if it was refused as damaged."""
    try:
        return list(read())
    except CorruptStoreError as error:
        if "the log may hold" in str(error) and error.context["path"] == "the log":
            return None
        raise


def seal_of(state: OwnerState) -> Seal:
    """Return what the store knows of an owner."""
    assert isinstance(state.seal, Seal)
    return state.seal


class Watched(bytearray):
    """Memory that keeps what it held before each slice was set, and after."""

    def __init__(self, size: int) -> None:
        """Be zeros."""
        super().__init__(size)
        self.images: list[bytes] = []

    def __setitem__(self, place: Any, value: Any) -> None:
        self.images.append(bytes(self))
        super().__setitem__(place, value)
        self.images.append(bytes(self))


class WatchedRegion(MemoryRegion):
    """A region whose memory is watched."""

    buffer: Watched

    def map(self, size: int) -> bytearray:
        """Return its memory, made anew."""
        self._content = self.buffer = Watched(size)
        return self.buffer


def some(logger: Logger, *, seed: int = 1, count: int = 6) -> list[Done]:
    """Log something of every kind; return it."""
    random = Random(seed)
    while len(logger.done) < count:
        assert work(logger, random)
    return list(logger.done)


def cuts(before: bytes, after: bytes, *places: int) -> list[bytes]:
    """Return what a crash leaves while bytes are written, those at `places` in turn."""
    image, images = bytearray(before), [before]
    for place in places:
        image[place] = after[place]
        images.append(bytes(image))
    return images


def wrapped() -> Logger:
    """Return a log with records at the end of its ring, and at the beginning."""
    logger, random = Logger(), Random(3)
    while len(logger.done) < 3 or logger.ends()[-1] // RING == logger.start // RING:
        if not work(logger, random):
            logger.settle(4)
    while len(logger.done) > 8:
        logger.settle(1)
    assert logger.ends()[-1] // RING > logger.start // RING
    return logger


def in_use(logger: Logger) -> list[int]:
    """Return where in the region there is what was logged."""
    logged = range(logger.start, logger.ends()[-1])
    return [START + place % RING for place in logged]


def flipped(image: bytes, place: int, flip: int) -> bytes:
    """Return an image with one byte damaged."""
    damaged = bytearray(image)
    damaged[place] ^= flip
    return bytes(damaged)
