"""What tests of stateful code need: a clock that stands still until told otherwise."""

from stateward.testing.clock import SimulatedClock

__all__ = ["SimulatedClock"]
