"""Stores of every format that was ever released can be read, and gone on with.

`NAME.db` is a store, `NAME.db.mark` its mark, `NAME.json` what it must hold; they are
never changed. For a new format raise `FORMAT` in `stateward.actors.store.about`, run
`python -m tests.formats.generate ENGINE` for each engine, and commit the three new
files; the stores of older formats stay, and must still be read.
"""

import json
import shutil
from pathlib import Path
from typing import Final

import pytest

from stateward import CorruptStoreError, StateManager
from stateward.actors.core.scopes import parse_scope
from stateward.actors.store.about import FORMAT
from tests.formats.generate import content, reading_clock

HERE: Final = Path(__file__).parent
ENGINES: Final = ("rocksdb", "sqlite")
NAMES: Final = sorted(file.stem for file in HERE.glob("*.json"))


def copied(name: str, folder: Path) -> Path:
    """Copy a golden store and its mark; return where it is now."""
    source, target = HERE / f"{name}.db", folder / "state"
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    shutil.copyfile(f"{source}.mark", f"{target}.mark")
    return target


def url_of(name: str, path: Path) -> str:
    """Return the URL of the copy of a golden store."""
    return f"{name.partition('-')[0]}:///{path}"


def test_formats_have_a_golden_store_of_each_engine() -> None:
    """A store of every format up to this one is kept, for each engine."""
    wanted = {f"{engine}-{n}" for engine in ENGINES for n in range(1, FORMAT + 1)}
    assert set(NAMES) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_golden_store_holds_what_was_written(name: str, tmp_path: Path) -> None:
    """Values, revisions, times, expiries and the record of a run are as they were."""
    expected = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    later = expected["scopes"]["workflow:order-1:"]["entries"]["later"]
    assert later["value"] == "kept"
    assert later["expires"] > 1e10
    assert expected["scopes"]["workflow:order-1:step:load:"]["entries"]
    assert expected["run"]["output"] == "Hello, world!"
    url = url_of(name, copied(name, tmp_path))
    for _ in range(2):
        with StateManager(url, clock=reading_clock()) as manager:
            found = json.loads(json.dumps(content(manager)))
            assert repr(sorted_deeply(found)) == repr(sorted_deeply(expected))


@pytest.mark.parametrize("name", NAMES)
def test_golden_store_can_be_gone_on_with(name: str, tmp_path: Path) -> None:
    """Writes go on with the next revision, above those of what was dropped."""
    url = url_of(name, copied(name, tmp_path))
    with StateManager(url, clock=reading_clock()) as manager:
        order = manager.workflow_state("order-1")
        before = order.revision
        assert order.set("new", 1) > before
        assert manager.workflow_state("dropped").set("a", 1) > 40
    with StateManager(url, clock=reading_clock()) as manager:
        assert manager.workflow_state("order-1")["new"] == 1
        assert manager.state(parse_scope("custom:rates:"))["eur"] == 1.0825


@pytest.mark.parametrize("name", NAMES)
def test_golden_mark_belongs_to_its_store(name: str, tmp_path: Path) -> None:
    """The mark is read as one of this store: an emptied store beside it is refused."""
    path = copied(name, tmp_path)
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.write_bytes(b"")
    with pytest.raises(CorruptStoreError, match="had been acknowledged"):
        StateManager(url_of(name, path), clock=reading_clock())


def sorted_deeply(value: object) -> object:
    """Return `value` with the keys of every mapping in order."""
    if isinstance(value, dict):
        return {key: sorted_deeply(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_deeply(item) for item in value]
    return value
