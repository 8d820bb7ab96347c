"""Hypothesis strategies for everything a user can give the library.

Each leans towards what has gone wrong before: names that look like other names once
they are written, numbers at the edge of their type, text that Unicode allows but code
forgets, nesting at the limit. All have bounds as arguments where a test needs them.

Needs the extra `testing`. May import Hypothesis and everything below.
"""

import stateward.testing.extra  # noqa: F401  # first: it says what is missing
from stateward.testing.strategies.commands import Kind, commands, messages
from stateward.testing.strategies.names import (
    keys,
    names,
    plain_names,
    scopes,
    unfit_names,
)
from stateward.testing.strategies.orders import interleavings
from stateward.testing.strategies.trees import workflow_trees
from stateward.testing.strategies.unfit import unfit_values
from stateward.testing.strategies.values import (
    containers,
    deep_values,
    floats,
    ints,
    json_values,
    scalars,
    small_values,
    texts,
)

__all__ = [
    "Kind",
    "commands",
    "containers",
    "deep_values",
    "floats",
    "interleavings",
    "ints",
    "json_values",
    "keys",
    "messages",
    "names",
    "plain_names",
    "scalars",
    "scopes",
    "small_values",
    "texts",
    "unfit_names",
    "unfit_values",
    "workflow_trees",
]
