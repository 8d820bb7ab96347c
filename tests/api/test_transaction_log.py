"""The log of a transaction: reads of one revision, writes that wait, one command."""

import pytest

from stateward import ClosedError, ConflictError, StateManager, WorkflowState
from stateward.actors.core.messages import KEPT
from stateward.actors.core.values import pack
from stateward.transaction_log import TransactionLog
from stateward.transactions import TransactionScope


@pytest.fixture
def log(manager: StateManager, state: WorkflowState) -> TransactionLog:
    """Return a log on a workflow that holds `a` and `b`, and a step's `x`."""
    state.update({"a": 1, "b": 2})
    state.step("s")["x"] = 1
    return TransactionLog(manager.engine, state.scope)


def test_log_begins_with_nothing(log: TransactionLog, state: WorkflowState) -> None:
    """Until something is read, no revision is settled on."""
    assert (log.owner, log.over, log.revision) == (state.scope, False, None)
    assert log.pinned == -1
    assert log.writes() == {}


def test_log_notes_what_was_read_and_what_was_not_there(log: TransactionLog) -> None:
    """The command checks every read, also of keys that are absent."""
    cell = log.read((None, "a"))
    assert cell is not None
    assert cell.value == 1
    assert log.read((None, "gone")) is None
    assert log.read(("s", "x")) is not None
    assert log.pinned == 2
    command = log.end()
    assert command.reads == ((None, "a", 1), (None, "gone", 0), ("s", "x", 2))
    assert (command.scans, command.writes, command.removals) == ((), (), ())


def test_log_notes_a_scan_and_every_key_it_found(log: TransactionLog) -> None:
    """A scan is of one revision; it counts for keys that are yet to come."""
    assert list(log.scan(None)) == ["a", "b"]
    assert list(log.scan("none")) == []
    command = log.end()
    assert command.scans == ((None, 2), ("none", 2))
    assert command.reads == ((None, "a", 1), (None, "b", 1))


def test_log_of_nothing_reads_at_revision_zero(manager: StateManager) -> None:
    """A workflow that was never written to holds nothing, and that is a read too."""
    log = TransactionLog(manager.engine, manager.workflow_state("new").scope)
    assert log.read((None, "a")) is None
    assert list(log.scan(None)) == []
    assert log.pinned == 0
    assert log.end().reads == ((None, "a", 0),)


def test_log_moves_along_while_what_was_read_stays(
    log: TransactionLog, state: WorkflowState
) -> None:
    """A change elsewhere moves the revision of all reads; a change here ends them."""
    log.read((None, "a"))
    state["b"] = 3
    assert log.read((None, "b")) is not None
    assert log.pinned == 3
    state["a"] = 2
    with pytest.raises(ConflictError) as caught:
        log.read((None, "c"))
    assert caught.value.context == {"key": "a", "expected": 1, "actual": 4}


def test_log_ends_when_a_scanned_scope_has_changed(
    log: TransactionLog, state: WorkflowState
) -> None:
    """A key that appears after a scan is a conflict at the next read."""
    log.scan("s")
    state.step("s")["y"] = 1
    with pytest.raises(ConflictError, match="keys of s changed"):
        log.read((None, "a"))


def test_log_ends_when_all_was_dropped(
    log: TransactionLog, state: WorkflowState, manager: StateManager
) -> None:
    """What was read is not there any more."""
    log.read((None, "a"))
    manager.drop_workflow(state.workflow_id)
    with pytest.raises(ConflictError):
        log.read((None, "b"))


def test_log_keeps_the_expiry_of_what_it_replaces(log: TransactionLog) -> None:
    """A value derived from another one lives as long as that one would have."""
    log.replace((None, "a"), 10)
    log.writes()[None, "b"] = (pack(1), 5.0)
    log.replace((None, "b"), 2)
    log.writes()["s", "x"] = None
    log.replace(("s", "x"), 3)
    assert log.writes() == {
        (None, "a"): (pack(10), KEPT),
        (None, "b"): (pack(2), 5.0),
        ("s", "x"): (pack(3), None),
    }


def test_log_tells_writes_from_removals(log: TransactionLog) -> None:
    """The command has both, each entry once, as they were last."""
    writes = log.writes()
    writes[None, "a"] = None
    writes["s", "x"] = (pack(2), None)
    writes[None, "b"] = (pack(1), None)
    writes[None, "b"] = None
    command = log.end()
    assert command.writes == (("s", "x", pack(2), None),)
    assert command.removals == ((None, "a"), (None, "b"))


def test_log_that_wrote_nothing_ends_with_its_reads_alone(
    log: TransactionLog,
) -> None:
    """`end` gives a command all the same, to be joined with another."""
    log.read((None, "a"))
    command = log.end()
    assert command.reads == ((None, "a", 1),)
    assert (command.writes, command.removals) == ((), ())


def test_log_that_wrote_nothing_finishes_without_a_command(
    log: TransactionLog,
) -> None:
    """What was read was so at one revision; nobody has to be asked."""
    log.read((None, "a"))
    assert log.finish() is None
    assert log.over


def test_log_that_is_over_takes_and_tells_nothing(log: TransactionLog) -> None:
    """Reading, writing and ending again are all refused."""
    log.end()

    for call in (
        log.writes,
        log.end,
        log.finish,
        lambda: log.read((None, "a")),
        lambda: log.scan(None),
        lambda: log.replace((None, "a"), 1),
    ):
        with pytest.raises(ClosedError):
            call()
    assert log.over


def test_log_is_shared_by_all_views_of_it(
    log: TransactionLog, state: WorkflowState
) -> None:
    """Views of a workflow and its steps write into one command."""
    own = TransactionScope(log, state.scope)
    step = TransactionScope(log, state.step("s").scope)
    own["a"] = 2
    step["x"] = own["a"]
    assert len(log.end().writes) == 2
    with pytest.raises(ClosedError):
        step["x"]
