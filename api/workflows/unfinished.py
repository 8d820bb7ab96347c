"""Taking up the runs of an earlier process, all at once."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from stateward.actors.core.errors import (
    AlreadyRunningError,
    FlowChangedError,
    MissingKeyError,
    StateError,
    UsageError,
)
from stateward.workflows.flows import Node, Nodes, as_flow
from stateward.workflows.plan import StepEvent
from stateward.workflows.results import RunResult
from stateward.workflows.runs import Run, Runs, check_options
from stateward.workflows.strategies import Access

logger: Final = logging.getLogger("stateward.workflows")


def begin_all(
    runs: Runs,
    flows: "Iterable[Nodes] | Nodes",
    *,
    access: Access | None = None,
    on_event: Callable[[StepEvent], None] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> dict[str, Run]:
    """Continue every run that is not completed; see `StateManager.resume_all`."""
    nodes = _by_name(flows)
    check_options(access, on_event)
    begun: dict[str, Run] = {}
    try:
        for workflow_id, name in runs.unfinished():
            try:
                if name not in nodes:
                    raise FlowChangedError(
                        f"its flow {name!r} is not among those given"
                    )
                begun[workflow_id] = runs.start(
                    nodes[name],
                    workflow_id,
                    access=access,
                    on_event=on_event,
                    loop=loop,
                    must_exist=True,
                )
            except (AlreadyRunningError, FlowChangedError, MissingKeyError) as error:
                logger.warning("The run of %r is left alone: %s", workflow_id, error)
    except BaseException:
        cancel_all(begun.values(), "whoever began the run was interrupted")
        raise
    return begun


def wait_for(begun: Mapping[str, Run]) -> dict[str, RunResult]:
    """Wait until all are over; an interrupt cancels them.

    Raises:
        StateError: What the first one raised that could not be recorded.
    """
    results: dict[str, RunResult] = {}
    errors: list[StateError] = []
    try:
        for workflow_id, run in begun.items():
            try:
                results[workflow_id] = run.result()
            except StateError as error:
                errors.append(error)
    except (KeyboardInterrupt, SystemExit):
        cancel_all(begun.values(), "whoever waited for the run was interrupted")
        for run in begun.values():
            with suppress(StateError):
                run.result()
        raise
    if errors:
        raise errors[0]
    return results


def cancel_all(begun: Iterable[Run], reason: str) -> None:
    """Cancel those that are not over."""
    for run in begun:
        run.cancel(reason)


def _by_name(flows: "Iterable[Nodes] | Nodes") -> dict[str, Node]:
    """Return flows by their names.

    Raises:
        UsageError: Two have the same.
    """
    many = isinstance(flows, Iterable) and not isinstance(flows, str)
    found: dict[str, Node] = {}
    for flow in flows if many else [flows]:  # type: ignore[union-attr]  # it is one
        node = as_flow(flow)  # type: ignore[arg-type]  # refused there if it is none
        if found.setdefault(node.name, node) is not node:
            raise UsageError(f"two flows are called {node.name!r}")
    return found
