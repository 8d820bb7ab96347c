from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome
from stateward.testing.search import Search, Step
from stateward.testing.specifications import Held, Register


def step(name: str, value: int, invoked: int, returned: int | None) -> Step[Held]:
    """Return a step of a register."""
    told = returned is not None
    operation = Operation(
        client="c",
        call=Call(name, ("k", value) if name == "set" else ("k",)),
        invoked=invoked,
        returned=returned,
        outcome=Outcome.RETURNED if told else Outcome.UNKNOWN,
        result=value if name == "get" else None,
    )
    transition = Register().transition(operation)
    assert transition is not None
    return Step(operation, transition)


def test_search_gives_an_order_that_is_one() -> None:
    """What overlaps is put so that each read has its write before it."""
    steps = [step("get", 2, 0, 5), step("set", 1, 1, 4), step("set", 2, 2, 3)]
    found = Search([*steps, step("get", 1, 6, 7)], Register(), 100).run()
    assert found.ok
    assert [each.invoked for each in found.order] == [2, 0, 1, 6]


def test_search_leaves_out_what_nobody_needs() -> None:
    """Of unknown outcomes only those are taken that explain a reply."""
    unknown = [step("set", value, value, None) for value in range(50)]
    found = Search([*unknown, step("get", 7, 60, 61)], Register(), 100).run()
    assert found.ok
    assert [each.invoked for each in found.order] == [7, 60]


def test_search_looks_at_little_where_little_overlaps() -> None:
    """Moments at which nothing goes on cut the history: the effort is linear."""
    steps = [
        step(name, round_, 10 * round_ + at, 10 * round_ + at + 4)
        for round_ in range(100)
        for name, at in (("set", 0), ("get", 1))
    ]
    found = Search(steps, Register(), 1000).run()
    assert found.ok
    assert found.looked_at < 300
