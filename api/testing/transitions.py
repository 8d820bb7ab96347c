"""Transitions: what an operation means if nothing happens beside it.

A specification turns each operation of a history into a transition: a function from
what is held before to what is held after, or to `None` if the operation cannot have had
the outcome it had. What is held is any hashable value but `None`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from stateward.testing.histories import Operation

S = TypeVar("S", bound=Hashable)

Apply: TypeAlias = Callable[[S], S | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Generic[S]):
    """What an operation does, and what the checker may make of that.

    `apply` says everything. The rest is there for speed: each fact that is given lets
    the checker leave orders out, and one that is not true makes its verdicts wrong.
    """

    apply: Apply[S]
    """Return what is held after the operation, of what is held before it; `None` if the
    operation cannot have taken place then with the outcome that it had."""
    pure: bool = False
    """Whether it changes nothing: where it leaves what is held as it was, it can be
    taken at once, for whatever can follow it later can follow it now."""
    settles: bool = False
    """Whether what it leaves is the same whenever it is possible."""
    needs: frozenset[Hashable] | None = None
    """Tokens that all have to be held for it to be possible, and nothing else has to;
    `None` if that cannot be said so. See `Specification.tokens`."""
    gives: frozenset[Hashable] | None = None
    """Every token that can be held after it and not before it; `None` for any. One that
    is pure gives none."""
    rank: int | None = None
    """Of two operations on the same thing, each with a rank, the one with the smaller
    rank comes first in any order that the specification permits."""


class Specification(ABC, Generic[S]):
    """What the checker asks. Write one for what is not here.

    Example:
        >>> from stateward.testing.calls import Call
        >>> from stateward.testing.histories import History
        >>> from stateward.testing.linearizability import check_history
        >>> class Lock(Specification[str]):
        ...     initial = "free"
        ...
        ...     def transition(self, operation):
        ...         after = "taken" if operation.call.name == "lock" else "free"
        ...         return Transition(
        ...             apply=lambda held: after if held != after else None
        ...         )
        >>> history = History()
        >>> for client in "ab":
        ...     history.client(client).call(Call("lock", ()), lambda: None)
        >>> check_history(history, Lock()).ok
        False
    """

    initial: S
    """What is held at first."""

    @abstractmethod
    def transition(self, operation: Operation) -> Transition[S] | None:
        """Return what an operation does; `None` if it says and changes nothing.

        Raises:
            UsageError: It does not know such an operation. Effect: none.
        """

    def partition(self, operation: Operation) -> str:
        """Return the name of the part that an operation is about.

        Parts are checked one by one, which is right if no operation concerns two.
        """
        return operation.on

    def tokens(self, held: S) -> frozenset[Hashable]:  # noqa: ARG002  # for others
        """Return tokens for parts of what is held, as transitions need and give them.

        An order in which one is lost that some reply needs, and that nothing left in
        the history gives, is not gone on with.
        """
        return frozenset()

    def show(self, held: S) -> str:
        """Return what is held in words."""
        return str(held)
