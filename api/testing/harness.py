"""The library and its model side by side: every call is made on both and compared.

A step is one call or a few, and ends with `check`: whatever can be read says the same
as the model. A refused call has thereby been seen to change nothing, its revision and
its accounting included.
"""

# ruff: noqa: S101  # what is asserted here is what a test fails with

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Literal, Protocol, TypeAlias

from stateward import (
    Entry,
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
from stateward.testing.calls import Anything, Call, DeliberateError
from stateward.testing.clock import SimulatedClock
from stateward.testing.inline import InlineDispatcher
from stateward.testing.likeness import alike, thawed
from stateward.testing.models import Model, ScopeModel
from stateward.testing.owner_models import Held, OwnerModel

ALL_EVERY: Final = 10
"""How many checks there are to one that looks at all scopes."""
_ABSENT: Final = object()

Via: TypeAlias = Literal["old", "new", "aio", "message"]
"""A handle used all along, one made for the call, its asyncio twin, the supervisor."""


class Make(Protocol):
    """How a manager is made: as `StateManager` is."""

    def __call__(
        self,
        *,
        limits: Limits,
        clock: SimulatedClock,
        dispatcher: InlineDispatcher,
        idle_timeout: float | None,
    ) -> StateManager:
        """Make it with these."""
        ...


@dataclass(frozen=True, slots=True)  # tidy: of a value alone, as a rule
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

    def __init__(  # each stands for a choice of the machine
        self,
        *,
        scopes: Sequence[StateScope],
        keys: Sequence[str],
        limits: Limits,
        idle_timeout: float | None,
        exact: bool,
        make: Make = StateManager,
    ) -> None:
        """Start with nothing stored.

        Args:
            scopes: Those that are compared.
            keys: Those that are looked for where the model has none.
            limits: Of every owner.
            idle_timeout: Of the manager.
            exact: Whether everything is done through this harness, call for call; then
                revisions and times must be the model's. Otherwise they are taken over.
            make: Makes the manager.
        """
        self.scopes = tuple(scopes)
        self.keys = tuple(keys)
        self.watched: set[StateScope] = set()
        """The scopes in use; the others are looked at now and then."""
        self.told: int | None = None
        """The revision of the next command, if that is not the owner's newest."""
        self._checks = 0
        self._exact = exact
        self.clock = SimulatedClock()
        self.dispatcher = InlineDispatcher()
        self.manager = make(
            limits=limits,
            clock=self.clock,
            dispatcher=self.dispatcher,
            idle_timeout=idle_timeout,
        )
        self.model = Model(
            now=self.clock.now, limits=limits, revision_of=self._revision_of
        )
        self.complaints = Complaints()
        self._handles = {scope: self.manager.state(scope) for scope in scopes}
        # Apart from these, so that looking does not show those the way.
        self.lookers = {scope: self.manager.state(scope) for scope in scopes}

    @cached_property
    def runner(self) -> asyncio.Runner:
        """What runs the asyncio calls."""
        return asyncio.Runner()

    def close(self) -> None:
        """Close the manager; fail if it has complained of anything."""
        self.watched.update(self.scopes)
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
        if via == "new" or scope not in self._handles:
            return self.manager.state(scope)
        return self._handles[scope]

    # -------------------------------------------------------------------- steps

    def call(self, scope: StateScope, call: Call, via: Via) -> None:
        """Make a call on the library and the model, and compare what comes of it."""
        target = self.model.scope(scope)
        call = call.knowing(target)
        real = outcome(lambda: self._made(call, scope, via))
        self.compare(call, real, target, sent=via == "message")

    def drop(self, workflow: WorkflowScope, via: Via = "old") -> None:
        """Drop a workflow on both."""
        call, handle = Call("drop", ()), self.handle(workflow, via)
        if via == "aio":
            held = self.runner.run(call.awaited(handle.aio))
        else:
            held = call.on(handle)
        _same(
            f"drop of {workflow}", held, self.model.drop_workflow(workflow.workflow_id)
        )

    def advance(
        self, seconds: float, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Move the clock, and do something before anybody sweeps up what expired."""
        with self.dispatcher.deferring():
            self.clock.advance(seconds)
        self.check_reads()
        meanwhile()
        self.dispatcher.drain()
        for owner in self.model.owners():
            owner.observe(self.manager.state(owner.scope).revision)

    # ------------------------------------------------------------------- checks

    def check(self) -> None:
        """Compare everything that can be read, counters included.

        Raises:
            AssertionError: The manager holds something else than the model.
        """
        self.dispatcher.drain()
        self.check_reads()
        stats, model = self.manager.stats(), self.model
        _same("keys of all", stats.keys, model.keys)
        _same("bytes of all", stats.size_bytes, model.size_bytes)
        _same("workflows", stats.workflows, len(model.workflow_ids()))
        trouble = (stats.pending, stats.restarts, stats.quarantined)
        _same("pending, restarts, quarantined", trouble, (0, 0, ()))

    def check_reads(self) -> None:
        """Compare everything that can be read, but for the counters.

        Raises:
            AssertionError: As `check`.
        """
        if not self._exact:
            self._adopt()
        self._checks += 1
        for scope in self.scopes if self._checks % ALL_EVERY == 0 else self.watched:
            for state in (self.lookers[scope], self.handle(scope, "new")):
                self._check_scope(state, self.model.scope(scope))
        ids, expected = set(self.manager.workflow_ids()), set(self.model.workflow_ids())
        _same("workflows", ids, expected)

    def _adopt(self) -> None:
        """Take over revisions and times: only the contents are the model's to know."""
        for owner in self.model.owners():
            state = self.manager.state(owner.scope)
            owner.adopt(state.revision, partial(self._entry, owner.scope))

    def _entry(self, owner: StateScope, name: str | None, key: str) -> Entry | None:
        scope = owner
        if isinstance(owner, WorkflowScope) and name is not None:
            scope = StepScope(owner.workflow_id, name)
        return self.manager.state(scope).entry(key)

    def _check_scope(self, state: ScopedState, model: ScopeModel) -> None:
        held, snapshot = model.entries, state.snapshot()
        found, expected = dict(snapshot), model.snapshot()
        assert alike(found, expected), f"{state} holds {found}, the model {expected}"
        _same(f"len of {state}", len(state), len(held))
        for key in {*self.keys, *held}:
            if key in held:
                self._check_entry(state, key, held[key])
            else:
                assert state.get(key, _ABSENT) is _ABSENT, f"{key!r} in {state}"
        if isinstance(state, WorkflowState):
            steps = self.model.steps(state.workflow_id)
            _same(f"steps of {state}", state.steps(), steps)
        owner = model.owner
        if owner.keys and self._exact:
            found_at = (state.revision, snapshot.revision)
            _same(f"revision of {state}", found_at, (owner.revision, owner.revision))

    def _check_entry(self, state: ScopedState, key: str, held: Held) -> None:
        entry = state.entry(key)
        assert entry is not None, f"no {key!r} in {state}"
        value = thawed(entry.value)
        assert alike(value, held.value), f"{key!r} in {state}: {value}, {held.value}"
        _same(
            f"revision, times and expiry of {key!r} in {state}",
            (entry.revision, entry.created, entry.updated, entry.expires),
            (held.revision, held.created, held.updated, held.expires),
        )

    def compare(
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
            newest = self._newest(target.owner) if self.told is None else self.told
            expected = Outcome(newest)
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
        if self.told is not None:
            return self.told
        newest = self._newest(owner)
        return newest if self._exact else max(newest, owner.revision + 1)

    def _newest(self, owner: OwnerModel) -> int:
        return self.manager.state(owner.scope).revision


def _same(what: str, found: object, expected: object) -> None:
    assert found == expected, f"{what}: {found} in the manager, {expected} in the model"


def plain(call: Call, value: Anything) -> object:
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
