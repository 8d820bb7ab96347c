"""The directory: who owns what, and what each owner knows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stateward.actors.core.errors import ClosedError
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import RETIRED, OwnerState
from stateward.actors.runtime.committer import Committer
from stateward.actors.runtime.turns import TurnRef
from stateward.actors.runtime.vault import Vault

if TYPE_CHECKING:
    from stateward.actors.runtime.owner import Owner


@dataclass(slots=True)
class Directory:
    """Who owns what.

    Concurrency: Read by everybody, one look-up at a time, without a lock. Changed in
    the supervisor's turns; but `states` also by whoever loads one, under the vault's
    lock of that owner, and `closed` by whoever closes or forgets the manager.
    """

    states: dict[OwnerScope, OwnerState] = field(default_factory=dict)
    """What each owner knows, whether it is active or not."""
    owners: dict[OwnerScope, "TurnRef[Owner]"] = field(default_factory=dict)
    """The active owners."""
    quarantined: dict[OwnerScope, str] = field(default_factory=dict)
    """Scopes that take no writes, and why."""
    overrides: dict[OwnerScope, Limits] = field(default_factory=dict)
    """Limits of owners that are held to others than the manager's."""
    vault: Vault | None = None
    """What loads states from a store; `None` if nothing is stored."""
    committer: Committer | None = None
    """What commits to it."""
    closed: bool = False
    """Whether no owner is activated any more."""
    activations: int = 0
    passivations: int = 0
    restarts: int = 0
    floor: int = 0
    """Highest revision of any state that was forgotten; none is used twice."""

    def active(self, scope: OwnerScope) -> "TurnRef[Owner] | None":
        """Return the live owner of `scope`; `None` if it has no actor."""
        owner = self.owners.get(scope)
        return owner if owner is not None and owner.is_alive() else None

    def state(self, scope: OwnerScope) -> OwnerState | None:
        """Return what the owner of `scope` knows; `None` if there is nothing."""
        if self.closed:
            raise ClosedError("the manager is closed")
        state = self.states.get(scope)
        if state is not None and state.revision != RETIRED:
            return state
        return None if self.vault is None else self.vault.load(scope)
