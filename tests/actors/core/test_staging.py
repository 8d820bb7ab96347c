"""Staging: what is decided is seen once committed, or taken back without trace."""

from random import Random
from typing import Any

import pytest

from stateward import (
    CommitFailedError,
    ConflictError,
    InvariantError,
    OwnerFailedError,
    StepScope,
)
from stateward.actors.core import faults
from stateward.actors.core.decider import decide, drop
from stateward.actors.core.messages import (
    ClearState,
    DeleteState,
    IncrementState,
    Message,
    SetState,
    UpdateState,
)
from stateward.actors.core.staging import (
    Staged,
    publish,
    publish_committed,
    stage,
    take_back,
)
from tests.actors.core.ledger import SCOPE, audit, contents, everything, new_state
from tests.actors.core.staged import Told, durable_state, send, take

STEP = StepScope("w", "s")


def test_staged_command_is_seen_once_published() -> None:
    """No reader sees a staged command, and its sender knows nothing."""
    state = durable_state()
    told = send(state, SetState(SCOPE, "a", 1))
    assert (contents(state), state.revision, state.latest) == ({}, 0, 1)
    assert told.answers == []
    publish(state, 1)
    assert (contents(state), state.revision) == ({"a": 1}, 1)
    assert told.answers == [1]
    audit(state)


def test_staged_commands_of_one_key_publish_in_order() -> None:
    """Set, delete and set again of a key are seen one after the other."""
    state = durable_state()
    told = [
        send(state, SetState(SCOPE, "a", 1)),
        send(state, DeleteState(SCOPE, "a")),
        send(state, SetState(SCOPE, "a", [3])),
    ]
    seen = []
    for _ in told:
        publish(state, 1)
        seen.append((contents(state), state.keys, state.size))
    assert seen == [({"a": 1}, 1, 2), ({}, 0, 0), ({"a": [3]}, 1, 4)]
    assert [it.answers for it in told] == [[1], [True], [3]]
    audit(state)


def test_step_opened_and_emptied_while_staged_leaves_no_table() -> None:
    """A step that is written and emptied before it was published is gone after."""
    state = durable_state()
    send(state, SetState(STEP, "x", 1))
    send(state, DeleteState(STEP, "x"))
    publish(state, 1)
    assert everything(state) == {"s": {"x": 1}}
    publish(state, 1)
    assert state.steps == {}
    audit(state)


def test_step_emptied_and_written_again_while_staged_keeps_its_table() -> None:
    """What is staged on the emptying of a step is not lost with it."""
    state = durable_state()
    send(state, SetState(STEP, "x", 1))
    publish(state, 1)
    send(state, ClearState(STEP))
    send(state, SetState(STEP, "y", 2))
    publish(state, 1)
    assert everything(state) == {}
    publish(state, 1)
    assert everything(state) == {"s": {"y": 2}}
    audit(state)


def test_drop_rests_on_what_is_staged() -> None:
    """A drop removes what is staged before it, and nothing that comes after."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1))
    send(state, SetState(STEP, "x", 2))
    told = send(state, None)
    send(state, SetState(SCOPE, "b", 3))
    publish(state, 2)
    assert everything(state) == {None: {"a": 1}, "s": {"x": 2}}
    publish(state, 1)
    assert (everything(state), state.keys, state.size) == ({}, 0, 0)
    assert told.answers == [True]
    publish(state, 1)
    assert everything(state) == {None: {"b": 3}}
    audit(state)


def test_totals_count_what_is_staged() -> None:
    """Decisions reckon with staged keys; the published accounting does not."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1))
    assert (state.totals(), state.keys, state.size) == ((1, 2), 0, 0)
    stage(state, Staged(Told(), answer=lambda: None))
    assert state.totals() == (1, 2)
    assert not state.is_empty()


def test_take_back_leaves_everything_as_it_was() -> None:
    """Contents, accounting, steps and revisions are those before; newest goes first."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1))
    send(state, SetState(STEP, "x", 1))
    publish(state, 2)
    before = everything(state), state.keys, state.size, state.latest
    order: list[int] = []
    told = [
        send(state, SetState(SCOPE, "a", 2), lambda: order.append(0)),
        send(state, ClearState(STEP), lambda: order.append(1)),
        send(state, SetState(StepScope("w", "t"), "y", 1), lambda: order.append(2)),
        send(state, None, lambda: order.append(3)),
        send(state, SetState(SCOPE, "b", 5), lambda: order.append(4)),
    ]
    take(state, 2)
    take_back(state, CommitFailedError("disk", effect="unknown"))
    assert (everything(state), state.keys, state.size, state.latest) == before
    assert list(state.steps or ()) == ["s"]
    assert order == [4, 3, 2, 1, 0]
    effects = [it.answers[0].effect for it in told]
    assert effects == ["unknown", "unknown", "none", "none", "none"]
    audit(state)
    again = send(state, SetState(SCOPE, "a", 9))
    publish(state, 1)
    assert again.answers == [3]
    audit(state)


def test_answer_taken_back_has_no_effect() -> None:
    """An answer in the row changes nothing, whoever had taken it."""
    state = durable_state()
    write, read = send(state, SetState(SCOPE, "a", 1)), Told()
    stage(state, Staged(read, answer=lambda: 1))
    take(state, 2)
    take_back(state, CommitFailedError("disk", effect="unknown"))
    assert write.answers[0].effect == "unknown"
    assert read.answers[0].effect == "none"


def test_take_back_keeps_class_and_context_of_the_error() -> None:
    """Each sender gets an error of its own, which says what the store said."""
    state = durable_state()
    told = [send(state, SetState(SCOPE, "a", n)) for n in range(2)]
    take_back(state, CommitFailedError("disk", path="p", effect="none"))
    first, second = (it.answers[0] for it in told)
    assert first is not second
    assert {type(first), type(second)} == {CommitFailedError}
    assert str(first) == "disk"
    assert first.context["path"] == "p"


def test_take_back_brings_the_expiry_back() -> None:
    """An entry whose removal is taken back is still known to expire."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1, ttl=10))
    publish(state, 1)
    for table, key in state.due(11.0):
        event, _ = decide(state, DeleteState(SCOPE, key), 11.0)
        assert table is state.own
        stage(state, Staged(Told(), event=event, answer=lambda: None))
    take_back(state, CommitFailedError("disk", effect="none"))
    assert contents(state, None, 11.0) == {}
    assert [key for _, key in state.due(11.0)] == ["a"]


def test_refusal_waits_in_the_row() -> None:
    """An answer that raises is told as the refusal, when its time has come."""

    def refuse() -> None:
        raise ConflictError("stale")

    state, told = durable_state(), Told()
    send(state, SetState(SCOPE, "a", 1))
    stage(state, Staged(told, answer=refuse))
    publish(state, 1)
    assert told.answers == []
    publish(state, 1)
    assert isinstance(told.answers[0], ConflictError)
    publish(state, 1)
    audit(state)


def test_stage_needs_a_row() -> None:
    """A state without a store stages nothing."""
    with pytest.raises(InvariantError, match="no store"):
        stage(new_state(), Staged(Told(), answer=lambda: None))


def test_take_back_without_a_row_does_nothing() -> None:
    """A state without a store has nothing to take back."""
    state = new_state()
    take_back(state, CommitFailedError("disk"))
    publish(state, 1)
    audit(state)


def interrupt() -> None:
    """Raise what a signal raises."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("finish", ["publish", "take back"])
def test_interrupted_stage_leaves_nothing(finish: str) -> None:
    """A command interrupted before it was in the row does not happen."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1))
    with faults.arm("state.staged", interrupt), pytest.raises(KeyboardInterrupt):
        send(state, UpdateState(SCOPE, {"a": 2, "b": 2}))
    if finish == "publish":
        publish(state, 1)
        assert contents(state) == {"a": 1}
    else:
        take_back(state, CommitFailedError("disk"))
        assert contents(state) == {}
    audit(state)


def test_interrupt_after_the_row_keeps_the_command() -> None:
    """A command that is in the row is published, though it looks under way."""
    state = durable_state()
    send(state, SetState(SCOPE, "a", 1))
    assert state.staged
    state.pending = state.staged[-1].event
    publish(state, 1)
    assert contents(state) == {"a": 1}
    audit(state)


def test_interrupted_take_back_can_be_repeated() -> None:
    """A take-back cut short is finished by the next."""
    send(state := durable_state(), SetState(SCOPE, "a", 0))
    publish(state, 1)
    for value, undone in ((1, interrupt), (2, None)):
        send(state, SetState(SCOPE, "a", value), undone)
    with pytest.raises(KeyboardInterrupt):
        take_back(state, CommitFailedError("disk"))
    for entry in state.staged or ():
        entry.undone = None
    take_back(state, CommitFailedError("disk"))
    assert (contents(state), state.latest) == ({"a": 0}, 1)
    audit(state)


def random_command(chance: Random) -> Message | None:
    """Return any command; `None` for a drop."""
    scope = chance.choice((SCOPE, STEP, StepScope("w", "t")))
    key = chance.choice("abc")
    kind = chance.randrange(12)
    if kind == 0:
        return None
    if kind == 1:
        return ClearState(scope)
    if kind <= 4:
        return DeleteState(scope, key)
    if kind <= 6:
        return UpdateState(scope, {it: chance.randrange(1000) for it in "bcd"})
    if kind == 7:
        return IncrementState(STEP, "n")
    return SetState(scope, key, "x" * chance.randrange(9))


@pytest.mark.parametrize("seed", range(40))
def test_any_commands_publish_as_without_a_store(seed: int) -> None:
    """Published one by one, cut off anywhere, a state is as one that never staged."""
    chance = Random(seed)
    state, plain = durable_state(), new_state()
    waiting: list[Message | None] = []
    for _ in range(150):
        what = chance.random()
        if what < 0.6:
            waiting.append(random_command(chance))
            send(state, waiting[-1])
        elif what < 0.95:
            if waiting:
                command = waiting.pop(0)
                event, _ = (
                    drop(plain, 0.0) if command is None else decide(plain, command, 0.0)
                )
                if event is not None:
                    plain.carry_out(event)
            publish(state, 1)
        else:
            take_back(state, CommitFailedError("disk"))
            waiting.clear()
            audit(state)
            assert set(state.steps or ()) == set(plain.steps or ())
        assert everything(state) == everything(plain)
        now = state.revision, state.keys, state.size
        assert now == (plain.revision, plain.keys, plain.size)
    publish(state, len(waiting))
    audit(state)


def test_take_back_leaves_what_is_committed_already() -> None:
    """The signal of an earlier commit may come after that of one that failed."""
    state = durable_state()
    first = send(state, SetState(SCOPE, "a", 1))
    second = send(state, SetState(SCOPE, "a", 2))
    assert state.staged is not None
    state.staged[0].committed = True
    take_back(state, CommitFailedError("disk", effect="unknown"))
    publish_committed(state)
    assert first.answers == [1]
    assert isinstance(second.answers[0], CommitFailedError)
    assert (contents(state), state.revision) == ({"a": 1}, 1)


def test_answer_that_cannot_be_given_is_refused() -> None:
    """Also one of a command that changes nothing; those after it are answered."""

    class Torn(Told):
        def set(self, value: Any) -> None:
            raise RuntimeError(value)

    state, torn = durable_state(), Torn()
    stage(state, Staged(torn, answer=lambda: 1))
    told = send(state, SetState(SCOPE, "a", 1))
    publish(state, 2)
    assert isinstance(torn.answers[0], OwnerFailedError)
    assert told.answers == [1]


def test_publish_that_fails_at_its_beginning_publishes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is committed is seen, or readers would wait for it for ever."""
    state = durable_state()
    told = send(state, SetState(SCOPE, "a", 1))
    monkeypatch.setattr(Staged, "publish", None)
    publish(state, 1)
    assert (state.revision, state.settled) == (1, 1)
    assert contents(state) == {"a": 1}
    assert isinstance(told.answers[0], OwnerFailedError)
    audit(state)


def test_publication_told_before_is_finished_and_not_told_again() -> None:
    """What was answered, and did not come out of its row, is published all the same."""
    state = durable_state()
    told = send(state, SetState(SCOPE, "a", 1))
    told.set("told")
    publish(state, 1)
    assert told.answers == ["told"]
    assert (contents(state), state.settled) == ({"a": 1}, 1)
    assert not state.staged
    audit(state)


def test_publication_that_fails_after_it_was_told_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug that comes after the answer does not refuse what was answered."""
    state = durable_state()
    told = send(state, SetState(SCOPE, "a", 1))
    told.set("told")
    monkeypatch.setattr(Staged, "publish", None)
    publish(state, 1)
    assert told.answers == ["told"]
    assert (contents(state), state.settled) == ({"a": 1}, 1)
    audit(state)


def test_take_back_told_before_is_finished_and_not_told_again() -> None:
    """Begun again, it refuses those that it had not come to."""
    state = durable_state()
    first, second = (send(state, SetState(SCOPE, "a", value)) for value in (1, 2))
    first.refuse(CommitFailedError("told"))
    take_back(state, CommitFailedError("disk"))
    assert [str(it) for it in first.answers] == ["told"]
    assert [str(it) for it in second.answers] == ["disk"]
    assert (contents(state), state.latest) == ({}, 0)
    assert not state.staged
    audit(state)
