"""Make the golden store of an engine: `python -m tests.formats.generate sqlite`.

It is made once for each format, by the version that brings the format, and never made
again: it is what stores of that time look like. Take a new number for a new format.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from stateward import JsonValue, StateManager
from stateward.actors.core.scopes import parse_scope
from stateward.actors.store.about import FORMAT
from stateward.testing import SimulatedClock
from stateward.workflows import Sequential, StepContext, step

HERE: Final = Path(__file__).parent
START: Final = 1_700_000_000.0
FAR: Final = 1e10
"""Seconds until a key expires: some three hundred years."""
SCOPES: Final = (
    *("", "workflow:order-1:", "workflow:order-1:step:load:", "custom:rates:"),
    *("workflow:a%3Astep%3Ab:", "workflow:a:step:b:", "workflow:\u00e9\U0001d4b3:"),
    *("workflow:dropped:", "workflow:run:", "workflow:run:step:greet:"),
)


@step
def greet(ctx: StepContext) -> str:
    """A step that leaves state and an output behind."""
    ctx.state["greeted"] = True
    return f"Hello, {ctx.input}!"


FLOW: Final = Sequential("hello", greet)


def fill(manager: StateManager, clock: SimulatedClock) -> None:
    """Write something of every kind, at times that differ."""
    everything: JsonValue = [None, True, -1, (1 << 64) - 1, 0.1, -0.0, "\u00e9", {}, []]
    manager.global_state().update({"all": everything, "text": "a\0b", "none": None})
    order = manager.workflow_state("order-1")
    order["config"] = {"retries": 3, "deep": [[[[{"a": [1]}]]]]}
    clock.advance(1.5)
    order["config"] = {"retries": 4}
    order.set("later", "kept", ttl=FAR)
    order.set("soon", "gone", ttl=10)
    order["deleted"] = 1
    del order["deleted"]
    order.step("load").increment("progress", 0.25)
    order.step("load")["long"] = "x" * 5000
    manager.workflow_state("a:step:b")["k"] = "of the workflow"
    manager.step_state("a", "b")["k"] = "of the step"
    manager.workflow_state("\u00e9\U0001d4b3")["%:\u0301"] = 1
    manager.custom_state("rates")["eur"] = 1.0825
    dropped = manager.workflow_state("dropped")
    for value in range(40):
        dropped["a"] = value
    manager.drop_workflow("dropped")
    manager.run(FLOW, "run", input="world")


def content(manager: StateManager) -> dict[str, JsonValue]:
    """Return what a store must hold, as JSON."""
    scopes: dict[str, JsonValue] = {}
    for prefix in SCOPES:
        state = manager.state(parse_scope(prefix))
        entries: dict[str, JsonValue] = {}
        for key in sorted(state):
            entry = state.entry(key)
            if entry is not None:
                entries[key] = {
                    "value": state[key],
                    "revision": entry.revision,
                    "created": entry.created,
                    "updated": entry.updated,
                    "expires": entry.expires,
                }
        scopes[prefix] = {"revision": state.revision, "entries": entries}
    result = manager.run_state("run")
    run: JsonValue = None
    if result is not None:
        run = {
            "flow": result.flow,
            "status": result.status.value,
            "input": result.input,
            "output": result.output,
            "outputs": dict(result.outputs),
            "started": result.started,
        }
    ids: list[JsonValue] = [*sorted(manager.workflow_ids())]
    return {"scopes": scopes, "run": run, "workflow_ids": ids}


def reading_clock() -> SimulatedClock:
    """Return the clock to read golden stores by: later than all but one expiry."""
    return SimulatedClock(START + 1000)


def main(engine: str) -> None:
    """Make the store, its mark, and what it must hold, beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "state")
        url = f"{engine}:///{made}"
        clock = SimulatedClock(START)
        with StateManager(url, clock=clock) as manager:
            fill(manager, clock)
        name = HERE / f"{engine}-{FORMAT}.db"
        if made.is_dir():
            shutil.copytree(made, name, ignore=shutil.ignore_patterns("LOG*", "LOCK"))
        else:
            shutil.copyfile(made, name)
        shutil.copyfile(f"{made}.mark", f"{name}.mark")
        with StateManager(url, clock=reading_clock()) as manager:
            text = json.dumps(content(manager), indent=1, sort_keys=True)
        name.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
