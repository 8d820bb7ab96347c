"""Options: what a host may tell a manager of how it works, checked."""

from stateward.actors.core.errors import UsageError
from stateward.actors.core.limits import Limits, check_seconds, check_ttl
from stateward.actors.core.scopes import shown


def check_options(
    limits: object,
    clock: object,
    dispatcher: object,
    idle_timeout: object,
    ask_timeout: object,
) -> None:
    """Raise `UsageError` unless these can be arguments of `StateManager`.

    Args:
        limits: `Limits`, or `None`.
        clock: A `Clock`, or `None`.
        dispatcher: A `Dispatcher`, or `None`.
        idle_timeout: Seconds > 0, or `None`.
        ask_timeout: Seconds > 0.
    """
    if limits is not None and not isinstance(limits, Limits):
        raise UsageError(f"limits is {shown(limits)}, not Limits or None")
    check_ttl(idle_timeout, "idle_timeout")
    check_seconds(ask_timeout, "ask_timeout")
    _check_part("clock", clock, "now", "epoch", "call_at")
    _check_part("dispatcher", dispatcher, "submit")


def _check_part(what: str, part: object, *methods: str) -> None:
    """Raise unless `part` is `None`, or has what is called of it."""
    for name in () if part is None else methods:
        if not callable(getattr(part, name, None)):
            raise UsageError(f"{what} is {shown(part)}, which has no {name}()")
