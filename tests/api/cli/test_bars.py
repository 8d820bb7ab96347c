import os

import pytest

from stateward.cli.bars import bar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have standard error pass for a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


def test_bar_is_not_shown_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where standard error is no terminal nothing is printed to it."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with bar("doing") as report:
        report(1, 3)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.usefixtures("terminal")
def test_bar_tells_how_much_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the bar names what is done and how far it is, beside the output."""
    with bar("doing") as report:
        report(2, 3)
        print("data")
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert "doing" in captured.err
    assert "2/3" in captured.err


@pytest.mark.usefixtures("terminal")
def test_bar_tells_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    """Where bytes are reported they are told with a unit; at first there is none."""
    with bar("doing", in_bytes=True) as report:
        report(2_000_000, 3_000_000)
    assert "2.0/3.0 MB" in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_bar_leaves_the_terminal_to_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has no room for a bar is printed without one if both go to one terminal."""
    monkeypatch.setattr(os, "isatty", lambda _: True)
    with bar("doing", beside_output=False) as report:
        report(2, 3)
        print("data")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("data\n", "")
