import dataclasses
import json
from pathlib import Path
from typing import Final

import pytest

from benchmarks import __main__ as command
from benchmarks import durable, memory, report
from benchmarks.measure import SMOKE, Samples, Spread
from benchmarks.rows import ROWS, Hold, Unit

PUT: Final = "`synced` write of a small container, `sqlite`"
GET: Final = "read of a small container, `sqlite`"
DESIGN: Final = [
    ("read of a scalar", "`dict` behind `RLock`", ["≤ 0.5"]),
    (
        "read of a small container, private copy",
        "`RLock` + `copy.deepcopy`",
        ["≤ 0.5"],
    ),
    (
        "reads per second of 2 threads beside 1 writer",
        "`dict` behind `RLock`",
        ["≥ 3"],
    ),
    ("write of a scalar", "`dict` behind `RLock`", ["≤ 6"]),
    ("write of a scalar", "proxy call to a `pykka.ThreadingActor`", ["≤ 0.12"]),
    ("write of a small container", "`RLock` + `copy.deepcopy`", ["≤ 0.7"]),
    ("write into a scope of 100,000 keys", "the same in one of 10 keys", ["≤ 1.5"]),
    (
        "an empty step in a row of 1,000, beyond its function",
        "`ThreadPoolExecutor.submit().result()`",
        ["≤ 1", "≤ 25 us"],
    ),
    (
        "100,000 live workflows, each beyond its data",
        "the same data in plain nested dicts",
        ["≤ 4 kB", "≤ 8 threads"],
    ),
    (
        "1,000,000 idle workflows of one key",
        "the same data in plain nested dicts",
        ["≤ 3"],
    ),
    (
        "`synced` writes per second of 64 threads, `sqlite`",
        "a commit of the same engine for each",
        ["≥ 5"],
    ),
    (
        "`synced` writes per second of 64 threads, `rocksdb`",
        "a commit of the same engine for each",
        ["≥ 5"],
    ),
    (
        "`synced` writes per second of 64 tasks, `sqlite`",
        "a commit of the same engine for each",
        ["≥ 5"],
    ),
    (
        "`synced` writes per second of 64 tasks, `rocksdb`",
        "a commit of the same engine for each",
        ["≥ 8"],
    ),
    (
        "recovery of 1,000,000 keys until the first is read, `sqlite`",
        "a scan of the same engine",
        ["≤ 3"],
    ),
    (
        "200,000 keys in 2,000 workflows, all loaded, `sqlite`",
        "a scan of the same engine",
        ["≤ 10"],
    ),
    ("`buffered` write of a scalar, `sqlite`", "the same in memory", ["≤ 3"]),
    ("read of a scalar from a store", "the same in memory", ["≤ 1.1"]),
    (PUT, "an upsert of plain `sqlite3`", ["≤ 2"]),
    (GET, "a query of plain `sqlite3`", ["≤ 1"]),
    (PUT, "`diskcache` that syncs", ["≤ 2"]),
    (GET, "`diskcache`", ["≤ 1"]),
    (PUT, "LangGraph's `SqliteStore`", ["≤ 2"]),
    (GET, "LangGraph's `SqliteStore`", ["≤ 1"]),
    (
        "a recorded step in a row of 50, `sqlite`",
        "a step of DBOS on SQLite",
        ["≤ 1"],
    ),
]
"""What the design holds the engine to, and what decision 29 makes of 64 writers."""

FAILING: Final = dataclasses.replace(
    ROWS[0],
    name="failing",
    measure=lambda _: Samples([3.0, 2.0], [2.0, 2.0], {"ratio": [1.5, 1.0]}),
)
PASSING: Final = dataclasses.replace(
    ROWS[0], name="passing", measure=lambda _: Samples([1.0], [4.0], {"ratio": [0.25]})
)


def test_rows_are_those_of_the_design() -> None:
    """Every figure of the design has its row, with the same bounds."""
    found = [(row.figure, row.against, [*map(str, row.holds)]) for row in ROWS]
    assert found == DESIGN
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.slow
def test_smoke_run_measures_every_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command works on a small size, prints a line for each bound, saves."""
    assert command.main(["--smoke", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    rows = [row for row in ROWS if not row.needs or command.installed(row.needs)]
    assert shown.count("not judged") == sum(len(row.holds) for row in rows)
    assert shown.count("not measured") == len(ROWS) - len(rows)
    saved = json.loads((tmp_path / report.DATA_FILE).read_text(encoding="utf-8"))
    assert sorted(saved["samples"]) == sorted(row.name for row in rows)
    assert all(row["median"] > 0 for row in saved["rows"])
    assert set(saved) == {*report.circumstances(), "rows", "samples"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["live", "idle"])
def test_footprint_holds_what_was_asked_for(kind: str) -> None:
    """The process that is weighed holds as many workflows, live or idle, as told."""
    told = memory.footprint(kind, "stateward", 20, "--trace")
    assert told["active"] == (20 if kind == "live" else 0)
    assert told["bytes"] > memory.footprint(kind, "dicts", 20, "--trace")["bytes"] > 0


def test_main_fails_when_a_figure_does_not_hold(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full run with a figure beyond its bound ends in status 1, a smoke run never."""
    monkeypatch.setattr(command, "ROWS", (PASSING, FAILING))
    assert command.main(["--output", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert ("pass" in shown, "FAIL" in shown) == (True, True)
    assert command.main(["--output", str(tmp_path), "--smoke"]) == 0
    assert command.main(["--output", str(tmp_path), "--only", "passing"]) == 0


def test_main_refuses_a_row_whose_peer_is_not_installed(tmp_path: Path) -> None:
    """A full run does not leave out silently what it cannot measure."""
    lacking = dataclasses.replace(PASSING, name="lacking", needs="no.such_module")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "ROWS", (lacking,))
        assert command.main(["--smoke", "--output", str(tmp_path)]) == 0
        with pytest.raises(SystemExit, match=r"lacking needs no\.such_module"):
            command.main(["--output", str(tmp_path)])


def test_main_refuses_to_draw_without_a_plot_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lack is noticed before minutes of measuring, and the message names it."""
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="2"):
        command.main(["--draw"])
    assert "matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["--smoke", "--only=read-scalar", "--output=x"])
def test_main_draws_only_what_is_complete(other: str) -> None:
    """The documentation is made from full runs, and nowhere else."""
    with pytest.raises(SystemExit, match="2"):
        command.main(["--draw", other])


@pytest.mark.slow
def test_main_brings_the_page_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--draw` makes the picture and puts the table where it stands in the page."""
    pytest.importorskip("matplotlib", reason="a dev extra")
    page = tmp_path / report.PAGE_FILE
    page.write_text("before\n<!-- table -->\nstale\n<!-- end of table -->\nafter\n")
    monkeypatch.setattr(command, "ROWS", (PASSING, FAILING))
    monkeypatch.setattr(command, "PAGE_FOLDER", tmp_path)
    command.main(["--draw"])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- table -->\n\n| figure | against |")
    assert text.endswith("\n\n<!-- end of table -->\nafter\n")
    assert "stale" not in text
    assert (tmp_path / report.PICTURE_FILE).read_text(encoding="utf-8").count("<svg")


def test_page_has_one_place_for_the_table() -> None:
    """The page in the documentation can be filled in."""
    page = command.PAGE_FOLDER / report.PAGE_FILE
    filled = report.fill_in(page.read_text(encoding="utf-8"), "| new |")
    assert "\n\n| new |\n\n" in filled
    with pytest.raises(ValueError, match="0 places"):
        report.fill_in("no table here", "| new |")


def test_spread_has_median_quarters_and_extremes() -> None:
    """A spread says where the middle half lies, and copes with one round."""
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3, 2, 4, 1, 5)
    assert Spread.of([2.0]) == Spread(2, 2, 2, 2, 2)


@pytest.mark.parametrize(
    ("hold", "value", "share"),
    [(Hold("ratio", 4), 2, 0.5), (Hold("ratio", 3, at_least=True), 6, 0.5)],
)
def test_share_is_the_part_of_the_bound_that_is_used(
    hold: Hold, value: float, share: float
) -> None:
    """A share of one is the bound itself, whichever side of it is allowed."""
    assert hold.share(value) == share
    assert hold.share(hold.limit) == 1


@pytest.mark.slow
def test_rate_counts_the_writes_of_every_thread() -> None:
    """Every thread writes under its own number, and what is counted is no more."""
    written: list[int] = []
    per_second = durable.rate(written.append, 3, 0.01)
    assert set(written) == {0, 1, 2}
    assert 0 < per_second <= len(written) / 0.01


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.5e-7, "seconds", "150 ns"),
        (2.5e-5, "seconds", "25 µs"),
        (1.25, "seconds", "1.25 s"),
        (4_450_000.0, "per second", "4.45 M/s"),
        (12_300.0, "per second", "12.3 k/s"),
        (780.0, "bytes", "780 B"),
    ],
)
def test_human_chooses_a_unit_that_suits(value: float, unit: Unit, shown: str) -> None:
    """What one side measured is shown with a unit in which it can be read."""
    assert report.human(value, unit) == shown


def test_smoke_size_is_small() -> None:
    """No part of a smoke run is large enough to keep a gate waiting."""
    assert max(dataclasses.astuple(SMOKE)) <= 2000
