"""`stateward state`: reading and changing the state in a store."""

import json

import pytest

from stateward import (
    CustomScope,
    GlobalScope,
    InvalidScopeError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.cli.state import read_scope, scope_text
from stateward.testing import SimulatedClock
from tests.commands import invoke


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("global", GlobalScope()),
        ("", GlobalScope()),
        ("workflow:w", WorkflowScope("w")),
        ("workflow:w:", WorkflowScope("w")),
        ("workflow:a%3Ab", WorkflowScope("a:b")),
        ("workflow:a/b", WorkflowScope("a/b")),
        ("step:w/load", StepScope("w", "load")),
        ("step:w/enrich/geo", StepScope("w", "enrich/geo")),
        ("workflow:a/b:step:load:", StepScope("a/b", "load")),
        ("custom:billing", CustomScope("billing")),
    ],
)
def test_scope_is_read_as_people_and_prefixes_write_it(
    text: str, scope: StateScope
) -> None:
    """Both spellings lead to the same scope, and prefixes lead back to theirs."""
    assert read_scope(text) == scope
    assert read_scope(scope.prefix()) == scope
    assert read_scope(scope_text(scope)) == scope


@pytest.mark.parametrize(
    "text",
    ["global:", ":", "flow:w", "workflow:", "step:w", "step:w/", "step:/s", "custom:"],
)
def test_scope_that_is_none_is_refused(text: str, manager: StateManager) -> None:
    """The exit code is 2, and the message says what could be meant."""
    with pytest.raises(InvalidScopeError):
        read_scope(text)
    done = invoke(manager, "state", "show", text)
    assert done.exit_code == 2
    assert f"{text!r} is no scope; write global, workflow:ID" in done.stderr
    assert not done.stdout


def test_state_set_is_read_by_get_and_show(manager: StateManager) -> None:
    """A value comes back as the JSON it was, alone and among the others."""
    value = '{"city": "Bonn", "lines": [1, null]}'
    done = invoke(manager, "state", "set", "workflow:w", "address", value)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert manager.workflow_state("w")["address"] == json.loads(value)
    done = invoke(manager, "state", "get", "workflow:w", "address")
    assert (done.exit_code, json.loads(done.stdout)) == (0, json.loads(value))
    done = invoke(manager, "state", "show", "workflow:w", "--json")
    assert json.loads(done.stdout) == {"address": json.loads(value)}


@pytest.mark.parametrize("value", ["-5", "-0.5", "null", "true", '"-"', "[]"])
def test_state_set_takes_any_json(value: str, manager: StateManager) -> None:
    """A negative number is a value and no option."""
    assert invoke(manager, "state", "set", "global", "k", value).exit_code == 0
    assert manager.global_state()["k"] == json.loads(value)


def test_state_set_reads_standard_input(manager: StateManager) -> None:
    """A dash as the value stands for what is piped in."""
    done = invoke(manager, "state", "set", "step:w/s", "k", "-", input="[1,\n2]\n")
    assert done.exit_code == 0
    assert manager.workflow_state("w").step("s")["k"] == [1, 2]


@pytest.mark.parametrize("value", ["{b", "packed", "NaN", ""])
def test_state_set_refuses_malformed_json(value: str, manager: StateManager) -> None:
    """The exit code is 2 and nothing is written."""
    done = invoke(manager, "state", "set", "workflow:w", "k", value)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: VALUE: malformed JSON: ")
    assert done.stderr.count("\n") == 1
    assert dict(manager.workflow_state("w")) == {}


def test_state_set_for_a_time_expires(
    manager: StateManager, clock: SimulatedClock
) -> None:
    """A key with `--ttl` is gone when its seconds are over."""
    args = ("state", "set", "workflow:w", "k", "1", "--ttl", "2.5")
    assert invoke(manager, *args).exit_code == 0
    assert invoke(manager, "state", "get", "workflow:w", "k").stdout == "1\n"
    clock.advance(2.5)
    assert invoke(manager, "state", "get", "workflow:w", "k").exit_code == 1


def test_state_show_shortens_what_is_long(manager: StateManager) -> None:
    """A table has one line for each key and room for 60 characters of its value."""
    manager.global_state().update({"long": "x" * 100, "short": 1})
    done = invoke(manager, "state", "show", "global")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["key", "value"]
    assert sorted(rows[1:]) == [["long", f'"{"x" * 56}...'], ["short", "1"]]


def test_state_keys_are_one_a_line(manager: StateManager) -> None:
    """As JSON they are a list."""
    manager.global_state().update({"a": 1, "b c": 2})
    done = invoke(manager, "state", "keys", "global")
    assert sorted(done.stdout.splitlines()) == ["a", "b c"]
    done = invoke(manager, "state", "keys", "global", "--json")
    assert sorted(json.loads(done.stdout)) == ["a", "b c"]


def test_state_delete_tells_how_many_were_there(manager: StateManager) -> None:
    """The exit code is 1 if one was missing; a key named twice counts once."""
    manager.global_state().update({"a": 1, "b": 2, "c": 3})
    done = invoke(manager, "state", "delete", "global", "a", "b", "a")
    assert (done.exit_code, done.stdout) == (0, "deleted 2 of 2\n")
    done = invoke(manager, "state", "delete", "global", "b", "c")
    assert (done.exit_code, done.stdout) == (1, "deleted 1 of 2\n")
    assert dict(manager.global_state()) == {}
