"""Where a run stands, as far as it is shown: one line for each node of the flow.

Of a loop only the newest iteration is shown, so that what is shown is no larger than
the flow, whatever it runs. Nothing in here knows a terminal.
"""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stateward.workflows import Conditional, Loop, RunResult, Status, Step, StepEvent
from stateward.workflows.flows import Node
from stateward.workflows.results import StepResult

ENDED: Final = frozenset(Status) - {Status.RUNNING, Status.RETRYING}
FAILED: Final = frozenset({Status.FAILED, Status.TIMED_OUT, Status.CANCELLED})
ACTIVE: Final = frozenset({Status.RUNNING, Status.RETRYING})

_ITERATION: Final = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One node of the flow, as it is shown."""

    index: int
    parent: int | None
    """Index of the node it is in."""
    name: str
    status: Status | None
    """`None` for not begun."""
    iteration: int | None
    """The newest, of a loop; 0 for the first."""
    attempt: int
    since: float
    """When the attempt under way began, by the clock that was given."""
    seconds: float
    """How long the last attempt took."""
    error: BaseException | None


class _Entry:
    """What is known of one node."""

    __slots__ = (
        "attempt",
        "error",
        "iteration",
        "name",
        "parent",
        "seconds",
        "since",
        "status",
    )

    def __init__(self, name: str, parent: int | None) -> None:
        self.name = name
        self.parent = parent
        self.clear()

    def clear(self) -> None:
        self.status: Status | None = None
        self.iteration: int | None = None
        self.attempt = 0
        self.since = 0.0
        self.seconds = 0.0
        self.error: BaseException | None = None


class Progress:
    """What the events of a run add up to.

    Concurrency: Any thread.
    """

    def __init__(self, flow: Node) -> None:
        """Begin with nothing done."""
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._places: dict[str, int] = {}
        """Index by path, without iterations."""
        self._steps: set[int] = set()
        self._loops: dict[int, tuple[int, int]] = {}
        """Of each loop: how many iterations are counted on, and steps in each."""
        self._bounded: set[int] = set()
        """Loops of which is known how often they go round."""
        self._choices: set[int] = set()
        self._after: list[int] = []
        """Of each node: the index after the last one in it."""
        self._ended: set[str] = set()
        self._result: RunResult | None = None
        self.total = 0
        """How many steps are expected to be run; it may grow, as loops do."""
        self._lay_out(flow)

    @property
    def done(self) -> int:
        """How many steps have ended."""
        return len(self._ended)

    def note(self, event: StepEvent, now: float) -> None:
        """Take in what has come about in a step."""
        with self._lock:
            place = self._place_of(event.path)
            if place is None:
                return
            entry = self._entries[place]
            entry.status = event.status
            entry.attempt = event.attempt
            entry.error = event.error
            entry.seconds = event.seconds
            if event.status is Status.RUNNING:
                entry.since = now
            if event.status in ENDED:
                self._end(event.path)

    def adopt(self, steps: Iterable[StepResult]) -> None:
        """Take in what is recorded of an earlier run: finished steps stay finished."""
        with self._lock:
            for step in steps:
                if step.status in {Status.COMPLETED, Status.SKIPPED}:
                    self._set(step)

    def finish(self, result: RunResult) -> None:
        """Take in how the run ended."""
        with self._lock:
            self._result = result
            for step in result.steps:
                self._set(step)
            for entry in self._entries:
                if entry.status in ACTIVE:  # Given up, and not recorded one by one.
                    entry.status = Status.CANCELLED
            if self._entries[0].error is None and 0 not in self._steps:
                self._entries[0].status = result.status
                self._entries[0].seconds = result.seconds
            if result.ok:
                self.total = max(self.done, 1)

    def lines(self) -> list[Line]:
        """Return one line for each node, each after the one it is in."""
        with self._lock:
            statuses = self._statuses()
            return [
                Line(
                    index=index,
                    parent=entry.parent,
                    name=entry.name,
                    status=statuses[index],
                    iteration=entry.iteration,
                    attempt=entry.attempt,
                    since=entry.since,
                    seconds=entry.seconds,
                    error=entry.error,
                )
                for index, entry in enumerate(self._entries)
            ]

    # ---------------------------------------------------------------- parts

    def _lay_out(self, flow: Node) -> None:
        """Make an entry for each node, and count the steps there will be."""
        nodes: list[Node] = []
        waiting: list[tuple[Node, int | None, str]] = [(flow, None, "")]
        while waiting:  # Not recursive: a flow may be nested to any depth.
            node, parent, path = waiting.pop()
            place = len(nodes)
            nodes.append(node)
            self._entries.append(_Entry(node.name, parent))
            if isinstance(node, Step):
                self._places[path or node.name] = place
                self._steps.add(place)
                continue
            self._places[path] = place
            prefix = f"{path}/" if path or isinstance(node, Loop) else ""
            waiting.extend(
                (child, place, prefix + child.name) for child in reversed(node.steps)
            )
        self.total = self._count(nodes)

    def _count(self, nodes: list[Node]) -> int:
        """Return how many steps are expected, from the innermost outwards."""
        parts: list[list[int]] = [[] for _ in nodes]
        self._after = [place + 1 for place in range(len(nodes))]
        count = 0
        for place in reversed(range(len(nodes))):
            node, inner = nodes[place], parts[place]
            count = 1 if isinstance(node, Step) else sum(inner)
            if isinstance(node, Conditional):
                self._choices.add(place)
                count = max(inner) if node.match == "first" else count
            if isinstance(node, Loop):
                times = 1
                if isinstance(node.over, tuple | range):
                    times = len(node.over)
                    self._bounded.add(place)
                self._loops[place] = (times, count)
                count *= times
            parent = self._entries[place].parent
            if parent is not None:
                parts[parent].append(count)
                self._after[parent] = max(self._after[parent], self._after[place])
        return count

    def _place_of(self, path: str) -> int | None:
        """Return the index of the node at `path`, and note the iterations it is in."""
        for found in _ITERATION.finditer(path):
            loop = self._places.get(_ITERATION.sub("", path[: found.start()]))
            if loop is None:
                return None
            self._iterate(loop, int(found[1]))
        return self._places.get(_ITERATION.sub("", path))

    def _iterate(self, loop: int, iteration: int) -> None:
        """Show this iteration of a loop, if it is a newer one."""
        entry = self._entries[loop]
        if entry.iteration is not None and iteration <= entry.iteration:
            return
        entry.iteration = iteration
        times, steps = self._loops[loop]
        if iteration >= times:
            self.total += steps * (iteration + 1 - times)
            self._loops[loop] = (iteration + 1, steps)
        for inner in range(loop + 1, self._after[loop]):
            self._entries[inner].clear()

    def _set(self, step: StepResult) -> None:
        place = self._place_of(step.path)
        if place is None:
            return
        entry = self._entries[place]
        entry.status = step.status
        entry.attempt = step.attempts
        entry.error = step.error
        entry.seconds = step.seconds
        if place in self._steps and step.status in ENDED - {Status.CANCELLED}:
            self._end(step.path)

    def _end(self, path: str) -> None:
        self._ended.add(path)
        self.total = max(self.total, self.done)

    def _statuses(self) -> list[Status | None]:
        """Return the status of each node; that of a workflow follows from its steps."""
        statuses = [entry.status for entry in self._entries]
        parts: list[list[Status | None]] = [[] for _ in statuses]
        for place in reversed(range(len(statuses))):
            if place not in self._steps and statuses[place] is None:
                statuses[place] = self._follows(place, parts[place])
            parent = self._entries[place].parent
            if parent is not None:
                parts[parent].append(statuses[place])
        return statuses

    def _follows(self, place: int, parts: list[Status | None]) -> Status | None:
        begun = [status for status in parts if status is not None]
        if not begun:
            return None
        if any(status in ACTIVE for status in begun):
            return Status.RUNNING
        fails = any(status in FAILED for status in begun)
        if self._result is not None:
            if not fails:
                return Status.COMPLETED
            return Status.COMPLETED_WITH_FAILURES if self._result.ok else Status.FAILED
        last = place not in self._loops or (
            self._entries[place].iteration == self._loops[place][0] - 1
            and place in self._bounded
        )
        whole = place in self._choices or len(begun) == len(parts)
        return Status.COMPLETED if last and whole and not fails else Status.RUNNING
