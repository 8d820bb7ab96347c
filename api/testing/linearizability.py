"""A checker of linearizability: is there an order in which all of it makes sense?

A history is linearizable if each operation can be given a moment between its invocation
and its reply, so that in the order of these moments each does what its sequential
specification says (M. Herlihy and J. Wing, 1990). For operations on many places at once
the same is called strict serializability.

The search is that of J. Wing and C. Gong, "Testing and Verifying Concurrent Objects",
1993. To it G. Lowe, "Testing for Linearizability", 2017, adds a memory: of which
operations it has put in order and what was held then, to go on from there once only.
Histories are split as A. Horn and D. Kroening, "Faster Linearizability
Checking via P-Compositionality", 2015, show; Porcupine is a checker made of the same
parts. Where nothing goes on, what is remembered is only what is held, so such moments
cut a history.

Ours are five rules that leave orders out, and none of them the last one there is:

- An operation that reads, and can be taken now, is taken now and nowhere else.
- An operation of unknown outcome may be left out for good. To have put fewer of them in
  order is never worse, and what is worse than something seen is not looked at.
- Such an operation is taken only if what may follow does other than without it.
- An order that loses what a later reply has seen, while nothing is left that brings it
  back, is not gone on with; what is needed and given, the specification says.
- A specification may know an order by ranks, such as that of revisions.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from stateward.testing.contradictions import Narrowing
from stateward.testing.histories import History, Operation
from stateward.testing.search import Search, Step
from stateward.testing.timeline import Timeline
from stateward.testing.transitions import Specification

S = TypeVar("S", bound=Hashable)

CONFIGURATIONS_MAX: Final = 2_000_000
"""LIMIT: orders to look at for one part, at 10 to 100 us and about 300 bytes each."""
SHOWN_MAX: Final = 8
"""How many of the possible states an explanation names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a history is linearizable, and if not, where it goes wrong."""

    ok: bool
    partition: str = ""
    """The part that is not linearizable."""
    operations: tuple[Operation, ...] = ()
    """Those of the part that say or change anything."""
    order: tuple[Operation, ...] = ()
    """A longest order that makes sense, of those that get as far as can be got."""
    contradiction: tuple[Operation, ...] = ()
    """The first reply that no order explains, and before it those operations without
    whose replies there would be an order."""
    held: tuple[str, ...] = ()
    """What may be held when the order has come that far."""

    def __str__(self) -> str:
        """Explain the verdict."""
        if self.ok:
            return "linearizable"
        *others, last = self.contradiction
        where = f" on {self.partition!r}" if self.partition else ""
        lines = [
            f"not linearizable{where}: no order explains that",
            f"  {last.client}: {last}",
            f"The {len(self.order)} before that reply can be put in order, and leave",
            *(f"  {held}" for held in self.held[:SHOWN_MAX]),
        ]
        if len(self.held) > SHOWN_MAX:
            lines.append(f"  or one of {len(self.held) - SHOWN_MAX} more")
        if others:
            lines += [
                "It contradicts",
                *(f"  {each.client}: {each}" for each in others),
            ]
        return "\n".join(lines)

    def picture(self) -> str:
        """Return an SVG of what happened around the contradiction.

        Each client has a lane, and each operation a bar from its invocation to its
        reply; one of unknown outcome is open at its end. The numbers are places in the
        order of the verdict. Of a linearizable history nothing is shown.
        """
        return Timeline(
            title=str(self).partition("\n")[0].removesuffix(": no order explains that"),
            operations=self.operations,
            order=self.order,
            marked=self.contradiction,
        ).svg()


def check_history(
    history: History | Iterable[Operation],
    specification: Specification[S],
    *,
    configurations_max: int = CONFIGURATIONS_MAX,
) -> Verdict:
    """Return whether there is an order of `history` that `specification` permits.

    Args:
        history: What happened.
        specification: What each operation means by itself.
        configurations_max: How many orders to look at for each part, >= 1.

    Raises:
        LimitError: The search was too long, so there is no verdict. Effect: none.
        UsageError: The specification does not know an operation. Effect: none.

    Cost: Exponential in how many operations go on at once in the worst case, and linear
        in how many there are where few do. 2,000 operations of 20 clients on one key
        take well under a second as a rule; see docs/decisions/0021.

    Example:
        >>> from stateward.testing.calls import Call
        >>> from stateward.testing.specifications import Register
        >>> history = History()
        >>> alice, bob = history.client("alice"), history.client("bob")
        >>> alice.call(Call("set", ("k", 1)), lambda: None)
        >>> bob.call(Call("get", ("k",)), lambda: None)
        >>> print(check_history(history, Register()))
        not linearizable on 'k': no order explains that
          bob: get('k') gives None
        The 1 before that reply can be put in order, and leave
          1
        It contradicts
          alice: set('k', 1) gives None
    """
    operations = history.operations if isinstance(history, History) else history
    parts: dict[str, list[Step[S]]] = {}
    for operation in sorted(operations, key=lambda each: each.invoked):
        transition = specification.transition(operation)
        if transition is not None:
            name = specification.partition(operation)
            parts.setdefault(name, []).append(Step(operation, transition))
    for name, steps in parts.items():
        found = Search(steps, specification, configurations_max).run()
        if not found.ok:
            return refuted(name, steps, specification, configurations_max)
    return Verdict(ok=True)


def refuted(
    name: str,
    steps: list[Step[S]],
    specification: Specification[S],
    configurations_max: int,
) -> Verdict:
    """Return why a part is not linearizable, of which that is known."""
    found = Narrowing(steps, specification, configurations_max).contradiction()
    return Verdict(
        ok=False,
        partition=name,
        operations=tuple(step.operation for step in steps),
        order=found.order,
        contradiction=found.replies,
        held=tuple(map(specification.show, found.held)),
    )
