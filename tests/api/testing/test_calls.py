import asyncio

import pytest

from stateward import ConflictError, GlobalScope, StateManager, WorkflowScope
from stateward.messages import AppendState, ClearState, SetState
from stateward.testing import Call, Model
from stateward.testing.calls import FUNCTIONS, MESSAGES, DeliberateError, Expected


def test_call_shows_how_it_would_be_written() -> None:
    """A failing example reads like the code that makes the call."""
    call = Call("set", ("k", [1]), (("ttl", 5), ("expected", Expected.CURRENT)))
    assert repr(call) == "set('k', [1], ttl=5, expected=<Expected.CURRENT: 'current'>)"
    assert repr(Call("modify", ("k", FUNCTIONS[1]))) == "modify('k', wrap)"


def test_call_does_the_same_to_a_handle_and_to_a_model() -> None:
    """One call has the same result and effect on both."""
    scope = WorkflowScope("w")
    with StateManager() as manager:
        state, model = manager.state(scope), Model().scope(scope)
        for call in (Call("set", ("k", 1)), Call("increment", ("k", 2))):
            assert call.on(state) == call.on(model)
        assert dict(state) == dict(model) == {"k": 3}


def test_call_gives_away_no_value() -> None:
    """What a call sets can be changed by nobody who keeps the call."""
    model = Model().scope(GlobalScope())
    call = Call("set", ("k", [1]))
    call.on(model)
    call.args[1].append(2)
    assert model["k"] == [1]


def test_call_knows_the_revision_it_expects() -> None:
    """`CURRENT` is met and `STALE` is not, whether the key is there or not."""
    with StateManager() as manager:
        state = manager.global_state()
        for _ in range(2):
            Call("set", ("k", 1), (("expected", Expected.CURRENT),)).on(state)
        for key in ("k", "absent"):
            with pytest.raises(ConflictError):
                Call("set", (key, 2), (("expected", Expected.STALE),)).on(state)
        Call("set", ("k", 3), (("expected", Expected.STALE),)).unconditional().on(state)
        assert dict(state) == {"k": 3}


def test_call_can_be_awaited() -> None:
    """On an asyncio handle a write is awaited, and a read is not."""
    with StateManager() as manager:
        state = manager.global_state().aio
        assert asyncio.run(Call("increment", ("k", 2)).awaited(state)) == 2
        assert asyncio.run(Call("get", ("k",)).awaited(state)) == 2


def test_call_can_be_sent() -> None:
    """Each call that a message stands for makes that message."""
    scope = GlobalScope()
    sent = Call("set", ("k", 1), (("ttl", 5),)).message(scope)
    assert isinstance(sent, SetState)
    assert (sent.scope, sent.key, sent.ttl) == (scope, "k", 5)
    assert isinstance(Call("append", ("k", 1, 2)).message(scope), AppendState)
    assert isinstance(Call("clear", ()).message(scope), ClearState)


def test_call_sent_does_what_it_does_on_a_handle() -> None:
    """The supervisor answers as the handle does, for each message there is."""
    arguments: dict[str, tuple[object, ...]]
    arguments = {"clear": (), "popitem": (), "update": ({"k": 1},), "set": ("k", 1)}
    arguments |= {"delete_many": (["k"],), "merge": ("k", {}), "append": ("k", 1)}
    arguments |= {"modify": ("k", FUNCTIONS[0]), "setdefault": ("k", 1)}
    for name in MESSAGES.keys() - {"clear"}:  # which tells how many there were
        call = Call(name, arguments.get(name, ("k",)))
        with StateManager() as one, StateManager() as other:
            for manager in (one, other):
                manager.global_state()["k"] = [1] if name == "append" else 1
            told = one.supervisor.ask(call.message(GlobalScope()))
            assert told == call.on(other.global_state()), name
            assert one.global_state() == other.global_state(), name


def test_function_can_fail_on_purpose() -> None:
    """A test tells what it raised itself from what the library raises."""
    (fail,) = (function for function in FUNCTIONS if function.name == "fail")
    with StateManager() as manager, pytest.raises(DeliberateError):
        Call("modify", ("k", fail)).on(manager.global_state())
