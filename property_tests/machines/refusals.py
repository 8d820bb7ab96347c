"""Calls that are wrong whatever is stored, each with the error it has to raise."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Final

from stateward import (
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    KeyTooLongError,
    ReentrantCallError,
    ScopedState,
    UsageError,
    WrongTypeError,
)
from stateward.messages import GetState, SetState


@dataclass(frozen=True, slots=True)
class Refusal:
    """A wrong call."""

    name: str
    call: Callable[[Any], object]
    """Is given a handle; typed as anything, since the types forbid most of this."""
    error: type[BaseException]

    def __repr__(self) -> str:
        """Show the name."""
        return self.name


class LeaveError(BaseException):
    """What ends a thread, as `SystemExit` does."""


_UNFIT: Any = {1, 2}


def _leave(_: object) -> Any:
    raise LeaveError


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _write_inside(state: ScopedState) -> object:
    return state.modify("k", lambda _: state.set("k:1", 1))


def _commit_inside(state: ScopedState) -> object:
    def commit(_: object) -> Any:
        state.transact(lambda tx: tx.set("k", 1))

    return state.modify("k", commit)


def _write_long_id(state: ScopedState) -> object:
    return state.manager.workflow_state("x" * 10_000).set("k", 1)


def _write_long_step(state: ScopedState) -> object:
    return state.manager.step_state("a", "\u00e9" * 5_000).set("k", 1)


def _write_spoilt_transaction(state: ScopedState) -> object:
    with state.transaction() as tx:
        tx.update({"k": 1, "k:1": 2})
        tx["k"] = _UNFIT
    return None


REFUSALS: Final = (
    Refusal("empty key", lambda s: s.set("", 1), InvalidKeyError),
    Refusal("NUL in key", lambda s: s.set("a\0", 1), InvalidKeyError),
    Refusal("surrogate in key", lambda s: s.set("\ud800", 1), InvalidKeyError),
    Refusal("key of bytes", lambda s: s.set(b"k", 1), InvalidKeyError),
    Refusal("long key", lambda s: s.set("k" * 10_000, 1), KeyTooLongError),
    Refusal("read of no key", lambda s: s.get(""), InvalidKeyError),
    Refusal("key in batch", lambda s: s.update({"k": 1, "": 2}), InvalidKeyError),
    Refusal("key among many", lambda s: s.delete_many(["k", ""]), InvalidKeyError),
    Refusal("string for keys", lambda s: s.get_many("k"), UsageError),
    Refusal("NaN", lambda s: s.set("k", nan), InvalidValueError),
    Refusal("NaN in batch", lambda s: s.update({"k": 1, "z": nan}), InvalidValueError),
    Refusal("tuple", lambda s: s.setdefault("absent", ()), InvalidValueError),
    Refusal("cycle", lambda s: s.set("k", _cycle()), InvalidValueError),
    Refusal("infinite item", lambda s: s.append("k", 1, inf), InvalidValueError),
    Refusal("infinite patch", lambda s: s.merge("k", {"a": inf}), InvalidValueError),
    Refusal("default", lambda s: s.modify("k", str, default=()), InvalidValueError),
    Refusal("no ttl at all", lambda s: s.set("k", 1, ttl=0), UsageError),
    Refusal("negative ttl", lambda s: s.set("k", 1, ttl=-1), UsageError),
    Refusal("endless ttl", lambda s: s.set("k", 1, ttl=inf), UsageError),
    Refusal("ttl that is no number", lambda s: s.set("k", 1, ttl=nan), UsageError),
    Refusal("ttl over a float", lambda s: s.set("k", 1, ttl=10**400), UsageError),
    Refusal("ttl of a kind", lambda s: s.set("k", 1, ttl="1"), UsageError),
    Refusal("negative revision", lambda s: s.set("k", 1, expected=-1), UsageError),
    Refusal("no revision", lambda s: s.delete("k", expected="1"), UsageError),
    Refusal("increment by text", lambda s: s.increment("k", "1"), WrongTypeError),
    Refusal("increment by truth", lambda s: s.increment("k", True), WrongTypeError),
    Refusal("increment by NaN", lambda s: s.increment("k", nan), InvalidValueError),
    Refusal("great step", lambda s: s.increment("k", 10**400), InvalidValueError),
    Refusal(
        "great start",
        lambda s: s.increment("k", 0.5, initial=10**400),
        InvalidValueError,
    ),
    Refusal("no function", lambda s: s.modify("k", 1), UsageError),
    Refusal("function that leaves", lambda s: s.modify("k", _leave), LeaveError),
    Refusal("write inside a turn", _write_inside, ReentrantCallError),
    Refusal("commit inside a turn", _commit_inside, ReentrantCallError),
    Refusal("no attempts", lambda s: s.transact(len, attempts=0), UsageError),
    Refusal("spoilt transaction", _write_spoilt_transaction, InvalidValueError),
    Refusal(
        "transaction by text",
        lambda s: s.transact(lambda tx: tx.increment("k:1", "1")),
        WrongTypeError,
    ),
    Refusal("empty id", lambda s: s.manager.workflow_state(""), InvalidScopeError),
    Refusal("id of a kind", lambda s: s.manager.custom_state(1), InvalidScopeError),
    Refusal("long id", _write_long_id, KeyTooLongError),
    Refusal("long step name", _write_long_step, KeyTooLongError),
    Refusal("message", lambda s: SetState(s.scope, "k", _UNFIT), InvalidValueError),
    Refusal("query", lambda s: GetState(s.scope, ""), InvalidKeyError),
    Refusal("no scope", lambda s: s.manager.state("workflow:a:"), UsageError),
    Refusal("unlike limits", lambda s: s.manager.set_limits("a", 5), UsageError),
    Refusal("back in time", lambda s: s.manager.engine.clock.advance(-1), UsageError),
)
"""What the types and the documentation forbid."""
