from pathlib import Path

import pytest

from stateward import InvalidStoreError, StateManager
from stateward.actors.store.urls import SCHEMES, check_url


@pytest.mark.parametrize("scheme", SCHEMES)
def test_check_url_accepts_every_scheme_served(scheme: str) -> None:
    """What is said to be served is."""
    check_url(f"{scheme}://")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "memory:/",
        "://",
        "Memory://",
        " memory://",
        "nosuch:///state.db",
        "memory://here",
        "memory:///path",
        "memory://?a=1",
    ],
)
def test_check_url_refuses_what_no_engine_serves(url: str) -> None:
    """An unknown scheme and a part that means nothing are refused, and named."""
    with pytest.raises(InvalidStoreError) as caught:
        check_url(url)
    assert caught.value.context == {"url": url}
    assert caught.value.effect == "none"


@pytest.mark.parametrize("url", [None, 5, b"memory://", Path("state.db")])
def test_check_url_refuses_what_is_no_string(url: object) -> None:
    """A path is no URL, and is refused as one."""
    with pytest.raises(InvalidStoreError, match="not a URL"):
        check_url(url)  # type: ignore[arg-type]  # what is to be refused


def test_manager_is_not_made_for_a_store_that_is_not_served() -> None:
    """A refused URL leaves nothing behind, least of all a thread."""
    with pytest.raises(InvalidStoreError, match="memory://"):
        StateManager("nosuch:///state.db")
