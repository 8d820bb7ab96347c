"""The command `stateward`: what its parts have in common."""

import errno
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click

from stateward.actors.core.errors import StateError, UsageError
from stateward.cli.copies import backup, copy, restore
from stateward.cli.documents import one_line
from stateward.cli.exports import export, import_
from stateward.cli.migrate import migrate
from stateward.cli.run import run
from stateward.cli.runs import runs
from stateward.cli.signals import Terminated, exit_code_of, terminations_raised
from stateward.cli.state import state
from stateward.cli.upkeep import check, compact, rotate_key, stats

EPILOG: Final = """\b
Examples:
  stateward run shop.flows:checkout --id order-123 --input '{"sku": 7}'
  stateward runs --store URL
  stateward state show workflow:order-123 --store URL
  stateward backup backups/monday.db --store sqlite:///state.db

\b
Shell completion:
  bash  eval "$(_STATEWARD_COMPLETE=bash_source stateward)"   in ~/.bashrc
  zsh   eval "$(_STATEWARD_COMPLETE=zsh_source stateward)"    in ~/.zshrc
  fish  _STATEWARD_COMPLETE=fish_source stateward | source    in config.fish
"""

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room for more."""


class Refusal(click.ClickException):
    """What the engine refuses, told in one line."""

    def __init__(self, error: StateError) -> None:
        """Take the message of `error`."""
        super().__init__(one_line(error))


class Misuse(Refusal):
    """What would be refused again: the command line or the flow is wrong."""

    exit_code = 2


class Commands(click.Group):
    """A group whose commands end in a line and an exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out the command that was asked for."""
        try:
            with terminations_raised():
                return super().invoke(ctx)
        except StateError as error:
            kind = Misuse if isinstance(error, UsageError) else Refusal
            raise kind(error) from None
        except KeyboardInterrupt as interrupt:
            how = "terminated" if isinstance(interrupt, Terminated) else "interrupted"
            click.echo(how, err=True)
            ctx.exit(exit_code_of(interrupt))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # Nobody reads any more; click ends quietly then.
            raise click.ClickException(system_problem(error)) from None


def system_problem(error: OSError) -> str:
    """Return in one line what the system refused; let go of an output that is full."""
    if error.errno not in FULL:
        return one_line(error)
    # Of all that a command writes only this is not put into words below. The end of the
    # process must not try again, and exit with another code.
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    return f"cannot write to standard output: {one_line(error)}"


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("stateward"), prog_name="stateward")
def stateward() -> None:
    """Run workflows, read and change their state, and look after where it is kept."""


for command in (
    run,
    runs,
    state,
    migrate,
    backup,
    restore,
    copy,
    export,
    import_,
    check,
    compact,
    stats,
    rotate_key,
):
    stateward.add_command(command)
