"""Migrations: how state that an older version of an application wrote is lifted.

Each owner goes through the migrations it has not been through, in order, before anybody
reads or writes it: when it is loaded, or all at once by `StateManager.migrate`. What
the whole chain does to one owner is committed together, or nothing of it.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol, cast, runtime_checkable

from stateward.actors.core.decider import decide, expiry_of
from stateward.actors.core.errors import MigrationError, UsageError
from stateward.actors.core.messages import CommitTransaction, Message
from stateward.actors.core.ports import Clock
from stateward.actors.core.reader import versions
from stateward.actors.core.scopes import (
    RUN_STEP,
    CustomScope,
    GlobalScope,
    OwnerScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.actors.core.staging import Staged, stage
from stateward.actors.core.state import NOWHERE, Event, OwnerState
from stateward.actors.core.values import JsonValue, unpack
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import TurnRef
from stateward.transactions import Transaction

VERSION_MAX: Final = (1 << 32) - 1
"""LIMIT: what an owner's head has room for."""
LATER: Final = (
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
)
"""Whether calling a function does nothing yet."""
WORKFLOWS: Final = (WorkflowScope,)
"""What a migration is for that does not say so."""


@runtime_checkable
class Migration(Protocol):
    """One change to what an application keeps.

    It may have an attribute `scopes`, a tuple of scope types: `WorkflowScope`,
    `GlobalScope` and `CustomScope`. Without it the migration is for workflows alone.

    Example:
        >>> class RenameRetries:
        ...     version = 1
        ...
        ...     def migrate(self, state):
        ...         if "retries" in state:
        ...             state["max_retries"] = state.pop("retries")
        >>> from stateward import StateManager
        >>> StateManager(migrations=[RenameRetries()]).close()
    """

    @property
    def version(self) -> int:
        """1 for the first migration of an application, one more for each after it."""
        ...

    def migrate(self, state: "MigratedState") -> None:
        """Change the state of one owner; whatever this raises leaves it as it was.

        It may run again for the same owner, after a crash: it must depend on nothing
        but `state`, and change nothing else.
        """
        ...


class MigratedState(Transaction):
    """The state of one owner while it is migrated: a workflow and its steps, say.

    `scope` tells which. Reads see what earlier migrations of the chain have done.
    """

    __slots__ = ("_state",)

    def __init__(self, view: "OneState") -> None:
        """Look at a state that nobody else can see."""
        super().__init__(view, view.only.scope)
        self._state = view.only

    def steps(self) -> list[str]:
        """Return the names of the steps that hold something."""
        return [
            name
            for name, table in self._state.tables()
            if name is not None and name != RUN_STEP and table
        ]

    def finish(self) -> CommitTransaction | None:
        """End; return what it wrote, `None` for nothing."""
        return self._log.finish()


class OneState:
    """What a transaction stands on that sees one state only; see `reads.Engine`."""

    def __init__(self, state: OwnerState, clock: Clock) -> None:
        """Hold the state."""
        self.only = state
        self.clock = clock

    def state(self, scope: OwnerScope) -> OwnerState | None:
        """Return the state, if it is of `scope`."""
        return self.only if scope == self.only.scope else None

    def route(self, _: StateScope) -> tuple[TurnRef[Owner] | None, Any]:
        """Return nothing: nobody can be written to."""
        return None, NOWHERE

    def ask_owner(self, _: OwnerScope, __: Message) -> Any:
        """Refuse: there is no owner yet."""
        raise UsageError("a migration writes to the state it was given, and no other")

    async def ask_soon(self, scope: OwnerScope, message: Message) -> Any:
        """As `ask_owner`."""
        return self.ask_owner(scope, message)


class Nobody:
    """Who waits for the answer to what a migration wrote."""

    def done(self) -> bool:
        """Wait for ever."""
        return False

    def set(self, value: object) -> None:
        """Take no notice."""

    def refuse(self, error: BaseException) -> None:
        """Take no notice."""


class Migrations:
    """A chain of migrations, checked."""

    def __init__(self, migrations: Iterable[Migration]) -> None:
        """Check that the chain makes sense.

        Raises:
            UsageError: One is no migration, a version is there twice or missing.
        """
        try:
            chain = list(migrations)
        except TypeError:
            raise UsageError(
                f"migrations is {migrations!r}, not migrations in a list"
            ) from None
        for migration in chain:
            check_migration(migration)
        chain.sort(key=lambda it: it.version)
        for before, after in pairwise(chain):
            if after.version == before.version:
                raise UsageError(f"there are two migrations {after.version}")
            if after.version != before.version + 1:
                raise UsageError(
                    f"migration {before.version + 1} is missing: {before.version} is "
                    f"followed by {after.version}"
                )
        self._chain = tuple(chain)

    @property
    def version(self) -> int:
        """Of the newest; 0 if there is none."""
        return self._chain[-1].version if self._chain else 0

    def lift(self, state: OwnerState, clock: Clock) -> list[Event]:
        """Take a state that nobody can see through what it has not been through.

        Args:
            state: Loaded; what the migrations do is staged in it.
            clock: Of its owner.

        Raises:
            MigrationError: One of them failed, or is not here any more.
        """
        begin = 0 if state.seal is None else state.seal.version
        wanted = [it for it in self._chain if it.version > begin]
        if wanted and wanted[0].version != begin + 1:
            raise MigrationError(
                f"{state.scope} is at version {begin}, and migration {begin + 1} is "
                f"not here: the first one is {wanted[0].version}",
                scope=state.scope,
                version=begin + 1,
            )
        events = list(_sweep(state, clock)) if wanted else []
        for migration in wanted:
            if not isinstance(state.scope, getattr(migration, "scopes", WORKFLOWS)):
                continue
            try:
                event = _carry_out(migration, state, clock)
            except (Exception, SystemExit) as error:
                raise MigrationError(
                    f"migration {migration.version} of {state.scope} failed: {error!r}",
                    scope=state.scope,
                    version=migration.version,
                ) from error
            if event is not None:
                events.append(event)
        return events


def check_migration(migration: object) -> None:
    """Raise `UsageError` unless `migration` is one."""
    version = getattr(migration, "version", None)
    if type(version) is not int or not 1 <= version <= VERSION_MAX:
        raise UsageError(
            f"{migration!r} is no migration: its version is {version!r}, not an "
            "integer >= 1"
        )
    method = getattr(migration, "migrate", None)
    if isinstance(migration, type) or not callable(method):
        raise UsageError(f"{migration!r} is no migration: it has no method `migrate`")
    if any(is_kind(method) for is_kind in LATER):
        raise UsageError(
            f"migration {version} would do nothing: its `migrate` must be a plain "
            "function, without `async` and `yield`"
        )
    kinds = getattr(migration, "scopes", WORKFLOWS)
    owners = (WorkflowScope, GlobalScope, CustomScope)
    if not isinstance(kinds, tuple) or not all(kind in owners for kind in kinds):
        raise UsageError(
            f"migration {version} is for {kinds!r}, not a tuple of WorkflowScope, "
            "GlobalScope and CustomScope"
        )


def _sweep(state: OwnerState, clock: Clock) -> Iterator[Event]:
    """Remove what has expired, which no migration is shown."""
    now = clock.now()
    for table, key in state.due(now):
        event = expiry_of(state, table, key, now)
        if event is not None:
            _stage(state, event)
            yield event


def _carry_out(migration: Migration, state: OwnerState, clock: Clock) -> Event | None:
    """Return what one migration does, staged."""
    view = MigratedState(OneState(state, clock))
    answer: object = migration.migrate(view)  # type: ignore[func-returns-value]  # it is to return nothing, and what others wrote may
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise UsageError(
            f"`migrate` returned a {type(answer).__name__}, which nobody awaits"
        )
    command = view.finish()
    if command is None:
        return None
    event, _ = decide(state, command, clock.now())
    if event is not None:
        _stage(state, event)
    return event


def _stage(state: OwnerState, event: Event) -> None:
    stage(state, Staged(Nobody(), event=event, answer=lambda: None))
    # Nobody else can see the state, and the next migration is to.
    state.revision = event[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What `StateManager.migrate` has done."""

    migrated: int
    """Owners that were taken through migrations."""
    failed: Mapping[StateScope, Exception]
    """Why others were not; they are as they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What migrations would do to one key."""

    scope: StateScope
    key: str
    before: JsonValue
    after: JsonValue
    kind: str
    """`added`, `removed` or `changed`."""


Contents = dict[tuple[str | None, str], Any]


def contents(state: OwnerState, now: float) -> Contents:
    """Return the values a state holds, by step name and key; no records of runs.

    Args:
        state: Of one owner.
        now: Of its clock; what has expired by then is not held.
    """
    return {
        (cell.table.step_name, cell.key): cell.value
        for cell in versions(state, state.latest)
        if not cell.table.hidden and (cell.expires is None or cell.expires > now)
    }


def changes(owner: OwnerScope, before: Contents, after: Contents) -> Sequence[Change]:
    """Return what differs between two moments, sorted by step and key."""
    found: list[Change] = []
    for place in sorted({**before, **after}, key=lambda it: (it[0] or "", it[1])):
        there, stays = place in before, place in after
        old, new = before.get(place), after.get(place)
        if there and stays and _are_same(old, new):
            continue
        step_name, key = place
        scope: StateScope = owner
        if step_name is not None:
            scope = StepScope(cast("WorkflowScope", owner).workflow_id, step_name)
        kind = "changed" if there and stays else "added" if stays else "removed"
        found.append(
            Change(
                scope=scope,
                key=key,
                before=unpack(old) if there else None,
                after=unpack(new) if stays else None,
                kind=kind,
            )
        )
    return found


def _are_same(old: object, new: object) -> bool:
    """Return whether a stored value was left as it was."""
    # 1 and 1.0 are equal, and so are 0.0 and -0.0, and they are not the same.
    return old == new and repr(old) == repr(new)
