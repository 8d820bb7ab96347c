"""What every test of the runtime leaves as it was."""

from collections.abc import Iterator

import pytest
from pykka import ActorRegistry


@pytest.fixture(autouse=True)
def no_actor_left_registered() -> Iterator[None]:
    """Take out of Pykka's registry, which is one for all, what a test left in it."""
    before = ActorRegistry.get_all()
    yield
    for ref in ActorRegistry.get_all():
        if ref not in before:
            ActorRegistry.unregister(ref)
