"""The command `stateward`: what its parts have in common."""

from importlib.metadata import version
from typing import Any, Final

import click

from stateward.actors.core.errors import StateError, UsageError
from stateward.cli.documents import one_line
from stateward.cli.run import INTERRUPTED, run
from stateward.cli.runs import runs
from stateward.cli.state import state

EPILOG: Final = """\b
Examples:
  stateward run shop.flows:checkout --id order-123 --input '{"sku": 7}'
  stateward runs --store URL
  stateward state show workflow:order-123 --store URL

\b
Shell completion:
  bash  eval "$(_STATEWARD_COMPLETE=bash_source stateward)"   in ~/.bashrc
  zsh   eval "$(_STATEWARD_COMPLETE=zsh_source stateward)"    in ~/.zshrc
  fish  _STATEWARD_COMPLETE=fish_source stateward | source    in config.fish
"""


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
            return super().invoke(ctx)
        except StateError as error:
            kind = Misuse if isinstance(error, UsageError) else Refusal
            raise kind(error) from None
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("stateward"), prog_name="stateward")
def stateward() -> None:
    """Run workflows, and read and change their state."""


for command in (run, runs, state):
    stateward.add_command(command)
