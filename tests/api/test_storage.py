from pathlib import Path
from typing import Any

import pytest

from stateward import StateManager, StoreError, UsageError
from stateward.storage import open_storage
from tests.api.test_migrations import Change

USUAL: dict[str, Any] = {
    "durability": "synced",
    "migrations": (),
    "key": None,
    "flush_interval": 1.0,
    "cache_bytes": None,
}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"durability": "soon"}, "durability"),
        ({"flush_interval": 0}, "flush_interval"),
        ({"flush_interval": "1"}, "flush_interval"),
        ({"cache_bytes": 0}, "cache_bytes is 0"),
        ({"cache_bytes": True}, "cache_bytes is True"),
        ({"migrations": [Change(2), Change(4)]}, "migration 3 is missing"),
        ({"key": b"short"}, "a key is 32 bytes, and this is 5"),
        ({"key": 5}, "key is a int"),
    ],
)
def test_storage_is_not_opened_with_bad_arguments(
    tmp_path: Path, argument: dict[str, Any], message: str
) -> None:
    """Each is refused before anything is made on the disk."""
    with pytest.raises(UsageError, match=message):
        open_storage(f"sqlite:///{tmp_path}/state", **{**USUAL, **argument})
    assert list(tmp_path.iterdir()) == []


def test_storage_in_memory_has_no_store_and_takes_no_key() -> None:
    """It is told of the migrations all the same, for a move to a store."""
    storage = open_storage("memory://", **{**USUAL, "migrations": [Change(1)]})
    assert (storage.store, storage.version, storage.synced) == (None, 1, True)
    with pytest.raises(UsageError, match="memory:// stores nothing"):
        open_storage("memory://", **{**USUAL, "key": bytes(32)})


def test_storage_without_migrations_lifts_nothing(tmp_path: Path) -> None:
    """`None` is for what is stored to stay so; an empty list is version 0."""
    for migrations, version in ((None, None), ([], 0), ([Change(7)], 7)):
        options = {**USUAL, "migrations": migrations}
        storage = open_storage(f"sqlite:///{tmp_path}/state", **options)
        assert storage.store is not None
        storage.store.close()
        assert (storage.version, storage.lift is None) == (version, version is None)


def test_half_of_a_move_is_not_opened_alone(tmp_path: Path) -> None:
    """Who opens it learns how to go on, and may open it again at once to see."""
    first, second = (f"sqlite:///{tmp_path}/{name}" for name in ("one", "two"))
    with StateManager(first) as manager:
        manager.workflow_state("w")["a"] = 1
        manager.persist_to(second, rollout=0.5)
    for _ in range(2):  # it is not left locked
        with pytest.raises(StoreError, match="open that, and call `persist_to`"):
            open_storage(second, **USUAL)
    with StateManager(first) as manager:
        manager.persist_to(second, rollout=1)
    with StateManager(second) as manager:
        assert manager.workflow_state("w")["a"] == 1
