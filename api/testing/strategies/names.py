"""Strategies for names: ids, step names, namespaces, keys, and the scopes they make."""

from collections.abc import Collection
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stateward import (
    CustomScope,
    GlobalScope,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.testing.strategies.words import Text, Word

FRAGMENTS: Final = (
    *("a", "b", "ab", ":", "::", "%", "%%", "%3A", "%3a", "%25", "%253A", "3A", "25"),
    *("step", ":step:", "workflow:", "custom:", "workflow:a:", "a:step:b", "\n", " "),
    *("é", "e\u0301", "\u0301", "ß", "\u1e9e", "\u200b", "\ufeff", "\u202e", "\u00a0"),
    *("\U0001d4b3", "\U0010ffff", "\uffff", "\x01", "\x7f", "\x85", "\u2028", "\r\n"),
    *("\t", "'", '"', "\\", "/", ".."),
)
"""Parts of names: pieces of the written form, its escapes, and awkward Unicode."""

LOOK_ALIKES: Final = (
    *("a", "b", "a:step:b", "a%3Astep%3Ab", "a%253Astep%253Ab", "a:", ":a", "a:step"),
    *("a:step:", "step:b", "workflow:a", "workflow:a:", "custom:a:", "a%3A", "%3Aa"),
    *("A", "a ", "a\n", "aa", "\u00e1", "a\u0301", "step", "workflow", "custom", ":"),
    *("%", "%3A", "%3a", "%25", "%253A"),
)
"""Names that some way of writing them down takes for one another."""

ALL_KINDS: Final = (GlobalScope, WorkflowScope, StepScope, CustomScope)
_LONGEST: Final = 64  # bytes; none of the names below has more


def names(*, max_bytes: int = 512) -> SearchStrategy[str]:
    """Return ids, step names, namespaces and keys alike: any permitted text.

    Args:
        max_bytes: Of UTF-8 that a name may have, >= 1: `Limits.max_key_bytes`.
    """
    drawn = st.one_of(
        st.sampled_from(LOOK_ALIKES),
        st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=5).map("".join),
        st.text(characters("\0"), min_size=1, max_size=12),
    )
    if max_bytes >= _LONGEST:
        return drawn
    return drawn.filter(lambda name: len(name.encode()) <= max_bytes)


def keys(*, max_bytes: int = 512) -> SearchStrategy[str]:
    """Return keys: any text that can be one, some of it easily taken for another.

    Args:
        max_bytes: Of UTF-8 that a key may have, >= 1: `Limits.max_key_bytes`.
    """
    return names(max_bytes=max_bytes)


def plain_names() -> SearchStrategy[str]:
    """Return names without `:` and `%`, which are written as they are."""
    return st.text(characters("\0:%"), min_size=1, max_size=12)


def unfit_names() -> SearchStrategy[object]:
    """Return what can be neither an id nor a key."""
    text = st.text(characters("\0"), max_size=6)
    bad = st.sampled_from(("\0", "\ud800", "\udfff", "\udc80"))
    return st.one_of(
        st.just(""),
        st.tuples(text, bad, text).map("".join),
        st.sampled_from((None, 0, 1.5, True, b"a", ("a",), Text("a"), Word.ONE)),
    )


def scopes(
    *,
    kinds: Collection[type[StateScope]] = ALL_KINDS,
    ids: SearchStrategy[str] | None = None,
) -> SearchStrategy[StateScope]:
    """Return scopes.

    Args:
        kinds: The types of scope to draw from; all four by default.
        ids: What ids, step names and namespaces are drawn from; `names()` by default.
            A few make calls meet: `st.sampled_from("ab")`.
    """
    ids = names() if ids is None else ids
    ways: dict[type[StateScope], SearchStrategy[StateScope]] = {
        GlobalScope: st.just(GlobalScope()),
        WorkflowScope: st.builds(WorkflowScope, ids),
        StepScope: st.builds(StepScope, ids, ids),
        CustomScope: st.builds(CustomScope, ids),
    }
    return st.one_of([ways[kind] for kind in kinds])


def characters(excluded: str) -> SearchStrategy[str]:
    """Return characters that UTF-8 can write, but for those `excluded`."""
    return st.characters(exclude_categories=["Cs"], exclude_characters=excluded)
