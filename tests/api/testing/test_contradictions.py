from stateward.testing.contradictions import Narrowing
from stateward.testing.search import Step
from stateward.testing.specifications import Held, Register
from tests.api.testing.test_search import step


def refuted(*steps: Step[Held]) -> list[int]:
    """Return when the operations of the contradiction began."""
    found = Narrowing(list(steps), Register(), 10_000).contradiction()
    return [each.invoked for each in found.replies]


def test_contradiction_ends_with_the_earliest_reply_that_has_no_explanation() -> None:
    """What is wrong later is not shown, nor is what began after it."""
    assert refuted(
        step("set", 1, 0, 1), step("get", 2, 2, 3), step("get", 3, 4, 5)
    ) == [2]


def test_contradiction_leaves_out_replies_that_have_no_part_in_it() -> None:
    """Only the two writes in order and the read of the first are left of many."""
    others = [step("set", 100 + n, 4 + 2 * n, 5 + 2 * n) for n in range(20)]
    late = [step("set", 1, 0, 1), *others, step("get", 1, 90, 91)]
    begun = refuted(*late)
    assert begun[0] == 0
    assert begun[-1] == 90
    assert len(begun) == 3


def test_contradiction_says_what_can_be_held() -> None:
    """Both writes that were under way may have been the last one."""
    steps = [step("set", 1, 0, 2), step("set", 2, 1, 3), step("get", 3, 4, 5)]
    found = Narrowing(steps, Register(), 10_000).contradiction()
    assert {held.value for held in found.held} == {"1", "2"}
    assert len(found.order) == 2
