"""Keys: what a file may hold, and sealed stores opened with it by every command."""

import re
from pathlib import Path

import click
import pytest

from stateward import StateManager
from stateward.cli.keys import KeyFile, key_of, read_key
from tests.api.cli.processes import fill, url
from tests.commands import invoke

__all__ = ["url"]

KEY = bytes(range(32))
TEXT = KEY.hex().encode()


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """Return the path of a file with the key."""
    path = tmp_path / "key"
    path.write_bytes(TEXT + b"\n")
    return str(path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (KEY, KEY),
        (KEY + b"\n", KEY),
        (KEY + b"\r\n", KEY),
        (KEY[:-1] + b"\n", KEY[:-1] + b"\n"),
        (TEXT, KEY),
        (TEXT.upper() + b"\n", KEY),
        (TEXT + b"\r\n", KEY),
    ],
)
def test_key_is_bytes_or_digits(content: bytes, key: bytes, tmp_path: Path) -> None:
    """A file holds 32 bytes as they are or in hex, and a newline may end it."""
    path = tmp_path / "key"
    path.write_bytes(content)
    assert read_key(str(path)) == key


@pytest.mark.parametrize(
    "content",
    [b"", KEY[:-1], KEY + b"x", KEY + b"\n\n", TEXT[:-2], b"z" * 64, b"\xff" * 64],
)
def test_key_that_is_none_is_not_told(content: bytes, tmp_path: Path) -> None:
    """What is wrong is said without what the file holds."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"and it has {len(content)} bytes$") as caught:
        read_key(str(path))
    assert not content or content.decode("latin-1") not in str(caught.value)


def test_key_option_takes_a_key_as_it_is() -> None:
    """A default that a host gives in place of a file is bytes already."""
    assert KeyFile().convert(KEY, None, None) == KEY
    assert key_of(click.Context(click.Command("c"))) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("state", "get", "workflow:w1", "n"),
        ("state", "show", "workflow:w1"),
        ("state", "keys", "workflow:w1"),
        ("state", "set", "workflow:w1", "m", "1"),
        ("state", "delete", "workflow:w1", "n"),
        ("runs",),
        ("stats",),
        ("compact",),
        ("check",),
        ("export",),
        ("backup", "{folder}/backup"),
    ],
)
def test_sealed_store_is_opened_with_its_key(
    command: tuple[str, ...], url: str, key_file: str, tmp_path: Path
) -> None:
    """Each command takes the key from a file, and is refused without it."""
    fill(url, key=KEY)
    args = [part.format(folder=tmp_path) for part in command]
    args += ["--store", url]
    done = invoke(None, *args)
    assert done.exit_code == 1
    assert re.fullmatch("Error: .* is sealed: give its key\n", done.stderr)
    assert not done.stdout
    done = invoke(None, *args, "--key-file", key_file)
    assert done.exit_code == 0, done.stderr


def test_wrong_key_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    """The store is named, the exit code is 1, and nothing of either key is told."""
    fill(url, key=KEY)
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"w" * 32)
    for command in (("check",), ("stats",), ("export",)):
        done = invoke(None, *command, "--store", url, "--key-file", str(wrong))
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: {url}: there is no key ")
        assert done.stderr.count("\n") == 1
        assert TEXT.decode() not in done.stderr
        assert "wwww" not in done.stderr
        assert not done.stdout


def test_key_for_a_store_that_is_not_sealed_is_refused(url: str, key_file: str) -> None:
    """Whoever thinks that values are sealed is told that they are not."""
    fill(url)
    done = invoke(None, "stats", "--store", url, "--key-file", key_file)
    assert done.exit_code == 1
    assert "is not sealed, and a key was given" in done.stderr


def test_key_file_may_be_named_by_the_environment(url: str, key_file: str) -> None:
    """STATEWARD_KEY_FILE names it for a whole shell, and a new store is sealed too."""
    env: dict[str, str | None] = {"STATEWARD_KEY_FILE": key_file}
    args = ("state", "set", "global", "k", '"secret"', "--store", url)
    assert invoke(None, *args, env=env).exit_code == 0
    assert invoke(None, "stats", "--store", url).exit_code == 1
    with StateManager(url, key=KEY) as manager:
        assert manager.global_state()["k"] == "secret"


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "cannot be read: No such file"), ("short", "holds no key: ")],
)
def test_key_file_that_cannot_be_used_exits_with_two(
    name: str, message: str, url: str, tmp_path: Path
) -> None:
    """Nothing is opened or made, and the file is named."""
    (tmp_path / "short").write_bytes(b"1234")
    before = sorted(tmp_path.iterdir())
    path = str(tmp_path / name)
    args = ("state", "set", "global", "k", "1", "--store", url, "--key-file", path)
    done = invoke(None, *args)
    assert done.exit_code == 2
    assert path in done.stderr
    assert message in done.stderr
    assert sorted(tmp_path.iterdir()) == before
