import signal

import pytest

from stateward.cli.signals import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    exit_code_of,
    interrupts_ignored,
    terminations_raised,
)
from tests.threads import in_thread


def test_exit_codes_are_those_of_a_shell() -> None:
    """128 and the number of the signal tell what ended a command."""
    assert exit_code_of(KeyboardInterrupt()) == INTERRUPTED == 128 + signal.SIGINT
    assert exit_code_of(Terminated()) == TERMINATED == 128 + signal.SIGTERM


def test_termination_is_raised_within_the_block() -> None:
    """SIGTERM interrupts as Ctrl-C does, and afterwards does what it did before."""
    with terminations_raised():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_termination_is_left_to_whoever_handles_it() -> None:
    """A handler of a host is called in the block as well."""
    calls: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: calls.append(number))
    try:
        with terminations_raised():
            signal.raise_signal(signal.SIGTERM)
    except Terminated:
        pytest.fail("the handler was replaced")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert calls == [signal.SIGTERM]


def test_termination_is_left_alone_in_other_threads() -> None:
    """Only the main thread may say what a signal does, and elsewhere nobody tries."""

    def look() -> object:
        with terminations_raised():
            return signal.getsignal(signal.SIGTERM)

    assert in_thread(look) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_wait_within_the_block(number: signal.Signals) -> None:
    """A second Ctrl-C or SIGTERM does nothing, and the handler comes back."""
    before = signal.getsignal(number)
    with interrupts_ignored():
        # ORDER: first, or a defect would end the tests and not fail one.
        assert signal.getsignal(number) is not before
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
