"""Finding what `MODULE_OR_FILE:NAME` names: a flow, or migrations."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from stateward.actors.core.errors import InvalidFlowError, UsageError
from stateward.cli.documents import described, one_line
from stateward.migrations import Migration, Migrations
from stateward.workflows import Conditional, Loop, Parallel, Sequential, Step
from stateward.workflows.flows import Node, as_flow

KINDS: Final = (Sequential, Parallel, Conditional, Loop, Step)


def find_flow(target: str) -> Node:
    """Return the flow that `target` names; modules are looked for here first.

    Raises:
        UsageError: There is none; the message is one line. Effect: what importing the
            module did.
    """
    found = _find(target, "a flow", "FLOW", _flows)
    try:
        return as_flow(found)  # type: ignore[arg-type]  # what it is, is asked here
    except InvalidFlowError as error:
        raise UsageError(f"{target!r} is not a flow: {one_line(error)}") from None


def find_migrations(target: str) -> list[Migration]:
    """Return the migrations that `target` names: a list, or what returns one.

    Raises:
        UsageError: There are none, or one of them is no migration; the message is one
            line. Effect: what importing the module did.
    """
    found = _find(target, "migrations", "NAME", _lists)
    if callable(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise UsageError(_failure(target, "gives no migrations", error)) from error
    if not isinstance(found, list | tuple):
        raise UsageError(
            f"{target!r} is a {type(found).__name__}, not a list of migrations"
        )
    Migrations(found)  # raises unless they are
    return list(found)


def _find(
    target: str, what: str, written: str, others: Callable[[ModuleType], str]
) -> object:
    """Return what `target` names; `others` tells what else a module has."""
    place, colon, name = target.rpartition(":")
    if not (place and colon and name):
        raise UsageError(
            f"{target!r} does not name {what}; write MODULE:{written} or "
            f"FILE.py:{written}"
        )
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    module = _load_file(place) if is_file else _load_module(place)
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(f"{place!r} has no {name!r}; {others(module)}") from None
    return found


def _load_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise UsageError(f"there is no file {place!r}")
    path = path.resolve()
    _look_in(path.parent)
    # COMPAT: as `python FILE` has it, but under a name of its own, so that steps can be
    # pickled; never in place of a module that is loaded already.
    name = path.stem if path.stem not in sys.modules else f"stateward_flow_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{place!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UsageError(_failure(place, "cannot be imported", error)) from error
    return module


def _load_module(name: str) -> ModuleType:
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name!r}") from None
        raise UsageError(_failure(name, "cannot be imported", error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_failure(name, "cannot be imported", error)) from error


def _look_in(folder: Path) -> None:
    """Let modules in `folder` be found first."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _failure(place: str, came: str, error: BaseException) -> str:
    """Say what running somebody's code came to, and where."""
    if isinstance(error, SyntaxError):
        return f"{place!r} {came}: {described(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    where = ""
    if frames and frames[-1].lineno is not None:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return f"{place!r} {came}: {described(error)}{where}"


def _flows(module: ModuleType) -> str:
    """Say which flows there are."""
    names = [key for key, value in vars(module).items() if isinstance(value, KINDS)]
    return f"its flows are {', '.join(names)}" if names else "it has no flow"


def _lists(module: ModuleType) -> str:
    """Say which lists there are that could be of migrations."""
    names = [
        key
        for key, value in vars(module).items()
        if isinstance(value, list | tuple) and not key.startswith("_")
    ]
    return f"its lists are {', '.join(names)}" if names else "it has no list"
