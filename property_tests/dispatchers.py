"""Where `tests/actors/runtime/test_engine.py` looks for it; it is in the kit."""

from stateward.testing import InlineDispatcher

__all__ = ["InlineDispatcher"]
