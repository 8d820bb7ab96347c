"""Keys of sealed stores: always in a file, never on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from stateward.actors.store.ciphers import KEY_BYTES
from stateward.cli.documents import one_line

F = TypeVar("F", bound=Callable[..., Any])

KEY: Final = "stateward.cli.key"
"""Where the key of the store is kept while a command is carried out."""


class KeyFile(click.ParamType):  # type: ignore[type-arg]  # COMPAT: generic since 8.2
    """A file that holds a key."""

    name = "file"

    def convert(
        self,
        value: str | bytes,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> bytes:
        """Return the key in the file, or fail with what is wrong with it."""
        if isinstance(value, bytes):
            return value
        try:
            return read_key(value)
        except OSError as error:
            self.fail(f"{value!r} cannot be read: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(one_line(error), param, ctx)


def read_key(path: str) -> bytes:
    """Return the key in a file: 32 bytes or 64 hex digits, perhaps with a newline.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no key; what it holds is not told.
    """
    content = Path(path).read_bytes()
    for found in (content, content.removesuffix(b"\n").removesuffix(b"\r")):
        if len(found) == KEY_BYTES:
            return found
        if len(found) == 2 * KEY_BYTES:
            try:
                return bytes.fromhex(found.decode("ascii"))
            except ValueError:
                break
    raise ValueError(
        f"{path!r} holds no key: that is {KEY_BYTES} bytes or {2 * KEY_BYTES} "
        f"hexadecimal digits, and it has {len(content)} bytes"
    )


def _note(context: click.Context, _param: click.Parameter, key: bytes | None) -> None:
    context.meta[KEY] = key


def key_of(context: click.Context) -> bytes | None:
    """Return the key that the command was given with `--key-file`."""
    key: bytes | None = context.meta.get(KEY)
    return key


def key_option(command: F) -> F:
    """Give a command the option `--key-file`; `key_of` returns the key."""
    return click.option(
        "--key-file",
        type=KeyFile(),
        callback=_note,
        expose_value=False,
        envvar="STATEWARD_KEY_FILE",
        show_envvar=True,
        metavar="FILE",
        help="Holds the key of the store: 32 bytes or 64 hex digits.",
    )(command)
