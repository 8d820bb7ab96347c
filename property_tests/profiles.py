"""How hard a property is looked at: the profile of this run, in numbers.

Hypothesis takes its number of examples from the profile by itself (see `conftest.py` at
the root). What Hypothesis does not drive, such as stress with real threads, asks here.
"""

import os
from typing import Final

PROFILE: Final = os.environ.get("STATEWARD_PROFILE", "ci")
"""`dev`, `ci` or `soak`."""

SOAK_ROUNDS: Final = 10_000
"""As many as the examples Hypothesis tries under `soak`."""


def rounds(ci: int) -> int:
    """Return how many rounds to run of a test that runs `ci` of them in the gate."""
    match PROFILE:
        case "soak":
            return SOAK_ROUNDS
        case "dev":
            return max(1, ci // 4)
        case _:
            return ci
