"""Durability: what is asked for is one of two, or left to the manager."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stateward import AsyncWorkflowState, StateManager, StoreFullError, UsageError
from stateward.actors.core import faults
from stateward.durability import check_durability, is_synced


def test_durability_is_synced_where_that_is_asked_for() -> None:
    """Only `synced` is; nothing asked for is what the manager promises."""
    assert is_synced("synced")
    assert not is_synced("buffered")
    assert not is_synced(None)


@pytest.mark.parametrize("wrong", ["", "SYNCED", "never", 1, True, b"synced"])
def test_durability_that_is_none_is_refused(wrong: object) -> None:
    """Anything else is an error that shows it, for a write as for a manager."""
    for check in (check_durability, is_synced):
        with pytest.raises(UsageError, match=f"durability is {wrong!r}, not 'synced'"):
            check(wrong)


def test_durability_of_a_manager_cannot_be_left_out() -> None:
    """`None` is one for a write alone."""
    with pytest.raises(UsageError, match="durability is None"):
        check_durability(None)


def test_durability_can_be_asked_for_in_an_event_loop(tmp_path: Path) -> None:
    """`synced` waits for a sync of the store, and anything else is refused."""
    wrong: Any = "never"

    async def main(state: AsyncWorkflowState) -> None:
        with faults.arm("store.commit", fail):
            assert await state.set("a", 2) == 1
            with pytest.raises(StoreFullError):
                await state.set("a", 3, durability="synced")
        with pytest.raises(UsageError, match="durability is 'never'"):
            await state.set("a", 4, durability=wrong)

    def fail() -> None:
        raise StoreFullError("no space", effect="none")

    with StateManager(f"sqlite:///{tmp_path}/s", durability="buffered") as manager:
        manager.workflow_state("w")["first"] = 0  # from here on there is a log
        asyncio.run(main(manager.workflow_state("v").aio))
