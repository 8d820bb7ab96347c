from dataclasses import FrozenInstanceError
from typing import Final

import pytest

from stateward import (
    CustomScope,
    GlobalScope,
    InvalidKeyError,
    InvalidScopeError,
    StateScope,
    StepScope,
    WorkflowScope,
    parse_name,
    parse_scope,
    qualified_name,
)
from stateward.actors.core.scopes import check_key, escape, unescape, utf8_bytes
from tests.hostile import AWKWARD_NAMES, REFUSED_NAMES, label
from tests.support import repickled

PLAIN: Final[dict[str, StateScope]] = {
    "": GlobalScope(),
    "workflow:order-123:": WorkflowScope("order-123"),
    "workflow:order-123:step:process_data:": StepScope("order-123", "process_data"),
    "custom:cache:": CustomScope("cache"),
}
"""Written as the specification writes them."""


@pytest.mark.parametrize(("prefix", "scope"), PLAIN.items())
def test_prefix_is_the_specified_string_for_plain_ids(
    prefix: str, scope: StateScope
) -> None:
    """A scope without `:` and `%` is written byte for byte as specified."""
    assert scope.prefix() == prefix
    assert parse_scope(prefix) == scope


def test_prefix_is_escaped_where_an_id_has_colons_and_percents() -> None:
    """Of an id only `:` and `%` are written differently."""
    scope = StepScope("a:b%c/d", "%3A")
    assert scope.prefix() == "workflow:a%3Ab%25c/d:step:%253A:"


def test_scopes_parse_back_for_awkward_ids() -> None:
    """No two scopes of awkward ids share a prefix, and each parses back to itself."""
    scopes: list[StateScope] = [
        *map(WorkflowScope, AWKWARD_NAMES),
        *map(CustomScope, AWKWARD_NAMES),
        *(StepScope(one, other) for one in AWKWARD_NAMES for other in AWKWARD_NAMES),
    ]
    assert len({scope.prefix() for scope in scopes}) == len(scopes)
    assert [parse_scope(scope.prefix()) for scope in scopes] == scopes


def test_names_parse_back_for_awkward_ids_and_keys() -> None:
    """No two pairs of scope and key share a name, and each parses back to itself."""
    scopes: list[StateScope] = [
        GlobalScope(),
        *map(WorkflowScope, AWKWARD_NAMES),
        *map(CustomScope, AWKWARD_NAMES),
        StepScope("a", "b"),
    ]
    pairs = [(scope, key) for scope in scopes for key in AWKWARD_NAMES]
    names = [qualified_name(scope, key) for scope, key in pairs]
    assert len(set(names)) == len(names)
    assert [parse_name(name) for name in names] == pairs


def test_scope_is_no_other_when_its_id_looks_like_a_prefix() -> None:
    """The workflow `a:step:b` is not the step `b` of the workflow `a`."""
    workflow, step = WorkflowScope("a:step:b"), StepScope("a", "b")
    assert len({workflow, step, workflow.prefix(), step.prefix()}) == 4
    assert qualified_name(GlobalScope(), "workflow:a:k") != qualified_name(
        WorkflowScope("a"), "k"
    )


@pytest.mark.parametrize(
    "prefix",
    [
        "workflow",
        "workflow:",
        "workflow:a",
        "workflow::",
        "workflow:a:step:",
        "workflow:a:step:b",
        "workflow:a:step::",
        "workflow::step:b:",
        "workflow:a:leap:b:",
        "workflow:a:step:b:c:",
        "custom:",
        "custom::",
        "custom:a:b:",
        "Workflow:a:",
        " ",
        ":",
        "::",
        "workflow:%3a:",
        "workflow:%:",
        "workflow:%2:",
        "workflow:%41:",
        "workflow:a\0:",
        "custom:\ud800:",
    ],
)
def test_parse_scope_refuses_what_no_scope_is_written_like(prefix: str) -> None:
    """A prefix that `prefix()` never returns is refused, and changes nothing."""
    with pytest.raises(InvalidScopeError) as caught:
        parse_scope(prefix)
    assert caught.value.effect == "none"


@pytest.mark.parametrize(
    "name", ["", "workflow:a:", "custom:a:\0", "\ud800", "%", "%3a"]
)
def test_parse_name_refuses_what_no_key_is_written_like(name: str) -> None:
    """A name whose last part `escape` never returns for a key is refused."""
    with pytest.raises(InvalidKeyError):
        parse_name(name)


@pytest.mark.parametrize("name", ["a:b", "workflow:a", "workflow:a:step:b", ":k"])
def test_parse_name_refuses_what_no_scope_is_written_like(name: str) -> None:
    """A name whose part before the last `:` is no scope is refused."""
    with pytest.raises(InvalidScopeError):
        parse_name(name)


@pytest.mark.parametrize(("text", "fault"), REFUSED_NAMES)
def test_ids_are_refused_with_the_reason(text: str, fault: str) -> None:
    """Each part of each scope is held to the same rules, and the message says which."""
    for make, what in (
        (lambda: WorkflowScope(text), "workflow id"),
        (lambda: StepScope(text, "b"), "workflow id"),
        (lambda: StepScope("a", text), "step name"),
        (lambda: CustomScope(text), "namespace"),
    ):
        with pytest.raises(InvalidScopeError) as caught:
            make()
        assert str(caught.value) == f"{what} {text!r} {fault}"
        assert caught.value.context == {"value": repr(text)}


@pytest.mark.parametrize(("text", "fault"), REFUSED_NAMES)
def test_keys_are_refused_with_the_reason(text: str, fault: str) -> None:
    """A key is held to the rules of ids, and the message says which it breaks."""
    with pytest.raises(InvalidKeyError) as caught:
        check_key(text)
    assert str(caught.value) == f"key {text!r} {fault}"
    with pytest.raises(InvalidKeyError):
        qualified_name(GlobalScope(), text)


@pytest.mark.parametrize("text", AWKWARD_NAMES, ids=label)
def test_keys_are_accepted_whatever_else_they_hold(text: str) -> None:
    """Anything but NUL and lone surrogates may stand in a key."""
    check_key(text)


@pytest.mark.parametrize(("length", "cut"), [(77, False), (78, True), (10_000, True)])
def test_messages_stay_short_for_long_ids(length: int, cut: bool) -> None:
    """Of an id whose `repr` is over 80 characters, a message shows the first 60."""
    with pytest.raises(InvalidKeyError) as caught:
        check_key("x" * (length - 3) + "\0")
    message = str(caught.value)
    assert (f"... ({length + 3} characters)" in message) is cut
    assert len(message) < 160


def test_scopes_are_frozen_values() -> None:
    """Equal scopes are one dictionary key, and none can be changed."""
    assert len({StepScope("a", "b"), StepScope("a", "b"), StepScope("a", "c")}) == 2
    scope = WorkflowScope("a")
    with pytest.raises(FrozenInstanceError):
        scope.workflow_id = "b"  # type: ignore[misc]  # what must not be possible


def test_scopes_differ_in_kind_for_the_same_id() -> None:
    """A workflow and a namespace of the same name are two scopes."""
    assert len({GlobalScope(), WorkflowScope("a"), CustomScope("a")}) == 3


@pytest.mark.parametrize("scope", PLAIN.values())
def test_scopes_pickle_to_equal_ones(scope: StateScope) -> None:
    """A scope comes back equal from another process."""
    assert repickled(scope) == scope


def test_owner_is_the_workflow_for_a_step_and_itself_for_others() -> None:
    """A step has no owner of its own."""
    assert StepScope("a", "b").owner == WorkflowScope("a")
    for scope in (GlobalScope(), WorkflowScope("a"), CustomScope("a")):
        assert scope.owner is scope
        assert scope.step_name is None


@pytest.mark.parametrize("text", [*AWKWARD_NAMES, ""], ids=label)
def test_escape_is_undone_by_unescape(text: str) -> None:
    """What is escaped has no `:` and comes back as it was."""
    assert ":" not in escape(text)
    assert unescape(escape(text)) == text


@pytest.mark.parametrize(
    "text", ["", "a", "\xe9", "\u20ac", "\N{PILE OF POO}", "a\xe9"]
)
def test_utf8_bytes_counts_encoded_bytes(text: str) -> None:
    """Length is counted in bytes of UTF-8, whatever the characters."""
    assert utf8_bytes(text) == len(text.encode())
