"""Where the choices of a simulation come from."""

import random
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import Any, Protocol


class Drawing(Protocol):
    """Hypothesis' `data()`, as far as it is needed."""

    def draw(self, strategy: Any, label: Any = None) -> Any:  # type: ignore[explicit-any]  # as Hypothesis'
        """Draw from a strategy."""
        ...


def chooser(
    seed: int | None, choices: Iterable[int] | None, data: Drawing | None
) -> Callable[[int], int]:
    """Return what chooses: a number from 0 to below the one it is given.

    Args:
        seed: Of chance; 0 if nothing is given at all.
        choices: The numbers themselves, then 0.
        data: What Hypothesis' `data()` has drawn.
    """
    if data is not None:
        from hypothesis.strategies import integers

        return lambda count: int(data.draw(integers(0, count - 1)))
    if choices is not None:
        given = chain(choices, repeat(0))
        return lambda count: next(given) % count
    chance = random.Random(seed or 0)  # noqa: S311  # for tests, to be repeated
    return lambda count: int(chance.random() * count)
