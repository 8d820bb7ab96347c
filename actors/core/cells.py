"""Cells: one version of one entry, and the tables that hold the newest of each.

Versions make a command visible at once. A writer puts new cells into any number of
tables, each remembering the one it replaces; readers take a cell only once the owner's
published revision has reached it, and its predecessor until then. Publishing is thus the
store of one integer, whatever the command touched.
"""

from math import inf
from typing import Final

from stateward.actors.core.values import Packed


class Cell:
    """One version of one entry.

    A slotted class and not a frozen dataclass: one is made in every write, where the
    dataclass would cost 0.5 us more. Only `previous` changes after publication.
    """

    __slots__ = (
        "created",
        "expires",
        "previous",
        "revision",
        "size",
        "updated",
        "value",
    )

    def __init__(
        self,
        value: Packed,
        size: int,
        revision: int,
        created: float,
        updated: float,
        expires: float | None,
    ) -> None:
        """Make a version that has no predecessor yet."""
        self.value = value
        self.size = size
        """Bytes of the value once encoded."""
        self.revision = revision
        """Of the owner, counting the command that wrote this."""
        self.created = created
        """Seconds since the epoch when the key came into being."""
        self.updated = updated
        """Seconds since the epoch when this version was written."""
        self.expires = expires
        """Seconds since the epoch; `None` for never, `DELETED` for a deletion."""
        self.previous: Cell | None = None
        """The version this one replaces, until the command is settled."""


DELETED: Final = -inf
"""Expiry of a deletion: a deleted key is one that expired before time began."""

ABSENT: Final = Cell(None, 0, 0, 0.0, 0.0, DELETED)
"""What precedes the first version of a key."""


NEVER: Final = 1 << 80
"""Revision of a version that was taken back; no owner gets there."""
