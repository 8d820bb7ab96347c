"""What only the machines here do to a manager and its model: messages in any order."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from stateward import (
    CustomScope,
    GlobalScope,
    JsonValue,
    Limits,
    Snapshot,
    StateScope,
    StepScope,
    WorkflowScope,
)
from stateward.messages import DropState, Passivate, SetState
from stateward.testing.calls import Call, Function
from stateward.testing.harness import Harness, Outcome, outcome
from stateward.testing.likeness import alike, thawed

KEY_BYTES: Final = 16
"""A `max_key_bytes` that the last of `KEYS` is over."""
KEYS: Final = ("k", "k:1", "k%3A1", "\u00e1", "a\u0301", "seventeen letters")
"""Of which a run uses some."""

SCOPES: Final[tuple[StateScope, ...]] = (
    GlobalScope(),
    WorkflowScope("a"),
    WorkflowScope("a:step:b"),
    WorkflowScope("a%3Astep%3Ab"),
    StepScope("a", "b"),
    StepScope("a", "b:step:c"),
    StepScope("a:step:b", "b"),
    CustomScope("a"),
    CustomScope("a:step:b"),
)
"""Some whose names are alike once they are written."""

Sent: TypeAlias = tuple[StateScope, Call | Literal["passivate", "drop"]]
"""What is sent to the supervisor without waiting for an answer."""


class OurHarness(Harness):
    """A harness that also sends messages, and keeps what readers were given."""

    def __init__(self, *, limits: Limits, idle_timeout: float | None) -> None:
        """Start with nothing stored."""
        super().__init__(
            scopes=SCOPES,
            keys=KEYS,
            limits=limits,
            idle_timeout=idle_timeout,
            exact=True,
        )
        self._kept: list[tuple[Snapshot, dict[str, JsonValue], list[Any]]] = []

    def send(self, sent: Iterable[Sent], order: Callable[[int], int]) -> None:
        """Send messages, let them be handled in some `order`, compare the answers.

        Messages to one owner are handled in the order they were sent.
        """
        answers: list[tuple[StateScope, Call | str, Any]] = []
        revisions: dict[int, int] = {}
        supervisor = self.manager.supervisor
        with self.dispatcher.deferring():
            for number, (scope, what) in enumerate(sent):
                call: Call | str = what
                if isinstance(call, Call):
                    call = call.knowing(self.model.scope(scope))
                    message = call.message(scope)
                elif call == "drop":
                    message = DropState(scope.owner)
                else:
                    message = Passivate(scope.owner)
                future: Any = supervisor.ask(message, block=False)
                note = partial(self._note, revisions, number, scope)
                future.add_done_callback(note)
                answers.append((scope, call, future))
        self.dispatcher.drain(order)
        for number, (scope, call, future) in enumerate(answers):
            real = outcome(lambda: future.get(timeout=0))  # noqa: B023  # called now
            self.told = revisions[number]
            if isinstance(call, Call):
                self.compare(call, real, self.model.scope(scope), sent=True)
            elif call == "drop":
                owner = self.model.owner(scope)
                assert real.matches(Outcome(owner.drop())), f"{scope}: {real}"
        self.told = None

    def look_around_in_a_turn(self, scope: StateScope, key: str, other: str) -> None:
        """Modify `key`; meanwhile read everything, and send a message about `other`."""
        state, model = self.handle(scope), self.model.scope(scope)
        revisions: dict[int, int] = {}
        answers: list[Any] = []

        def look(value: JsonValue) -> JsonValue:
            self.check_reads()
            message = SetState(scope, other, "sent")
            answers.append(self.manager.supervisor.ask(message, block=False))
            answers[0].add_done_callback(partial(self._note, revisions, 0, scope))
            return value

        real = outcome(lambda: state.modify(key, look))
        self.dispatcher.drain()
        entry = self.lookers[scope].entry(key)
        self.told = 0 if entry is None else entry.revision
        modify = Call("modify", (key, Function("keep", lambda value: value)))
        self.compare(modify, real, model, sent=False)
        self.told = revisions[0]
        real = outcome(lambda: answers[0].get(timeout=0))
        self.compare(Call("set", (other, "sent")), real, model, sent=True)
        self.told = None

    def keep(self, scope: StateScope) -> None:
        """Keep what readers were given, to see that it never changes."""
        looker = self.lookers[scope]
        snapshot = looker.snapshot()
        views = [looker.view(key) for key in snapshot]
        self._kept = [*self._kept[-2:], (snapshot, dict(snapshot), views)]

    def check(self) -> None:
        """Compare what was kept too."""
        super().check()
        for snapshot, contents, views in self._kept:
            assert alike(dict(snapshot), contents)
            assert alike([thawed(view) for view in views], list(contents.values()))

    def _note(self, revisions: dict[int, int], number: int, scope: StateScope) -> None:
        revisions[number] = self.manager.state(scope).revision
