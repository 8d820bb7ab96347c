"""Isolation: no write in one scope is ever visible in another."""

from functools import partial
from itertools import repeat
from random import Random
from typing import Any

from property_tests.stress.rounds import Round, stress, together
from stateward import (
    CustomScope,
    GlobalScope,
    ScopedState,
    StateScope,
    StepScope,
    WorkflowScope,
)


# Seen to fail when `StepScope.owner` cuts the id at its first `:`, when all steps of a
# workflow share one table, and when `clear` clears the tables of the steps too.
@stress(ci=60)
def test_scopes_are_isolated_under_load(it: Round) -> None:
    """A thread that alone writes to a scope finds there what it wrote, and no more."""
    base = it.workflow.workflow_id
    scopes: list[StateScope] = [
        GlobalScope(),
        WorkflowScope(base),
        StepScope(base, "b"),
        StepScope(base, "b:step:c"),
        WorkflowScope(f"{base}:step:b"),
        StepScope(f"{base}:step:b", "c"),
        CustomScope(base),
    ]
    mine = it.chance.sample(scopes, 5)

    def use(scope: StateScope, chance: Random) -> None:
        state, name = it.manager.state(scope), scope.prefix()
        held: dict[str, Any] = {}
        for number in range(12):
            key = chance.choice(("k", "b:k", "step:b:k", "%"))
            match chance.randrange(6):
                case 0 | 1:
                    state.set(key, [name, number])
                    held[key] = [name, number]
                case 2:
                    held |= {"k": [name], "b:k": [name, number]}
                    state.update({"k": [name], "b:k": [name, number]})
                case 3:
                    state.clear()
                    held.clear()
                case 4:
                    state.append("list", name)
                    held["list"] = [*held.get("list", []), name]
                case _:
                    assert state.pop(key, None) == held.pop(key, None)
            check(state, held)

    def check(state: ScopedState, held: dict[str, Any]) -> None:
        assert dict(state.snapshot()) == held
        assert len(state) == len(held)
        assert {key: state.get(key) for key in held} == held

    together(*map(partial, repeat(use), mine, it.seeds(5)))
    for scope in mine:
        it.manager.state(scope).clear()
    assert it.manager.stats().keys == 0
