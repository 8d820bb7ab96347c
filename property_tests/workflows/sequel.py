"""The sequential model: what must come out of a flow, worked out step by step.

It knows nothing of threads, records or commands. Where branches run side by side and
one that fails cancels the others, it says only what is certain.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Final

from property_tests.workflows.plans import seen
from stateward import IterationLimitError, JsonValue, StepTimeoutError
from stateward.testing.plans import ERRORS, OnError, Plan, StepPlan, TreePlan
from stateward.workflows import First, Last, Retry, Skip, Status

ONCE: Final = Retry(attempts=1)


class UnknowableError(Exception):
    """What comes next depends on which branch was faster."""


class _ExpiredError(Exception):
    """The time of the workflow at a path is over."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a node ends."""

    status: Status = Status.COMPLETED
    output: JsonValue = None
    error: type[BaseException] | None = None
    origin: str = ""
    """Path of the node that raised it."""
    breaks: bool = False
    forgiven: bool = False

    @property
    def fails(self) -> bool:
        """Whether the workflow around it has to end."""
        failed = self.status in {Status.FAILED, Status.TIMED_OUT}
        return failed and not self.forgiven


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node stands in the flow, and what it has from the workflow around it."""

    path: str
    retry: Retry = ONCE
    on_error: OnError = "fail"
    policy: OnError = "fail"
    iteration: int | None = None
    item: JsonValue = None
    before: End | None = None
    """How the node before it in a row ended."""


Seen = tuple[Status, int, JsonValue]
"""Status, attempts and output of a step."""


@dataclass(slots=True)
class Sequel:
    """What comes out; `of` works it out."""

    status: set[Status] = field(default_factory=set)
    """One of these."""
    output: JsonValue = None
    steps: dict[str, Seen] = field(default_factory=dict)
    """By path."""
    counts: Counter[str] = field(default_factory=Counter)
    """What the steps counted in the state of the workflow."""
    mine: Counter[str] = field(default_factory=Counter)
    """What each counted in its own state, by path."""
    maybe: set[str] = field(default_factory=set)
    """Paths of which it is not known how far they get."""
    _tainted: set[str] = field(default_factory=set)
    _failures: int = 0
    _maybe_failures: int = 0
    _now: float = 0.0
    _deadlines: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> "Sequel":
        """Return what must come out of a flow."""
        sequel = cls()
        path = plan.name if isinstance(plan, StepPlan) else ""
        # Nothing is around a step that is run alone: what it does is its own affair.
        alone = isinstance(plan, StepPlan) and plan.on_error
        end = sequel._node(plan, Place(path=path, policy=alone or "fail"))
        if end.fails:
            sequel.status = {end.status}
            return sequel
        sequel.output = end.output
        done, partly = Status.COMPLETED, Status.COMPLETED_WITH_FAILURES
        sequel.status = {partly if sequel._failures else done}
        if sequel._maybe_failures:
            sequel.status.add(partly)
        return sequel

    @property
    def certain(self) -> bool:
        """Whether everything is known."""
        return not self.maybe

    # ---------------------------------------------------------------- nodes

    def _node(self, plan: Plan, place: Place) -> End:
        place = replace(
            place,
            retry=_option(plan, "retry") or place.retry,
            on_error=_option(plan, "on_error") or place.on_error,
        )
        if isinstance(plan, StepPlan):
            end = self._step(plan, place)
        else:
            end = self._tree(plan, place)
        self._failures += end.forgiven
        return end

    def _tree(self, plan: TreePlan, place: Place) -> End:
        kind = {
            "sequential": self._sequential,
            "parallel": self._parallel,
            "conditional": self._conditional,
            "loop": self._loop,
        }[plan.kind]
        try:
            with self._deadline(plan.option("timeout"), place.path):
                end = kind(plan, place)
        except _ExpiredError as expired:
            if expired.path != place.path:
                raise
            end = End(
                status=Status.TIMED_OUT, error=StepTimeoutError, origin=place.path
            )
        if not end.fails:
            return end
        own = end.origin == place.path
        forgiven = _forgive(end, place.policy)
        if own or forgiven is not end:
            self.steps[place.path] = (forgiven.status, 0, forgiven.output)
        return forgiven

    def _step(self, plan: StepPlan, place: Place) -> End:
        attempt = 1
        while True:
            end = self._attempt(plan, place, attempt)
            if not end.fails:
                break
            error = end.error
            assert error is not None
            if attempt >= place.retry.attempts or not issubclass(error, place.retry.on):
                end = _forgive(end, place.policy)
                break
            # So it is left if the time of a workflow is up before the next attempt.
            self.steps[place.path] = (Status.CANCELLED, attempt, None)
            self._sleep(place.retry.delay(attempt, ""))
            attempt += 1
        self.steps[place.path] = (end.status, attempt, end.output)
        return end

    def _attempt(self, plan: StepPlan, place: Place, attempt: int) -> End:
        act = plan.act(attempt)
        raised = act in ERRORS
        if not plan.atomic:
            self._count(plan, place)
        ends = inf if act == "hang" else self._now + plan.seconds
        with self._deadline(plan.timeout, f"{place.path} itself"):
            when, path = min(self._deadlines, key=_when, default=(inf, ""))
            if when <= ends:
                self._now = when
                if path != f"{place.path} itself":
                    self.steps[place.path] = (Status.CANCELLED, attempt, None)
                    raise _ExpiredError(path)
                return End(
                    status=Status.TIMED_OUT, error=StepTimeoutError, origin=place.path
                )
        self._now = ends
        if raised:
            error = ERRORS[act]
            return End(status=Status.FAILED, error=error, origin=place.path)
        if plan.atomic:
            self._count(plan, place)
        saw = None if place.before is None else place.before.output
        if place.before is not None and place.before.forgiven:
            saw = "nothing"
        output: JsonValue = [
            plan.name,
            attempt,
            place.iteration,
            place.item,
            seen(saw),
        ]
        breaks = act == "break" and place.iteration is not None
        return End(output=output, breaks=breaks)

    def _count(self, plan: StepPlan, place: Place) -> None:
        self.counts[f"did {plan.name}"] += 1
        self.counts["total"] += 1
        self.mine[place.path] += 1

    # ---------------------------------------------------------------- kinds

    def _sequential(self, plan: TreePlan, place: Place) -> End:
        return self._row(plan, plan.steps, place)

    def _row(self, plan: TreePlan, steps: tuple[Plan, ...], place: Place) -> End:
        before: End | None = None
        for step in steps:
            before = self._node(step, _inside(plan, place, step, before))
            if before.fails:
                return _failed_by(before)
            if before.breaks:
                break
        assert before is not None
        return End(output=before.output, breaks=before.breaks)

    def _conditional(self, plan: TreePlan, place: Place) -> End:
        every = plan.option("match") == "all"
        chosen: list[Plan] = []
        for step, condition in zip(plan.steps, plan.conditions, strict=False):
            if self._holds(condition) and (every or not chosen):
                chosen.append(step)
        if not chosen and len(plan.steps) > len(plan.conditions):
            chosen = [plan.steps[-1]]
        outputs: dict[str, JsonValue] = {}
        breaks = False
        for step in chosen:
            end = self._node(step, _inside(plan, place, step))
            if end.fails:
                return _failed_by(end)
            outputs[step.name] = end.output
            breaks = end.breaks
            if breaks:
                break
        one = next(iter(outputs.values()), None)
        return End(output=dict(outputs) if every else one, breaks=breaks)

    def _parallel(self, plan: TreePlan, place: Place) -> End:
        fast = plan.option("fail_fast", True)
        alone = plan.option("max_concurrency") == 1
        known, failures = set(self.steps), self._failures
        counted = Counter(self.counts)
        ends: dict[str, End] = {}
        for step in plan.steps:
            ends[step.name] = self._node(step, _inside(plan, place, step))
            if ends[step.name].fails and fast and alone:
                break
        failed = [end for end in ends.values() if end.fails]
        if failed and fast and not alone:
            if len({end.error for end in failed}) > 1:
                raise UnknowableError
            self.maybe |= set(self.steps) - known
            self._tainted |= set(self.counts - counted)
            self._maybe_failures += self._failures - failures
            self._failures = failures
        if failed:
            return _failed_by(failed[0])
        outputs = {name: end.output for name, end in ends.items()}
        breaks = any(end.breaks for end in ends.values())
        return End(output=outputs, breaks=breaks)

    def _loop(self, plan: TreePlan, place: Place) -> End:
        items, most = plan.option("over"), plan.option("max_iterations", inf)
        while_, until = plan.option("while_"), plan.option("until")
        outputs: list[JsonValue] = []
        iteration = 0
        while items is None or iteration < len(items):
            if iteration >= most:
                if plan.option("on_limit") == "stop":
                    break
                error = IterationLimitError
                return End(status=Status.FAILED, error=error, origin=place.path)
            if while_ is not None and not self._holds(while_):
                break
            if iteration:
                self._sleep(plan.option("delay", 0))
            inner = replace(
                place,
                path=f"{place.path}[{iteration}]",
                iteration=iteration,
                item=None if items is None else items[iteration],
            )
            end = self._row(plan, plan.steps, inner)
            if end.fails:
                return end
            outputs.append(end.output)
            if end.breaks or (until is not None and self._holds(until)):
                break
            iteration += 1
        return End(output=_collected(plan.option("collect", "all"), outputs))

    def _holds(self, condition: Any) -> bool:
        if f"did {condition.step}" in self._tainted:
            raise UnknowableError
        return bool(condition(self.counts))

    # ----------------------------------------------------------------- time

    @contextmanager
    def _deadline(self, seconds: float | None, path: str) -> Iterator[None]:
        if seconds is None:
            yield
            return
        self._deadlines.append((self._now + seconds, path))
        try:
            yield
        finally:
            self._deadlines.pop()

    def _sleep(self, seconds: float) -> None:
        if not seconds:
            return
        when, path = min(self._deadlines, key=_when, default=(inf, ""))
        if when <= self._now + seconds:
            self._now = when
            raise _ExpiredError(path)
        self._now += seconds


def _when(deadline: tuple[float, str]) -> float:
    return deadline[0]


def _option(plan: Plan, name: str) -> Any:
    return getattr(plan, name) if isinstance(plan, StepPlan) else plan.option(name)


def _inside(
    plan: TreePlan, place: Place, child: Plan, before: End | None = None
) -> Place:
    own = child.on_error if isinstance(child, StepPlan) else None
    policy = own or place.on_error
    if own is None and child.name in plan.option("optional", ()):
        policy = "continue"
    path = f"{place.path}/{child.name}" if place.path else child.name
    return replace(place, path=path, policy=policy, before=before)


def _forgive(end: End, policy: OnError) -> End:
    """Return how a node that failed ends, after its strategy."""
    if isinstance(policy, Skip):
        assert end.error is not None
        if not issubclass(end.error, policy.on):
            return end
        return End(status=Status.SKIPPED, output=policy.output)
    return end if policy == "fail" else replace(end, forgiven=True)


def _failed_by(end: End) -> End:
    return End(status=Status.FAILED, error=end.error, origin=end.origin)


def _collected(collect: Any, outputs: list[JsonValue]) -> JsonValue:
    if isinstance(collect, First):
        return outputs[: collect.count]
    if isinstance(collect, Last):
        return outputs[-collect.count :]
    if collect == "last":
        return outputs[-1] if outputs else None
    return None if collect == "none" else list(outputs)
