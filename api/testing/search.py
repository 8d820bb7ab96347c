"""The search for an order of one part of a history; `linearizability` says how it goes.

A configuration is how far an order has come: which operations are in it, and what is
held then. Operations that have returned are numbered by their invocations. All before
`base` are in the order; of the others `mask` has a bit for each that is. Since none is
left out beyond its reply, the mask is about as long as many operations overlap. Those
of unknown outcome, which no reply bounds, have their own bits: `used`.
"""

from bisect import bisect
from collections.abc import Hashable, Iterable, Iterator, Sequence
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

from stateward.actors.core.errors import LimitError
from stateward.testing.histories import Operation
from stateward.testing.transitions import Specification, Transition

S = TypeVar("S", bound=Hashable)


class Path(NamedTuple):
    """An order, from its end to its beginning."""

    before: "Path | None"
    operation: Operation


class Step(Generic[S]):
    """An operation, and what it does."""

    __slots__ = (
        "apply",
        "blind",
        "gives",
        "invoked",
        "needs",
        "operation",
        "plain",
        "pure",
        "rank",
        "returned",
    )

    def __init__(self, operation: Operation, transition: Transition[S]) -> None:
        """Take both apart, since the search looks at them again and again."""
        self.operation: Final = operation
        self.invoked: Final = operation.invoked
        self.returned: Final = inf if operation.returned is None else operation.returned
        self.apply: Final = transition.apply
        self.pure: Final = transition.pure
        self.needs: Final = transition.needs
        self.gives: Final = frozenset() if transition.pure else transition.gives
        self.rank: Final = transition.rank
        self.plain: Final = self.needs is not None and (
            transition.settles or transition.pure
        )
        """Whether what was there before can only make it possible or not."""
        self.blind: Final = self.plain and not self.needs


class Configuration(NamedTuple, Generic[S]):
    """How far an order has come."""

    base: int
    mask: int
    used: int
    held: S
    bound: float
    """The first reply of those to come; none of those may be taken that begin later."""
    following: list[int]
    """What may be taken next, of the operations that have returned."""
    path: Path | None
    restless: bool
    """Whether the last one taken has an unknown outcome."""


class Found(NamedTuple, Generic[S]):
    """What the search has found."""

    ok: bool
    bound: float
    """The reply that no order explains."""
    order: tuple[Operation, ...]
    """All of them in order; or a longest order of those that get up to `bound`."""
    held: tuple[S, ...]
    """What is held after such orders, each once."""
    looked_at: int
    """How many configurations there were."""


class Tokens(Generic[S]):
    """Who needs which token, and who gives it."""

    def __init__(
        self,
        steps: list[Step[S]],
        optional: list[Step[S]],
        unneeded: Step[S] | None,
    ) -> None:
        """Look through all operations."""
        self.needed: dict[Hashable, list[int]] = {}
        self.given: dict[Hashable, list[int]] = {}
        self.given_perhaps: dict[Hashable, list[int]] = {}
        self.any_given = any(step.gives is None for step in (*steps, *optional))
        for i, step in enumerate(steps):
            if step is not unneeded:
                for token in step.needs or ():
                    self.needed.setdefault(token, []).append(i)
            for token in step.gives or ():
                self.given.setdefault(token, []).append(i)
        for j, step in enumerate(optional):
            for token in step.gives or ():
                self.given_perhaps.setdefault(token, []).append(j)
        self.plain = all(step.plain for step in optional) and not self.any_given
        self.needed_perhaps = {token for step in optional for token in step.needs or ()}
        self.invoked = [step.invoked for step in optional]
        self.kinds = [
            repr((step.operation.call, step.operation.on)) for step in optional
        ]

    def is_missed(self, token: Hashable, base: int, mask: int, used: int) -> bool:
        """Return whether somebody still needs `token` whom nobody can give it.

        Cost: O(operations that overlap), and of unknown outcome that give it.
        """
        if self.any_given:
            return False
        if not _is_left(self.needed.get(token, ()), base, mask):
            return False
        if _is_left(self.given.get(token, ()), base, mask):
            return False
        return all(used >> j & 1 for j in self.given_perhaps.get(token, ()))

    def helpful(self, now: Configuration[S], steps: list[Step[S]]) -> Iterable[int]:
        """Return those of unknown outcome that may matter for what follows."""
        count = bisect(self.invoked, now.bound)
        if not self.plain or not all(steps[i].plain for i in now.following):
            return range(count)
        wanted = self.needed_perhaps.union(
            *(steps[i].needs or () for i in now.following)
        )
        return [
            j
            for token in wanted
            for j in self.given_perhaps.get(token, ())
            if j < count
        ]


def _is_left(places: Sequence[int], base: int, mask: int) -> bool:
    """Return whether an operation at one of `places` is not in the order."""
    for i in reversed(places):
        if i < base:
            return False
        if not mask >> (i - base) & 1:
            return True
    return False


class Search(Generic[S]):
    """One search; `run` it once."""

    def __init__(
        self,
        steps: Iterable[Step[S]],
        specification: Specification[S],
        configurations_max: int,
        unneeded: Step[S] | None = None,
    ) -> None:
        """Look for an order of `steps`.

        Args:
            steps: Of one part of the history.
            specification: Where they are from.
            configurations_max: When to give up.
            unneeded: What it needs does not keep the order from going on up to it.
        """
        ordered = sorted(steps, key=lambda step: step.invoked)
        self.steps = [step for step in ordered if step.returned != inf]
        self.optional = [step for step in ordered if step.returned == inf]
        self.specification = specification
        self.left = configurations_max
        self.configurations_max = configurations_max
        self.seen: dict[tuple[int, int, S], list[int]] = {}
        self.bound = -1.0
        self.best: dict[S, Path | None] = {}
        self.longest: tuple[int, Path | None] = (-1, None)
        self.tokens = Tokens(self.steps, self.optional, unneeded)

    def run(self) -> Found[S]:
        """Search until there is an order of all, or none is left to try.

        Raises:
            LimitError: There are more than `configurations_max`. Effect: none.
        """
        first = self._arrive(0, 0, 0, self.specification.initial, None)
        stack = [iter((first,) if first else ())]
        while stack:
            configuration = next(stack[-1], None)
            if configuration is None:
                stack.pop()
            elif not configuration.following:
                return self._found(True, configuration.path)
            else:
                stack.append(self._successors(configuration))
        return self.so_far()

    def so_far(self) -> Found[S]:
        """Return how far the search has come."""
        return self._found(False, self.longest[1])

    def _found(self, ok: bool, path: Path | None) -> Found[S]:
        order = []
        while path is not None:
            order.append(path.operation)
            path = path.before
        return Found(
            ok=ok,
            bound=self.bound,
            order=tuple(reversed(order)),
            held=tuple(self.best),
            looked_at=self.configurations_max - self.left,
        )

    def _successors(self, now: Configuration[S]) -> Iterator[Configuration[S]]:
        """Yield what is one operation further; those of unknown outcome come last."""
        base, mask, used, held, _, following, path, _ = now
        steps = self.steps
        least = min(
            (rank for i in following if (rank := steps[i].rank) is not None),
            default=None,
        )
        for i in following:
            step = steps[i]
            if step.rank is not None and step.rank != least:
                continue
            after = step.apply(held)
            if after is None:
                continue
            taken = mask | 1 << (i - base)
            if after != held and self._loses(base, taken, used, held, after):
                continue
            onward = Path(path, step.operation)
            found = self._arrive(base, taken, used, after, onward)
            if found is not None:
                yield found
        yield from self._uncertain(now)

    def _uncertain(self, now: Configuration[S]) -> list[Configuration[S]]:
        """Return what is further by one operation of unknown outcome.

        All of these are noted before the first one is gone on from, so that none is
        looked at with another one before it that makes no difference.
        """
        base, mask, used, held, _, _, path, restless = now
        further = []
        kinds = set()
        for j in self.tokens.helpful(now, self.steps):
            step, kind = self.optional[j], self.tokens.kinds[j]
            if used >> j & 1 or kind in kinds:
                continue  # one of a kind is as good as the other
            kinds.add(kind)
            if restless and step.blind:
                continue
            after = step.apply(held)
            if after is None or after == held or not self._helps(now, after, j):
                continue
            taken = used | 1 << j
            if self._loses(base, mask, taken, held, after):
                continue
            onward = Path(path, step.operation)
            found = self._arrive(base, mask, taken, after, onward, True)
            if found is not None:
                further.append(found)
        return further

    def _loses(self, base: int, mask: int, used: int, held: S, after: S) -> bool:
        """Return whether something is lost that is needed and will not come back."""
        tokens = self.specification.tokens
        for token in tokens(held) - tokens(after):
            if self.tokens.is_missed(token, base, mask, used):
                return True
        return False

    def _helps(self, now: Configuration[S], after: S, taken: int) -> bool:
        """Return whether what may follow is not the same if `after` is held."""
        held = now.held
        for i in now.following:
            apply = self.steps[i].apply
            then = apply(after)
            if then is not None and then != apply(held):
                return True
        for j, step in enumerate(self.optional):
            if step.invoked > now.bound:
                break
            if j != taken and not step.blind and not now.used >> j & 1:
                then = step.apply(after)
                if then is not None and then != step.apply(held):
                    return True
        return False

    def _arrive(
        self,
        base: int,
        mask: int,
        used: int,
        held: S,
        path: Path | None,
        restless: bool = False,
    ) -> Configuration[S] | None:
        """Take what reads and can be taken; return what is new, or `None`."""
        steps = self.steps
        count = len(steps)
        while True:
            while mask & 1:
                mask >>= 1
                base += 1
            bound, following, took = inf, [], False
            i, rest = base, mask
            while i < count:
                step = steps[i]
                if step.invoked > bound:
                    break
                if not rest & 1:
                    if step.pure and step.apply(held) == held:
                        mask |= 1 << (i - base)
                        path = Path(path, step.operation)
                        took = True
                    else:
                        following.append(i)
                        bound = min(bound, step.returned)
                i += 1
                rest >>= 1
            if not took:
                break
            restless = False
        if not self._is_new(base, mask, used, held):
            return None
        if bound >= self.bound:
            self._note(bound, held, base + mask.bit_count(), path)
        following.sort(key=lambda i: steps[i].returned)
        return Configuration(base, mask, used, held, bound, following, path, restless)

    def _is_new(self, base: int, mask: int, used: int, held: S) -> bool:
        """Note a configuration; return whether none that is as good was noted before.

        Raises:
            LimitError: There are too many.
        """
        key = (base, mask, held)
        known = self.seen.get(key)
        if known is None:
            self.seen[key] = [used]
        elif any(other & used == other for other in known):
            return False
        else:
            known[:] = [other for other in known if other & used != used]
            known.append(used)
        self.left -= 1
        if self.left < 0:
            raise LimitError(
                f"more than {self.configurations_max} orders to look at",
                limit="configurations_max",
                allowance=self.configurations_max,
                actual=self.configurations_max + 1,
            )
        return True

    def _note(self, bound: float, held: S, length: int, path: Path | None) -> None:
        """Note an order that has come as far as any has."""
        if bound > self.bound:
            self.bound = bound
            self.best = {}
            self.longest = (-1, None)
        self.best.setdefault(held, path)
        if length > self.longest[0]:
            self.longest = (length, path)
