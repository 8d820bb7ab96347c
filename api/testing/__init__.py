"""What tests of stateful code need: a clock that obeys, and a suite for journals."""

from stateward.testing.clock import SimulatedClock
from stateward.testing.journals import JournalContract

__all__ = ["JournalContract", "SimulatedClock"]
