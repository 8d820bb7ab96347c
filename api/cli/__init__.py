"""The command line: flows, state, and the upkeep of stores.

Needs the extra `cli`, that is click and rich; nothing else in the library imports them,
or this package. Like any user it may import the public face and `stateward.workflows`.

INVARIANT: standard output is the answer, standard error is how it came about, so that
what a command prints can be piped while its progress is watched.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process with the exit code of the outcome."""
    try:
        from stateward.cli.commands import stateward
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"click", "rich"}:
            raise
        sys.stderr.write(
            f"stateward: the command line needs {missing}, which the extra `cli` "
            "installs: pip install 'stateward[cli]'\n"
        )
        sys.exit(2)
    stateward(prog_name="stateward")
