from stateward import StateManager, WorkflowScope
from stateward.messages import IncrementState
from stateward.testing import SimulatedDispatcher

SCOPE = WorkflowScope("w")


class Noted:
    """A task that notes when it is run."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def run(self) -> None:
        self.notes.append(self.name)


def test_tasks_run_in_the_order_that_is_chosen() -> None:
    """Nothing runs by itself, and a task that waits already waits once."""
    notes: list[str] = []
    dispatcher = SimulatedDispatcher()
    a, b, c = (Noted(name, notes) for name in "abc")
    for task in (a, b, c, a):
        dispatcher.submit(task)
    assert (dispatcher.waiting, notes) == (3, [])
    for index in (1, 1, 0):
        dispatcher.run(index)
    assert (dispatcher.waiting, notes) == (0, ["b", "c", "a"])


def test_occupied_owner_has_messages_wait() -> None:
    """What is sent to an actor in a turn is carried out once that has ended."""
    dispatcher = SimulatedDispatcher()
    with StateManager(dispatcher=dispatcher) as manager:
        state = manager.workflow_state("w")
        state["n"] = 0
        inbox = manager.engine.owner(SCOPE).actor_inbox
        dispatcher.occupy(inbox)
        dispatcher.occupy(inbox)
        reply = manager.engine.owner(SCOPE).post(IncrementState(SCOPE, "n"))
        dispatcher.run(0)
        assert (state["n"], dispatcher.occupied, reply.done()) == (0, 1, False)
        dispatcher.vacate(0)
        assert (dispatcher.occupied, dispatcher.waiting) == (0, 1)
        dispatcher.run(0)
        assert (state["n"], reply.get()) == (1, 1)


def test_end_of_an_empty_turn_wakes_nobody() -> None:
    """An occupied actor to which nothing was sent needs no task when it is free."""
    dispatcher = SimulatedDispatcher()
    with StateManager(dispatcher=dispatcher) as manager:
        manager.workflow_state("w")["n"] = 0
        dispatcher.occupy(manager.engine.owner(SCOPE).actor_inbox)
        dispatcher.vacate(0)
        assert dispatcher.waiting == 0
        manager.workflow_state("w")["n"] = 1
