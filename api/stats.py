"""Counters of one manager, for a host to export."""

from collections.abc import Mapping
from dataclasses import dataclass

from stateward.actors.core.scopes import OwnerScope, StateScope, WorkflowScope
from stateward.actors.runtime.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters of one manager, as they were at about the same moment."""

    workflows: int
    """Workflows that hold a key, a step's included, or the record of a run."""
    keys: int
    """Keys in all scopes; what is recorded of runs is not counted."""
    size_bytes: int
    """UTF-8 bytes of all keys plus encoded bytes of all values."""
    owners: int
    """Active owners."""
    pending: int
    """Messages that wait for a turn."""
    activations: int
    """Owners activated so far."""
    passivations: int
    """Owners let go so far, dropped workflows included."""
    restarts: int
    """Owners restarted after a failed handler so far."""
    quarantined: tuple[StateScope, ...]
    """Scopes that take no writes until they are released."""


def stats_of(engine: Engine) -> Stats:
    """Return the counters of the manager that stands on `engine`."""
    directory = engine.directory
    usages = engine.usages()
    owners = list(directory.owners.values())
    return Stats(
        workflows=len(_workflows(usages)),
        keys=sum(keys for keys, _, _ in usages.values()),
        size_bytes=sum(size_bytes for _, size_bytes, _ in usages.values()),
        owners=sum(owner.is_alive() for owner in owners),
        pending=sum(len(owner.actor_inbox.mail) for owner in owners),
        activations=directory.activations,
        passivations=directory.passivations,
        restarts=directory.restarts,
        quarantined=tuple(directory.quarantined),
    )


def workflow_ids(engine: Engine) -> list[str]:
    """Return the ids of the workflows that hold anything."""
    return _workflows(engine.usages())


def _workflows(usages: Mapping[OwnerScope, tuple[int, int, bool]]) -> list[str]:
    return [
        scope.workflow_id
        for scope, (_, _, holds) in usages.items()
        if isinstance(scope, WorkflowScope) and holds
    ]
