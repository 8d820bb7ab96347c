"""Storage names: where a record lies, so that one owner's are one range.

A name is a kind, then the owner's id and its terminator, then the entry. Ids and keys
hold no NUL, so NUL ends them: no two entries share a name, no name begins another
owner's range, and names are in the order of ids and keys, by code point.

    00 name                      of the store itself
    01 owner                     the head of an owner
    02 owner "k" key             an entry of the owner's own scope
    02 owner "r" key             a record of the library's own, of a run
    02 owner "s" step 00 key     an entry of a step

    owner: "c" namespace 00 | "g" 00 | "w" workflow 00
"""

from typing import Final

from stateward.actors.core.scopes import (
    RUN_STEP,
    CustomScope,
    GlobalScope,
    OwnerScope,
    WorkflowScope,
)
from stateward.actors.store.records import DamagedError

STORE: Final = b"\x00"
HEADS: Final = b"\x01"
ENTRIES: Final = b"\x02"


def owner_name(scope: OwnerScope) -> bytes:
    """Return the part of a name that stands for an owner."""
    if isinstance(scope, WorkflowScope):
        return b"w%b\0" % scope.workflow_id.encode()
    if isinstance(scope, CustomScope):
        return b"c%b\0" % scope.namespace.encode()
    return b"g\0"


def head_name(scope: OwnerScope) -> bytes:
    """Return the name of an owner's head."""
    return HEADS + owner_name(scope)


def entry_range(scope: OwnerScope) -> tuple[bytes, bytes]:
    """Return the bounds of the names of an owner's entries, the second one excluded."""
    return owner_range(owner_name(scope))


def owner_range(owner: bytes) -> tuple[bytes, bytes]:
    """As `entry_range`, of an owner by its part of names."""
    prefix = ENTRIES + owner
    return prefix, prefix[:-1] + b"\x01"


def entry_name(prefix: bytes, step_name: str | None, key: str) -> bytes:
    """Return the name of one entry.

    Args:
        prefix: The first bound of `entry_range`.
        step_name: `None` for the owner's own scope.
        key: Of the entry.
    """
    if step_name is None:
        return b"%bk%b" % (prefix, key.encode())
    if step_name == RUN_STEP:
        return b"%br%b" % (prefix, key.encode())
    return b"%bs%b\0%b" % (prefix, step_name.encode(), key.encode())


def parse_owner(name: bytes) -> tuple[OwnerScope, int]:
    """Return the owner a head or an entry belongs to, and where its part ends.

    Raises:
        DamagedError: No owner is written like this.
    """
    try:
        end = name.index(b"\0", 1)
        text = name[2:end].decode()
        match name[1:2]:
            case b"w":
                return WorkflowScope(text), end + 1
            case b"c":
                return CustomScope(text), end + 1
            case b"g" if not text:
                return GlobalScope(), end + 1
    except ValueError as error:
        raise DamagedError(f"{name!r} names no owner: {error}") from error
    raise DamagedError(f"{name!r} names no owner")


def parse_place(name: bytes, start: int) -> tuple[str | None, str]:
    """Return step name and key of an entry whose owner's part ends at `start`.

    Raises:
        DamagedError: No entry is written like this.
    """
    kind, rest = name[start : start + 1], name[start + 1 :]
    try:
        # No `match`, which takes twice as long: once for each entry of a store.
        if kind == b"k":
            return None, rest.decode()
        if kind == b"r":
            return RUN_STEP, rest.decode()
        if kind == b"s":
            step, separator, key = rest.partition(b"\0")
            if separator:
                return step.decode(), key.decode()
    except UnicodeDecodeError as error:
        raise DamagedError(f"{name!r} names no entry: {error}") from error
    raise DamagedError(f"{name!r} names no entry")
