"""Frames: where a run stands in each node of its flow that has begun and not ended."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, cast

from stateward.actors.core.errors import (
    ConditionError,
    InvalidValueError,
    IterationLimitError,
    StepTimeoutError,
)
from stateward.actors.core.scopes import shown
from stateward.actors.core.values import JsonValue, Packing, pack
from stateward.workflows.course import (
    Again,
    Answer,
    Attempt,
    Course,
    Outcome,
    Question,
    completed,
    failed,
)
from stateward.workflows.flows import (
    Conditional,
    First,
    Last,
    Loop,
    Node,
    Parallel,
    Sequential,
    Step,
)
from stateward.workflows.records import (
    NULL,
    Record,
    Status,
    Verdict,
    packed_list,
    packed_mapping,
    verdict_of,
)
from stateward.workflows.strategies import OnError, Retry, Skip

NO_RETRY: Final = Retry(attempts=1)


class Frame:
    """A node of the flow under way."""

    is_step: ClassVar[bool] = False

    def __init__(
        self, course: Course, node: Node, parent: "Frame | None", path: str
    ) -> None:
        """Make the frame of `node`, which has yet to begin.

        Args:
            course: What it is part of.
            node: A step or a workflow.
            parent: Of the workflow around it; `None` for the whole flow.
            path: Of the node; empty for the whole flow.
        """
        self.course = course
        self.node = node
        self.parent = parent
        self.path = path
        self.over = False
        self.loop: LoopFrame | None = None if parent is None else parent.loop
        """The innermost loop around it."""
        self.iteration = -1 if parent is None else parent.iteration
        """Of that loop."""
        self.retry: Retry = node.retry or (NO_RETRY if parent is None else parent.retry)
        """Of the steps in it that have none of their own."""
        inherited: OnError = "fail" if parent is None else parent.on_error
        self.on_error: OnError = inherited if node.on_error is None else node.on_error
        """Likewise."""
        self.policy: OnError = "fail" if parent is None else parent.policy_of(node)
        """What its failure does to the workflow around it."""

    def begin(self) -> None:
        """Set off, unless a record says how it ended."""
        if self.is_over():
            return  # What is around it ended in this very event.
        record = self.course.records.get(self.path)
        known = None if record is None else verdict_of(record, self.path)
        if known is not None:
            self.course.end(self, known)
            return
        timeout = self.node.timeout
        if timeout is not None and not self.is_step:

            def expire(_: float) -> None:
                self.course.expire_frame(self, timeout)

            self.course.at(self.course.now + timeout, self, expire)
        self.set_off(record or {})

    def set_off(self, record: Record) -> None:
        """Begin, with what is recorded of an earlier beginning."""
        raise NotImplementedError

    def child_over(self, child: "Frame", verdict: Verdict) -> None:
        """Go on after a node in it has ended."""
        raise NotImplementedError

    def finished(self, outcome: Outcome) -> None:
        """Go on after a job of its own."""
        raise NotImplementedError

    def ask(self, state: Any) -> object:
        """Return what it wants to know of the state; a worker calls this."""
        raise NotImplementedError

    def note_of(self, answer: object) -> Record | None:
        """Return what to record of an answer; `None` for nothing."""
        raise NotImplementedError

    def policy_of(self, child: Node) -> OnError:
        """Return what the failure of a node in it does."""
        own = child.on_error if isinstance(child, Step) else None
        return self.on_error if own is None else own

    def forgive(self, verdict: Verdict) -> Verdict:
        """Return how a node that failed ended, after its strategy."""
        policy, error = self.policy, verdict.error
        if isinstance(policy, Skip):
            if not isinstance(error, policy.on):
                return verdict
            return Verdict(
                status=Status.SKIPPED,
                packing=policy.packing(),
                error=error,
                origin=verdict.origin,
            )
        if policy == "fail":
            return verdict
        return Verdict(
            status=verdict.status, error=error, origin=verdict.origin, forgiven=True
        )

    def child(self, node: Node) -> "Frame":
        """Return the frame of a node in it."""
        path = f"{self.path}/{node.name}" if self.path else node.name
        return frame_of(self.course, node, self, path)

    def is_over(self) -> bool:
        """Return whether it, or anything around it, has ended."""
        frame: Frame | None = self
        while frame is not None:
            if frame.over:
                return True
            frame = frame.parent
        return False

    def is_within(self, other: "Frame") -> bool:
        """Return whether it is `other` or inside it."""
        frame: Frame | None = self
        while frame is not None and frame is not other:
            frame = frame.parent
        return frame is other

    def end(self, verdict: Verdict) -> None:
        """End, and let the workflow around it go on."""
        self.course.end(self, verdict)


class StepFrame(Frame):
    """A step: attempts, one after the other."""

    is_step = True

    @property
    def step(self) -> Step:
        """The step."""
        return cast("Step", self.node)

    def set_off(self, record: Record) -> None:
        """Begin with the first attempt, or after those that failed already."""
        retrying = record.get("status") == Status.RETRYING
        self._try(record["attempts"] + 1 if retrying else 1)

    def finished(self, outcome: Outcome) -> None:
        """End, or try again."""
        if isinstance(outcome, Verdict):
            self.end(outcome)
        elif isinstance(outcome, Again):
            number = outcome.number
            if outcome.delay <= 0:
                self._try(number)
                return
            when = self.course.now + outcome.delay
            self.course.at(when, self, lambda _: self._try(number))

    def judge(
        self, error: BaseException, number: int, seed: str
    ) -> tuple[Verdict, Again | None]:
        """Return what a failed attempt is recorded as, and whether another follows."""
        timed_out = isinstance(error, StepTimeoutError)
        status = Status.TIMED_OUT if timed_out else Status.FAILED
        if self.retry.applies(error, number):
            delay = self.retry.delay(number, f"{seed}/{self.path}")
            again = Again(delay, number + 1)
            verdict = Verdict(status=Status.RETRYING, error=error, origin=self.path)
            return verdict, again
        verdict = Verdict(status=status, error=error, origin=self.path)
        return self.forgive(verdict), None

    def forgive(self, verdict: Verdict) -> Verdict:
        """Return how the step ended; once it is recorded, that stays."""
        return verdict if self._is_recorded else super().forgive(verdict)

    _is_recorded = False

    def end(self, verdict: Verdict) -> None:
        """End as recorded."""
        self._is_recorded = True
        super().end(verdict)

    def _try(self, number: int) -> None:
        self.course.post(Attempt(self, number))


class _Row(Frame):
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


class SequentialFrame(_Row):
    """A `Sequential`: a row, whose last output is its own."""

    last: Packing = NULL

    def set_off(self, record: Record) -> None:
        """Begin the first step."""
        self.nodes = cast("Sequential", self.node).steps
        self.next_node()

    def keep(self, child: Frame, verdict: Verdict) -> None:
        """Remember the last output."""
        self.last = verdict.packing

    def row_over(self, *, breaks: bool) -> None:
        """End."""
        done = Status.COMPLETED
        self.end(Verdict(status=done, packing=self.last, breaks=breaks))


class ConditionalFrame(_Row):
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
            if _holds(branch.condition, state, f"{self.path or self.node.name!r}"):
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

    def set_off(self, record: Record) -> None:
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


class LoopFrame(_Row):
    """A `Loop`: a row for each iteration."""

    def __init__(self, *arguments: Any) -> None:
        """Make the frame of a loop."""
        super().__init__(*arguments)
        self.loop = self
        self.iteration = -1
        self.nodes = self._flow.steps
        self._items: Sequence[JsonValue] | range | None = None
        self._allowed = -1
        """Last iteration that is known to be due."""
        self._ended = False
        self._question = ""
        self._last: Packing = NULL
        collect = self._flow.collect
        most = collect.count if isinstance(collect, First | Last) else None
        self._outputs: deque[Packing] = deque(
            maxlen=most if isinstance(collect, Last) else None
        )

    @property
    def _flow(self) -> Loop:
        return cast("Loop", self.node)

    def set_off(self, record: Record) -> None:
        """Begin with the first iteration, knowing what was recorded."""
        over = self._flow.over
        self._allowed = record.get("allowed", -1)
        self._ended = record.get("ended", False)
        self._items = record["items"] if "items" in record else None
        if self._items is None and (isinstance(over, tuple | range)):
            self._items = over
        if self._items is None and over is not None:
            self._ask("items")
        else:
            self._next()

    def child(self, node: Node) -> Frame:
        """Return the frame of a node in this iteration."""
        path = f"{self.path}[{self.iteration}]/{node.name}"
        return frame_of(self.course, node, self, path)

    def item(self, iteration: int) -> Packing:
        """Return what an iteration is for; null without items."""
        return NULL if self._items is None else pack(self._items[iteration])

    # ----------------------------------------------------------- iterations

    def _next(self) -> None:
        """Begin the next iteration if one is due."""
        following = self.iteration + 1
        if (self._items is not None and following >= len(self._items)) or (
            self._ended and following > self._allowed
        ):
            self._finish()
        elif self._is_limit(following):
            self._stop_at_limit()
        elif self._flow.while_ is not None and following > self._allowed:
            self._ask("while")
        else:
            self._begin_iteration()

    def _begin_iteration(self) -> None:
        delay = self._flow.delay
        if delay and self.iteration >= 0:
            when = self.course.now + delay
            self.course.at(when, self, lambda _: self._iterate())
        else:
            self._iterate()

    def _iterate(self) -> None:
        self.iteration += 1
        self.place = -1
        self.next_node()

    def keep(self, child: Frame, verdict: Verdict) -> None:
        """Remember the last output of this iteration."""
        self._last = verdict.packing

    def row_over(self, *, breaks: bool) -> None:
        """Go on when an iteration is over."""
        collect = self._flow.collect
        if (
            collect == "all"
            or isinstance(collect, Last)
            or (isinstance(collect, First) and len(self._outputs) < collect.count)
        ):
            self._outputs.append(self._last)
        if breaks:
            self._finish()
        elif self._flow.until is not None and self._allowed <= self.iteration:
            if self._ended:
                self._finish()
            else:
                self._ask("until")
        else:
            self._next()

    def _is_limit(self, following: int) -> bool:
        most = self._flow.max_iterations
        return most is not None and following >= most

    def _stop_at_limit(self) -> None:
        if self._flow.on_limit == "stop":
            self._finish()
            return
        error = IterationLimitError(
            f"loop {self.path or self.node.name!r} is not over after "
            f"{self._flow.max_iterations} iterations"
        )
        self.end(failed(error, self.path))

    def _finish(self) -> None:
        if self._flow.collect == "none":
            self.end(Verdict(status=Status.COMPLETED))
        elif self._flow.collect == "last":
            self.end(Verdict(status=Status.COMPLETED, packing=self._last))
        else:
            self.end(completed(partial(packed_list, self._outputs), self.path))

    # ------------------------------------------------------------ questions

    def _ask(self, question: str) -> None:
        self._question = question
        self.course.post(Question(self))

    def ask(self, state: Any) -> object:
        """Return the items, or whether a condition holds."""
        what = f"{self.path or self.node.name!r}"
        flow = self._flow
        if self._question == "items":
            return _items(cast("Callable[[Any], object]", flow.over), state, what)
        if self._question == "while":
            return _holds(cast("Callable[[Any], object]", flow.while_), state, what)
        return not _holds(cast("Callable[[Any], object]", flow.until), state, what)

    def note_of(self, answer: object) -> Record:
        """Return the record of where the loop stands."""
        record: Record = {"allowed": self._allowed}
        if self._question == "items":
            return {**record, "items": answer}
        if callable(self._flow.over):
            record["items"] = self._items
        if answer:
            return {**record, "allowed": self.iteration + 1}
        return {**record, "allowed": self.iteration, "ended": True}

    def finished(self, outcome: Outcome) -> None:
        """Go on with an answer."""
        if not isinstance(outcome, Answer):
            self.end(cast("Verdict", outcome))
        elif self._question == "items":
            self._items = cast("list[JsonValue]", outcome.value)
            self._next()
        elif not outcome.value:
            self._ended = True
            self._allowed = self.iteration
            self._finish()
        else:
            self._allowed = self.iteration + 1
            if self._question == "while":
                self._begin_iteration()
            else:
                self._next()


KINDS: Final[dict[type, type[Frame]]] = {
    Step: StepFrame,
    Sequential: SequentialFrame,
    Parallel: ParallelFrame,
    Conditional: ConditionalFrame,
    Loop: LoopFrame,
}


def frame_of(course: Course, node: Node, parent: Frame | None, path: str) -> Frame:
    """Return the frame of a node of any kind."""
    return KINDS[type(node)](course, node, parent, path)


def _failed_by(verdict: Verdict) -> Verdict:
    """Return how a workflow ends because of a node in it."""
    return Verdict(status=Status.FAILED, error=verdict.error, origin=verdict.origin)


def _breaking(verdict: Verdict) -> Verdict:
    return Verdict(status=verdict.status, packing=verdict.packing, breaks=True)


def _holds(condition: Callable[[Any], object], state: Any, what: str) -> bool:
    try:
        return bool(condition(state))
    except Exception as error:
        raise ConditionError(f"a condition of {what} raised {error!r}") from error


def _items(over: Callable[[Any], object], state: Any, what: str) -> list[JsonValue]:
    try:
        found = over(state)
        if found is None or isinstance(found, str | bytes | dict):
            raise ConditionError(f"over of {what} returned {shown(found)}, not items")
        items = list(cast("Sequence[JsonValue]", found))
        pack(items)
    except ConditionError:
        raise
    except InvalidValueError as error:
        raise ConditionError(f"over of {what}: {error}") from error
    except Exception as error:
        raise ConditionError(f"over of {what} raised {error!r}") from error
    return items
