"""Contradictions: why a part of a history is not linearizable.

First the earliest reply is found up to which the history is not linearizable, since
what happened later has no part in that. Then all replies but that one are forgotten, so
that their operations have unknown outcomes, which only permits more orders. As long as
there is one, a reply that it does not fit is remembered again.
"""

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, replace
from math import inf
from typing import Final, Generic, TypeVar

from stateward.actors.core.errors import LimitError
from stateward.testing.histories import Operation, Outcome
from stateward.testing.search import Found, Search, Step
from stateward.testing.transitions import Specification

S = TypeVar("S", bound=Hashable)

NARROWING_MAX: Final = 5_000
"""LIMIT: orders to look at to find which replies contradict each other; a second."""
REPLIES_MAX: Final = 40
"""LIMIT: how many replies a contradiction may have before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction(Generic[S]):
    """What is known of a part that is not linearizable."""

    replies: tuple[Operation, ...]
    """Those that no order explains, the earliest possible at the end. Alone, if finding
    the others would take too long."""
    order: tuple[Operation, ...]
    """A longest order of those that get up to the last reply."""
    held: tuple[S, ...]
    """What can be held then."""


class Narrowing(Generic[S]):
    """Finds which replies contradict each other."""

    def __init__(
        self,
        steps: list[Step[S]],
        specification: Specification[S],
        configurations_max: int,
    ) -> None:
        """Begin with steps of which there is no order."""
        self.steps = steps
        self.specification = specification
        self.configurations_max = configurations_max
        self.left = NARROWING_MAX

    def contradiction(self) -> Contradiction[S]:
        """Return what contradicts what.

        Raises:
            LimitError: The search for the first reply is too long. Effect: none.
        """
        replies = sorted(step.returned for step in self.steps if step.returned != inf)
        end = replies[self._first_refuted(replies)]
        last = next(step for step in self.steps if step.returned == end)
        prefix = self._until(end)
        found = self._nearest(prefix, last)
        others = [step for step in prefix if step is not last]
        core = sorted(self._core(others, last), key=lambda step: step.returned)
        return Contradiction(
            replies=tuple(step.operation for step in (*core, last)),
            order=found.order,
            held=found.held,
        )

    def _nearest(self, prefix: list[Step[S]], last: Step[S]) -> Found[S]:
        """Return what comes as far as the last reply; some of it, if there is much."""
        search = Search(prefix, self.specification, NARROWING_MAX, last)
        try:
            return search.run()
        except LimitError:
            return search.so_far()

    def _first_refuted(self, replies: list[float]) -> int:
        """Return the place of the first reply up to which there is no order."""
        # All that ended before this one has been put in order.
        low = bisect_left(replies, self._search(self.steps).bound)
        step = 1
        while low + step < len(replies) and not self._is_refuted_at(
            replies[low + step]
        ):
            step *= 2
        high = min(low + step, len(replies) - 1)
        return bisect_left(replies, True, lo=low, hi=high, key=self._is_refuted_at)

    def _is_refuted_at(self, end: float) -> bool:
        return not self._search(self._until(end)).ok

    def _search(self, steps: list[Step[S]], most: int | None = None) -> Found[S]:
        most = self.configurations_max if most is None else most
        return Search(steps, self.specification, most).run()

    def _until(self, end: float) -> list[Step[S]]:
        """Return what is known right after the reply with the number `end`."""
        begun = [step for step in self.steps if step.invoked < end]
        ended = [step for step in begun if step.returned <= end]
        return ended + self._weaker([step for step in begun if step.returned > end])

    def _core(self, others: list[Step[S]], last: Step[S]) -> list[Step[S]]:
        """Return the operations whose replies contradict that of `last`."""
        core: list[Step[S]] = []
        try:
            while (order := self._order(others, core, last)) is not None:
                if len(core) == REPLIES_MAX:
                    return []
                core.append(self._unfit(order, others, core))
            for step in core[:-1]:
                fewer = [other for other in core if other is not step]
                if self._order(others, fewer, last) is None:
                    core = fewer
        except LimitError:
            return []
        return core

    def _order(
        self, others: list[Step[S]], kept: list[Step[S]], last: Step[S]
    ) -> list[Operation] | None:
        """Return an order in which no reply but those of `kept` and `last` counts.

        Raises:
            LimitError: That would take too long.
        """
        forgotten = self._weaker([step for step in others if step not in kept])
        found = self._search([*kept, last, *forgotten], self.left)
        self.left = max(0, self.left - found.looked_at)
        return list(found.order) if found.ok else None

    def _unfit(
        self, order: list[Operation], others: list[Step[S]], core: list[Step[S]]
    ) -> Step[S]:
        """Return a step outside of `core` that `order` does not fit, if there is one.

        Best is one that stands in the order at a wrong moment, then one that would have
        changed what is held whatever that was. What lacks something that others have to
        bring about comes last, and of equals what is early.
        """
        known = {step.invoked: step for step in self.steps}
        taken = [known[operation.invoked] for operation in order]
        left = [step for step in others if step not in core and step.returned != inf]
        left.sort(
            key=lambda step: (
                step not in taken,
                not step.blind,
                step.pure,
                -step.returned,
            )
        )
        for step in left:
            if step in taken:
                rest = [other for other in taken if other is not step]
                places = [taken.index(step)]
            else:
                rest, places = taken, list(range(len(taken) + 1))
            if not any(self._fits(step, rest, place) for place in places):
                return step
        return left[0]

    def _fits(self, step: Step[S], rest: list[Step[S]], place: int) -> bool:
        """Return whether `step` can stand in the order `rest` at a place."""
        if any(step.returned < other.invoked for other in rest[:place]):
            return False
        if any(other.returned < step.invoked for other in rest[place:]):
            return False
        held: S | None = self.specification.initial
        for each in (*rest[:place], step, *rest[place:]):
            if held is None:
                return False
            held = each.apply(held)
        return held is not None

    def _weaker(self, steps: list[Step[S]]) -> list[Step[S]]:
        """Return the steps as they are if nobody knows what came of them."""
        weaker = []
        for step in steps:
            if step.returned == inf:
                weaker.append(step)
                continue
            if step.operation.outcome is Outcome.REFUSED:
                continue
            operation = replace(
                step.operation,
                outcome=Outcome.UNKNOWN,
                returned=None,
                result=None,
                error=None,
            )
            transition = self.specification.transition(operation)
            if transition is not None and not transition.pure:
                weaker.append(Step(operation, transition))
        return weaker
