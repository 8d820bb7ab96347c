"""Written names: no two scopes, and no two pairs of scope and key, share one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stateward import (
    CustomScope,
    GlobalScope,
    InvalidKeyError,
    InvalidScopeError,
    StateManager,
    StateScope,
    StepScope,
    WorkflowScope,
    parse_name,
    parse_scope,
    qualified_name,
)
from stateward.testing.strategies import names, plain_names, scopes, unfit_names

WRITTEN = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(
            ("workflow", "custom", "step", ":", "a", "%", "%3A", "%3a", "%25", "")
        ),
        max_size=8,
    ).map("".join),
    st.lists(st.sampled_from(("workflow", "custom", "step", "a", "", "%25"))).map(
        ":".join
    ),
    st.tuples(scopes(), names()).map(lambda pair: pair[0].prefix() + pair[1]),
)
"""Text that might be taken for a written scope or name."""


# Seen to fail when `escape` leaves `%` alone, and when `prefix` does not escape ids.
@given(left=scopes(), right=scopes())
@example(left=WorkflowScope("a:step:b"), right=StepScope("a", "b"))
@example(left=WorkflowScope("a:b"), right=WorkflowScope("a%3Ab"))
@example(left=WorkflowScope("a%3Ab"), right=WorkflowScope("a%253Ab"))
@example(left=CustomScope("a:"), right=CustomScope("a%3A"))
def test_scope_prefix_is_injective(left: StateScope, right: StateScope) -> None:
    """Two scopes share a prefix only when they are the same scope."""
    assert (left.prefix() == right.prefix()) == (left == right)


# Seen to fail when `qualified_name` does not escape the key.
@given(left=st.tuples(scopes(), names()), right=st.tuples(scopes(), names()))
@example(left=(GlobalScope(), "workflow:a:k"), right=(WorkflowScope("a"), "k"))
@example(left=(WorkflowScope("a"), "step:b:k"), right=(StepScope("a", "b"), "k"))
def test_qualified_name_is_injective(
    left: tuple[StateScope, str], right: tuple[StateScope, str]
) -> None:
    """Two pairs of scope and key share a name only when they are the same pair."""
    assert (qualified_name(*left) == qualified_name(*right)) == (left == right)


# Seen to fail when `unescape` undoes `%25` before `%3A`.
@given(scope=scopes())
@example(scope=WorkflowScope("%3A"))
@example(scope=StepScope("a:step:b", "%253A"))
def test_scope_prefix_parses_back(scope: StateScope) -> None:
    """A written scope is read as the scope that was written."""
    assert parse_scope(scope.prefix()) == scope


@given(scope=scopes(), key=names())
def test_qualified_name_parses_back(scope: StateScope, key: str) -> None:
    """A written name is read as the scope and the key that were written."""
    assert parse_name(qualified_name(scope, key)) == (scope, key)


# Seen to fail when `parse_scope` leaves out its last comparison.
@given(text=WRITTEN)
@example(text="workflow:%3a:")
@example(text="workflow:%:")
@example(text="workflow:a:step::")
@example(text="custom:a")
def test_scope_parser_refuses_what_is_not_a_prefix(text: str) -> None:
    """Any text is either refused or exactly the prefix of the scope it is read as."""
    try:
        scope = parse_scope(text)
    except InvalidScopeError:
        return
    assert scope.prefix() == text


# Seen to fail when `parse_name` leaves out its comparison of the key.
@given(text=WRITTEN)
@example(text="workflow:a:k%3a")
@example(text="workflow:a:")
@example(text="%")
def test_name_parser_refuses_what_is_not_a_name(text: str) -> None:
    """Any text is either refused or exactly the name of what it is read as."""
    try:
        scope, key = parse_name(text)
    except (InvalidScopeError, InvalidKeyError):
        return
    assert qualified_name(scope, key) == text


# Seen to fail when `escape` also escapes the space.
@given(first=plain_names(), second=plain_names(), key=plain_names())
def test_scope_prefix_is_the_specified_one_for_plain_ids(
    first: str, second: str, key: str
) -> None:
    """Names without `:` and `%` are written byte for byte as the specification says."""
    assert GlobalScope().prefix() == ""
    assert WorkflowScope(first).prefix() == f"workflow:{first}:"
    assert StepScope(first, second).prefix() == f"workflow:{first}:step:{second}:"
    assert CustomScope(first).prefix() == f"custom:{first}:"
    assert qualified_name(WorkflowScope(first), key) == f"workflow:{first}:{key}"


# Seen to fail when `_fault` does not look for lone surrogates.
@given(unfit=unfit_names(), fit=names())
def test_scopes_refuse_what_cannot_be_an_id(unfit: object, fit: str) -> None:
    """What is no id is refused by every kind of scope, in every place."""
    for build in (
        lambda: WorkflowScope(unfit),  # type: ignore[arg-type]  # that is the test
        lambda: CustomScope(unfit),  # type: ignore[arg-type]  # that is the test
        lambda: StepScope(unfit, fit),  # type: ignore[arg-type]  # that is the test
        lambda: StepScope(fit, unfit),  # type: ignore[arg-type]  # that is the test
    ):
        with pytest.raises(InvalidScopeError):
            build()
    with pytest.raises(InvalidKeyError):
        qualified_name(GlobalScope(), unfit)  # type: ignore[arg-type]  # as above


# Seen to fail when handles keep their entries under `prefix() + key`, unescaped, and
# when `StepScope.owner` is a scope whose id is cut at its first `:`.
@given(pairs=st.lists(st.tuples(scopes(), names()), max_size=8, unique=True))
@example(pairs=[(WorkflowScope("a:step:b"), "k"), (StepScope("a", "b"), "k")])
@example(pairs=[(WorkflowScope("a:b"), "k"), (WorkflowScope("a%3Ab"), "k")])
def test_scopes_stay_apart_for_any_names(pairs: list[tuple[StateScope, str]]) -> None:
    """What is written under one pair of scope and key is read under no other."""
    with StateManager() as manager:
        for number, (scope, key) in enumerate(pairs):
            manager.state(scope).set(key, number)
        for number, (scope, key) in enumerate(pairs):
            assert manager.state(scope).get(key) == number
            mine = [other for where, other in pairs if where == scope]
            assert sorted(manager.state(scope)) == sorted(mine)
        workflows = {getattr(scope, "workflow_id", None) for scope, _ in pairs}
        assert set(manager.workflow_ids()) == workflows - {None}
        assert manager.stats().keys == len(pairs)
