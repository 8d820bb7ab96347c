from xml.etree import ElementTree as ET

from stateward.testing import Call
from stateward.testing.histories import Operation, Outcome
from stateward.testing.timeline import NAMESPACE, SHOWN_MAX, Timeline

NAMES = {"svg": NAMESPACE}


def done(client: str, invoked: int, returned: int, value: object = 1) -> Operation:
    """Return a read."""
    return Operation(
        client=client,
        call=Call("get", (value,)),
        invoked=invoked,
        returned=returned,
        outcome=Outcome.RETURNED,
    )


LOST = Operation(client="b", call=Call("set", ("k", 1)), invoked=1)


def drawn(picture: str) -> list[ET.Element]:
    """Return the bars of a picture, which has to be XML."""
    return ET.fromstring(picture).findall("svg:g", NAMES)  # noqa: S314  # our own


def test_picture_has_a_bar_for_each_operation() -> None:
    """A reply ends a bar, an unknown outcome leaves it open, and a title says all."""
    first = done("a", 0, 2)
    bars = drawn(Timeline(title="t", operations=(first, LOST), order=(first,)).svg())
    assert [bar[0].text for bar in bars] == [
        "a, 0 to 2: 1. get(1) gives None",
        "b, 1 to the end: set('k', 1) has an unknown end (no reply)",
    ]
    assert [bar[1].tag for bar in bars] == [
        f"{{{NAMESPACE}}}rect",
        f"{{{NAMESPACE}}}path",
    ]


def test_picture_marks_the_contradiction() -> None:
    """What is marked has another colour, also where the page is dark."""
    one, other = done("a", 0, 2), done("b", 3, 4)
    picture = Timeline(title="t", operations=(one, other), marked=(other,)).svg()
    assert [bar[1].get("class") for bar in drawn(picture)] == ["bar", "bar marked"]
    assert "prefers-color-scheme: dark" in picture


def test_picture_escapes_what_it_shows() -> None:
    """Names and values that look like XML, or cannot stand in it, do no harm."""
    odd = done("<a>&\x00", 0, 1, "]]>\ud800")
    picture = Timeline(title="<t>", operations=(odd,)).svg()
    assert ET.fromstring(picture.encode())[0].text == "<t>"  # noqa: S314  # our own


def test_picture_gives_overlapping_operations_of_a_client_rows_of_their_own() -> None:
    """No bar of a lane covers another one."""
    bars = drawn(
        Timeline(title="t", operations=(done("a", 0, 3), done("a", 1, 2))).svg()
    )
    assert len({bar[1].get("y") for bar in bars}) == 2


def test_picture_shows_what_is_near_the_contradiction() -> None:
    """Of a long history the marked ones and the latest before them are shown."""
    operations = [done("a", 2 * number, 2 * number + 1) for number in range(200)]
    marked = (operations[0], operations[150])
    picture = Timeline(title="t", operations=tuple(operations), marked=marked).svg()
    titles = [str(bar[0].text) for bar in drawn(picture)]
    assert len(titles) == SHOWN_MAX
    assert titles[0].startswith("a, 0 to")
    assert titles[-1].startswith("a, 300 to")
    assert "140 more are not shown" in picture
