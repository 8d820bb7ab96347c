"""The redo log: what was logged is read in order, or an error says why not."""

from random import Random

import pytest

from stateward import CorruptStoreError, StoreError
from stateward.actors.core.state import Event, OwnerState
from stateward.actors.store import redo
from stateward.actors.store.batches import USUAL, Change, Seal
from stateward.actors.store.redo import RECORD_MAX, RedoLog
from stateward.actors.store.redo_format import HEAD, START
from stateward.testing.faulty import PAGE, MemoryRegion
from tests.actors.store.logs import (
    ABOUT,
    FLIPS,
    RING,
    Done,
    Logger,
    WatchedRegion,
    cuts,
    flipped,
    in_use,
    outcome,
    seal_of,
    some,
    work,
    wrapped,
)
from tests.threads import Gate, Job, eventually


@pytest.mark.parametrize("start", [0, 77, (1 << 32) - 900, (1 << 63) - 512])
def test_log_is_read_in_order_over_many_rounds(start: int) -> None:
    """What is logged and not settled is read, wherever the ring begins again."""
    random, logger = Random(start), Logger(start=start)
    rounds = refused = 0
    for _ in range(3000):
        if not work(logger, random):
            refused += 1
            logger.settle()
        elif random.random() < 0.2:
            logger.settle(random.randrange(len(logger.done) + 1))
        if random.random() < 0.1:
            assert logger.read() == logger.done
        rounds = (logger.start - start) // RING
    assert logger.read() == logger.done
    assert rounds > 50
    assert refused > 50


def test_log_that_is_read_says_where_it_ends() -> None:
    """A log that goes on from where another was read to its end is read alike."""
    random, logger = Random(5), Logger()
    for _ in range(40):
        while work(logger, random):
            pass
        found = RedoLog(MemoryRegion(logger.image()), size=RING)
        assert len(list(found.read(logger.id, logger.start, 0, alone=True))) > 0
        assert found.end == logger.redo.pending()[0][-1][3]
        logger = Logger(start=found.end)


def test_log_that_is_full_takes_something_once_there_is_room() -> None:
    """A full ring refuses, changing nothing, until something has left it."""
    logger = Logger()
    state = logger.owner()
    assert logger.put(state, x="first")
    while logger.overwrite(state, "x", "v" * 90):
        pass
    before, image = list(logger.done), logger.image()
    assert RING - RING // 8 < logger.ends()[-1] <= RING - HEAD
    assert not logger.put(state, x="v" * 90)
    assert not logger.overwrite(state, "x", "v" * 90)
    assert (logger.image(), logger.read()) == (image, before)
    logger.settle(1)
    logger.settle(1)
    assert logger.overwrite(state, "x", "v" * 90)
    assert logger.read() == logger.done == [*before[2:], logger.done[-1]]


@pytest.mark.parametrize("excess", [0, 1])
def test_log_takes_bodies_up_to_the_limit(excess: int) -> None:
    """A body of as many bytes as may be is logged, and one more byte is too many."""
    logger = Logger(size=4 * RECORD_MAX)
    state = logger.owner()
    logger.put(state, x=0)
    name = logger.done[0].name
    room = RECORD_MAX - USUAL.size - len(name) - 2
    assert logger.overwrite(state, "x", "v" * (room + excess)) is not excess
    assert not logger.put(state, x="v" * (RECORD_MAX - 2))
    assert logger.read() == logger.done
    assert len(logger.done) == 2 - excess


def test_log_that_was_not_prepared_refuses() -> None:
    """Nothing is logged before the log was made, nor where there is no region."""
    for region in (MemoryRegion(), None):
        logger = Logger()
        state = logger.owner()
        assert logger.put(state, x=1)
        logger.redo = fresh = RedoLog(region, size=RING)
        fresh.encode = logger.store.redo.encode
        assert not logger.put(state, x=2)
        assert not logger.overwrite(state, "x", 2)
        assert region is None or region.read(anyway=True) is None


def test_log_that_is_held_or_closed_refuses() -> None:
    """Whoever holds the log, or has closed it, gets nothing more into it."""
    logger = Logger()
    state = logger.owner()
    assert logger.put(state, x=1)
    logger.redo.hold()
    refuses(logger, state)
    logger.settle()
    refuses(logger, state)
    logger.redo.release()
    assert logger.overwrite(state, "x", 2)
    logger.redo.close()
    refuses(logger, state)
    logger.redo.release()
    refuses(logger, state)


def test_log_of_a_journal_that_fails_refuses_until_it_does_not() -> None:
    """Nothing is logged after a failed commit, even once let go of, until the next."""
    logger = Logger()
    state = logger.owner()
    assert logger.put(state, x=1)
    logger.redo.refuse(for_good=False)
    refuses(logger, state)
    logger.redo.hold()
    logger.redo.release()
    refuses(logger, state)
    logger.settle()
    assert logger.overwrite(state, "x", 2)
    logger.redo.refuse(for_good=True)
    refuses(logger, state)
    assert not logger.redo.behind, "nobody is to try to drain it"
    assert logger.read() == logger.done, "but it is there"


def refuses(logger: Logger, state: OwnerState) -> None:
    """Check that neither way to log something does, and nothing is written."""
    image, pending = logger.image(), logger.redo.pending()
    assert not logger.put(state, x="refused")
    assert not logger.overwrite(state, "x", "refused")
    assert (logger.image(), logger.redo.pending()) == (image, pending)


def test_log_of_values_that_are_sealed_takes_no_plain_ones() -> None:
    """An overwrite is logged as it is only if nothing is to be done to its value."""
    logger = Logger()
    state = logger.owner()
    assert logger.put(state, x=1)
    logger.redo.plain = False
    assert not logger.overwrite(state, "x", 2)
    assert logger.put(state, x=2)


def test_log_refuses_whoever_came_while_somebody_logs() -> None:
    """Who finds another one at it, perhaps interrupted by him, does not wait."""
    logger, answers = Logger(), list[bool]()
    state, other = logger.owner("a"), logger.owner("b")
    assert logger.put(other, x=1)
    encode = logger.redo.encode

    def interrupt(seal: Seal, event: Event) -> Change:
        logger.redo.encode = encode
        answers.extend([logger.put(other, x=2), logger.overwrite(other, "x", 3)])
        return encode(seal, event)

    logger.redo.encode = interrupt
    assert logger.put(state, x=1)
    assert answers == [False, False]
    assert logger.read() == logger.done
    assert logger.overwrite(other, "x", 3), "the lock was let go of"


def test_log_is_held_once_whoever_logs_is_done() -> None:
    """Holding waits for the one that logs, and what that has logged is pending."""
    logger, gate = Logger(), Gate()
    state = logger.owner()
    encode = logger.redo.encode

    def wait(seal: Seal, event: Event) -> Change:
        gate(None)
        return encode(seal, event)

    logger.redo.encode = wait
    writer = Job(logger.put, state, x=1)
    gate.wait_until_entered()
    holder = Job(logger.redo.hold)
    eventually(lambda: not logger.put(logger.owner("o"), x=1), "a log that is held")
    assert not holder.is_over()
    gate.open()
    assert writer.result()
    holder.result()
    assert [it[0] for it in logger.redo.pending()[0]] == [1]


def test_log_that_somebody_does_not_leave_cannot_be_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was interrupted by the one that waits is not waited for without end."""
    monkeypatch.setattr(redo, "HOLD", 1e-3)
    logger, raised = Logger(), list[StoreError]()
    encode = logger.redo.encode

    def hold(seal: Seal, event: Event) -> Change:
        with pytest.raises(StoreError) as caught:
            logger.redo.hold()
        raised.append(caught.value)
        return encode(seal, event)

    logger.redo.encode = hold
    assert logger.put(logger.owner(), x=1)
    assert len(raised) == 1
    refuses(logger, logger.owner())


def test_log_knows_what_the_journal_lacks() -> None:
    """A change is there from when it is logged until it is settled, for its owner."""
    logger = Logger()
    a, b = logger.owner("a"), logger.owner("b")
    logger.put(a, x=1)
    logger.put(b, x=1)
    logger.overwrite(b, "x", 2)
    has = logger.redo.has
    assert has(seal_of(a), 1)
    assert has(seal_of(b), 2)
    assert not has(seal_of(a), 2)
    assert logger.redo.pending()[1] == {
        seal_of(it).prefix: seal_of(it) for it in (a, b)
    }
    logger.settle(1)
    assert not has(seal_of(a), 1)
    assert has(seal_of(b), 1)
    assert list(logger.redo.pending()[1].values()) == [seal_of(b)]
    logger.settle()
    assert logger.redo.pending() == ([], {})


@pytest.mark.parametrize("usual", [True, False])
def test_record_cut_at_any_byte_is_not_there(usual: bool) -> None:
    """A crash within a write leaves what was logged before, and no error."""
    region = WatchedRegion()
    logger, leaps = Logger(region), set[bool]()
    state = logger.owner()
    logger.put(state, x="first", y=1)
    for index in range(60):
        if len(logger.done) > 6:
            logger.settle(4)
        before, done, last = logger.image(), list(logger.done), logger.ends()[-1]
        region.buffer.images.clear()
        text = "v" * (index % 40)
        how = (
            logger.overwrite
            if usual
            else lambda it, key, value: logger.put(it, **{key: value})
        )
        assert how(state, "x", text)
        after, end = logger.image(), logger.ends()[-1]
        leap = end // RING > last // RING
        leaps.add(leap)
        first, stop = START + (0 if leap else last % RING), START + end % RING
        bare, bodied = region.buffer.images
        assert logger.read(bodied) == done, "the head comes after the body"
        mark = range(START + last % RING, START + last % RING + HEAD) if leap else ()
        images = cuts(before, bare, *mark)
        assert images[-1] == bare
        head = range(first, first + HEAD)
        images += cuts(bare, after, *range(first + HEAD, stop), *head)
        assert images.pop() == after
        for image in images:
            assert logger.read(image) == done
        assert logger.read(after) == logger.done == [*done, logger.done[-1]]
    assert leaps == {True, False}


def test_log_cut_while_something_leaves_it_is_read_from_there() -> None:
    """A crash while the log is cleared leaves all that has not left it."""
    region, random = WatchedRegion(), Random(11)
    logger, halves = Logger(region), 0
    for _ in range(300):
        while work(logger, random):
            pass
        region.buffer.images.clear()
        before = logger.image()
        logger.settle(random.randrange(1, len(logger.done) + 1))
        halves += len(region.buffer.images) > 2
        for image in (before, *region.buffer.images):
            assert logger.read(image) == logger.done
    assert halves, "some reach over the end of the ring"


@pytest.mark.slow
def test_byte_that_flipped_is_found() -> None:
    """Damage to the log of a machine that still runs is an error, in any record."""
    logger = wrapped()
    image, unused = logger.image(), 0
    for place in range(ABOUT):
        assert outcome(lambda: logger.read(image)) == logger.done
        for flip in FLIPS:
            damaged = flipped(image, place, flip)
            assert outcome(lambda: logger.read(damaged)) is None  # noqa: B023  # now
    for place in in_use(logger):
        for flip in FLIPS:
            found = outcome(lambda: logger.read(flipped(image, place, flip)))  # noqa: B023  # now
            if found is not None:
                unused += 1
                assert found == logger.done
    gap = RING - max(end % RING for end in logger.ends()) - HEAD
    assert unused <= gap * len(FLIPS), "what is leapt over, and nothing else"


@pytest.mark.slow
def test_byte_that_power_loss_took_ends_the_log() -> None:
    """After another start, what is damaged was lost, with all that follows."""
    logger = wrapped()
    image, seen = logger.image(), set[int]()
    for place in in_use(logger):
        for flip in FLIPS:
            found = logger.read(flipped(image, place, flip), boot=2)
            assert found == logger.done[: len(found)]
            seen.add(len(found))
    assert {*range(len(logger.done))} <= seen


@pytest.mark.parametrize("seed", range(20))
def test_log_after_power_loss_is_a_first_part(seed: int) -> None:
    """Pages as they were at different moments add up to no change that was not."""
    random, size = Random(seed), 4 * PAGE
    logger = Logger(size=size)
    everything, starts, images = list[Done](), [(0, 0)], [logger.image()]
    for _ in range(300):
        if not work(logger, random) or random.random() < 0.02:
            everything += logger.settle(random.randrange(1 + len(logger.done)))
            starts.append((logger.start, len(everything)))
        if random.random() < 0.1:
            images.append(logger.image())
    written = everything + logger.done
    for _ in range(40):
        image = b"".join(
            random.choice(images)[place : place + PAGE]
            for place in range(0, START + size, PAGE)
        )
        start, index = random.choice(starts[-3:])
        found = logger.read(image, boot=2, start=start)
        assert found == written[index : index + len(found)]
    assert outcome(lambda: logger.read(boot=2)) == logger.done


def test_log_that_was_cut_is_refused() -> None:
    """A file that has not all its bytes is damaged; one that has none is no log."""
    logger = wrapped()
    image = logger.image()
    for size in (*range(1, ABOUT + 9), START, *range(START + 5, len(image), 97)):
        assert outcome(lambda: logger.read(image[:size])) is None  # noqa: B023  # now
        assert outcome(lambda: logger.read(image[:size], boot=2)) is None  # noqa: B023  # now
    assert outcome(lambda: logger.read(image[:-1])) is None
    assert outcome(lambda: logger.read(image + b"\0")) is None
    assert logger.read(b"") == []


def test_log_of_another_store_is_refused() -> None:
    """What lies beside a store that was put in the place of another is not its log."""
    logger = wrapped()
    with pytest.raises(CorruptStoreError, match="of another store"):
        list(RedoLog(logger.region).read(b"?" * 16, logger.start, 0, alone=True))


def test_log_that_rests_on_a_later_commit_is_damaged_or_over() -> None:
    """A commit that is missing is an error, unless the power has failed."""
    logger = Logger()
    state = logger.owner()
    logger.redo.commits = 3
    assert logger.put(state, x=1)
    logger.redo.commits = 4
    assert logger.overwrite(state, "x", 2)
    logger.redo.commits = 5
    assert logger.put(state, x=3)
    for commits, count in ((5, 3), (4, 2), (3, 1), (2, 0)):
        found = outcome(lambda: logger.read(commits=commits))  # noqa: B023  # now
        assert found == (logger.done if count == 3 else None)
        assert logger.read(commits=commits, boot=2) == logger.done[:count]


def test_log_is_prepared_once() -> None:
    """What is logged stays when a later commit would make the log too."""
    logger = Logger()
    expected = some(logger)
    logger.redo.prepare(logger.id, 0)
    assert logger.read() == logger.done == expected
