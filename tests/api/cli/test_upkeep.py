"""`stateward check`, `compact`, `stats` and `rotate-key`: looking after one store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stateward import StateManager
from stateward.cli import upkeep
from stateward.cli.bars import Report
from tests.api.cli.processes import command, damage, exported, fill, held, url
from tests.commands import invoke

__all__ = ["url"]

OLD, NEW, OTHER = (letter * 32 for letter in (b"o", b"n", b"x"))


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Return the paths of key files, by name."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, key in (("old", OLD), ("new", NEW), ("other", OTHER)):
        (folder / name).write_bytes(key)
    return {path.name: str(path) for path in folder.iterdir()}


def test_check_of_a_sound_store_finds_nothing(url: str) -> None:
    """The exit code is 0 and nothing goes to standard output, also while it is open."""
    fill(url)
    with StateManager(url) as manager:
        manager.global_state()["k"] = 1
        done = invoke(None, "check", "--store", url)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "nothing is wrong\n"
    done = invoke(None, "check", "--store", url, "--json")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "[]\n", "")


def test_check_names_what_is_damaged(url: str) -> None:
    """Each finding is a line that names the scope, and the exit code is 1."""
    fill(url)
    damage(url)
    done = invoke(None, "check", "--store", url)
    assert (done.exit_code, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith("WorkflowScope(workflow_id='w0'): ") for line in lines)
    done = invoke(None, "check", "--store", url, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert len(found) == len(lines)
    assert {finding["scope"] for finding in found} == {"workflow:w0"}
    assert b"w0" in bytes.fromhex(found[0]["name"])
    assert all(finding["problem"] for finding in found)


def test_check_of_what_cannot_be_opened_names_the_file(url: str) -> None:
    """A store that is beyond reading is told in one line, and the exit code is 1."""
    fill(url)
    path = Path(url.partition(":///")[2])
    for file in [path] if path.is_file() else path.glob("MANIFEST*"):
        file.write_bytes(b"\xff" * 5000)
    done = invoke(None, "check", "--store", url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_compact_gives_back_space(url: str) -> None:
    """The store is smaller by what was removed, which is told, and holds the same."""
    with StateManager(url, durability="buffered") as manager:
        state = manager.workflow_state("w")
        # Not compressible: else nothing is to be given back.
        state.update({f"k{n}": _noise(n) for n in range(400)})
        state["kept"] = 1
    with StateManager(url, durability="buffered") as manager:
        state = manager.workflow_state("w")
        state.delete_many([f"k{n}" for n in range(400)])
    then = exported(url)
    done = invoke(None, "compact", "--store", url)
    assert (done.exit_code, done.stderr) == (0, "")
    words = done.stdout.split()
    assert words[1:3] == ["bytes", "before,"]
    before, after = int(words[0]), int(words[3])
    assert after < before / 4
    assert exported(url) == then


def _noise(seed: int) -> str:
    """Return some text that no two seeds share."""
    return "".join(
        f"{pow(seed + 2, 7919 + place, 2**61 - 1):x}" for place in range(200)
    )


def test_stats_tell_what_is_in_a_store(url: str) -> None:
    """Workflows and keys are counted, and the room on disk is what it takes there."""
    fill(url)
    done = invoke(None, "stats", "--store", url, "--json")
    assert done.exit_code == 0
    counters = json.loads(done.stdout)
    assert counters["workflows"] == 3
    assert counters["keys"] == 5
    assert counters["quarantined"] == []
    assert counters["disk_bytes"] > counters["size_bytes"] > 0
    rows = [
        line.split()
        for line in invoke(None, "stats", "--store", url).stdout.splitlines()
    ]
    assert rows[0] == ["counter", "value"]
    assert ["keys", "5"] in rows
    assert [name for name, _ in rows[1:]] == list(counters)


def test_stats_of_a_host_name_what_is_quarantined(manager: StateManager) -> None:
    """Scopes are written as `stateward state` reads them, and memory is not on disk."""
    manager.workflow_state("w")["k"] = 1
    done = invoke(manager, "stats", "--json")
    counters = json.loads(done.stdout)
    assert (counters["workflows"], counters["disk_bytes"]) == (1, 0)


def test_rotated_key_replaces_the_old_one(url: str, keys: dict[str, str]) -> None:
    """Afterwards the new key alone opens everything, and the old one nothing."""
    fill(url, key=OLD)
    then = exported(url, key=OLD)
    args = ("rotate-key", "--key-file", keys["old"], "--new-key-file", keys["new"])
    done = invoke(None, *args, "--store", url)
    assert (done.exit_code, done.stdout) == (0, "sealed 5 values anew\n"), done.stderr
    assert exported(url, key=NEW) == then
    done = invoke(None, "check", "--store", url, "--key-file", keys["old"])
    assert done.exit_code == 1


def test_rotation_goes_on_after_an_interrupt(
    url: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again with the same two keys it seals the rest, and nothing twice."""
    fill(url, key=OLD)
    then = exported(url, key=OLD)

    @contextmanager
    def pressed(_: str) -> Iterator[Report]:
        def report(done: int, _: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        yield report

    args = ("rotate-key", "--key-file", keys["old"], "--new-key-file", keys["new"])
    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "bar", pressed)
        assert invoke(None, *args, "--store", url).exit_code == 130
    done = invoke(None, *args, "--store", url)
    assert done.exit_code == 0
    assert 0 < int(done.stdout.split()[1]) < 5
    assert exported(url, key=NEW) == then


def test_rotation_is_refused_without_the_right_key(
    url: str, keys: dict[str, str]
) -> None:
    """A wrong key and a store that is not sealed exit with 1, a missing key with 2."""
    fill(url, key=OLD)
    then = exported(url, key=OLD)
    new = ("rotate-key", "--new-key-file", keys["new"], "--store", url)
    done = invoke(None, *new, "--key-file", keys["other"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no key" in done.stderr
    done = invoke(None, *new)
    assert done.exit_code == 2
    assert "--key-file is missing" in done.stderr
    assert exported(url, key=OLD) == then


def test_rotation_of_a_store_that_is_not_sealed_is_refused(
    url: str, keys: dict[str, str]
) -> None:
    """Its values stay readable, and the exit code is 1."""
    fill(url)
    args = ("rotate-key", "--key-file", keys["old"], "--new-key-file", keys["new"])
    done = invoke(None, *args, "--store", url)
    assert done.exit_code == 1
    assert "is not sealed" in done.stderr
    exported(url)


@pytest.mark.slow
def test_upkeep_of_a_store_that_another_process_has_open(url: str) -> None:
    """What changes a store names that process and exits with 1; `check` goes on."""
    fill(url)
    with held(url) as pid:
        for name in ("compact", "stats"):
            done = invoke(None, name, "--store", url)
            assert (done.exit_code, done.stdout) == (1, "")
            assert done.stderr.startswith(f"Error: process {pid} has ")
            assert done.stderr.count("\n") == 1
        told = command("check", "--store", url)
    assert (told.returncode, told.stdout) == (0, "")
