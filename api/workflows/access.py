"""What a step may reach: its handles stand on these in place of the manager.

A handle of a step is a capability. It reaches the workflow's own scope and its steps',
the global and custom scopes as far as the run's `Access` allows, and nothing else; and
it reaches them for as long as the attempt is under way.
"""

import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn, assert_never

from stateward.actors.core.cells import Table
from stateward.actors.core.errors import AccessDeniedError
from stateward.actors.core.messages import Message
from stateward.actors.core.ports import Clock
from stateward.actors.core.scopes import (
    CustomScope,
    GlobalScope,
    OwnerScope,
    StateScope,
    WorkflowScope,
)
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.engine import Engine
from stateward.actors.runtime.fences import Fence, Fenced
from stateward.actors.runtime.owner import Owner
from stateward.actors.runtime.turns import TurnRef
from stateward.handles import ScopedState, WorkflowState
from stateward.workflows.strategies import Access, Level

if TYPE_CHECKING:
    from stateward.manager import StateManager

logger: Final = logging.getLogger("stateward.workflows")


class StepEngine:
    """The engine, as far as one attempt may use it."""

    def __init__(
        self,
        engine: Engine,
        *,
        access: Access,
        fence: Fence,
        workflow_id: str,
        path: str,
        reads_only: str | None = None,
    ) -> None:
        """Narrow `engine` to what one attempt may do.

        Args:
            engine: What everything goes to in the end.
            access: To scopes beyond the workflow.
            fence: Of the attempt.
            workflow_id: Whose scopes it may reach without being asked.
            path: Of the step, for messages.
            reads_only: Why it may write to no owner, or `None` if it may.
        """
        self.clock: Clock = engine.clock
        self._engine = engine
        self._access = access
        self._fence = fence
        self.workflow_id = workflow_id
        self._path = path
        self._reads_only = reads_only

    def state(self, scope: OwnerScope) -> OwnerState | None:
        """Return what the owner of `scope` knows; `None` if there is nothing."""
        return self._engine.state(scope)

    def route(self, scope: StateScope) -> tuple[TurnRef[Owner] | None, Table]:
        """Return where to read `scope`; writes take no route but through here."""
        return None, self._engine.route(scope)[1]

    def ask_owner(self, scope: OwnerScope, message: Message) -> Any:
        """Ask the owner of `scope`, if the attempt may write there."""
        self.check(scope, "write")
        return self._engine.ask_owner(scope, Fenced(message, self._fence))

    async def ask_soon(self, scope: OwnerScope, message: Message) -> Any:
        """As `ask_owner`, without ever blocking the running loop."""
        self.check(scope, "write")
        return await self._engine.ask_soon(scope, Fenced(message, self._fence))

    def check(self, scope: StateScope, wanted: Level) -> None:
        """Raise `AccessDeniedError` unless the step may do this with `scope`."""
        match scope.owner:
            case WorkflowScope(workflow_id):
                level: Level = "write" if workflow_id == self.workflow_id else "none"
            case GlobalScope():
                level = self._access.global_state
            case CustomScope(namespace):
                level = self._access.level(namespace)
            case other:
                assert_never(other)
        if level == "none" or (wanted == "write" and level == "read"):
            self.deny(f"may not {wanted} {scope}, its access is {level!r}")
        if wanted == "write" and self._reads_only is not None:
            self.deny(f"may not write {scope}: {self._reads_only}")

    def deny(self, what: str) -> NoReturn:
        """Log and raise that the step may not do something."""
        logger.warning("Step %r of %r %s", self._path, self.workflow_id, what)
        raise AccessDeniedError(
            f"step {self._path!r} of workflow {self.workflow_id!r} {what}",
            workflow_id=self.workflow_id,
            path=self._path,
        )


class StepHost:
    """Where the handles of one attempt come from."""

    def __init__(self, engine: StepEngine) -> None:
        """Make handles that stand on `engine`."""
        self.engine = engine

    def state(self, scope: StateScope) -> ScopedState:
        """Return a handle of `scope`, if the step may read it."""
        self.engine.check(scope, "read")
        if isinstance(scope, WorkflowScope):
            return WorkflowState(self, scope)
        return ScopedState(self, scope)

    def drop_workflow(self, workflow_id: str) -> bool:
        """Refuse: a run cannot take away what it stands on."""
        self.engine.deny(f"may not drop workflow {workflow_id!r}")

    async def drop_soon(self, workflow_id: str) -> bool:
        """Refuse, as `drop_workflow`."""
        return self.drop_workflow(workflow_id)

    def as_manager(self) -> "StateManager":
        """Refuse: the manager reaches everything."""
        self.engine.deny("may not reach the manager")
