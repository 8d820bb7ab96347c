import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from stateward import GlobalScope, InvalidKeyError, StateScope, StepScope, WorkflowScope
from stateward.actors.core.scopes import check_key
from stateward.testing.strategies import keys, names, plain_names, scopes, unfit_names

ANY = settings(  # What is found need not be made small, and is the same each time.
    max_examples=2000, derandomize=True, phases=[Phase.generate]
)


@given(key=keys(max_bytes=3), name=names())
def test_names_can_be_keys_of_their_size(key: str, name: str) -> None:
    """Every name is permitted, and no longer than is asked for."""
    check_key(key)
    check_key(name)
    assert len(key.encode()) <= 3


@given(name=plain_names())
def test_plain_names_are_written_as_they_are(name: str) -> None:
    """The written form of a plain name has no escapes."""
    assert WorkflowScope(name).prefix() == f"workflow:{name}:"


@given(name=unfit_names())
def test_unfit_names_are_refused(name: object) -> None:
    """None of them can be a key."""
    with pytest.raises(InvalidKeyError):
        check_key(name)


@given(scope=scopes(kinds=[StepScope], ids=st.just("a")))
def test_scopes_are_of_the_kinds_and_ids_asked_for(scope: StateScope) -> None:
    """A choice of kinds and ids is kept to."""
    assert scope == StepScope("a", "a")


@pytest.mark.parametrize("kind", [GlobalScope, WorkflowScope, StepScope])
def test_scopes_are_of_every_kind(kind: type[StateScope]) -> None:
    """By default each kind comes up."""
    assert isinstance(
        find(scopes(), lambda scope: isinstance(scope, kind), settings=ANY), kind
    )
