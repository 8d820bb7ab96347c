from collections.abc import Callable

import pytest

from stateward import StepScope
from stateward.actors.core import reader
from stateward.actors.core.cells import Cell, Table
from stateward.actors.core.decider import decide
from stateward.actors.core.messages import (
    ClearState,
    DeleteState,
    Message,
    SetState,
    UpdateState,
)
from stateward.actors.core.state import OwnerState
from stateward.actors.core.values import unpack
from tests.actors.core.ledger import SCOPE, contents, do, new_state, record
from tests.hostile import label


class MeddledTable(Table):
    """A table in which something happens between two steps of a reader."""

    __slots__ = ("meanwhile",)

    meanwhile: Callable[[], None] | None

    def get(self, key: str, default: Cell | None = None) -> Cell | None:  # type: ignore[override]  # enough here
        """Return the newest version, after which the writer goes on."""
        cell = super().get(key, default)
        self._meddle()
        return cell

    def copy(self) -> dict[str, Cell]:
        """Return all newest versions, after which the writer goes on."""
        cells = super().copy()
        self._meddle()
        return cells

    def __len__(self) -> int:
        """Return how many there are, after which the writer goes on."""
        size = super().__len__()
        self._meddle()
        return size

    def _meddle(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


class OneCallTable(MeddledTable):
    """A table in which nothing can happen while it is copied."""

    __slots__ = ()

    def copy(self) -> dict[str, Cell]:
        """Return all newest versions."""
        return dict(self)


@pytest.fixture
def table() -> MeddledTable:
    """Return the own table of a state that holds two keys at revision 1."""
    state = new_state()
    table = MeddledTable(state, None)
    table.meanwhile = None
    state.own = table
    do(state, UpdateState(SCOPE, {"a": 1, "b": 1}))
    return table


def test_find_gives_the_version_that_was_published(table: MeddledTable) -> None:
    """A reader takes what was there when it looked, never what is only staged."""
    state = table.state
    stage(state, SetState(SCOPE, "a", 2))
    assert value(state, "a") == 1
    state.revision = state.latest
    assert value(state, "a") == 2
    assert value(state, "no") is None


def test_find_looks_again_when_a_command_was_settled_meanwhile(
    table: MeddledTable,
) -> None:
    """A version whose predecessor is forgotten has been published by then."""
    state = table.state
    revisions = iter([1, 2])

    class Hurried(OwnerState):
        """Publishes and settles between the reader's look at cell and revision."""

        __slots__ = ()

        @property
        def revision(self) -> int:  # type: ignore[override]  # read-only here
            return next(revisions)

    do(state, SetState(SCOPE, "a", 2))
    state.__class__ = Hurried
    assert value(state, "a") == 2


def test_find_gives_nothing_for_what_is_only_staged(table: MeddledTable) -> None:
    """A key that is about to come into being, or to go, has not yet."""
    stage(table.state, SetState(SCOPE, "c", 1))
    assert value(table.state, "c") is None
    table.state.recover()
    stage(table.state, DeleteState(SCOPE, "a"))
    assert value(table.state, "a") == 1


@pytest.mark.parametrize(
    ("now", "alive"), [(9.999, True), (10.0, False), (99.0, False)]
)
def test_reads_end_at_the_instant_of_expiry(
    table: MeddledTable, now: float, alive: bool
) -> None:
    """At its expiry a key is gone from every kind of read, though nobody swept."""
    state = table.state
    do(state, SetState(SCOPE, "t", 1, ttl=10))
    assert (reader.find(state, None, "t", now) is not None) is alive
    assert ("t" in contents(state, now=now)) is alive
    assert ("t" in reader.find_all(state, None, ["t"], now)[1]) is alive
    assert reader.count(state, None, now) == 2 + alive


def test_find_all_gives_one_revision_while_a_command_is_half_done(
    table: MeddledTable,
) -> None:
    """Between staging and settling readers see all of a command, or nothing."""
    state = table.state
    event = stage(state, UpdateState(SCOPE, {"a": 2, "c": 2}))
    assert reader.find_all(state, None, None, 0.0)[0] == 1
    assert contents(state) == {"a": 1, "b": 1}
    assert reader.count(state, None, 0.0) == 2
    state.revision = event
    assert reader.find_all(state, None, ["a", "c", "no"], 0.0)[0] == 2
    assert contents(state) == {"a": 2, "b": 1, "c": 2}
    assert reader.count(state, None, 0.0) == 3


@pytest.mark.parametrize(
    "command",
    [
        UpdateState(SCOPE, {"a": 2, "b": 2, "c": 2}),
        ClearState(SCOPE),
        DeleteState(SCOPE, "a"),
    ],
    ids=label,
)
@pytest.mark.parametrize("keys", [None, ["a", "b", "c"]])
def test_find_all_starts_again_when_a_command_was_settled_meanwhile(
    table: MeddledTable, command: Message, keys: list[str] | None
) -> None:
    """What was copied while a whole command happened is not shown."""
    state = table.state
    table.meanwhile = lambda: do(state, command)
    revision, cells = reader.find_all(state, None, keys, 0.0)
    assert revision == 2
    assert cells == dict(table)


def test_find_all_copies_the_table_when_a_writer_is_quicker() -> None:
    """Keys that a writer is quicker than are taken from a copy of their table."""
    state = new_state()
    table = state.own = OneCallTable(state, None)
    table.meanwhile = None
    do(state, UpdateState(SCOPE, {"a": 1, "b": 1}))

    def write() -> None:
        do(state, SetState(SCOPE, "a", 2))
        assert state.revision < 100, "the keys are picked again and again"
        table.meanwhile = write

    table.meanwhile = write
    revision, found = reader.find_all(state, None, ("b", "a", "no"), 0.0)
    cells = dict(table)
    assert revision == state.revision
    assert found == {"b": cells["b"], "a": cells["a"]}


@pytest.mark.parametrize(
    "command",
    [UpdateState(SCOPE, {"a": 2, "b": 2, "c": 2}), ClearState(SCOPE)],
    ids=label,
)
def test_find_all_goes_back_when_a_command_was_staged_meanwhile(
    table: MeddledTable, command: Message
) -> None:
    """What was copied just after a command was staged is shown without it."""
    state = table.state
    stage(state, command)
    state.latest, staged = 1, state.latest

    def go_on() -> None:
        state.latest = staged

    table.meanwhile = go_on
    assert contents(state) == {"a": 1, "b": 1}


def test_find_all_starts_again_when_a_predecessor_is_forgotten(
    table: MeddledTable,
) -> None:
    """A copy of which one version can no longer be taken back is made anew."""
    state = table.state
    event, _ = decide(state, UpdateState(SCOPE, {"a": 2, "b": 2}), 0.0)
    assert event is not None
    state.stage(event)

    def go_on() -> None:
        state.revision = 2
        state.settle(event)

    table.meanwhile = go_on
    assert reader.find_all(state, None, None, 0.0) == (2, dict(table))


@pytest.mark.parametrize(
    ("command", "count"),
    [(ClearState(SCOPE), 0), (SetState(SCOPE, "c", 1), 3)],
    ids=label,
)
def test_count_starts_again_when_a_command_was_settled_meanwhile(
    table: MeddledTable, command: Message, count: int
) -> None:
    """A length counted while the scope changed is counted anew."""
    state = table.state
    table.meanwhile = lambda: do(state, command)
    assert reader.count(state, None, 0.0) == count


@pytest.mark.parametrize(
    "read", [contents, lambda state: reader.count(state, None, 0.0)]
)
def test_reads_show_no_command_that_was_undone_meanwhile(
    table: MeddledTable, read: Callable[[OwnerState], object]
) -> None:
    """What was staged when a reader looked, and taken back since, is not shown."""
    before = read(table.state)
    stage(table.state, UpdateState(SCOPE, {"a": 2, "c": 2}))
    table.meanwhile = table.state.recover
    assert read(table.state) == before


def test_reads_say_when_the_state_has_retired(table: MeddledTable) -> None:
    """Who asks a retired state is told to look for another."""
    state = table.state
    state.retire()
    for read in (
        lambda: reader.find(state, None, "a", 0.0),
        lambda: reader.find(state, "s", "a", 0.0),
        lambda: reader.find_all(state, None, None, 0.0),
        lambda: reader.find_all(state, None, ["a"], 0.0),
        lambda: reader.count(state, None, 0.0),
    ):
        with pytest.raises(reader.RetiredError):
            read()
    assert not reader.holds_keys(state, 0.0)


def test_holds_keys_counts_steps_and_not_the_expired() -> None:
    """An owner holds a key while one is alive in its own scope or in a step."""
    state = new_state()
    assert not reader.holds_keys(state, 0.0)
    do(state, SetState(StepScope("w", "s"), "a", 1, ttl=10))
    assert reader.holds_keys(state, 9.999)
    assert not reader.holds_keys(state, 10.0)


def test_usage_counts_what_readers_see(table: MeddledTable) -> None:
    """Keys and bytes are those of a command once it is published, never of half."""
    state = table.state
    do(state, SetState(StepScope("w", "s"), "\xe9", "\xe9", ttl=10))
    before = (3, (1 + 1) + (1 + 1) + (2 + 4))
    assert reader.usage(state, 0.0) == before
    revision = stage(state, UpdateState(SCOPE, {"a": "xx", "c": 1}))
    assert reader.usage(state, 0.0) == before
    state.revision = revision
    assert reader.usage(state, 0.0) == (4, before[1] + 3 + 2)
    state.recover()
    assert reader.usage(state, 9.999) == (state.keys, state.size) == (4, before[1] + 5)
    assert reader.usage(state, 10.0) == (3, before[1] + 5 - 6)
    state.retire()
    assert reader.usage(state, 0.0) == (0, 0)


def stage(state: OwnerState, command: Message) -> int:
    """Begin `command` and stop half-way; return its revision."""
    event, _ = decide(state, command, 0.0)
    assert event is not None
    state.stage(event)
    return event[0]


def value(state: OwnerState, key: str) -> object:
    """Return the value a reader finds, `None` for none."""
    cell = reader.find(state, None, key, 0.0)
    return None if cell is None else unpack(cell.value)


def test_holds_keys_counts_the_records_of_a_run() -> None:
    """A workflow of which only a run is known is known, and holds no key."""
    state = new_state()
    do(state, record({"run": 1}))
    assert reader.holds_keys(state, 0)
    assert reader.usage(state, 0) == (0, 0)
    do(state, SetState(SCOPE, "brief", 1, ttl=5))
    assert reader.usage(state, 0) == (1, 6)
    assert reader.usage(state, 9) == (0, 0)
    do(state, record(gone=("run",)))
    assert not reader.holds_keys(state, 9)


def test_versions_are_those_of_one_revision() -> None:
    """Every entry is given as it was: replaced, removed and new ones too."""
    state = new_state()
    do(state, UpdateState(SCOPE, {"stays": 1, "changes": 1, "goes": 1}))
    do(state, SetState(StepScope("w", "s"), "x", 1))
    do(state, record({"r": 1}))
    revision = state.revision
    for command in (
        SetState(SCOPE, "changes", 2),
        DeleteState(SCOPE, "goes"),
        SetState(SCOPE, "comes", 2),
    ):
        event, _ = decide(state, command, 0.0)
        assert event is not None
        state.stage(event)
    found = {cell.key: cell.value for cell in reader.versions(state, revision)}
    assert found == {"stays": 1, "changes": 1, "goes": 1, "x": 1, "r": 1}
    newest = {cell.key: cell.value for cell in reader.versions(state, state.latest)}
    assert newest == {"stays": 1, "changes": 2, "comes": 2, "x": 1, "r": 1}
