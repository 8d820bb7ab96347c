"""Reads: every thread sees its own writes, and nobody sees time go back."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from property_tests.stress.rounds import Round, stress, together
from stateward import ScopedState

CALLS = 12


# Seen to fail when the reply is sent before the event is published, and when a handle
# keeps a snapshot for its reads.
@stress(ci=60)
def test_writes_are_read_by_their_thread(it: Round) -> None:
    """What a call has written is there when it returns, for any handle and read."""
    base = it.chance.choice((it.workflow, it.workflow.step("s"))).scope

    def use(name: int, chance: Random) -> None:
        writer, key = it.manager.state(base), f"{name}"
        for number in range(CALLS):
            match chance.randrange(4):
                case 0:
                    revision = int(writer.set(key, number))
                case 1:
                    revision = int(writer.update({key: number, f"{key}+": number}))
                case 2:
                    writer.modify(key, lambda _, number=number: number)  # type: ignore[misc]  # bound here
                    revision = 0
                case _:
                    with writer.transaction() as tx:
                        tx[key] = number
                    assert tx.revision is not None
                    revision = int(tx.revision)
            reader = chance.choice((writer, it.manager.state(base)))
            assert chance.choice(READS)(reader, key) == number
            assert reader.snapshot().revision >= revision
            if chance.random() < 0.3:
                assert writer.delete(key)
                assert chance.choice(READS)(reader, key) is None

    together(*map(partial, [use] * 4, range(4), it.seeds(4)))


READS: tuple[Callable[[ScopedState, str], Any], ...] = (
    lambda state, key: state.get(key),
    lambda state, key: state.view(key),
    lambda state, key: state.get_many([key]).get(key),
    lambda state, key: state.snapshot().get(key),
    lambda state, key: dict(state.items()).get(key),
    lambda state, key: state.aio.get(key),
    lambda state, key: getattr(state.entry(key), "value", None),
)
"""Ways to read one key that nobody else writes."""


# Seen to fail when `find` takes the newest cell although it is not published, when
# `settle` forgets a predecessor before the revision is published, and when `get` reads
# the revision before the cell.
@stress(ci=60)
def test_reads_never_go_back(it: Round) -> None:
    """Values, entries and snapshots of one reader only ever move forward."""
    state = it.chance.choice((it.workflow, it.workflow.step("s")))
    state.set("k", 0)

    def write() -> None:
        for number in range(1, 2 * CALLS):
            state.set("k", number)
            if number % 5 == 0:
                state.increment("other")

    def read(ways: list[Callable[[ScopedState], Any]]) -> None:
        mine, newest = it.manager.state(state.scope), 0
        for _ in range(CALLS):
            for way in ways:
                seen = way(mine)
                assert seen >= newest, f"{seen} was read after {newest}"
                newest = seen

    def read_revisions() -> None:
        mine, newest = it.manager.state(state.scope), 0
        for _ in range(CALLS):
            snapshot = mine.snapshot()
            entry = mine.entry("k")
            assert entry is not None
            seen = (newest, snapshot.revision, mine.revision)
            assert seen == (*sorted(seen),), f"revisions went back: {seen}"
            assert entry.revision <= mine.revision
            newest = snapshot.revision

    ways: list[Callable[[ScopedState], Any]] = [
        lambda state: state.get("k"),
        lambda state: state["k"],
        lambda state: state.view("k"),
        entry_value,
        lambda state: state.get_many(["k"])["k"],
        lambda state: state.snapshot()["k"],
    ]
    chosen = [it.chance.sample(ways, 3) for _ in range(2)]
    together(write, read_revisions, *(partial(read, each) for each in chosen))


# Seen to fail when the owner takes the next revision before it has the turn.
@stress(ci=60)
def test_revisions_are_never_given_twice(it: Round) -> None:
    """Each write of an owner gets a revision of its own, above those it follows."""
    given: list[list[int]] = [[] for _ in range(4)]

    def write(name: int, chance: Random) -> None:
        scopes = [it.workflow, it.workflow.step("s"), it.workflow.step("t")]
        for number in range(CALLS):
            state = it.manager.state(chance.choice(scopes).scope)
            if chance.random() < 0.5:
                given[name].append(state.set(chance.choice("abc"), number))
            else:
                given[name].append(state.append("list", number))
            if chance.random() < 0.1:
                it.workflow.drop()

    together(*map(partial, [write] * 4, range(4), it.seeds(4)))
    assert all(revisions == sorted(revisions) for revisions in given)
    everyones = [revision for revisions in given for revision in revisions]
    assert len(set(everyones)) == len(everyones)


def entry_value(state: ScopedState) -> Any:
    """Return the value of `k` as its entry shows it."""
    entry = state.entry("k")
    assert entry is not None
    return entry.value
