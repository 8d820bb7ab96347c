"""What stores hold to for any names and values, as far as no file is needed for it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateward import WorkflowScope
from stateward.actors.core.decider import decide
from stateward.actors.core.limits import Limits
from stateward.actors.core.messages import DeleteState, Message, SetState
from stateward.actors.core.reader import versions
from stateward.actors.core.scopes import StepScope
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.placement import share_of
from stateward.actors.store.ciphers import KEY_BYTES, AeadCipher
from stateward.actors.store.ledger import Ledger
from stateward.actors.store.memory import MemoryJournal
from stateward.actors.store.records import DamagedError
from stateward.actors.store.store import DurableStore

SCOPE = WorkflowScope("w")
Change = tuple[str | None, str, int | None]
"""Step, key and value; `None` for the workflow's own, and for a removal."""

changes = st.lists(
    st.tuples(
        st.sampled_from([None, "s", "t"]),
        st.sampled_from("abc"),
        st.none() | st.integers(0, 9),
    ),
    max_size=12,
)


class NoMark:
    """A mark that is kept nowhere."""

    path = ""
    newest = 0

    def choose(self, _: bytes) -> int:
        """Note nothing."""
        return 0

    def advance(self, _: int) -> None:
        """Note nothing."""

    def close(self) -> None:
        """There is nothing to close."""


def new_store() -> DurableStore:
    """Return an empty store in memory."""
    return DurableStore(Ledger(MemoryJournal(), NoMark(), "memory://"))


def new_state() -> OwnerState:
    """Return the state of an owner that holds nothing."""
    return OwnerState(SCOPE, Limits(), 0, 0.0)


def carry_out(state: OwnerState, some: Sequence[Change]) -> None:
    """Carry out commands, one after the other."""
    for step_name, key, value in some:
        scope = SCOPE if step_name is None else StepScope("w", step_name)
        command: Message = DeleteState(scope, key)
        if value is not None:
            command = SetState(scope, key, value)
        event, _ = decide(state, command, 0.0)
        if event is not None:
            state.carry_out(event)


def contents(state: OwnerState) -> dict[tuple[str | None, str], tuple[object, int]]:
    """Return value and revision of each entry."""
    return {
        (cell.table.step_name, cell.key): (cell.value, cell.revision)
        for cell in versions(state, state.revision)
    }


@pytest.mark.slow
@given(before=changes, meanwhile=changes)
def test_arrival_holds_what_the_owner_held_at_the_end(
    before: list[Change], meanwhile: list[Change]
) -> None:
    """Whatever changes while an owner is sent ahead, the new store has it all."""
    store, state = new_store(), new_state()
    carry_out(state, before)
    arrival = store.arrive(SCOPE)
    arrival.put(list(versions(state, state.revision)))
    arrival.verify()
    carry_out(state, meanwhile)
    arrival.finish(
        versions(state, state.revision),
        revision=state.revision,
        keys=state.keys,
        size=state.size,
        version=None,
    )
    while store.clear_some():
        pass
    arrived = new_state()
    store.load(arrived)
    assert contents(arrived) == contents(state)
    assert (arrived.keys, arrived.size) == (state.keys, state.size)


@pytest.mark.slow
@given(data=st.binary(), place=st.binary(min_size=1), other=st.binary(min_size=1))
def test_sealed_value_opens_in_its_own_place_alone(
    data: bytes, place: bytes, other: bytes
) -> None:
    """What is sealed for one place opens there, and is damaged anywhere else."""
    cipher = AeadCipher(bytes(KEY_BYTES))
    sealed = cipher.seal(data, place)
    assert cipher.open(sealed, place) == data
    if other != place:
        with pytest.raises(DamagedError):
            cipher.open(sealed, other)


@pytest.mark.parametrize(
    ("workflow_id", "share"),
    [("order-123", 0.833314), ("w", 0.551361), ("ü:%", 0.704671)],
)
def test_share_of_a_workflow_is_the_same_in_every_process(
    workflow_id: str, share: float
) -> None:
    """A rollout that goes on after a restart chooses as it did before."""
    assert share_of(workflow_id) == pytest.approx(share, abs=1e-6)


@pytest.mark.slow
@given(ids=st.lists(st.text(), min_size=1))
def test_share_of_any_workflow_is_from_zero_to_below_one(ids: list[str]) -> None:
    """No share is 1, so that a rollout of 1 takes every workflow, and of 0 none."""
    assert all(0 <= share_of(it) < 1 for it in ids)
