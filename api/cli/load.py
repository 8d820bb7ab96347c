"""Finding the flow that `MODULE_OR_FILE:FLOW` names."""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from stateward.actors.core.errors import InvalidFlowError, UsageError
from stateward.cli.documents import described, one_line
from stateward.workflows import Conditional, Loop, Parallel, Sequential, Step
from stateward.workflows.flows import Node, as_flow

KINDS: Final = (Sequential, Parallel, Conditional, Loop, Step)


def find_flow(target: str) -> Node:
    """Return the flow that `target` names; modules are looked for here first.

    Raises:
        UsageError: There is none; the message is one line. Effect: what importing the
            module did.
    """
    place, colon, name = target.rpartition(":")
    if not (place and colon and name):
        raise UsageError(
            f"{target!r} does not name a flow; write MODULE:FLOW or FILE.py:FLOW"
        )
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    module = _load_file(place) if is_file else _load_module(place)
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(_missing(module, place, name)) from None
    try:
        return as_flow(found)  # type: ignore[arg-type]  # what it is, is asked here
    except InvalidFlowError as error:
        raise UsageError(f"{target!r} is not a flow: {one_line(error)}") from None


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
        raise UsageError(_failure(place, error)) from error
    return module


def _load_module(name: str) -> ModuleType:
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name!r}") from None
        raise UsageError(_failure(name, error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_failure(name, error)) from error


def _look_in(folder: Path) -> None:
    """Let modules in `folder` be found first."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _failure(place: str, error: BaseException) -> str:
    """Say what importing came to, and where."""
    if isinstance(error, SyntaxError):
        return f"{place!r} cannot be imported: {described(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    where = ""
    if frames and frames[-1].lineno is not None:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return f"{place!r} cannot be imported: {described(error)}{where}"


def _missing(module: ModuleType, place: str, name: str) -> str:
    """Say that there is no such flow, and which there are."""
    flows = [key for key, value in vars(module).items() if isinstance(value, KINDS)]
    has = f"its flows are {', '.join(flows)}" if flows else "it has no flow"
    return f"{place!r} has no {name!r}; {has}"
