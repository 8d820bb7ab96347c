"""A `TurnActor` is a Pykka actor: proxies, registry and references work on it."""

from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from stateward.actors.runtime.turns import TurnActor, TurnRef
from tests.threads import Job


class Counter(TurnActor):
    """An actor that counts what it receives."""

    count = 0

    def on_receive(self, _: Any) -> int:
        """Count."""
        self.count += 1
        return self.count


@pytest.fixture(name="ref")
def counting_actor() -> Iterator[TurnRef[Counter]]:
    """Return a counting actor that is stopped afterwards."""
    ref = Counter.start()
    yield ref
    ref.stop()


def test_actor_works_through_a_proxy(ref: TurnRef[Counter]) -> None:
    """Attributes and methods are reached as with any Pykka actor."""
    proxy = ref.proxy()
    proxy.count = 5
    assert proxy.count.get(timeout=30) == 5
    assert proxy.on_receive(1).get(timeout=30) == 6
    assert isinstance(ref, pykka.ActorRef)


def test_registry_lists_registered_actors_while_they_live() -> None:
    """Pykka's registry finds an actor until it stops; one kept out is never there."""

    class Hidden(Counter):
        registered = False

    shown, hidden = Counter.start(), Hidden.start()
    listed = pykka.ActorRegistry.get_by_class(Counter)
    assert shown in listed
    assert hidden not in listed
    shown.stop()
    hidden.stop()
    assert shown not in pykka.ActorRegistry.get_all()
    assert not hidden.is_alive()


def test_stop_flag_can_be_waited_for() -> None:
    """`actor_stopped` is an event, though a light one."""
    ref = Counter.start()
    waiting = Job(ref.actor_stopped.wait, 30)
    ref.stop()
    assert waiting.result()


def test_reference_names_its_actor_for_as_long_as_there_is_one() -> None:
    """Messages of errors say whom they are about."""

    class Named(Counter):
        def __str__(self) -> str:
            return "the counter of the house"

    ref = Named.start()
    assert str(ref) == "the counter of the house"
    ref.stop()
    ref.actor_inbox.run()
    assert "Named" in str(ref)
    assert "counter" not in str(ref)
