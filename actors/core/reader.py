"""Reads: from any thread, without a lock, while the owner writes.

What makes them right is the order in which the owner works (see `state`): a cell is
only taken once the published revision has reached it, and its predecessor is only
forgotten after that. RACE comments below name what a reader may meet in between.
"""

from collections.abc import Collection, Iterator
from typing import Final

from stateward.actors.core.cells import DELETED, Cell
from stateward.actors.core.scopes import utf8_bytes
from stateward.actors.core.state import RETIRED, OwnerState

PICKS_MAX: Final = 3
"""How often keys are picked one by one. Picking 100,000 of them takes 75 ms, in which a
busy writer settles something every time; copying their table takes 2 ms."""


class RetiredError(Exception):
    """The state serves no more; ask the directory who does."""


def find(state: OwnerState, step_name: str | None, key: str, now: float) -> Cell | None:
    """Return the live version of `key`, or `None`.

    Raises:
        RetiredError: The state was retired before the answer was known.
    """
    while True:
        cell = state.table(step_name).get(key)
        revision = state.revision
        if revision == RETIRED:
            raise RetiredError
        while cell is not None and cell.revision > revision:
            cell = cell.previous
            if cell is None:
                # RACE: published and settled since; look again.
                break
        else:
            if cell is None or (cell.expires is not None and cell.expires <= now):
                return None
            return cell


def find_all(
    state: OwnerState, step_name: str | None, keys: Collection[str] | None, now: float
) -> tuple[int, dict[str, Cell]]:
    """Return a revision and the live entries as of it: of `keys`, or all there are.

    Never waits: it starts again only when a whole command was settled meanwhile.

    Raises:
        RetiredError: The state was retired before the answer was known.

    Cost: O(entries returned); one C call for a whole table while no writer is half-way
    and nothing has just expired.
    """
    tries = 0
    while True:
        # ORDER: `settled` first. While it stays, no predecessor that `revision` needs
        # is forgotten and no deleted cell leaves its table.
        settled, undone, revision = state.settled, state.undone, state.revision
        if revision == RETIRED:
            raise RetiredError
        table = state.table(step_name)
        if keys is None or tries >= PICKS_MAX:
            cells = table.copy()
        else:
            found = ((key, table.get(key)) for key in keys)
            cells = {key: cell for key, cell in found if cell is not None}
        quiet = settled == revision == state.latest and state.next_expiry > now
        alive: dict[str, Cell] | None = cells
        if not quiet:
            alive = _as_of(cells, revision, now)
        same = state.settled == settled and state.undone == undone
        if alive is not None and same:
            if keys is not None and tries >= PICKS_MAX:
                alive = {key: alive[key] for key in keys if key in alive}
            return revision, alive
        tries += 1


def count(state: OwnerState, step_name: str | None, now: float) -> int:
    """Return how many entries are alive; O(1) unless something has just expired.

    Raises:
        RetiredError: The state was retired before the answer was known.
    """
    settled, undone, revision = state.settled, state.undone, state.revision
    if revision == RETIRED:
        raise RetiredError
    size = len(state.table(step_name))
    quiet = settled == revision == state.latest and state.next_expiry > now
    if quiet and state.settled == settled and state.undone == undone:
        return size
    return len(find_all(state, step_name, None, now)[1])


def usage(state: OwnerState, now: float) -> tuple[int, int]:
    """Return how many entries of the owner are alive, and the bytes of all of them.

    Cost: As `count`, with all its scopes for something that has just expired.
    """
    settled, undone, revision = state.settled, state.undone, state.revision
    totals = state.keys, state.size
    quiet = settled == revision == state.latest and state.next_expiry > now
    if quiet and state.settled == settled and state.undone == undone:
        return totals
    try:
        scopes = [
            find_all(state, name, None, now)[1]
            for name, table in state.tables()
            if not table.hidden
        ]
    except RetiredError:
        return 0, 0
    alive = [item for cells in scopes for item in cells.items()]
    return len(alive), sum(utf8_bytes(key) + cell.size for key, cell in alive)


def holds_keys(state: OwnerState, now: float) -> bool:
    """Return whether any entry of the owner is alive, hidden records included."""
    try:
        return any(count(state, step_name, now) for step_name, _ in state.tables())
    except RetiredError:
        return False


def _as_of(cells: dict[str, Cell], revision: int, now: float) -> dict[str, Cell] | None:
    """Return the live versions as of `revision`; `None` if one is forgotten."""
    alive: dict[str, Cell] = {}
    for key, newest in cells.items():
        cell: Cell | None = newest
        while cell is not None and cell.revision > revision:
            cell = cell.previous
        if cell is None:
            return None
        if cell.expires is None or cell.expires > now:
            alive[key] = cell
    return alive


def versions(state: OwnerState, revision: int) -> Iterator[Cell]:
    """Yield every entry as it was at `revision`, hidden ones and expired ones too.

    Concurrency: Any thread. What commands after `revision` have replaced and settled,
    before or while this is taken, is left out.
    """
    cells = [cell for _, table in state.tables() for cell in list(table.values())]
    for cell in cells:
        version: Cell | None = cell
        while version is not None and version.revision > revision:
            version = version.previous
        if version is not None and version.expires != DELETED:
            yield version
