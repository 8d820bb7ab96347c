"""Cells: one version of one entry, and the tables that hold the newest of each.

Versions make a command visible at once. A writer puts new cells into any number of
tables, each remembering the one it replaces; readers take a cell only once the owner's
published revision has reached it, and its predecessor until then. Publishing is thus
the store of one integer, whatever the command touched.
"""

from math import inf
from typing import TYPE_CHECKING, Final

from stateward.actors.core.scopes import RUN_STEP
from stateward.actors.core.values import FrozenJson, JsonValue, Packed, freeze, unpack

if TYPE_CHECKING:
    from stateward.actors.core.state import OwnerState


class Cell:
    """One version of one entry.

    Filled field by field and without an `__init__`, which would cost 0.1 us more in
    every write; a frozen dataclass would cost 0.5 us. Nothing but `previous` and
    `frozen` changes once a cell is published.
    """

    __slots__ = (
        "created",
        "depth",
        "direct",
        "expires",
        "frozen",
        "key",
        "previous",
        "revision",
        "size",
        "table",
        "updated",
        "value",
    )

    table: "Table"
    """Where it belongs."""
    key: str
    value: Packed
    direct: bool
    """Whether readers may take the value as it is: a scalar that never expires."""
    depth: int
    """How many levels the value nests; 0 for a scalar."""
    frozen: FrozenJson
    """The value read-only, `None` until somebody asks for it so."""
    size: int
    """Bytes of the value once encoded."""
    revision: int
    """Of the owner, counting the command that wrote this."""
    created: float
    """Seconds of the owner's clock when the key came into being."""
    updated: float
    """Seconds of the owner's clock when this version was written."""
    expires: float | None
    """Seconds of the owner's clock; `None` for never, `DELETED` for a deletion."""
    previous: "Cell | None"
    """The version this one replaces, until the command is settled."""

    def view(self) -> FrozenJson:
        """Return the value read-only; made once, then shared by all who ask."""
        if self.depth == 0:
            return unpack(self.value)  # type: ignore[return-value]  # a scalar
        if self.frozen is None:
            # RACE: two first readers each make one; they are equal and one is kept.
            self.frozen = freeze(unpack(self.value))
        return self.frozen

    def thaw(self) -> JsonValue:
        """Return a private copy of the value."""
        return unpack(self.value)


DELETED: Final = -inf
"""Expiry of a deletion: a deleted key is one that expired before time began."""

NEVER: Final = 1 << 80
"""Revision of a version that was taken back; no owner gets there."""


class Table(dict[str, Cell]):
    """The newest version of every entry of one scope."""

    __slots__ = ("hidden", "revision", "state", "step_name")

    def __init__(self, state: "OwnerState", step_name: str | None) -> None:
        """Make an empty table that no command has touched."""
        super().__init__()
        self.state = state
        """Whose revision says which versions may be seen."""
        self.step_name = step_name
        """`None` for the owner's own scope."""
        self.hidden = step_name == RUN_STEP
        """Whether it holds records of the library's own, which no limit is for."""
        self.revision = 0
        """Of the last command that changed this scope, published or not."""

    def newest(self, key: str) -> Cell | None:
        """Return the newest version of `key`, staged or not; `None` if deleted."""
        cell = self.get(key)
        return None if cell is None or cell.expires == DELETED else cell

    def names(self) -> list[str]:
        """Return the keys whose newest version, staged or not, is not a deletion."""
        return [key for key, cell in self.items() if cell.expires != DELETED]
