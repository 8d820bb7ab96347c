from xml.etree import ElementTree as ET

import pytest

from stateward.actors.core.errors import LimitError
from stateward.testing import Call
from stateward.testing.histories import History, Operation, Outcome
from stateward.testing.linearizability import check_history
from stateward.testing.specifications import Register


def stale() -> History:
    """Return a history in which a write is not seen."""
    history = History()
    alice, bob = history.client("alice"), history.client("bob")
    for key in ("k", "other"):
        alice.call(Call("set", (key, 1)), lambda: 1)
    bob.call(Call("get", ("k",)), lambda: None)
    return history


def test_verdict_explains_what_is_wrong() -> None:
    """It names the key, the reply, what is held instead, and what it contradicts."""
    assert str(check_history(stale(), Register())).splitlines() == [
        "not linearizable on 'k': no order explains that",
        "  bob: get('k') gives None",
        "The 1 before that reply can be put in order, and leave",
        "  1 at revision 1",
        "It contradicts",
        "  alice: set('k', 1) gives 1",
    ]


def test_verdict_has_a_picture() -> None:
    """It shows the part that is wrong, and says so."""
    picture = ET.fromstring(check_history(stale(), Register()).picture())  # noqa: S314  # ours
    assert picture[0].text == "not linearizable on 'k'"
    shown = [each.get("class") for each in picture.iter() if each.get("class")]
    assert shown.count("bar marked") == 2


def test_verdict_of_a_right_history_is_short() -> None:
    """Nothing is held against it, and an empty history is right."""
    verdict = check_history(History(), Register())
    assert verdict.ok
    assert (str(verdict), verdict.contradiction) == ("linearizable", ())


def test_search_that_is_too_long_gives_no_verdict() -> None:
    """To give up is not to say that all is well."""
    with pytest.raises(LimitError, match="more than 1 orders") as caught:
        check_history(stale(), Register(), configurations_max=1)
    assert caught.value.limit == "configurations_max"


def test_many_unknown_outcomes_cost_little() -> None:
    """A hundred lost writes, one of them seen at the end, are no hundred factorial."""
    lost = [
        Operation(client="c", call=Call("set", ("k", n)), invoked=n) for n in range(100)
    ]
    reads = [
        Operation(
            client="d",
            call=Call("get", ("k",)),
            invoked=200 + 2 * n,
            returned=201 + 2 * n,
            outcome=Outcome.RETURNED,
            result=n,
        )
        for n in (3, 70, 5)
    ]
    reads.sort(key=lambda each: each.invoked)
    assert check_history([*lost, *reads], Register(), configurations_max=1000).ok
