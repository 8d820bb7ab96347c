"""`stateward run`: exit codes, what is printed where, going on, and Ctrl-C."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stateward import JsonValue, StateManager
from stateward.cli.run import EXIT_CODES
from stateward.cli.signals import Terminated
from stateward.migrations import MigratedState
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, Status, StepContext, step
from stateward.workflows.runs import Run
from tests.api.cli.processes import begun
from tests.commands import invoke, publish
from tests.threads import Gate

STUCK = """
import threading

from stateward.workflows import Sequential, step


@step
def wait(ctx):
    print("in the step", flush=True)
    threading.Event().wait()


flow = Sequential("stuck", wait)
"""


@step(name="echo")
def echo(ctx: StepContext) -> JsonValue:
    """Say something, and return the input of the run."""
    print("echo speaks")
    return ctx.input


@step(name="break")
def broken(_: StepContext) -> JsonValue:
    """Fail with a message of two lines."""
    raise ValueError("not\nright")


def test_exit_code_tells_each_outcome_apart(
    manager: StateManager, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completed, forgiven, failed, timed out and cancelled are 0, 3, 4, 5 and 6."""
    forgiven = step(name="forgiven", on_error="continue")(lambda _: 1 // 0)
    late = step(name="late")(lambda _: clock.advance(10))
    quits = step(name="quits")(lambda ctx: manager.cancel(ctx.workflow_id))
    publish(
        monkeypatch,
        completed=Sequential("f", echo),
        completed_with_failures=Sequential("f", forgiven, echo),
        failed=Sequential("f", broken),
        timed_out=Sequential("f", late, timeout=5),
        cancelled=Sequential("f", quits, echo),
    )
    codes = {}
    for status in EXIT_CODES:
        done = invoke(manager, "run", f"shop:{status}", "--id", status, "--json")
        assert json.loads(done.stdout)["status"] == status
        codes[status] = done.exit_code
    assert codes == EXIT_CODES
    assert sorted(codes.values()) == [0, 3, 4, 5, 6]


def test_run_prints_outcome_and_progress_apart(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary goes to standard output, a line an event to standard error."""
    publish(monkeypatch, flow=Sequential("f", echo, broken))
    done = invoke(manager, "run", "shop:flow", "--id", "w", "--input", "7")
    assert done.exit_code == 4
    assert done.stdout.splitlines() == [
        "echo speaks",
        "f of w: failed in 0 s",
        "  break: ValueError: not right",
    ]
    assert done.stderr.splitlines() == [
        "running   echo",
        "completed echo 0.000 s",
        "running   break",
        "failed    break 0.000 s ValueError: not right",
    ]


def test_run_prints_json_alone_if_asked(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What steps print goes to standard error, so that the answer can be piped."""
    publish(monkeypatch, flow=Sequential("f", echo))
    args = ("run", "shop:flow", "--id", "w", "--input", '{"sku": 7}', "--json")
    done = invoke(manager, *args)
    assert done.exit_code == 0
    assert done.stderr == "echo speaks\n"
    assert json.loads(done.stdout) == {
        "workflow_id": "w",
        "flow": "f",
        "status": "completed",
        "started": 1_000_000.0,
        "seconds": 0.0,
        "input": {"sku": 7},
        "output": {"sku": 7},
        "steps": [
            {
                "path": "echo",
                "status": "completed",
                "attempts": 1,
                "seconds": 0.0,
                "output": {"sku": 7},
                "error": None,
            }
        ],
    }


def test_run_continues_unless_restarted(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again, finished steps and the input stay; `--restart` begins anew."""
    calls: list[JsonValue] = []
    failing = [True]

    def note(ctx: StepContext) -> JsonValue:
        calls.append([ctx.path, ctx.input])
        return None

    def fail_once(ctx: StepContext) -> JsonValue:
        note(ctx)
        if failing:
            raise ValueError(failing.pop())
        return None

    flow = Sequential("f", step(name="a")(note), step(name="b")(fail_once))
    publish(monkeypatch, flow=flow)
    args = ("run", "shop:flow", "--id", "w", "--json")
    assert invoke(manager, *args, "--input", "1").exit_code == 4
    assert calls == [["a", 1], ["b", 1]]
    calls.clear()
    assert invoke(manager, *args).exit_code == 0
    assert calls == [["b", 1]]
    calls.clear()
    assert invoke(manager, *args, "--restart", "--input", "2").exit_code == 0
    assert calls == [["a", 2], ["b", 2]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("shop:flow", "--id", "w", "--input", "{b"), "--input: malformed JSON: "),
        (("shop:flow", "--id", ""), "workflow id '' is empty"),
        (("shop:flow",), "Missing option '--id'"),
        (("shop:folw", "--id", "w"), "'shop' has no 'folw'; its flows are flow"),
        (("shop", "--id", "w"), "'shop' does not name a flow"),
        (("shop:flow", "--id", "w", "--retsart"), "No such option"),
    ],
)
def test_run_that_cannot_begin_exits_with_two(
    args: tuple[str, ...],
    message: str,
    manager: StateManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is run or recorded, and standard error says why."""
    publish(monkeypatch, flow=Sequential("f", echo))
    done = invoke(manager, "run", *args)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not done.stdout
    assert list(manager.run_ids()) == []


def test_run_on_an_unknown_store_exits_with_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is served without being asked for; another scheme is refused."""
    publish(monkeypatch, flow=Sequential("f", echo))
    args = ("run", "shop:flow", "--id", "w", "--json")
    assert invoke(None, *args).exit_code == 0
    done = invoke(None, *args, "--store", "nosuch://here")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: no store for 'nosuch://here'")


@pytest.mark.parametrize(
    ("interrupt", "code", "who"),
    [(KeyboardInterrupt(), 130, "Ctrl-C"), (Terminated(), 143, "SIGTERM")],
)
def test_run_is_cancelled_by_an_interrupt(
    interrupt: KeyboardInterrupt,
    code: int,
    who: str,
    manager: StateManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C or SIGTERM cancels the run that is waited for, and has its exit code."""
    gate = Gate()
    publish(monkeypatch, flow=Sequential("f", step(name="s")(lambda _: gate(1))))
    wait: Callable[..., object] = Run.result
    interrupts = [interrupt]

    def interrupted(run: Run, timeout: float | None = None) -> object:
        if interrupts:
            gate.wait_until_entered()
            raise interrupts.pop()
        return wait(run, timeout)

    cancel: Callable[..., bool] = Run.cancel
    reasons: list[str] = []

    def cancelled(run: Run, reason: str) -> bool:
        reasons.append(reason)
        return cancel(run, reason)

    monkeypatch.setattr(Run, "result", interrupted)
    monkeypatch.setattr(Run, "cancel", cancelled)
    try:
        done = invoke(manager, "run", "shop:flow", "--id", "w")
    finally:
        gate.open()
    assert done.exit_code == code
    assert done.stdout == "f of w: cancelled in 0 s\n"
    state = manager.run_state("w")
    assert state is not None
    assert state.status is Status.CANCELLED
    assert reasons == [f"it was interrupted by {who}"]


class Rename:
    """A migration."""

    version = 1

    def migrate(self, state: MigratedState) -> None:
        """Give a key another name."""
        state["new"] = state.pop("old")


def test_run_that_the_engine_refuses_exits_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is open elsewhere is told in one line, and nothing is run."""
    calls: list[object] = []
    publish(monkeypatch, flow=Sequential("f", step(name="s")(calls.append)))
    url = f"sqlite:///{tmp_path}/state.db"
    args = ("run", "shop:flow", "--id", "w", "--store", url)
    with StateManager(url):
        done = invoke(None, *args)
    assert (done.exit_code, done.stdout, calls) == (1, "", [])
    assert done.stderr.startswith(f"Error: process {os.getpid()} (this one) has ")
    assert done.stderr.count("\n") == 1


def test_run_takes_state_through_migrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--migrations` steps see what they lead to; left out later it is refused."""
    new = step(name="s")(lambda ctx: ctx.state["new"])
    publish(monkeypatch, flow=Sequential("f", new), migrations=[Rename()])
    url = f"sqlite:///{tmp_path}/state.db"
    with StateManager(url) as manager:
        manager.workflow_state("w")["old"] = 7
    args = ("run", "shop:flow", "--id", "w", "--store", url)
    done = invoke(None, *args, "--migrations", "shop:migrations", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["output"] == 7
    done = invoke(None, *args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "has been through migration 1" in done.stderr
    assert done.stderr.endswith(": name the application's with --migrations\n")
    shown = invoke(None, "state", "show", "workflow:w", "--store", url, "--json")
    assert json.loads(shown.stdout) == {"new": 7}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signal_ends_the_process_with_a_step_stuck(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """A real Ctrl-C or SIGTERM ends it at once, in order, and without a traceback."""
    path = tmp_path / "stuck.py"
    path.write_text(STUCK, encoding="utf-8")
    args = ("run", f"{path}:flow", "--id", "w")
    with begun(*args, line="running   wait\n") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the step\n"
        process.send_signal(number)
        told = process.stdout.read()
    assert process.returncode == code, told
    assert "stuck of w: cancelled" in told
    assert "Traceback" not in told
