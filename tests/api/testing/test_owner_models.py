import pytest

from stateward import (
    ByteCountError,
    GlobalScope,
    KeyCountError,
    LimitError,
    Limits,
    StateManager,
    WorkflowScope,
)
from stateward.testing.owner_models import OwnerModel, Put, World


def owner_with(limits: Limits | None = None) -> OwnerModel:
    """Return an owner at revision 0."""
    world = World(
        now=lambda: 1.0,
        limits=limits or Limits(),
        revision_of=lambda owner: owner.revision + 1,
    )
    return OwnerModel(world, WorkflowScope("w"))


def test_command_has_one_revision_for_all_its_changes() -> None:
    """Entries of one command share a revision, which the next one is above."""
    owner = owner_with()
    owner.carry_out({(None, "a"): Put(1, None), ("step", "b"): Put(2, None)})
    assert [owner.revision_at((None, "a")), owner.revision_at(("step", "b"))] == [1, 1]
    owner.carry_out({(None, "a"): None})
    assert (owner.revision, owner.find((None, "a"))) == (2, None)
    assert owner.touched == {None: 2, "step": 1}


def test_command_without_effect_has_no_revision() -> None:
    """Removing what is not there leaves the owner where it is."""
    owner = owner_with()
    assert owner.carry_out({(None, "a"): None}) == 0


def test_step_without_entries_is_not_there() -> None:
    """A step goes with its last entry, and the owner's own scope stays."""
    owner = owner_with()
    owner.carry_out({("step", "b"): Put(2, None)})
    owner.carry_out({("step", "b"): None})
    assert list(owner.tables) == [None]


@pytest.mark.parametrize(
    ("limits", "error"),
    [(Limits(max_keys=1), KeyCountError), (Limits(max_bytes=3), ByteCountError)],
)
def test_limit_is_for_all_an_owner_holds(
    limits: Limits, error: type[LimitError]
) -> None:
    """Keys and bytes are counted over all steps, and may shrink when over the limit."""
    owner = owner_with(limits)
    owner.carry_out({(None, "a"): Put(10, None)})
    with pytest.raises(error):
        owner.carry_out({("step", "b"): Put(1, None)})
    assert (owner.keys, owner.size_bytes, owner.revision) == (1, 3, 1)
    owner.limits = Limits(max_bytes=1)
    owner.carry_out({(None, "a"): Put(1, None)})
    assert owner.size_bytes == 2


def test_revisions_and_times_are_taken_over() -> None:
    """An owner that adopts has the manager's revisions, and its own values."""
    with StateManager() as manager:
        state = manager.global_state()
        for _ in range(3):
            state.set("k", "theirs")
        owner = OwnerModel(owner_with()._world, GlobalScope())
        owner.carry_out({(None, "k"): Put("ours", None)})
        owner.adopt(state.revision, lambda _, key: state.entry(key))
        held = owner.find((None, "k"))
        assert held is not None
        assert (held.value, held.revision, owner.revision) == ("ours", 3, 3)
        state.clear()
        with pytest.raises(AssertionError, match="'k' is not in"):
            owner.adopt(state.revision, lambda _, key: state.entry(key))
