import io
import sys
from pathlib import Path

import pytest

from stateward.actors.core.errors import RecordedError
from stateward.cli.documents import (
    CELL_MAX,
    cell_of,
    described,
    one_line,
    print_table,
    printable,
    read_input,
    read_value,
    to_json,
)


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError


def test_input_is_json_or_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three ways of giving an input lead to the value."""
    file = tmp_path / "order.json"
    file.write_text('{"sku": "Tee für 7"}', encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1, 2]"))
    assert read_input('{"sku": 7}') == {"sku": 7}
    assert read_input(str(file)) == {"sku": "Tee für 7"}
    assert read_input("-") == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'sku': 7}", "malformed JSON"),
        ("[NaN]", "NaN is not JSON"),
        ("no-such.json", "there is no file 'no-such.json'"),
        (".", "cannot be read"),
        ("[" * 200_000, "malformed JSON: it nests too deeply"),
    ],
    ids=["malformed", "not-a-number", "no-file", "folder", "deep"],
)
def test_input_that_is_none_is_refused_on_one_line(text: str, message: str) -> None:
    """Whatever is wrong with an input is said in a single line."""
    with pytest.raises(ValueError, match=message) as caught:
        read_input(text)
    assert "\n" not in str(caught.value)


def test_input_file_is_named_when_it_is_malformed(tmp_path: Path) -> None:
    """The message tells a malformed file from a malformed argument."""
    file = tmp_path / "order.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"order\.json' holds malformed JSON"):
        read_input(str(file))


def test_value_without_quotes_is_refused_with_a_hint() -> None:
    """A bare word is not JSON, and the message shows how it is written."""
    assert read_value('"packed"') == "packed"
    with pytest.raises(ValueError, match="in quotes: '\"packed\"'"):
        read_value("packed")


@pytest.mark.parametrize(
    ("encoding", "text"), [("utf-8", '"ü"'), ("ascii", '"\\u00fc"')]
)
def test_json_holds_what_the_output_can_hold(
    encoding: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters that the output has no code for become escapes."""
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    assert to_json("ü") == text


def test_table_is_aligned_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns begin at the same place, and no cell steers the terminal."""
    print_table([("key", "value"), ("a\x1b[2J", "1"), ("long-name", "2")])
    assert capsys.readouterr().out.splitlines() == [
        "key        value",
        "a\\x1b[2J   1",
        "long-name  2",
    ]


def test_cell_of_a_long_value_is_cut() -> None:
    """A cell is as long as the limit, and not longer."""
    whole = "x" * (CELL_MAX - 2)
    assert cell_of(whole) == f'"{whole}"'
    assert len(cell_of(whole + "x")) == CELL_MAX
    assert cell_of(whole + "x").endswith("...")


def test_printable_text_keeps_letters_and_escapes_the_rest() -> None:
    """Letters of all scripts stay; line breaks and control characters do not."""
    assert printable("Größe 大") == "Größe 大"
    assert printable("a\nb\x07\u202e") == "a\\nb\\x07\\u202e"


def test_one_line_of_an_error_is_never_empty() -> None:
    """An error without a message, or that cannot give it, is told by its class."""
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(MuteError()) == "MuteError"


def test_described_error_names_its_class_once() -> None:
    """The class comes before the message, unless it is in it already."""
    assert described(ValueError("no")) == "ValueError: no"
    assert described(ValueError()) == "ValueError"
    recorded = RecordedError("KeyError: 'a'", type="KeyError", text="'a'")
    assert described(recorded) == "KeyError: 'a'"
