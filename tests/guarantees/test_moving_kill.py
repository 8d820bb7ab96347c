"""A process killed while its state moves to another store loses nothing.

A child has threads that count, and moves to and fro between two stores; it is killed
when a number of workflows that a seed chooses has moved.
"""

import random
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from stateward import StateManager
from tests.guarantees.test_kill import child, report

THREADS: Final = 3
WORKFLOWS: Final = 8
"""Of each thread."""
SHARES: Final = (0.4, 0.8, 0.2, 1.0)
MOVES_MAX: Final = 40
"""Switches after which a child is killed at the latest; there are some 60."""
KILLS: Final = [3, pytest.param(100, marks=pytest.mark.soak)]


# --------------------------------------------------------------- in the child


def move(first: str, second: str, durability: Any) -> NoReturn:
    """Move to and fro, while threads count, until the process is killed."""
    manager = StateManager(first, durability=durability)
    for thread in range(THREADS):
        for number in range(WORKFLOWS):
            manager.workflow_state(f"w{thread}-{number}")["n"] = 0

    def work(thread: int) -> None:
        chance = random.Random(thread)
        while True:
            name = f"w{thread}-{chance.randrange(WORKFLOWS)}"
            count = manager.workflow_state(name).increment("n")
            report(f"{name} {count}")

    for thread in range(THREADS):
        threading.Thread(target=work, args=(thread,)).start()
    for share in SHARES:
        manager.persist_to(second, rollout=share, on_progress=partial(tell, share))
    threading.Event().wait()
    raise AssertionError


def tell(share: float, done: int, _: int) -> None:
    """Report that some more have been moved."""
    report(f"moved {share} {done}")


# -------------------------------------------------------------- in the parent


def killed_after(moves: int, first: str, second: str, durability: str) -> Counter[str]:
    """Kill a child once so many workflows have moved; return what it acknowledged."""
    source = (
        "from tests.guarantees.test_moving_kill import move\n"
        f"move({first!r}, {second!r}, {durability!r})"
    )
    told = Counter[str]()
    moved = 0
    with child(source) as process:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if not line.endswith("\n"):
                break  # It was cut off.
            if words[0] == "moved":
                moved += 1
                if moved == moves:
                    process.kill()
            else:
                told[words[0]] = int(words[1])
    assert moved >= moves, "the child ended by itself"
    return told


def found_in(manager: StateManager) -> Counter[str]:
    """Return what each workflow has counted to, and check the stores."""
    found = Counter[str]()
    for name in manager.workflow_ids():
        count = manager.workflow_state(name)["n"]
        assert isinstance(count, int)
        found[name] = count
    return found


def left_by(first: str, second: str, durability: Any) -> Counter[str]:
    """Have whoever comes next end the move, or find it over; return what is there."""
    with StateManager(first, durability=durability) as manager:
        assert manager.persist_to(second).complete
        return found_in(manager)


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("durability", ["synced", "buffered"])
@pytest.mark.parametrize("schemes", ["sqlite rocksdb", "rocksdb sqlite"])
def test_kill_during_a_move_loses_nothing(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    schemes: str,
    durability: str,
    kills: int,
) -> None:
    """Wherever it stood, the same call finishes it, and every count is there once."""
    seed = request.config.getoption("hypothesis_seed") or 0
    chance = random.Random(f"{seed}/{schemes}/{durability}")
    one, other = schemes.split()
    for number in range(kills):
        first = f"{one}:///{tmp_path / f'first-{number}'}"
        second = f"{other}:///{tmp_path / f'second-{number}'}"
        told = killed_after(chance.randint(1, MOVES_MAX), first, second, durability)
        found = left_by(first, second, durability)
        assert len(found) == THREADS * WORKFLOWS
        for name, count in found.items():
            # One more may have been written, and not have been told any more.
            assert told[name] <= count <= told[name] + 1, name
        with StateManager(second) as manager:
            assert found_in(manager) == found
            assert manager.check() == []
