"""The placement: which store keeps which owner, also in the middle of a move."""

from collections.abc import Iterator
from typing import Any

from stateward import CustomScope, GlobalScope, WorkflowScope
from stateward.actors.core.limits import Limits
from stateward.actors.core.scopes import OwnerScope
from stateward.actors.core.state import OwnerState
from stateward.actors.runtime.placement import Placement, share_of

W = WorkflowScope("w")


class HeldStore:
    """A `Store` that holds owners at revisions, and says what is loaded from it."""

    floor = 0

    def __init__(self, **held: int) -> None:
        """Hold workflows."""
        self.held = held
        self.loads = 0

    def holds(self, scope: OwnerScope) -> int | None:
        """Return the revision of a workflow."""
        return self.held.get(getattr(scope, "workflow_id", ""))

    def load(self, state: OwnerState, *, anew: bool = False) -> None:
        """Count."""
        assert anew, "in a move, one that was here before may begin here again"
        self.loads += 1
        state.begin_at(self.holds(state.scope) or 0, 0, 0)

    def usages(self) -> Iterator[tuple[OwnerScope, int, int, int]]:
        """Yield each workflow."""
        for name in self.held:
            yield WorkflowScope(name), 1, 1, 1


def placed(origin: Any, target: Any, rollout: float = 1.0) -> Placement:
    """Return a placement in the middle of a move."""
    placement = Placement(origin)
    placement.target, placement.rollout = target, rollout
    return placement


def new() -> OwnerState:
    """Return the state of `w` to load."""
    return OwnerState(W, Limits(), 0, 0.0)


def test_share_is_spread_evenly_and_stays() -> None:
    """A share of the workflows is chosen, always the same ones."""
    shares = [share_of(f"w{n}") for n in range(2000)]
    assert shares == [share_of(f"w{n}") for n in range(2000)]
    for limit in (0.1, 0.5, 0.9):
        chosen = sum(share < limit for share in shares)
        assert abs(chosen - 2000 * limit) < 100
    assert share_of("w") == 0.5513609806284059


def test_wanted_takes_global_and_custom_state_last() -> None:
    """They follow once all workflows are to be there."""
    one: Any = HeldStore()
    two: Any = HeldStore()
    for scope in (GlobalScope(), CustomScope("n")):
        assert placed(one, two, 0.9999).wanted(scope) is one
        assert placed(one, two).wanted(scope) is two
    assert placed(one, two, 0.56).wanted(W) is two
    assert placed(one, two, 0.55).wanted(W) is one
    assert Placement(one).wanted(W) is one
    assert placed(None, two, 0).wanted(W) is None


def test_load_takes_the_later_of_two() -> None:
    """An owner that both stores hold is where its later revision is."""
    for first, second, loads in ((3, 2, (1, 0)), (2, 3, (0, 1)), (3, 3, (0, 1))):
        one, two = HeldStore(w=first), HeldStore(w=second)
        assert placed(one, two).load(new())
        assert (one.loads, two.loads) == loads


def test_load_begins_where_an_owner_is_wanted() -> None:
    """What no store holds begins where it is to be; on its way, where it was."""
    one, two = HeldStore(), HeldStore()
    placement = placed(one, two)
    assert placement.load(new())
    assert (one.loads, two.loads) == (0, 1)
    placement.moving[W] = placement.origin
    assert placement.load(new())
    assert (one.loads, two.loads) == (1, 1)
    placement.moving[W] = None
    assert not placement.load(new())


def test_load_begins_above_every_floor() -> None:
    """No revision is given out twice, wherever an owner was before."""
    one, two = HeldStore(), HeldStore()
    placement = placed(one, two)
    for place, floor in ((one, 7), (two, 8), (placement, 9)):
        setattr(place, "least" if place is placement else "floor", floor)
        state = new()
        placement.load(state)
        assert state.revision == floor
    assert Placement(None).floor == 0


def test_void_copy_in_the_target_counts_for_nothing() -> None:
    """An owner in memory is not looked for where it failed to arrive."""
    two = HeldStore(w=5, v=1)
    placement = placed(None, two, 0)
    assert set(placement.misplaced()) == {W, WorkflowScope("v")}
    placement.void.add(W)
    assert not placement.load(new())
    assert [usage[0] for usage in placement.usages()] == [WorkflowScope("v")]
    assert list(placement.misplaced()) == [WorkflowScope("v")]
