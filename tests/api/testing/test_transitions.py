from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.transitions import Specification, Transition


class Queue(Specification[tuple[object, ...]]):
    """What is put first is taken first."""

    initial: tuple[object, ...] = ()

    def transition(self, operation: Operation) -> Transition[tuple[object, ...]]:
        """Put or take."""
        if operation.call.name == "put":
            item = operation.call.args[0]
            return Transition(apply=lambda held: (*held, item))
        return Transition(
            apply=lambda held: held[1:] if held[:1] == (operation.result,) else None
        )


def run(*calls: tuple[str, object], on: str = "") -> list[Operation]:
    """Return calls that were made one after the other."""
    return [
        Operation(
            client="c",
            call=Call(name, (value,) if name == "put" else ()),
            on=on,
            invoked=2 * place,
            returned=2 * place + 1,
            outcome=Outcome.RETURNED,
            result=None if name == "put" else str(value),
        )
        for place, (name, value) in enumerate(calls)
    ]


def test_specification_of_a_user_is_enough_by_itself() -> None:
    """A transition that says only what happens is checked, if more slowly."""
    right = run(("put", "a"), ("put", "b"), ("take", "a"), ("take", "b"))
    wrong = run(("put", "a"), ("put", "b"), ("take", "b"))
    assert check_history(right, Queue()).ok
    verdict = check_history(wrong, Queue())
    assert not verdict.ok
    assert verdict.held == ("('a', 'b')",)


def test_specification_parts_by_what_calls_are_made_on() -> None:
    """Without a word on it, each thing is checked by itself."""
    taken = run(("put", "a"), on="one") + run(("take", "a"), on="other")
    assert check_history(taken, Queue()).partition == "other"
