"""Expiry under load: nobody sees an entry whose time has come."""

from functools import partial
from random import Random
from typing import Any

from property_tests.stress.rounds import Round, stress, together
from stateward import Limits

CALLS = 12
KEYS = ("a", "b", "c")


# Seen to fail when `find_all` and `count` do not look at `next_expiry`, when `find`
# does not look at `expires`, and when `get` takes cells that expire as they are.
@stress(ci=60)
def test_expired_entries_are_invisible_under_load(it: Round) -> None:
    """From the instant it expires, no read gives an entry, swept up or not."""
    order = it.chance.choice((it.workflow, it.workflow.step("s")))

    def write(chance: Random) -> None:
        for number in range(CALLS):
            key = chance.choice(KEYS)
            match chance.randrange(4):
                case 0:
                    order.set(key, number)
                case 1:
                    order.increment(key)
                case _:
                    ttl = chance.choice((0.5, 1.0, 2.0, 5.0))
                    order.set(key, number, ttl=ttl)

    def pass_time() -> None:
        for _ in range(CALLS):
            it.clock.advance(0.5)

    def read() -> None:
        mine = it.manager.state(order.scope)
        for _ in range(CALLS):
            for key in KEYS:
                before = it.clock.now()
                entry = mine.entry(key)
                assert entry is None or not entry.expires or entry.expires > before

    together(*map(partial, [write] * 2, it.seeds(2)), pass_time, read)
    it.clock.advance(5.0)
    left = {key for key in KEYS if order.entry(key) is not None}
    assert set(order) == left == set(order.snapshot()) == set(order.get_many(KEYS))
    assert len(order) == len(left)
    order.set("z", 0)  # A write sweeps up before it decides.
    stats = it.manager.stats()
    assert stats.keys == len(left) + 1
    order.clear()
    assert (it.manager.stats().keys, it.manager.stats().size_bytes) == (0, 0)


# Seen to fail when expired entries still count for `max_keys`, and when sweeping takes
# an entry that was set anew in the meantime.
@stress(ci=60, limits=Limits(max_keys=len(KEYS), default_ttl=1.0))
def test_expired_entries_make_room_under_load(it: Round) -> None:
    """Expiry frees what `max_keys` allows, and takes nothing that was set anew."""
    order = it.workflow

    def write(name: str) -> None:
        for number in range(CALLS):
            before = it.clock.now()
            order.set(name, number)
            entry: Any = order.entry(name)
            gone = it.clock.now() >= before + 1.0
            assert gone or entry.value == number, "it was not to expire yet"

    def pass_time() -> None:
        for _ in range(CALLS):
            it.clock.advance(0.25)

    together(*(partial(write, key) for key in KEYS), pass_time)
    it.clock.advance(1.0)
    assert len(order) == 0
    order.update(dict.fromkeys("xyz", 1))
    assert it.manager.stats().keys == len(KEYS)
