from typing import get_args

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from stateward import GlobalScope, StateManager, StateScope
from stateward.messages import Message
from stateward.testing import Call, Model, TransactionModel
from stateward.testing.harness import outcome
from stateward.testing.strategies import Kind, commands, messages

ANY = settings(  # What is found need not be made small, and is the same each time.
    max_examples=2000, derandomize=True, phases=[Phase.generate]
)


KEYS = st.sampled_from("ab")


@pytest.mark.slow
@given(calls=st.lists(commands(keys=KEYS), max_size=5))
def test_commands_can_be_made_on_a_handle(calls: list[Call]) -> None:
    """Each call is answered or refused by the library, and none is a wrong call."""
    with StateManager() as manager:
        for call in calls:
            outcome(lambda call=call: call.on(manager.global_state()))  # type: ignore[misc]  # cannot be inferred


@pytest.mark.slow
@given(calls=st.lists(commands("transaction", keys=KEYS), max_size=5))
def test_commands_of_a_transaction_can_be_made_in_one(calls: list[Call]) -> None:
    """Each is a call of a scope in a transaction, and of its model."""
    with StateManager() as manager:
        real = manager.global_state().transaction()
        view = TransactionModel(Model(), GlobalScope()).workflow()
        for call in calls:
            for target in (real, view):
                outcome(lambda call=call, target=target: call.on(target))  # type: ignore[misc]  # cannot be inferred


@pytest.mark.parametrize("kind", get_args(Kind))
def test_commands_are_of_the_kind_asked_for(kind: Kind) -> None:
    """A read is none of the changes, and every kind has calls of its own."""
    names = {
        "write": "merge",
        "read": "snapshot",
        "mapping": "__setitem__",
        "message": "get",
        "transaction": "__len__",
    }
    name = names[kind]
    assert (
        find(commands(kind), lambda call: call.name == name, settings=ANY).name == name
    )


@given(call=commands(leave_out={"clear", "set"}))
def test_commands_leave_out_what_is_not_wanted(call: Call) -> None:
    """A method that is left out is not called."""
    assert call.name not in {"clear", "set"}


@pytest.mark.slow
def test_commands_show_how_they_would_be_written() -> None:
    """A call that was drawn is shown as code, and not by how it was drawn."""
    found = find(
        commands("write", keys=KEYS),
        lambda call: call.name == "set" and bool(call.named),
    )
    assert repr(found).startswith("set('a', 0, ")


@pytest.mark.slow
@given(message=messages(scopes=st.just(GlobalScope()), keys=KEYS))
def test_messages_can_be_sent(message: Message) -> None:
    """The supervisor answers each, or refuses it as it does a call."""
    with StateManager() as manager:
        scope: StateScope = message.scope
        assert scope == GlobalScope()
        outcome(lambda: manager.supervisor.ask(message))
