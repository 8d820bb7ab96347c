"""Handovers: what two stores note of a move between them, and in which order.

Each line is what a crash may leave, the first store on the left:

    -                       -             the first is the whole
    moved_to                -             the same; nothing has moved
    moved_to                origin        they belong together
    left_for, moved_to      origin        the same; nothing begins in the first any more
    left_for, moved_to      came_from     the second is the whole
    left_for                came_from     the same, and the first sends people there

From each of them, to open the first and move to the second goes on: to the end, or to
the beginning. A store whose `origin` or `left_for` is noted serves nobody by itself, so
that of the two no more than one ever takes something new without the other.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from stateward.actors.core.errors import StoreError, UsageError
from stateward.actors.store.departures import forget_departed, forget_what_memory_kept
from stateward.actors.store.store import DurableStore

Perform: TypeAlias = Callable[[Callable[[], None]], None]
"""Does something between two commits."""


def join(
    origin: DurableStore, target: DurableStore, url: str, perform: Perform
) -> None:
    """Have two stores be parts of one move, perhaps one that was interrupted.

    If it was over, and nobody was told, it stays so: see `reopen`.

    Args:
        origin: In use.
        target: Not in use yet.
        url: What the target was called.
        perform: Of who commits to the origin.

    Raises:
        UsageError: The origin is being moved to another store. Effect: none.
        StoreError: The target is not free, or all of the origin has gone to another
            store. Effect: none.
    """
    here, there = origin.ledger.about, target.ledger.about
    mine = here.id.hex()
    if here.left_for is not None:
        if here.left_for != url:
            origin.check_here()
        over = there.came_from == mine and there.moved_to is None
        if there.origin != mine and not over:
            raise StoreError(
                f"all of {origin.text} was moved to {url}, which has gone on since or "
                "is another store now: open that"
            )
    elif there.origin != mine:
        if here.moved_to not in (None, url):
            raise UsageError(under_way(here.moved_to))
        if here.leaving is not None or origin.heads.moved():
            raise StoreError(
                f"{target.text} is not the store that some of {origin.text} was moved "
                "to"
            )
        _make_free(target, origin)
        origin.ledger.alone = False
        # ORDER: first. Whoever opens the target afterwards is sent to the origin.
        perform(partial(origin.ledger.note, moved_to=url))
        target.ledger.note(origin=mine, moved_to=None, left_for=None, came_from=None)


def _make_free(target: DurableStore, origin: DurableStore) -> None:
    """Have a store hold nothing, not even notes of what has gone from it before.

    Raises:
        StoreError: It holds something, or what has gone is looked for here.
    """
    forget_what_memory_kept(target)
    about, mine = target.ledger.about, origin.ledger.about
    if about.left_for is None or (
        about.moved_to is not None and mine.came_from != about.id.hex()
    ):
        check_free(target)
    if next(target.heads.here(), None) is not None:
        raise StoreError(f"{target.text} holds state of its own")
    # ORDER: that all of it is elsewhere stays noted until it belongs to the origin.
    forget_departed(target)


def check_free(store: DurableStore) -> None:
    """Raise `StoreError` if anything of a store is in another one, or the reverse."""
    store.check_complete()
    if store.ledger.shared:
        raise StoreError(
            f"a move from {store.text} to {store.ledger.about.moved_to} is under way: "
            "open it, and call `persist_to` with that"
        )


def reopen(origin: DurableStore, target: DurableStore, perform: Perform) -> None:
    """Have owners be able to go back to a store that all had been moved from.

    Raises:
        CommitFailedError: See its `effect`; call again.
    """
    if origin.ledger.about.left_for is not None:
        # ORDER: up the table above, line by line.
        mine = origin.ledger.about.id.hex()
        perform(partial(origin.ledger.note, moved_to=target.text))
        perform(partial(target.ledger.note, origin=mine, came_from=None))
        perform(partial(origin.ledger.note, left_for=None))


def conclude(
    kept: DurableStore, left: DurableStore | None, floor: int, perform: Perform
) -> None:
    """Have one of two stores, which everything is in, be the whole by itself.

    Args:
        kept: That one.
        left: The other one; `None` if that is memory.
        floor: Revision that no owner which holds nothing may begin below.
        perform: Of who commits to both.

    Raises:
        CommitFailedError: See its `effect`; call again.
    """
    if left is not None and left.ledger.about.origin is None:
        # ORDER: first. Both would take what is new if a crash came in between.
        perform(partial(left.ledger.note, left_for=kept.text, came_from=None))
    whole = replace(
        kept.ledger.about,
        origin=None,
        moved_to=None,
        left_for=None,
        came_from=None if left is None else left.ledger.about.id.hex(),
    )
    # Nothing may begin below what the other store has come to.
    write = partial(kept.ledger.write, {}, sync=True, about=whole)
    perform(partial(write, floor=floor))


def send_on(left: DurableStore, kept: DurableStore) -> None:
    """Have a store say that another one is the whole: last, between two commits."""
    left.ledger.note(origin=None, moved_to=None, left_for=kept.text, came_from=None)


def under_way(url: str | None) -> str:
    """Return what tells that a manager is moving to `url`."""
    done = "finish it with rollout=1, or take it back with rollout=0"
    return f"a move to {url} is under way; {done}"
