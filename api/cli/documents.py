"""What goes in and out as text: JSON, tables, and lines that cannot harm a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from stateward.actors.core.values import JsonValue

CELL_MAX: Final = 60
"""Characters of a value that a table shows."""


def read_input(text: str) -> JsonValue:
    """Return the JSON in `text`, in the file it names, or on standard input for `-`.

    Raises:
        ValueError: It is none of these; the message is one line.
    """
    if text == "-":
        return _parse(sys.stdin.read(), "standard input holds malformed JSON")
    try:
        return _parse(text, "malformed JSON")
    except ValueError as error:
        if text.lstrip()[:1] in {"{", "[", '"'}:
            raise
        malformed = error
    try:
        content = Path(text).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"there is no file {text!r}, and it is {malformed}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{text!r} cannot be read: {one_line(error)}") from None
    return _parse(content, f"{text!r} holds malformed JSON")


def read_value(text: str) -> JsonValue:
    """Return the JSON in `text`, or on standard input for `-`.

    Raises:
        ValueError: It is not JSON; the message is one line.
    """
    if text == "-":
        return _parse(sys.stdin.read(), "standard input holds malformed JSON")
    try:
        return _parse(text, "malformed JSON")
    except ValueError as error:
        if text.lstrip()[:1] in {"{", "[", '"'}:
            raise
        hint = f"; a text is written in quotes: '{json.dumps(text)}'"
        raise ValueError(f"{error}{hint}") from None


def _parse(text: str, what: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"{what}: it nests too deeply") from None
    except ValueError as error:
        raise ValueError(f"{what}: {one_line(error)}") from None
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def to_json(value: Any) -> str:
    """Return `value` as JSON on one line, in characters the output can hold."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    narrow = not encoding.lower().replace("-", "").startswith("utf")
    return json.dumps(value, ensure_ascii=narrow)


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns, the first one, a header, in bold."""
    cells = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for place, row in enumerate(cells):
        padded = zip(row, widths, strict=True)
        line = "  ".join(text.ljust(width) for text, width in padded).rstrip()
        click.echo(click.style(line, bold=True) if place == 0 else line)


def cell_of(value: object) -> str:
    """Return a JSON value, short enough for a table."""
    text = to_json(value)
    return text if len(text) <= CELL_MAX else f"{text[: CELL_MAX - 3]}..."


def printable(text: str) -> str:
    """Return `text` on one line; what would steer a terminal becomes an escape."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else repr(sign)[1:-1]  # `'\\n'` without quotes
        for sign in text
    )


def one_line(error: BaseException) -> str:
    """Return the message of `error`, or its class if it has none, on one line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # a class of the caller's
        text = ""
    return printable(" ".join(text.split())) or type(error).__name__


def described(error: BaseException) -> str:
    """Return the class and the message of `error` on one line."""
    name, text = type(error).__name__, one_line(error)
    if name == "RecordedError":  # Its message begins with the class it stands for.
        return text
    return name if text == name else f"{name}: {text}"
