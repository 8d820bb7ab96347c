"""What a store says of itself, in two records of its own.

One says what it is and changes rarely: format, id, and what is under way in it. The
other says how far it has come, and is written with every commit.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import orjson

from stateward.actors.store.names import STORE
from stateward.actors.store.records import DamagedError, guard, unguard

FORMAT: Final = 2
"""Of what is stored; a store of a newer one is refused. Format 1 has no redo log."""
FORMAT_NAME: Final = STORE + b"format"
PROGRESS_NAME: Final = STORE + b"progress"
_PROGRESS: Final = Struct("<QQQdQ")
_UNLOGGED: Final = Struct("<QQQd")
"""As it was in format 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a store is."""

    id: bytes
    """16 bytes, of no other store."""
    format: int = FORMAT
    version: int = 0
    """Of the newest migration that any owner has been through."""
    token: bytes | None = None
    """Something sealed with the newest key; `None` if values are readable."""
    origin: str | None = None
    """Id of the store whose owners are being moved here; `None` once all are."""
    moved_to: str | None = None
    """URL of the store that owners are being moved to."""
    left_for: str | None = None
    """URL of the store that all has been moved to: nothing is here, or begins here."""
    came_from: str | None = None
    """Id of the store that all was in before, and has been moved here from."""
    leaving: bytes | None = None
    """Owner, by its part of names, that may be there already."""
    arrived: bytes | None = None
    """Owner, by its part of names, that came back, and may be where it was as well."""
    clearing: bytes | None = None
    """Owner, by its part of names, whose entries count for nothing any more."""


def about_row(about: About) -> dict[bytes, bytes]:
    """Return the record of what a store is, by its name."""
    fields: dict[str, Any] = {"format": about.format, "id": about.id.hex()}
    # What is as usual is not written.
    if about.version:
        fields["version"] = about.version
    for name in ("origin", "moved_to", "left_for", "came_from"):
        if (text := getattr(about, name)) is not None:
            fields[name] = text
    for name in ("token", "leaving", "arrived", "clearing"):
        if (data := getattr(about, name)) is not None:
            fields[name] = data.hex()
    return {FORMAT_NAME: guard(FORMAT_NAME, orjson.dumps(fields))}


def parse_about(record: bytes) -> About:
    """Return what a store is; of a newer format, only that and its id."""
    try:
        fields = orjson.loads(unguard(FORMAT_NAME, record))
        about = About(id=bytes.fromhex(fields["id"]), format=int(fields["format"]))
        if about.format > FORMAT:
            return about

        def data(name: str) -> bytes | None:
            return bytes.fromhex(fields[name]) if name in fields else None

        return About(
            id=about.id,
            version=int(fields.get("version", 0)),
            token=data("token"),
            origin=fields.get("origin"),
            moved_to=fields.get("moved_to"),
            left_for=fields.get("left_for"),
            came_from=fields.get("came_from"),
            leaving=data("leaving"),
            arrived=data("arrived"),
            clearing=data("clearing"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"it says nothing of a store: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a store has come."""

    commits: int = 0
    """Number of the newest commit."""
    owners: int = 0
    """How many owners have a head."""
    floor: int = 0
    """Revision that no owner which holds nothing may begin below."""
    time: float = 0.0
    """When it was committed, in seconds since the epoch; 0 for never."""
    logged: int = 0
    """Up to where everything in the redo log is in the journal; see `redo`."""


def progress_row(progress: Progress) -> dict[bytes, bytes]:
    """Return the record of how far a store has come, by its name."""
    content = _PROGRESS.pack(
        progress.commits,
        progress.owners,
        progress.floor,
        progress.time,
        progress.logged,
    )
    return {PROGRESS_NAME: guard(PROGRESS_NAME, content)}


def parse_progress(record: bytes) -> Progress:
    """Return how far a store has come."""
    content = unguard(PROGRESS_NAME, record)
    for layout in (_PROGRESS, _UNLOGGED):
        if len(content) == layout.size:
            return Progress(*layout.unpack(content))
    raise DamagedError("it is no record of progress")
