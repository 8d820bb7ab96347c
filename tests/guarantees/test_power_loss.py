"""Power loss under the real engines: what may be left of a store opens and is right.

The disk keeps what was synced, and anything of the rest: nothing, all, a beginning, or
some sectors and others not; see `power`. Whatever it is, every owner is as it was after
one of its commands, and none that was acknowledged as synced is missing.
"""

import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

import pytest
from rocksdict import Rdict

from stateward import StateManager
from stateward.actors.store import rocksdb, sqlite
from tests.guarantees.power import Event, Image, Medium, Recorder, write_files
from tests.threads import WAIT

ROOT: Final = Path(__file__).resolve().parents[2]
DURABILITIES: Final = ("synced", "buffered")
LINES: Final = 3
"""Threads that write; each has a workflow and a custom scope to itself."""
TURNS: Final = 40
"""Commands of each, half of them before the store is closed and opened again."""
SYNCED_EACH: Final = 7
"""How often a command is synced where others are not."""
POINTS: Final = [30, pytest.param(1_000, marks=pytest.mark.soak)]
"""Moments at which the power fails."""
DRAWN: Final = 3
"""Images drawn of each moment, beside those of nothing and of all."""
CHECKPOINT_PAGES: Final = 25
CUTS: Final = [30, pytest.param(2_000, marks=pytest.mark.soak)]
NO_SYMBOLS: Final = 77
"""Exit status of a child that cannot get between SQLite and its files."""

NONE: Final = dict.fromkeys(range(LINES), 0)
"""The turn of each line at the beginning."""

Picture = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


# ------------------------------------------------------------------------ commands


def act(manager: StateManager, line: int, turn: int) -> None:
    """Carry out one command of a line; the same one whenever it is asked for."""
    chance = Random(f"{line} {turn}")
    state = manager.workflow_state(f"w{line}")
    custom = manager.custom_state(f"c{line}")
    keys = chance.sample("abcdef", 3)
    batch: dict[str, Any] = {
        key: [turn, "x" * chance.choice((0, 40, 3_000, 9_000))] for key in keys
    }
    if turn % SYNCED_EACH == 0:
        state.set("turn", turn, durability="synced")
        return
    match chance.randrange(6):
        case 0 | 1:
            state.update(batch)
        case 2:
            with state.transaction() as tx:
                tx.update(batch)
                tx.step("s")["turn"] = turn
        case 3:
            custom.update(batch)
        case 4:
            state.delete_many(keys)
        case 5:
            state.drop()


def picture(manager: StateManager, line: int) -> Picture:
    """Return all that the commands of a line have left."""
    state = manager.workflow_state(f"w{line}")
    return dict(state), dict(state.step("s")), dict(manager.custom_state(f"c{line}"))


@pytest.fixture(scope="module")
def expected() -> list[list[Picture]]:
    """Return what each line leaves after each of its turns."""
    found: list[list[Picture]] = []
    with StateManager() as manager:
        for line in range(LINES):
            found.append([picture(manager, line)])
            for turn in range(1, TURNS + 1):
                act(manager, line, turn)
                found[-1].append(picture(manager, line))
    return found


@dataclass(slots=True)  # tidy: it grows with every note
class Promises:
    """What has been promised at a moment, out of the notes until then."""

    synced: bool
    """Whether every command is."""
    begun: dict[int, int] = field(default_factory=lambda: dict(NONE))
    answered: dict[int, int] = field(default_factory=lambda: dict(NONE))
    kept: dict[int, int] = field(default_factory=lambda: dict(NONE))
    """Turn of each line that outlives power loss, at least."""
    before: dict[int, dict[int, int]] = field(default_factory=dict)
    """What had been answered when a line began its turn."""

    def hear(self, note: tuple[Any, ...]) -> None:
        """Take a note into account."""
        match note:
            case ("begin", line, turn):
                self.begun[line] = turn
                self.before[line] = dict(self.answered)
            case ("end", line, turn):
                self.answered[line] = turn
                if self.synced or turn % SYNCED_EACH == 0:
                    # One sync covers all that was committed before.
                    self._keep({**self.before[line], line: turn})
            case ("closed",):
                self._keep(self.answered)

    def _keep(self, turns: dict[int, int]) -> None:
        for line, turn in turns.items():
            self.kept[line] = max(self.kept[line], turn)

    def check(self, url: str, expected: list[list[Picture]], place: str) -> None:
        """Open what is left, and check that it is what was promised; write to it."""
        try:
            manager = StateManager(url)
        except Exception as error:
            error.add_note(place)
            raise
        with manager:
            for line in range(LINES):
                found = picture(manager, line)
                allowed = range(self.kept[line], self.begun[line] + 1)
                assert any(found == expected[line][turn] for turn in allowed), (
                    f"{place}: line {line} is at none of the turns {allowed}"
                )
            manager.workflow_state("after")["a"] = 1


# ------------------------------------------------------------------------- SQLite


def record(path: str, durability: Any, target: str) -> None:
    """Write with several threads, in a process of its own; leave all that happened."""
    try:
        recorder = Recorder()
    except NotImplementedError:
        sys.exit(NO_SYMBOLS)
    vars(sqlite).update(CHECKPOINT_PAGES=CHECKPOINT_PAGES)

    def work(manager: StateManager, line: int, turns: range) -> None:
        for turn in turns:
            recorder.note(("begin", line, turn))
            act(manager, line, turn)
            recorder.note(("end", line, turn))

    half = TURNS // 2
    for turns in (range(1, half + 1), range(half + 1, TURNS + 1)):
        with StateManager(f"sqlite:///{path}", durability=durability) as manager:
            recorder.note(("opened",))
            threads = [
                threading.Thread(target=work, args=(manager, line, turns))
                for line in range(LINES)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        recorder.note(("closed",))
    Path(target).write_bytes(pickle.dumps(recorder.events))


def recorded(folder: Path, durability: str) -> list[Event]:
    """Return what happened to the disk while a child wrote to a store in `folder`."""
    folder.mkdir()
    target = folder.with_suffix(".events")
    source = (
        "from tests.guarantees.test_power_loss import record\n"
        f"record({str(folder / 'state')!r}, {durability!r}, {str(target)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, timeout=WAIT, check=False
    )
    if done.returncode == NO_SYMBOLS:
        pytest.skip("the functions of SQLite cannot be reached in this build")
    assert done.returncode == 0
    events: list[Event] = pickle.loads(target.read_bytes())  # noqa: S301  # ours
    return events


def images(image: Image, chance: Random) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield some of what may be left of a disk."""
    yield "synced alone", image.least()
    yield "everything", image.most()
    for number, files in enumerate(image.additions()):
        yield f"addition {number}", files
    prefixes = list(image.prefixes())
    for number in chance.sample(range(len(prefixes)), min(DRAWN, len(prefixes))):
        yield f"prefix {number}", prefixes[number]
    for number in range(DRAWN):
        yield f"drawn {number}", image.drawn(chance)


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("points", POINTS)
def test_sqlite_after_power_loss_holds_what_it_promised(
    tmp_path: Path, expected: list[list[Picture]], durability: str, points: int
) -> None:
    """Of whatever the disk kept, each owner is whole, and at a turn it may be at."""
    events = recorded(tmp_path / "disk", durability)
    kinds = {event.kind for event in events}
    assert kinds >= {"write", "sync", "make", "remove", "sync folder", "note"}
    chance = Random(f"{durability} {points}")
    made = events.index(Event("note", data=("opened",)))
    later = range(made + 1, len(events))
    moments = chance.sample(later, min(points, len(later)))
    promises = Promises(synced=durability == "synced")
    check_moments(tmp_path, events, expected, set(moments), promises)


@pytest.mark.slow
def test_sqlite_after_power_loss_while_it_is_made_can_be_opened(
    tmp_path: Path, expected: list[list[Picture]]
) -> None:
    """What is left of a store that was not whole yet is one that holds nothing."""
    events = recorded(tmp_path / "disk", "synced")
    made = events.index(Event("note", data=("opened",)))
    check_moments(tmp_path, events, expected, range(made), Promises(synced=True))


def check_moments(
    folder: Path,
    events: list[Event],
    expected: list[list[Picture]],
    moments: Collection[int],
    promises: Promises,
) -> None:
    """Let the power fail before some of the events, and check what is left."""
    chance, image = Random(len(moments)), Image.empty()
    for moment, event in enumerate(events):
        if moment in moments:
            for name, files in images(image, chance):
                left = folder / "left"
                write_files(left, files)
                place = f"{name} before event {moment}"
                promises.check(f"sqlite:///{left}/state", expected, place)
                shutil.rmtree(left)
        if event.kind == "note":
            promises.hear(event.data)
        else:
            image.happen(event)


# ------------------------------------------------------------------------ RocksDB


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A RocksDB store in the middle of a commit, as its disk may have it."""

    folder: Path
    """Copy of the store after the commit."""
    log: str
    """Name of the log that grew."""
    medium: Medium
    """The log: what was synced, and what came since."""
    mark: bytes
    """Of the store, before the commit."""
    kept: int
    """Turn that outlives power loss."""
    begun: int

    def check(self, content: bytes, place: Path, expected: list[list[Picture]]) -> None:
        """Check a store whose log is left with `content`."""
        shutil.copytree(self.folder, place / "state")
        (place / "state" / self.log).write_bytes(content)
        (place / "state.mark").write_bytes(self.mark)
        promises = Promises(synced=True)
        promises.kept[0], promises.begun[0] = self.kept, self.begun
        promises.check(
            f"rocksdb:///{place}/state",
            expected,
            f"{len(content)} bytes of the log in turn {self.begun}",
        )
        shutil.rmtree(place)


def moments(folder: Path, durability: Any) -> Generator[Moment, None, None]:
    """Write, and yield what the disk may hold in each turn."""
    path, mark = folder / "state", folder / "state.mark"
    syncs, sync_log = list[Rdict](), rocksdb.sync_log

    def noted(db: Rdict) -> None:
        sync_log(db)
        syncs.append(db)

    url = f"rocksdb:///{path}"
    with (
        mock.patch.object(rocksdb, "sync_log", noted),
        StateManager(url, durability=durability, flush_interval=3600) as manager,
    ):
        logs = list(path.glob("*.log"))
        (log,) = logs
        medium, kept = Medium(), 0
        medium.synced = log.read_bytes()
        for turn in range(1, TURNS + 1):
            marked, before = mark.read_bytes(), len(syncs)
            act(manager, 0, turn)
            is_synced = len(syncs) > before
            assert list(path.glob("*.log")) == logs  # or the images would be others
            size = len(medium.at(len(medium.later)))
            medium.later.append(Event("write", log.name, size, log.read_bytes()[size:]))
            copy = folder / f"turn{turn}"
            shutil.copytree(path, copy)
            yield Moment(
                folder=copy,
                log=log.name,
                medium=medium,
                mark=marked,
                kept=kept,
                begun=turn,
            )
            shutil.rmtree(copy)
            if is_synced:
                medium.sync()
            if durability == "synced" or turn % SYNCED_EACH == 0:
                kept = turn


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("cuts", CUTS)
def test_rocksdb_whose_log_was_cut_holds_what_it_promised(
    tmp_path: Path, expected: list[list[Picture]], durability: str, cuts: int
) -> None:
    """Cut anywhere behind what was synced, a log leaves whole commits, in order."""
    chance = Random(f"{durability} {cuts}")
    with closing(moments(tmp_path, durability)) as each:
        for moment in each:
            whole = moment.medium.at(len(moment.medium.later))
            lengths = range(len(moment.medium.synced), len(whole) + 1)
            some = {lengths[0], lengths[-1]}
            some.update(chance.choices(lengths, k=max(1, cuts // TURNS)))
            for length in sorted(some):
                moment.check(whole[:length], tmp_path / "left", expected)


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("drawn", CUTS)
def test_rocksdb_whose_log_has_holes_holds_what_it_promised(
    tmp_path: Path, expected: list[list[Picture]], durability: str, drawn: int
) -> None:
    """Sectors that were not synced may be missing amid others that were written."""
    chance = Random(f"{durability} {drawn}")
    with closing(moments(tmp_path, durability)) as each:
        for moment in each:
            for _ in range(max(1, drawn // TURNS)):
                content = moment.medium.mixed(chance, chance.choice((512, 4096)))
                moment.check(content, tmp_path / "left", expected)
