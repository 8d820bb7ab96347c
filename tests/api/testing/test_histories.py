import asyncio
import threading
from functools import partial

import pytest

from stateward import ConflictError, StateManager, UsageError
from stateward.actors.core.errors import AskTimeoutError
from stateward.testing import Call
from stateward.testing.histories import Footprint, History, Operation, Outcome

GET = Call("get", ("k",))


def failing(error: BaseException) -> None:
    """Raise `error`."""
    raise error


def test_order_is_that_of_invocations_and_replies() -> None:
    """A call inside another one begins later and ends earlier."""
    history = History()
    inner, outer = history.client("inner"), history.client("outer")
    outer.call(GET, lambda: inner.call(GET, lambda: 1))
    assert [
        (each.client, each.invoked, each.returned) for each in history.operations
    ] == [
        ("outer", 0, 3),
        ("inner", 1, 2),
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConflictError("no", expected=1, actual=2), Outcome.REFUSED),
        (AskTimeoutError("late", effect="none"), Outcome.REFUSED),
        (AskTimeoutError("late", effect="unknown"), Outcome.UNKNOWN),
        (OSError("gone"), Outcome.UNKNOWN),
        (KeyboardInterrupt(), Outcome.UNKNOWN),
    ],
)
def test_error_is_a_refusal_only_if_it_says_so(
    error: BaseException, outcome: Outcome
) -> None:
    """What is no `StateError` without effect may have had one, and is raised again."""
    history = History()
    with pytest.raises(type(error)):
        history.client("c").call(GET, partial(failing, error))
    (operation,) = history.operations
    assert operation.outcome is outcome
    assert (operation.returned is None) == (outcome is Outcome.UNKNOWN)
    assert operation.error == type(error).__name__


def test_call_that_goes_on_has_an_unknown_end() -> None:
    """What has not been answered yet is in the history."""
    history = History()
    history.begin("c", lambda: GET)
    (operation,) = history.operations
    assert (operation.outcome, len(history)) == (Outcome.UNKNOWN, 1)
    history.end(0, Outcome.RETURNED, result=1)
    (operation,) = history.operations
    assert (operation.outcome, operation.result) == (Outcome.RETURNED, 1)


def test_result_is_a_copy() -> None:
    """What is changed after it was returned is recorded as it was returned."""
    history, value = History(), [1]
    history.client("c").call(GET, lambda: value)
    value.append(2)
    assert history.operations[0].result == [1]


def test_result_that_is_not_json_is_not_taken_for_a_refusal() -> None:
    """The call has happened, so its end is unknown to the history."""
    history = History()
    with pytest.raises(UsageError, match="not JSON"):
        history.client("c").call(GET, lambda: {1, 2})
    assert history.operations[0].outcome is Outcome.UNKNOWN


def test_entry_is_recorded_as_value_and_revision() -> None:
    """An entry of the library becomes a pair."""
    history = History()
    with StateManager() as manager:
        state = manager.workflow_state("w")
        state["k"] = {"a": [1]}
        call = Call("entry", ("k",))
        history.client("c").call(call, partial(call.on, state))
    assert history.operations[0].result == [{"a": [1]}, 1]


def test_cancelled_call_has_an_unknown_end() -> None:
    """A task that gives up does not know whether it has written."""
    history = History()

    async def main() -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(history.client("c").awaited(GET, forever))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert history.operations[0].error == "CancelledError"
    assert history.operations[0].outcome is Outcome.UNKNOWN


def test_transaction_is_recorded_with_what_it_tells() -> None:
    """What it reads after writing it is left out, and so it is for tasks."""
    history = History()

    def move(seen: Footprint) -> None:
        seen.read("a", 1)
        seen.wrote("b", 2)
        seen.read("b", 2)

    async def move_soon(seen: Footprint) -> None:
        move(seen)

    history.client("c").transact(move)
    asyncio.run(history.client("d").transact_awaited(move_soon))
    for operation in history.operations:
        assert operation.call == Call(
            "transaction", (), (("reads", {"a": 1}), ("writes", {"b": 2}))
        )


def test_lines_of_json_give_the_history_back() -> None:
    """Every outcome, and named arguments, survive, and numbers go on after them."""
    history = History()
    client = history.client("c", on="workflow:w:")
    client.call(Call("set", ("k", [1]), (("expected", 0),)), lambda: 1)
    with pytest.raises(ConflictError):
        client.call(GET, partial(failing, ConflictError("no", expected=1, actual=2)))
    history.begin("d", lambda: GET)
    again = History.from_jsonl(history.to_jsonl())
    assert again.operations == history.operations
    assert again.begin("e", lambda: GET) == 5
    assert str(again).startswith(
        "0-1 c: workflow:w:: set('k', [1], expected=0) gives 1"
    )


@pytest.mark.parametrize("line", ["{}", "[]", "no", '{"call": ["get", ["k"], {}]}'])
def test_line_of_something_else_is_refused(line: str) -> None:
    """What is no operation is named."""
    with pytest.raises(UsageError, match="no operation"):
        Operation.from_json(line)


def test_call_with_a_function_cannot_be_written() -> None:
    """An argument that is not JSON is refused."""
    history = History()
    history.begin("c", lambda: Call("modify", ("k", print)))
    with pytest.raises(UsageError, match="cannot be written"):
        history.to_jsonl()


def test_threads_share_one_order() -> None:
    """No number comes twice, whichever threads ask for one."""
    history = History()

    def work(name: str) -> None:
        client = history.client(name)
        for _ in range(200):
            client.call(GET, lambda: None)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ticks = [each.invoked for each in history.operations]
    ticks += [each.returned for each in history.operations if each.returned is not None]
    assert sorted(ticks) == list(range(1600))
