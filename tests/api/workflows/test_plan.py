import dataclasses

import pytest

from stateward import StateManager
from stateward.workflows import Retry, Sequential, Status, StepContext, StepEvent, step


def test_events_tell_of_each_attempt_in_order(manager: StateManager) -> None:
    """Whoever watches a run hears of every beginning and every end."""
    heard: list[StepEvent] = []

    def fail_once(ctx: StepContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")

    flow = Sequential("f", step(retry=Retry(backoff=0))(fail_once))
    assert manager.run(flow, "w", on_event=heard.append).ok
    told = [(it.path, it.status, it.attempt) for it in heard]
    assert told == [
        ("fail_once", Status.RUNNING, 1),
        ("fail_once", Status.RETRYING, 1),
        ("fail_once", Status.RUNNING, 2),
        ("fail_once", Status.COMPLETED, 2),
    ]
    assert [str(it.error) for it in heard if it.error] == ["once"]
    assert {it.workflow_id for it in heard} == {"w"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        heard[0].path = "other"  # type: ignore[misc]  # that is what is tried


def test_events_that_fail_are_logged_and_change_nothing(
    manager: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """A watcher with a bug does not end the run it watches."""

    def broken(_: StepEvent) -> None:
        raise ZeroDivisionError

    flow = Sequential("f", step(name="s")(lambda _: 1))
    assert manager.run(flow, "w", on_event=broken).output == 1
    assert "on_event failed" in caplog.text
