"""The frame of a `Loop`."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from stateward.actors.core.errors import (
    ConditionError,
    InvalidValueError,
    IterationLimitError,
)
from stateward.actors.core.scopes import shown
from stateward.actors.core.values import JsonValue, Packing, pack
from stateward.workflows.flows import (
    Loop,
    Node,
)
from stateward.workflows.frames import Frame
from stateward.workflows.jobs import Answer, Outcome, Question
from stateward.workflows.records import (
    NULL,
    Record,
    Status,
    Verdict,
    completed,
    failed,
    packed_list,
)
from stateward.workflows.rows import RowFrame, holds
from stateward.workflows.strategies import First, Last


class LoopFrame(RowFrame):
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
        self._items = record.get("items")
        if self._items is None and (isinstance(over, tuple | range)):
            self._items = over
        if self._items is None and over is not None:
            self._ask("items")
        else:
            self._next()

    def child(self, node: Node) -> Frame:
        """Return the frame of a node in this iteration."""
        path = f"{self.path}[{self.iteration}]/{node.name}"
        return self.course.frame_of(node, self, path)

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

    def keep(self, child: Frame, verdict: Verdict) -> None:  # noqa: ARG002  # as above
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
            return holds(cast("Callable[[Any], object]", flow.while_), state, what)
        return not holds(cast("Callable[[Any], object]", flow.until), state, what)

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
