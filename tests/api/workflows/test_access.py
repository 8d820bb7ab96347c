"""What a handle of a step reaches, and that it reaches nothing else."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

from stateward import AccessDeniedError, StateManager, UsageError
from stateward.actors.core.messages import SetState
from stateward.actors.core.scopes import WorkflowScope
from stateward.workflows import (
    Access,
    Conditional,
    Loop,
    Parallel,
    RunResult,
    Sequential,
    StepContext,
    branch,
    step,
)

Act = Callable[[StepContext], object]

READ: Final[dict[str, Act]] = {
    "global": lambda ctx: ctx.state.global_state().get("k"),
    "custom": lambda ctx: ctx.state.custom_state("c").get("k"),
}
WRITE: Final[dict[str, Act]] = {
    "global": lambda ctx: ctx.state.global_state().set("k", 2),
    "custom": lambda ctx: ctx.state.custom_state("c").set("k", 2),
}
LEVELS: Final = (
    (None, "write", "none"),
    (Access(global_state="write"), "write", "none"),
    (Access(global_state="read"), "read", "none"),
    (Access(global_state="none"), "none", "none"),
    (Access(custom_state="read"), "write", "read"),
    (Access(custom_state="write"), "write", "write"),
    (Access(custom_state={"c": "read"}), "write", "read"),
    (Access(custom_state={"c": "write"}), "write", "write"),
    (Access(custom_state={"c": "none"}), "write", "none"),
    (Access(custom_state={"other": "write"}), "write", "none"),
)


@pytest.fixture
def filled(manager: StateManager) -> StateManager:
    """Return a manager with something in each kind of scope."""
    manager.global_state()["k"] = 1
    manager.custom_state("c")["k"] = 1
    manager.workflow_state("other")["k"] = 1
    manager.step_state("other", "s")["k"] = 1
    return manager


def run(
    manager: StateManager, act: Act, access: Access | None = None, **options: Any
) -> RunResult:
    """Run a flow of one step, which does `act` and returns whether it was refused."""

    def attempt(ctx: StepContext) -> bool:
        try:
            act(ctx)
        except AccessDeniedError as error:
            return error.context == {"workflow_id": "w", "path": "only"}
        return False

    only = step(name="only", **options)(attempt)
    result = manager.run(Sequential("f", only), "w", access=access)
    result.raise_for_failure()
    return result


@pytest.mark.parametrize(("access", "global_level", "custom_level"), LEVELS)
@pytest.mark.parametrize("kind", ["global", "custom"])
def test_step_reaches_shared_scopes_as_the_run_allows(
    filled: StateManager,
    access: Access | None,
    global_level: str,
    custom_level: str,
    kind: str,
) -> None:
    """`none` reads nothing, `read` writes nothing, `write` does both."""
    level = global_level if kind == "global" else custom_level
    refused = run(filled, READ[kind], access).output
    assert refused is (level == "none")
    filled.drop_workflow("w")
    refused = run(filled, WRITE[kind], access).output
    assert refused is (level != "write")
    scope = filled.global_state() if kind == "global" else filled.custom_state("c")
    assert scope["k"] == (2 if level == "write" else 1)


FOREIGN: Final[dict[str, Act]] = {
    "manager": lambda ctx: ctx.state.manager,
    "manager of a step": lambda ctx: ctx.step_state.manager,
    "manager of global state": lambda ctx: ctx.state.global_state().manager,
    "drop": lambda ctx: ctx.state.drop(),
    "drop for asyncio": lambda ctx: asyncio.run(ctx.state.aio.drop()),
    "other workflow": lambda ctx: host(ctx).state(WorkflowScope("other")),
    "owner of another": lambda ctx: engine(ctx).ask_owner(
        WorkflowScope("other"), SetState(WorkflowScope("other"), "k", 2)
    ),
}


def host(ctx: StepContext) -> Any:
    """Return what the handles of a step stand on."""
    return ctx._host


def engine(ctx: StepContext) -> Any:
    """Return where they send what they write."""
    return host(ctx).engine


@pytest.mark.parametrize("act", FOREIGN.values(), ids=FOREIGN)
def test_step_reaches_nothing_else(filled: StateManager, act: Act) -> None:
    """Whatever the run's access, there is no way to the manager or to other owners."""
    everything = Access(global_state="write", custom_state="write")
    assert run(filled, act, everything).output is True
    assert dict(filled.workflow_state("other")) == {"k": 1}
    assert dict(filled.step_state("other", "s")) == {"k": 1}


def test_refusals_are_logged(
    filled: StateManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Each says which step wanted what, on the logger of workflows."""
    with caplog.at_level(logging.WARNING, "stateward.workflows"):
        run(filled, READ["custom"])
    (record,) = caplog.records
    assert record.name == "stateward.workflows"
    assert record.levelname == "WARNING"
    text = record.getMessage()
    assert "'only' of 'w' may not read" in text
    assert "its access is 'none'" in text


def test_refusal_that_is_not_caught_fails_the_step(filled: StateManager) -> None:
    """It is an error like any other, and a `PermissionError`."""
    result = filled.run(Sequential("f", step(name="s")(READ["custom"])), "w")
    error = result.failures["s"]
    assert type(error) is AccessDeniedError
    assert isinstance(error, PermissionError)


def test_step_reaches_its_workflow_and_all_steps_of_it(manager: StateManager) -> None:
    """Its own scope, those of siblings and any other name within the workflow."""

    @step
    def first(ctx: StepContext) -> None:
        ctx.state["own"] = 1
        ctx.step_state["x"] = 1
        ctx.state.step("later")["x"] = "from first"

    @step
    def later(ctx: StepContext) -> list[object]:
        return [
            ctx.step_state["x"],
            ctx.state.step("first")["x"],
            sorted(ctx.state.steps()),
            ctx.state.keys() >= {"own"},
        ]

    result = manager.run(Sequential("f", first, later), "w")
    assert result.output == ["from first", 1, ["first", "later"], True]
    assert manager.step_state("w", "first")["x"] == 1


def test_handles_of_nested_steps_are_as_narrow(filled: StateManager) -> None:
    """Depth, branches and iterations change nothing about what is reached."""
    refused: list[str] = []

    def probe(ctx: StepContext) -> None:
        for act in (*FOREIGN.values(), READ["custom"]):
            with pytest.raises(AccessDeniedError):
                act(ctx)
        ctx.state.increment("probed")
        refused.append(ctx.path)

    a, b, c = (step(name=name)(probe) for name in "abc")
    flow = Sequential(
        "f",
        Parallel("p", a, b),
        Loop("l", Conditional("c", branch(lambda _: True, c)), over=[1, 2]),
    )
    filled.run(flow, "w").raise_for_failure()
    assert sorted(refused) == ["l[0]/c/c", "l[1]/c/c", "p/a", "p/b"]
    assert filled.workflow_state("w")["probed"] == 4


def test_access_is_of_one_run_alone(filled: StateManager) -> None:
    """What one run may do says nothing about the next."""
    flow = Sequential("f", step(name="s")(WRITE["custom"]))
    assert not filled.run(flow, "w").ok
    access = Access(custom_state={"c": "write"})
    assert filled.run(flow, "w", access=access).ok
    assert not filled.run(flow, "w", restart=True).ok


def test_handle_made_in_time_is_held_to_the_same_access(filled: StateManager) -> None:
    """Writing is looked at when it is done, not when the handle was made."""
    access = Access(global_state="read")

    def act(ctx: StepContext) -> None:
        shared = ctx.state.global_state()
        assert shared["k"] == 1
        shared.increment("k")

    assert run(filled, act, access).output is True
    assert filled.global_state()["k"] == 1


def test_handle_of_a_step_refuses_transactions_it_may_not_write(
    filled: StateManager,
) -> None:
    """A transaction over a scope that may only be read cannot be committed."""

    def act(ctx: StepContext) -> None:
        with ctx.state.global_state().transaction() as tx:
            tx["k"] = tx["k"]

    assert run(filled, act, Access(global_state="read")).output is True
    filled.drop_workflow("w")
    assert run(filled, act).output is False


@pytest.mark.parametrize("access", ["write", {"c": "read"}, 1, Access])
def test_run_refuses_what_is_no_access(manager: StateManager, access: Any) -> None:
    """A level alone does not say for what."""
    flow = Sequential("f", step(name="s")(lambda _: None))
    with pytest.raises(UsageError, match="not Access"):
        manager.run(flow, "w", access=access)
    assert manager.run_ids() == []
