"""Exports: all that a store holds as lines of JSON, and back, exactly.

    {"stateward": "export", "format": 1, "floor": 0}
    {"owner": "workflow:7:", "revision": 9, "version": 0, "entries": 2}
    {"scope": "workflow:7:", "key": "a", "value": [1, 2.0], "revision": 9, ...}
    {"scope": "workflow:7:step:load:", "key": "b", ...}
    {"end": 3, "sha256": "..."}

Times are seconds since the epoch. What is recorded of runs stands in lines with
`"run": true`. The last line says how many there are between it and the first, and the
SHA-256 of all before it, in hexadecimal; who edits an export leaves that out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Final

import orjson

from stateward.actors.core.cells import Cell
from stateward.actors.core.errors import CorruptStoreError, UsageError
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import (
    RUN_STEP,
    OwnerScope,
    StepScope,
    WorkflowScope,
    check_key,
    parse_scope,
    utf8_bytes,
)
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import pack
from stateward.actors.store.about import PROGRESS_NAME, parse_progress
from stateward.actors.store.checking import Progress
from stateward.actors.store.names import (
    ENTRIES,
    HEADS,
    STORE,
    parse_owner,
    parse_place,
)
from stateward.actors.store.records import (
    DamagedError,
    Head,
    parse_entry_record,
    parse_head,
)
from stateward.actors.store.store import DurableStore

FORMAT: Final = 1
HEADER: Final = {"stateward": "export", "format": FORMAT}
NUMBER_MAX: Final = (1 << 63) - 1
"""LIMIT: of revisions; a store has room for as many again, for an owner to go on in."""
VERSION_MAX: Final = (1 << 32) - 1
_END: Final = ENTRIES + b"\xff"


def export_lines(
    store: DurableStore, *, progress: Progress | None = None
) -> Iterator[bytes]:
    """Yield what a store holds at one moment, line by line.

    Raises:
        CorruptStoreError: Something is damaged or missing.
    """
    store.check_complete()
    header = orjson.dumps({**HEADER, "floor": store.floor}) + b"\n"
    count, digest = 0, sha256(header)
    yield header
    for line in _Export(store, progress).lines():
        yield line
        count += 1
        digest.update(line)
    yield orjson.dumps({"end": count, "sha256": digest.hexdigest()}) + b"\n"


def write_export(
    store: DurableStore, file: IO[bytes], *, progress: Progress | None = None
) -> int:
    """Write what a store holds at one moment; return how many lines that took.

    Raises:
        StoreError: A move has left some of it in another store. Effect: none.
        CorruptStoreError: Something is damaged or missing.
    """
    count = 0
    for line in export_lines(store, progress=progress):
        file.write(line)
        count += 1
    return count


class _Export:
    """One walk through a store: all heads, then all entries, in a single scan."""

    def __init__(self, store: DurableStore, progress: Progress | None) -> None:
        self._store = store
        self._progress = progress
        self._owners = 0
        """How many heads there must be."""
        self._count = 0
        """How many there are."""
        self._heads: dict[bytes, Head] = {}
        """Of each owner that is here and was not met yet, by its part of names."""
        self._owner = b""
        self._found = Head()
        self._done = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the lines between the first and the last."""
        name = STORE
        try:
            for name, record in self._store.ledger.scan(STORE, _END):
                if name < ENTRIES:
                    self._note(name, record)
                else:
                    yield from self._entry(name, record)
            self._end_owner()
            for owner, head in self._heads.items():
                name = HEADS + owner
                check_sum(head, Head())
            if self._count != self._owners:
                raise DamagedError(
                    f"{self._count} owners are found, {self._owners} were committed"
                )
        except DamagedError as error:
            raise CorruptStoreError(
                f"{self._store.text} is damaged at {name!r}: {error}; `check` tells "
                "more"
            ) from error

    def _note(self, name: bytes, record: bytes) -> None:
        """Look at a record that stands before all entries."""
        if name == PROGRESS_NAME:
            self._owners = parse_progress(record).owners
        elif name > HEADS:
            self._count += 1
            head = parse_head(name, record)
            if not head.moved:
                self._heads[name[1:]] = head

    def _entry(self, name: bytes, record: bytes) -> Iterator[bytes]:
        scope, end = parse_owner(name)
        owner = name[1:end]
        if owner == self._store.ledger.about.clearing:
            return
        if owner != self._owner:
            self._end_owner()
            if owner not in self._heads:
                raise DamagedError("its owner has no head")
            self._owner = owner
            yield _owner_line(scope, self._heads[owner])
        cell = parse_entry_record(name, record, self._store.cipher)
        self._found.add(cell.revision)
        yield _entry_line(scope, *parse_place(name, end), cell)

    def _end_owner(self) -> None:
        """Compare what was found of an owner with its head."""
        if self._owner:
            check_sum(self._heads.pop(self._owner), self._found)
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._done + len(self._heads))
        self._owner, self._found = b"", Head()


def check_sum(head: Head, found: Head) -> None:
    """Raise `DamagedError` unless the records of an owner add up to its head."""
    if (head.entries, head.checksum) != (found.entries, found.checksum):
        raise DamagedError(f"{found.entries} records, {head.entries} were committed")


def _owner_line(scope: OwnerScope, head: Head) -> bytes:
    line = {
        "owner": scope.prefix(),
        "revision": head.revision,
        "version": head.version,
        "entries": head.entries,
    }
    return orjson.dumps(line) + b"\n"


def _entry_line(
    scope: OwnerScope, step_name: str | None, key: str, cell: Cell
) -> bytes:
    if step_name is None or step_name == RUN_STEP:
        prefix = scope.prefix()
    else:
        prefix = StepScope(_workflow_id(scope), step_name).prefix()
    value: Any = orjson.Fragment(cell.value) if cell.depth else cell.value  # type: ignore[arg-type]  # a container is bytes
    line: dict[str, Any] = {
        "scope": prefix,
        "key": key,
        "value": value,
        "revision": cell.revision,
        "created": cell.created,
        "updated": cell.updated,
    }
    if cell.expires is not None:
        line["expires"] = cell.expires
    if step_name == RUN_STEP:
        line["run"] = True
    return orjson.dumps(line) + b"\n"


def _workflow_id(scope: OwnerScope) -> str:
    if not isinstance(scope, WorkflowScope):
        raise DamagedError(f"{scope} has no steps")
    return scope.workflow_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Everything that is stored of one owner."""

    scope: OwnerScope
    revision: int
    version: int
    state: OwnerState
    """Where the entries are; nobody owns it."""


class ImportedLines:
    """The lines of an export, checked one by one."""

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        """Read `lines`; `name` is what errors call them."""
        self._lines = iter(lines)
        self._name = name
        self._number = 0
        self._digest = sha256()
        """Of the lines before the one read last."""
        self._last = b""
        self._seen: set[OwnerScope] = set()
        self.size = 0
        """Bytes of the lines that have been read."""
        self.floor = 0
        """Revision that no owner which held nothing may begin below."""

    def images(self) -> Iterator[Image]:
        """Yield each owner.

        Raises:
            UsageError: It is no export, or not a whole one; names the line.
        """
        header = self._next()
        if header.get("stateward") != "export" or type(header.get("format")) is not int:
            raise self._error("it is no export of stateward")
        if header["format"] > FORMAT:
            raise self._error(f"it has format {header['format']}, not {FORMAT}")
        try:
            self.floor = _whole(header.get("floor"))
        except ValueError as error:
            raise self._error(f"its floor: {error}") from error
        while True:
            line = self._next()
            if "end" in line:
                break
            try:
                image = self._image(line)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                if isinstance(error, UsageError) and "line" in error.context:
                    raise
                raise self._error(f"{type(error).__name__}: {error}") from error
            yield image
        self._check_end(line)

    def _check_end(self, line: dict[str, Any]) -> None:
        """Raise unless all that was written is there, and nothing else."""
        if line["end"] != self._number - 2:
            raise self._error(f"{line['end']} lines were written before this one")
        found = self._digest.hexdigest()
        if line.get("sha256", found) != found:
            raise self._error(
                "the lines before this one are not those that were written; if they "
                'were changed on purpose, remove "sha256" from it'
            )
        if next(self._lines, None) is not None:
            raise self._error("something stands after the end")

    def _next(self) -> dict[str, Any]:
        self._number += 1
        text = next(self._lines, None)
        if text is None:
            raise self._error("it ends here, before its last line")
        self._digest.update(self._last)
        self._last = text
        self.size += len(text)
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise self._error(f"it is no JSON: {error}") from error
        if not isinstance(line, dict):
            raise self._error("it is no JSON object")
        return line

    def _error(self, problem: str) -> UsageError:
        return UsageError(
            f"{self._name}, line {self._number}: {problem}", line=self._number
        )

    def _image(self, line: dict[str, Any]) -> Image:
        scope = parse_scope(line["owner"])
        if isinstance(scope, StepScope) or scope in self._seen:
            raise ValueError(f"{line['owner']!r} is no owner, or is there twice")
        self._seen.add(scope)
        revision = _whole(line["revision"])
        state = OwnerState(scope, Limits(), 0, 0.0)
        keys = size = 0
        for _ in range(_whole(line["entries"])):
            entry = self._next()
            step_name, key, cell = self._entry(entry, scope, revision)
            if state.table(step_name).get(key) is not None:
                raise ValueError(f"{key!r} is there twice")
            state.restore(step_name, key, cell)
            if step_name != RUN_STEP:
                keys += 1
                size += utf8_bytes(key) + cell.size
        state.begin_at(revision, keys, size)
        version = _whole(line["version"], VERSION_MAX)
        return Image(scope=scope, revision=revision, version=version, state=state)

    def _entry(
        self, line: dict[str, Any], owner: OwnerScope, newest: int
    ) -> tuple[str | None, str, Cell]:
        scope, key = parse_scope(line["scope"]), line["key"]
        check_key(key)
        if scope.owner != owner:
            raise ValueError(f"{line['scope']!r} is not of {owner.prefix()!r}")
        step_name = RUN_STEP if line.get("run") is True else scope.step_name
        cell = Cell()
        cell.value, cell.size, cell.depth = pack(line["value"])
        cell.revision = _whole(line["revision"])
        if not 0 < cell.revision <= newest:
            raise ValueError(f"revision {cell.revision} is above {newest}")
        cell.created, cell.updated = _time(line["created"]), _time(line["updated"])
        expires = line.get("expires")
        cell.expires = None if expires is None else _time(expires)
        return step_name, key, cell


def _whole(number: object, most: int = NUMBER_MAX) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError(f"{number!r} is no number from 0 to {most}")
    return number


def _time(number: object) -> float:
    if type(number) not in (int, float):
        raise ValueError(f"{number!r} is no time")
    return float(number)  # type: ignore[arg-type]  # one of the two
