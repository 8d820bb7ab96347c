"""The library and its model side by side: every call is made on both and compared.

A step is one call or a few, and ends with `check`: whatever can be read says the same
as the model. A refused call has thereby been seen to change nothing, its revision and
its accounting included.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, Literal, TypeAlias

from property_tests.calls import KEYS, Call, DeliberateError, Expected, Function
from property_tests.dispatchers import InlineDispatcher
from property_tests.likeness import alike, thawed
from property_tests.models import Model, ScopeModel
from property_tests.owner_models import Held, OwnerModel
from stateward import (
    CustomScope,
    GlobalScope,
    JsonValue,
    LimitError,
    Limits,
    ScopedState,
    Snapshot,
    StateError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
    WorkflowState,
)
from stateward.messages import DropState, Passivate, SetState
from stateward.testing import SimulatedClock

SCOPES: Final[tuple[StateScope, ...]] = (
    GlobalScope(),
    WorkflowScope("a"),
    WorkflowScope("a:step:b"),
    WorkflowScope("a%3Astep%3Ab"),
    StepScope("a", "b"),
    StepScope("a", "b:step:c"),
    StepScope("a:step:b", "b"),
    CustomScope("a"),
    CustomScope("a:step:b"),
)
"""Some whose names are alike once they are written."""

_ABSENT: Final = object()
ALL_EVERY: Final = 10
"""How many checks there are to one that looks at all of `SCOPES`."""

Via: TypeAlias = Literal["old", "new", "aio", "message"]
"""A handle used all along, one made for the call, its asyncio twin, the supervisor."""
Sent: TypeAlias = tuple[StateScope, Call | Literal["passivate", "drop"]]
"""What is sent to the supervisor without waiting for an answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call led to."""

    value: object = None
    error: type[BaseException] | None = None
    limit: tuple[str, int, int] | None = None
    """Name, allowance and actual figure of the limit that would be passed."""

    def matches(self, other: "Outcome") -> bool:
        """Return whether both are the same."""
        return (self.error, self.limit) == (other.error, other.limit) and alike(
            self.value, other.value
        )


def outcome(call: Callable[[], object]) -> Outcome:
    """Make a call and return what came of it, in a form that can be compared."""
    try:
        value = call()
    except LimitError as error:
        return Outcome(
            error=type(error), limit=(error.limit, error.allowance, error.actual)
        )
    except (StateError, DeliberateError) as error:
        return Outcome(error=type(error))
    if isinstance(value, Snapshot):
        value = dict(value)
    return Outcome(value)


class Harness:
    """A manager under test, its model, and what is known of both."""

    def __init__(self, *, limits: Limits, idle_timeout: float | None) -> None:
        """Start with nothing stored."""
        self.watched: set[StateScope] = set()
        """The scopes in use; the others are looked at now and then."""
        self._checks = 0
        self.clock = SimulatedClock()
        self.dispatcher = InlineDispatcher()
        self.manager = StateManager(
            limits=limits,
            clock=self.clock,
            dispatcher=self.dispatcher,
            idle_timeout=idle_timeout,
        )
        self.model = Model(
            now=self.clock.now, limits=limits, revision_of=self._revision_of
        )
        self.complaints = Complaints()
        self._handles = {scope: self.manager.state(scope) for scope in SCOPES}
        # Apart from these, so that looking does not show those the way.
        self._lookers = {scope: self.manager.state(scope) for scope in SCOPES}
        self._told: int | None = None
        self._kept: list[tuple[Snapshot, dict[str, JsonValue], list[Any]]] = []

    @cached_property
    def runner(self) -> asyncio.Runner:
        """What runs the asyncio calls."""
        return asyncio.Runner()

    def close(self) -> None:
        """Close the manager; fail if it has complained of anything."""
        self.watched.update(SCOPES)
        try:
            self.check()
        finally:
            if "runner" in self.__dict__:
                self.runner.close()
            self.manager.close()
            self.complaints.close()
        assert self.complaints.heard == []

    def handle(self, scope: StateScope, via: Via = "old") -> ScopedState:
        """Return a handle of `scope`."""
        return self.manager.state(scope) if via == "new" else self._handles[scope]

    # -------------------------------------------------------------------- steps

    def call(self, scope: StateScope, call: Call, via: Via) -> None:
        """Make a call on the library and the model, and compare what comes of it."""
        target = self.model.scope(scope)
        call = call.knowing(partial(self._expected, target))
        real = outcome(lambda: self._made(call, scope, via))
        self._compare(call, real, target, sent=via == "message")

    def send(self, sent: Iterable[Sent], order: Callable[[int], int]) -> None:
        """Send messages, let them be handled in some `order`, compare the answers.

        Messages to one owner are handled in the order they were sent.
        """
        answers: list[tuple[StateScope, Call | str, Any]] = []
        revisions: dict[int, int] = {}
        supervisor = self.manager.supervisor
        with self.dispatcher.deferring():
            for number, (scope, what) in enumerate(sent):
                call: Call | str = what
                if isinstance(call, Call):
                    expected = partial(self._expected, self.model.scope(scope))
                    call = call.knowing(expected)
                    message = call.message(scope)
                elif call == "drop":
                    message = DropState(scope.owner)
                else:
                    message = Passivate(scope.owner)
                future: Any = supervisor.ask(message, block=False)
                note = partial(self._note, revisions, number, scope)
                future.add_done_callback(note)
                answers.append((scope, call, future))
        self.dispatcher.drain(order)
        for number, (scope, call, future) in enumerate(answers):
            real = outcome(lambda: future.get(timeout=0))  # noqa: B023  # called now
            self._told = revisions[number]
            if isinstance(call, Call):
                self._compare(call, real, self.model.scope(scope), sent=True)
            elif call == "drop":
                owner = self.model.owner(scope)
                assert real.matches(Outcome(owner.drop())), f"{scope}: {real}"
        self._told = None

    def look_around_in_a_turn(self, scope: StateScope, key: str, other: str) -> None:
        """Modify `key`; meanwhile read everything, and send a message about `other`."""
        state, model = self.handle(scope), self.model.scope(scope)
        revisions: dict[int, int] = {}
        answers: list[Any] = []

        def look(value: JsonValue) -> JsonValue:
            self.check_reads()
            message = SetState(scope, other, "sent")
            answers.append(self.manager.supervisor.ask(message, block=False))
            answers[0].add_done_callback(partial(self._note, revisions, 0, scope))
            return value

        real = outcome(lambda: state.modify(key, look))
        self.dispatcher.drain()
        entry = self._lookers[scope].entry(key)
        self._told = 0 if entry is None else entry.revision
        modify = Call("modify", (key, Function("keep", lambda value: value)))
        self._compare(modify, real, model, sent=False)
        self._told = revisions[0]
        real = outcome(lambda: answers[0].get(timeout=0))
        self._compare(Call("set", (other, "sent")), real, model, sent=True)
        self._told = None

    def advance(self, seconds: float, meanwhile: Callable[[], None]) -> None:
        """Move the clock, and do something before anybody sweeps up what expired."""
        with self.dispatcher.deferring():
            self.clock.advance(seconds)
        self.check_reads()
        meanwhile()
        self.dispatcher.drain()
        for owner in self.model.owners():
            owner.observe(self.manager.state(owner.scope).revision)

    def keep(self, scope: StateScope) -> None:
        """Keep what readers were given, to see that it never changes."""
        looker = self._lookers[scope]
        snapshot = looker.snapshot()
        views = [looker.view(key) for key in snapshot]
        self._kept = [*self._kept[-2:], (snapshot, dict(snapshot), views)]

    # ------------------------------------------------------------------- checks

    def check(self) -> None:
        """Compare everything that can be read, counters included."""
        self.dispatcher.drain()
        self.check_reads()
        stats = self.manager.stats()
        assert (stats.keys, stats.size_bytes) == (
            self.model.keys,
            self.model.size_bytes,
        )
        assert stats.workflows == len(self.model.workflow_ids())
        assert (stats.pending, stats.restarts, stats.quarantined) == (0, 0, ())
        for snapshot, contents, views in self._kept:
            assert alike(dict(snapshot), contents)
            assert alike([thawed(view) for view in views], list(contents.values()))

    def check_reads(self) -> None:
        """Compare everything that can be read, but for the counters."""
        self._checks += 1
        for scope in SCOPES if self._checks % ALL_EVERY == 0 else self.watched:
            for state in (self._lookers[scope], self.handle(scope, "new")):
                self._check_scope(state, self.model.scope(scope))
        ids = self.manager.workflow_ids()
        assert sorted(ids) == sorted(self.model.workflow_ids())

    def _check_scope(self, state: ScopedState, model: ScopeModel) -> None:
        held = model.entries
        assert len(state) == len(held), f"len of {state}"
        snapshot = state.snapshot()
        assert alike(dict(snapshot), model.snapshot()), f"snapshot of {state}"
        for key in KEYS:
            if key in held:
                self._check_entry(state, key, held[key])
            else:
                assert state.get(key, _ABSENT) is _ABSENT, f"{key!r} in {state}"
        if isinstance(state, WorkflowState):
            assert state.steps() == self.model.steps(state.workflow_id)
        owner = model.owner
        if owner.keys:
            assert owner.revision == state.revision == snapshot.revision

    def _check_entry(self, state: ScopedState, key: str, held: Held) -> None:
        entry = state.entry(key)
        assert entry is not None
        assert alike(thawed(entry.value), held.value)
        assert (entry.revision, entry.created, entry.updated, entry.expires) == (
            *(held.revision, held.created, held.updated, held.expires),
        ), f"entry {key!r} of {state}"

    def _compare(
        self, call: Call, real: Outcome, target: ScopeModel, *, sent: bool
    ) -> None:
        """Make on the model the call that led to `real` in the library."""
        before = target.owner.revision
        if call.name == "popitem" and isinstance(real.value, tuple):
            expected = outcome(partial(target.popitem, real.value[0]))
        else:
            expected = outcome(lambda: plain(call, call.on(target)))
        if sent and call.name == "clear" and real.error is None:
            return  # The message says how many there were.
        unchanged = expected.error is None and target.owner.revision == before
        if unchanged and call.name == "update":
            # It says where the owner is, expired entries removed.
            expected = Outcome(self._revision_of(target.owner))
        assert real.matches(expected), f"{call} gave {real}, expected {expected}"

    def _made(self, call: Call, scope: StateScope, via: Via) -> object:
        if via == "message":
            return self.manager.supervisor.ask(call.message(scope))
        handle = self.handle(scope, via)
        if via == "aio":
            value = self.runner.run(call.awaited(handle.aio))
        else:
            value = call.on(handle)
        return thawed(value) if call.name == "view" else plain(call, value)

    def _revision_of(self, owner: OwnerModel) -> int:
        if self._told is not None:
            return self._told
        return self.manager.state(owner.scope).revision

    def _note(self, revisions: dict[int, int], number: int, scope: StateScope) -> None:
        revisions[number] = self.manager.state(scope).revision

    @staticmethod
    def _expected(target: ScopeModel, expected: Expected, key: str) -> int:
        held = target.entry(key)
        current = 0 if held is None else held.revision
        return current if expected is Expected.CURRENT else current + 1


def plain(call: Call, value: Any) -> object:
    """Return what a read gave in a form that can be compared."""
    match call.name:
        case "__iter__":
            return sorted(value)
        case "items":
            return dict(value)
        case _:
            return value


class Complaints(logging.Handler):
    """Errors the library has logged, which are bugs it met in itself."""

    def __init__(self) -> None:
        """Begin to listen."""
        super().__init__(logging.ERROR)
        self.heard: list[str] = []
        self._logger = logging.getLogger("stateward")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note an error."""
        self.heard.append(record.getMessage())

    def close(self) -> None:
        """Listen no more."""
        self._logger.removeHandler(self)
        super().close()
