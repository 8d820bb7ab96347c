import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Final

import pytest

import stateward
import stateward.messages
import stateward.offline
import stateward.testing
import stateward.workflows
from stateward import InvariantError, LimitError, Limits, StateError

REFERENCE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"
DIRECTIVE: Final = re.compile(
    r"^\.\. (?:autoclass|autoexception|autofunction|py:class|py:type):: (\w+)$",
    re.MULTILINE,
)
BRANCH: Final = re.compile(
    r"^([│├└─ ]*)(\w+Error)(?: \((\w+)\))?(?=\s|$)", re.MULTILINE
)
NOT_LISTED: Final = frozenset({"value_bytes", "total_bytes"})
"""Fields of `Limits` that follow from others and are not for users."""

ERRORS: Final = {
    name: kind
    for name in stateward.__all__
    if isinstance(kind := getattr(stateward, name), type)
    if issubclass(kind, StateError | InvariantError)
}


def test_public_names_are_documented() -> None:
    """Every name that `stateward` exports has one place in the reference."""
    documented = DIRECTIVE.findall("\n".join(pages()))
    assert sorted(documented) == sorted(stateward.__all__)


@pytest.mark.parametrize(
    "module",
    [stateward.messages, stateward.offline, stateward.testing, stateward.workflows],
)
def test_public_modules_are_documented_whole(module: object) -> None:
    """A module of which all is documented has a page that says so."""
    name = getattr(module, "__name__", "")
    assert sum(f".. automodule:: {name}\n" in page for page in pages()) == 1


@pytest.mark.parametrize("message", stateward.messages.__all__)
def test_messages_have_replies(message: str) -> None:
    """The table of messages says what each one is answered with."""
    listed = f"`{message}`" in table("messages.md")
    assert listed is (message != "Message")  # the base of the others


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_limits_are_listed_with_their_defaults(field: Field[int | None]) -> None:
    """The table of limits has every field and its default."""
    if field.name in NOT_LISTED:
        assert rows("limits.md", field.name) == []
    else:
        (row,) = rows("limits.md", field.name)
        assert row[2] == ("none" if field.default is None else f"{field.default:,}")


def test_limit_errors_are_listed() -> None:
    """The table of limits names every error that a limit can raise."""
    kinds = [name for name, kind in ERRORS.items() if issubclass(kind, LimitError)]
    missing = [name for name in kinds if f"`{name}`" not in table("limits.md")]
    assert missing == ["LimitError"]  # the base of the others


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_listed_with_an_effect(name: str) -> None:
    """The table of errors says of each one what it may have changed."""
    (row,) = rows("errors.md", name)
    kind = ERRORS[name]
    waits = issubclass(stateward.OwnerFailedError, kind) or issubclass(
        stateward.AskTimeoutError, kind
    )
    waits = waits or kind is stateward.CommitFailedError
    if kind is InvariantError:
        assert row[1] == "not known"
    elif kind is stateward.StepTimeoutError:
        assert row[1] == "unknown"  # It was given up, and what it did is not undone.
    else:
        assert row[1] == ("none or unknown" if waits else "none")


def test_error_tree_is_that_of_the_classes() -> None:
    """The drawn tree has every error, below its base and with its built-in."""
    drawn: set[tuple[str, str]] = set()
    path: list[str] = []
    tree = (REFERENCE / "errors.md").read_text(encoding="utf-8").split("```")[1]
    for indent, name, builtin in BRANCH.findall(tree):
        path[len(indent) // 3 :] = [name]
        drawn.add((name, builtin or "Exception"))
        drawn.add((name, path[-2] if len(path) > 1 else "Exception"))
    drawn = {(name, base) for name, base in drawn if base != "Exception"}
    real = {
        (name, base.__name__)
        for name, kind in ERRORS.items()
        for base in kind.__bases__
        if base is not Exception
    }
    assert drawn == real


def pages() -> list[str]:
    """Return the text of every page of the reference."""
    return [path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md"))]


def table(page: str) -> str:
    """Return the rows of all tables of a page."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


def rows(page: str, name: str) -> list[list[str]]:
    """Return the cells of the rows whose first cell is `name`."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table(page).splitlines()
    ]
    return [row for row in cells if row[0] == f"`{name}`"]
