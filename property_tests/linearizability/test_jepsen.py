"""Histories in the form of Jepsen, with verdicts that are known.

`PUBLISHED` restates small ones whose verdicts others have published; the comment beside
each names where. `OURS` are written for this test, their verdicts worked out by hand.
"""

from typing import Final

import pytest

from property_tests.linearizability.brute import is_linearizable
from property_tests.linearizability.jepsen import read
from stateward.testing.histories import Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import Register

PUBLISHED: Final = {
    # README.md of jepsen-io/knossos: a write that crashed can have been read.
    "crashed-write": (
        True,
        """{:process 0, :type :invoke, :f :read, :value nil}
           {:process 1, :type :invoke, :f :write, :value 3}
           {:process 1, :type :info, :f :write, :value 3}
           {:process 0, :type :ok, :f :read, :value 3}""",
    ),
    # The same README, and data/cas-register/bad/rethink-fail-minimal.edn: nobody has
    # written the 3 that is read.
    "rethink-fail-minimal": (
        False,
        """[{:type :invoke, :f :write, :value 0, :process 0}
            {:type :ok, :f :write, :value 0, :process 0}
            {:type :invoke, :f :read, :value nil, :process 1}
            {:type :invoke, :f :write, :value 4, :process 2}
            {:type :ok, :f :read, :value 3, :process 1}
            {:type :ok, :f :write, :value 4, :process 2}
            {:type :invoke, :f :read, :value nil, :process 3}
            {:type :ok, :f :read, :value 4, :process 3}]""",
    ),
    # data/cas-register/bad/immediate-failure.edn there: what failed is read.
    "immediate-failure": (
        False,
        """[{:type :invoke, :process 1, :f :read, :value nil}
            {:type :invoke, :process 101, :f :write, :value 3}
            {:type :fail, :process 101, :f :write, :value 3}
            {:type :ok, :process 1, :f :read, :value 3}]""",
    ),
    # porcupine_test.go of anishathalye/porcupine, which names a quiz of the course
    # 6.824 of MIT in 2017 as its source: a write that two reads see at different times.
    "quiz-linearizable": (
        True,
        """{:process 9, :type :invoke, :f :write, :value 0}
           {:process 9, :type :ok, :f :write, :value 0}
           {:process 0, :type :invoke, :f :write, :value 100}
           {:process 1, :type :invoke, :f :read, :value nil}
           {:process 2, :type :invoke, :f :read, :value nil}
           {:process 2, :type :ok, :f :read, :value 0}
           {:process 1, :type :ok, :f :read, :value 100}
           {:process 0, :type :ok, :f :write, :value 100}""",
    ),
    # From there as well: the second read begins when the first is over.
    "quiz-not-linearizable": (
        False,
        """{:process 9, :type :invoke, :f :write, :value 0}
           {:process 9, :type :ok, :f :write, :value 0}
           {:process 0, :type :invoke, :f :write, :value 200}
           {:process 1, :type :invoke, :f :read, :value nil}
           {:process 1, :type :ok, :f :read, :value 200}
           {:process 2, :type :invoke, :f :read, :value nil}
           {:process 2, :type :ok, :f :read, :value 0}
           {:process 0, :type :ok, :f :write, :value 200}""",
    ),
}

OURS: Final = {
    "a timed-out write takes effect late": (
        True,
        """INFO  jepsen.util - 0\t:invoke\t:write\t1
           INFO  jepsen.util - 0\t:info\t:write\t:timed-out
           INFO  jepsen.util - 1\t:invoke\t:read\tnil
           INFO  jepsen.util - 1\t:ok\t:read\tnil
           INFO  jepsen.util - 1\t:invoke\t:read\tnil
           INFO  jepsen.util - 1\t:ok\t:read\t1""",
    ),
    "a timed-out write takes effect twice": (
        False,
        """INFO  jepsen.util - 0\t:invoke\t:write\t1
           INFO  jepsen.util - 0\t:info\t:write\t:timed-out
           INFO  jepsen.util - 1\t:invoke\t:read\tnil
           INFO  jepsen.util - 1\t:ok\t:read\t1
           INFO  jepsen.util - 1\t:invoke\t:write\t2
           INFO  jepsen.util - 1\t:ok\t:write\t2
           INFO  jepsen.util - 1\t:invoke\t:read\tnil
           INFO  jepsen.util - 1\t:ok\t:read\t1""",
    ),
    "two comparisons find the same value": (
        False,
        """INFO  jepsen.util - 0\t:invoke\t:write\t1
           INFO  jepsen.util - 0\t:ok\t:write\t1
           INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]
           INFO  jepsen.util - 2\t:invoke\t:cas\t[1 3]
           INFO  jepsen.util - 1\t:ok\t:cas\t[1 2]
           INFO  jepsen.util - 2\t:ok\t:cas\t[1 3]""",
    ),
    "a comparison fails that would have held": (
        False,
        """INFO  jepsen.util - 0\t:invoke\t:write\t1
           INFO  jepsen.util - 0\t:ok\t:write\t1
           INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]
           INFO  jepsen.util - 1\t:fail\t:cas\t[1 2]
           INFO  jepsen.util - 1\t:invoke\t:read\tnil""",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_histories_have_the_published_verdict(name: str) -> None:
    """The checker agrees with those who published a history."""
    ok, text = PUBLISHED[name]
    assert check_history(read(text), Register()).ok is ok


@pytest.mark.parametrize("name", OURS)
def test_log_lines_have_the_verdict_worked_out(name: str) -> None:
    """Histories of ours in the form of a log are judged right."""
    ok, text = OURS[name]
    operations = read(text, failure="ConflictError")
    assert check_history(operations, Register()).ok is ok
    assert is_linearizable(operations) is ok


def test_failure_is_taken_for_no_effect_unless_told_otherwise() -> None:
    """As Knossos reads it, a comparison that failed says nothing of what it found."""
    _, text = OURS["a comparison fails that would have held"]
    assert check_history(read(text), Register()).ok


def test_reader_passes_over_what_is_no_event() -> None:
    """Other lines of a log are left out, and what is never answered has no outcome."""
    lines = "INFO  jepsen.core - Starting\nINFO  jepsen.util - 7  :invoke  :write  4\n"
    (operation,) = read(lines)
    assert operation.client == "7"
    assert operation.call.args == ("register", 4)
    assert operation.outcome is Outcome.UNKNOWN
