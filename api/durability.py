"""Durability: what a write may be asked to survive."""

from typing import Literal

from stateward.actors.core.errors import UsageError

Durability = Literal["synced", "buffered"]


def check_durability(durability: object) -> None:
    """Raise `UsageError` unless `durability` is one."""
    if durability not in ("synced", "buffered"):
        raise UsageError(f"durability is {durability!r}, not 'synced' or 'buffered'")


def is_synced(durability: object) -> bool:
    """Return whether one write is to outlive power loss, whatever its manager's do.

    Args:
        durability: `None` for what the manager promises.

    Raises:
        UsageError: It is neither one nor `None`. Effect: none.
    """
    if durability is not None:
        check_durability(durability)
    return durability == "synced"
