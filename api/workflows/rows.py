"""Frames of `Sequential`, `Conditional` and `Parallel`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from stateward.actors.core.errors import (
    ConditionError,
)
from stateward.actors.core.values import Packing
from stateward.workflows.flows import (
    Conditional,
    Node,
    Parallel,
    Sequential,
)
from stateward.workflows.frames import Frame
from stateward.workflows.jobs import Answer, Outcome, Question
from stateward.workflows.records import (
    NULL,
    Record,
    Status,
    Verdict,
    completed,
    packed_mapping,
)
from stateward.workflows.steps import Step
from stateward.workflows.strategies import OnError


class RowFrame(Frame):
    """Nodes one after the other."""

    nodes: Sequence[Node] = ()
    place = -1

    def next_node(self) -> None:
        """Begin the next node, or end the row."""
        self.place += 1
        if self.place < len(self.nodes):
            self.course.soon(self.child(self.nodes[self.place]).begin)
        else:
            self.row_over(breaks=False)

    def row_over(self, *, breaks: bool) -> None:
        """Go on when all nodes have ended, or one broke out."""
        raise NotImplementedError

    def child_over(self, child: Frame, verdict: Verdict) -> None:
        """Begin the next node, unless this one failed."""
        if verdict.fails:
            self.end(_failed_by(verdict))
            return
        self.keep(child, verdict)
        if verdict.breaks:
            self.row_over(breaks=True)
        else:
            self.next_node()

    def keep(self, child: Frame, verdict: Verdict) -> None:
        """Remember the output of a node."""
        raise NotImplementedError


class SequentialFrame(RowFrame):
    """A `Sequential`: a row, whose last output is its own."""

    last: Packing = NULL

    def set_off(self, record: Record) -> None:  # noqa: ARG002  # of no use here
        """Begin the first step."""
        self.nodes = cast("Sequential", self.node).steps
        self.next_node()

    def keep(self, child: Frame, verdict: Verdict) -> None:  # noqa: ARG002  # as above
        """Remember the last output."""
        self.last = verdict.packing

    def row_over(self, *, breaks: bool) -> None:
        """End."""
        done = Status.COMPLETED
        self.end(Verdict(status=done, packing=self.last, breaks=breaks))


class ConditionalFrame(RowFrame):
    """A `Conditional`: a row of the branches that were chosen."""

    def __init__(self, *arguments: Any) -> None:
        """Make the frame of a choice."""
        super().__init__(*arguments)
        self._outputs: dict[str, Packing] = {}

    @property
    def _flow(self) -> Conditional:
        return cast("Conditional", self.node)

    def set_off(self, record: Record) -> None:
        """Choose, or run what was chosen before."""
        if "chosen" in record:
            self._run(record["chosen"])
        else:
            self.course.post(Question(self))

    def ask(self, state: Any) -> object:
        """Return the names of the branches to run."""
        chosen: list[str] = []
        for branch in self._flow.branches:
            if holds(branch.condition, state, f"{self.path or self.node.name!r}"):
                chosen.append(branch.step.name)
                if self._flow.match == "first":
                    return chosen
        if not chosen and self._flow.otherwise is not None:
            chosen = [self._flow.otherwise.name]
        return chosen

    def note_of(self, answer: object) -> Record:
        """Return the record of the choice."""
        return {"chosen": answer}

    def finished(self, outcome: Outcome) -> None:
        """Run what was chosen."""
        if isinstance(outcome, Answer):
            self._run(cast("list[str]", outcome.value))
        else:
            self.end(cast("Verdict", outcome))

    def _run(self, names: list[str]) -> None:
        self.nodes = [step for step in self._flow.steps if step.name in names]
        self.next_node()

    def keep(self, child: Frame, verdict: Verdict) -> None:
        """Remember the output of a branch."""
        self._outputs[child.node.name] = verdict.packing

    def row_over(self, *, breaks: bool) -> None:
        """End."""

        def output() -> Packing:
            if self._flow.match == "all":
                return packed_mapping(self._outputs)
            return next(iter(self._outputs.values()), NULL)

        verdict = completed(output, self.path)
        self.end(_breaking(verdict) if breaks else verdict)


class ParallelFrame(Frame):
    """A `Parallel`: as many branches as may run at a time."""

    def __init__(self, *arguments: Any) -> None:
        """Make the frame of some branches."""
        super().__init__(*arguments)
        self._outputs: dict[str, Packing] = {}
        self._begun = self._live = 0
        self._failure: Verdict | None = None
        self._breaks = False

    @property
    def _flow(self) -> Parallel:
        return cast("Parallel", self.node)

    def policy_of(self, child: Node) -> OnError:
        """Return what the failure of a branch does: nothing if it is optional."""
        own = child.on_error if isinstance(child, Step) else None
        if own is None and child.name in self._flow.optional:
            return "continue"
        return super().policy_of(child)

    def set_off(self, record: Record) -> None:  # noqa: ARG002  # of no use here
        """Begin the first branches."""
        self._fill()

    def _fill(self) -> None:
        steps, most = self._flow.steps, self._flow.max_concurrency
        while self._begun < len(steps) and (most is None or self._live < most):
            child = self.child(steps[self._begun])
            self._begun += 1
            self._live += 1
            self.course.soon(child.begin)

    def child_over(self, child: Frame, verdict: Verdict) -> None:
        """Begin another branch, or end."""
        if self.over:
            return
        self._live -= 1
        if verdict.fails:
            self._failure = self._failure or verdict
            if self._flow.fail_fast:
                self.course.give_up(self, "another branch failed")
                self.end(_failed_by(verdict))
                return
        self._outputs[child.node.name] = verdict.packing
        self._breaks |= verdict.breaks
        self._fill()
        if self._live == 0:
            self._finish()

    def _finish(self) -> None:
        if self._failure is not None:
            self.end(_failed_by(self._failure))
            return
        names = [step.name for step in self._flow.steps]
        ordered = {name: self._outputs[name] for name in names}
        verdict = completed(partial(packed_mapping, ordered), self.path)
        self.end(_breaking(verdict) if self._breaks else verdict)


def _failed_by(verdict: Verdict) -> Verdict:
    """Return how a workflow ends because of a node in it."""
    return Verdict(status=Status.FAILED, error=verdict.error, origin=verdict.origin)


def _breaking(verdict: Verdict) -> Verdict:
    return Verdict(status=verdict.status, packing=verdict.packing, breaks=True)


def holds(condition: Callable[[Any], object], state: Any, what: str) -> bool:
    """Return whether a condition holds; raise `ConditionError` if it raises."""
    try:
        return bool(condition(state))
    except Exception as error:
        raise ConditionError(f"a condition of {what} raised {error!r}") from error
