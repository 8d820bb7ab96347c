"""What the engine is measured against: what a competent engineer writes without it."""

import copy
import threading
from typing import Any, Protocol

import pykka


class State(Protocol):
    """What every peer of the engine offers, and the engine does."""

    def get(self, key: str, /) -> Any: ...

    def set(self, key: str, value: Any, /) -> Any: ...


class LockedDict:
    """A `dict` behind an `RLock`: right for scalars, and what most programs do."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._lock = threading.RLock()

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        with self._lock:
            self._values[key] = value


class CopyingDict:
    """The same for containers: a deep copy goes in and another one comes out.

    What is stored is never changed, only replaced; so the copies are made outside the
    lock, where they keep nobody waiting.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._lock = threading.RLock()

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            value = self._values.get(key, default)
        return copy.deepcopy(value)

    def set(self, key: str, value: Any) -> None:
        private = copy.deepcopy(value)
        with self._lock:
            self._values[key] = private


class StateActor(pykka.ThreadingActor):
    """An ordinary Pykka actor, with a thread of its own, that keeps a `dict`."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._values[key] = value
