from typing import Any

import pytest

from stateward import DepthError, RecordedError
from stateward.actors.core.limits import DEPTH_MAX
from stateward.actors.core.messages import CommitTransaction
from stateward.actors.core.scopes import RUN_STEP, WorkflowScope
from stateward.actors.core.values import Packing, loads, pack, unpack
from stateward.workflows.records import (
    MESSAGE_MAX,
    NULL,
    RUN_KEY,
    STATUSES,
    Record,
    Status,
    Verdict,
    commit_of,
    completed,
    error_of,
    exception_of,
    failed,
    packed_list,
    packed_mapping,
    plain_record,
    record_of,
    verdict_of,
)


def decoded(packing: Packing) -> Record:
    """Return a record as it is read again, its size having been checked."""
    data, size, _ = packing
    assert isinstance(data, bytes)
    assert size == len(data)
    record: Record = loads(data)
    return record


VALUES: list[Any] = [0, "a", 1.5, True, [], {}, [1, {"a": None}], {"é\n": ['"']}]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.SKIPPED])
def test_record_gives_the_verdict_again(status: Status, value: Any) -> None:
    """Status, output and whether it broke out of its loop outlive the process."""
    verdict = Verdict(status=status, packing=pack(value), breaks=True)
    packing = record_of(verdict, attempts=2, seconds=0.5)
    record = decoded(packing)
    assert packing == (*pack(record)[:2], pack(record)[2])
    assert (record["attempts"], record["seconds"]) == (2, 0.5)
    found = verdict_of(record, "a/b")
    assert found is not None
    assert (found.status, found.breaks, found.forgiven) == (status, True, False)
    assert unpack(found.packing[0]) == value
    assert (found.origin, found.error, found.fails) == ("a/b", None, False)


def test_record_of_nothing_holds_no_output() -> None:
    """A step that returned nothing takes up no room for it."""
    record = decoded(record_of(Verdict(status=Status.COMPLETED)))
    assert record == {"status": "completed"}
    found = verdict_of(record, "a")
    assert found is not None
    assert found.packing is NULL


@pytest.mark.parametrize(
    ("status", "forgiven", "finished"),
    [
        (Status.COMPLETED, False, True),
        (Status.SKIPPED, False, True),
        (Status.FAILED, False, False),
        (Status.FAILED, True, True),
        (Status.TIMED_OUT, False, False),
        (Status.TIMED_OUT, True, True),
        (Status.CANCELLED, False, False),
        (Status.RETRYING, False, False),
    ],
)
def test_record_tells_what_is_to_be_run(
    status: Status, forgiven: bool, finished: bool
) -> None:
    """What is completed, skipped or forgiven is not run again; the rest is."""
    error = None if finished and not forgiven else ValueError("no")
    verdict = Verdict(status=status, error=error, origin="a", forgiven=forgiven)
    found = verdict_of(decoded(record_of(verdict)), "a")
    assert (found is not None) is finished
    if found is not None:
        assert (found.forgiven, found.fails) == (forgiven, False)
        assert str(found.error) == ("ValueError: no" if forgiven else "None")


def test_record_of_an_answer_is_no_end() -> None:
    """A workflow whose choice is recorded has yet to be run."""
    assert verdict_of(decoded(plain_record({"chosen": ["a"]})), "a") is None
    assert verdict_of({}, "a") is None


@pytest.mark.parametrize(
    ("status", "forgiven", "fails"),
    [
        (Status.FAILED, False, True),
        (Status.TIMED_OUT, False, True),
        (Status.FAILED, True, False),
        (Status.CANCELLED, False, False),
        (Status.SKIPPED, False, False),
        (Status.COMPLETED, False, False),
    ],
)
def test_verdict_fails_what_is_around_it(
    status: Status, forgiven: bool, fails: bool
) -> None:
    """A failure that is not forgiven ends the workflow around it."""
    assert Verdict(status=status, forgiven=forgiven).fails is fails


def test_statuses_are_known_by_how_they_are_written() -> None:
    """Each status is found by its text."""
    assert {text: status.value for text, status in STATUSES.items()} == {
        status.value: status.value for status in Status
    }


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("no"), "ValueError", "no"),
        (KeyError("k"), "KeyError", "'k'"),
        (ValueError(), "ValueError", ""),
        (ValueError("\ud800"), "ValueError", "?"),
        (ValueError("x" * 9999), "ValueError", "x" * MESSAGE_MAX),
        (UnspeakableError(), "UnspeakableError", "(its message cannot be shown)"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
    ],
)
def test_error_is_kept_as_type_and_message(
    error: BaseException, kind: str, message: str
) -> None:
    """Whatever is raised can be recorded, and is cut if it is endless."""
    assert error_of(error) == {"type": kind, "message": message}
    found = decoded(record_of(failed(error, "a")))["error"]
    assert found == {"type": kind, "message": message}


def test_error_stays_the_same_when_it_is_recorded_again() -> None:
    """An exception of an earlier process is recorded as it was the first time."""
    kept = {"type": "ValueError", "message": "no"}
    again = exception_of(kept)
    assert type(again) is RecordedError
    assert str(again) == "ValueError: no"
    assert error_of(again) == kept
    assert str(exception_of({"type": "KeyError", "message": ""})) == "KeyError"


@pytest.mark.parametrize("values", [VALUES, [], [None], [[[[]]]]])
def test_outputs_are_put_together_as_they_are(values: list[Any]) -> None:
    """Joined text is what encoding all values at once would give."""
    assert packed_list(map(pack, values)) == pack(values)
    named = {f'"{number}"\n': value for number, value in enumerate(values)}
    packed = packed_mapping({name: pack(value) for name, value in named.items()})
    assert packed == pack(named)


def test_outputs_that_nest_too_deep_are_refused() -> None:
    """A workflow whose output is too deep fails, and the message says how deep."""
    value: Any = 0
    for _ in range(DEPTH_MAX):
        value = [value]
    deep = pack(value)
    with pytest.raises(DepthError, match=f"nests {DEPTH_MAX + 1} levels"):
        packed_list([deep])
    verdict = completed(lambda: packed_mapping({"a": deep}), "p")
    assert (verdict.status, verdict.origin) == (Status.FAILED, "p")
    assert isinstance(verdict.error, DepthError)
    assert completed(lambda: packed_list([NULL]), "p").status is Status.COMPLETED


def test_commit_holds_only_for_the_run_it_is_of() -> None:
    """Every record depends on that of the run, also beside a step's own writes."""
    scope = WorkflowScope("w")
    plain = commit_of(scope, 7, [("node:a", NULL)])
    assert plain.reads == ((RUN_STEP, RUN_KEY, 7),)
    assert plain.writes == ((RUN_STEP, "node:a", NULL, None),)
    base = CommitTransaction(
        scope,
        reads=((None, "k", 3),),
        scans=((None, 2),),
        writes=((None, "k", pack(1), None),),
        removals=((None, "old"),),
    )
    both = commit_of(scope, 7, [("node:a", NULL)], base)
    assert both.reads == (*plain.reads, *base.reads)
    assert both.writes == (*base.writes, *plain.writes)
    assert (both.scans, both.removals) == (base.scans, base.removals)
