"""What a run is made into: tables for a terminal and the docs, JSON, a picture."""

import datetime as dt
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measure import Samples, Spread
from benchmarks.rows import Hold, Row, Unit

PAGE_FILE: Final = "performance.md"
PICTURE_FILE: Final = "performance.svg"
DATA_FILE: Final = "performance.json"
DRAWN_SHARE: Final = 1.1
"""How far the bars of the picture go; what fails by more is cut there."""
BLUE: Final = "#4c86b0"
RED: Final = "#b3402a"
TABLE_PLACE: Final = re.compile(
    "(?<=<!-- table -->\n).*(?=<!-- end of table -->)", re.DOTALL
)
"""Where the table stands in the page."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a row and one of the bounds it is held to."""

    row: Row
    hold: Hold
    spread: Spread
    ours: float
    """Median of what was measured of the engine, in the unit of the row."""
    peer: float

    @property
    def held(self) -> bool:
        """Whether the median is within the bound."""
        return self.hold.share(self.spread.median) <= 1


def lines_of(row: Row, samples: Samples) -> list[Line]:
    """Return a line for each bound of `row`."""
    ours, peer = median(samples.ours), median(samples.peer)
    return [
        Line(row, hold, Spread.of(samples.values[hold.name]), ours, peer)
        for hold in row.holds
    ]


def text_table(lines: list[Line], *, judged: bool) -> str:
    """Return the table for a terminal."""
    head = ["figure", "against", "hold", "measured", "min to max", "stateward", "peer"]
    cells = [[*head, ""]]
    for line in lines:
        verdict = ("pass" if line.held else "FAIL") if judged else "not judged"
        cells.append([*(cell.replace("`", "") for cell in cells_of(line)), verdict])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def markdown_table(lines: list[Line], told: dict[str, object]) -> str:
    """Return the table for the documentation, with what it was measured on."""
    head = ["figure", "against", "hold", "measured", "min to max", "stateward", "peer"]
    rows = [head, ["---"] * len(head), *map(cells_of, lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"{table}\n\nMeasured on {told['date']} with {told['implementation']} "
        f"{told['python']} on {told['cpus']} CPUs ({told['machine']}, "
        f"{told['system']}).\n"
    )


def fill_in(page: str, table: str) -> str:
    """Return the page of the documentation with another table."""
    page, places = TABLE_PLACE.subn(lambda _: f"\n{table.strip()}\n\n", page)
    if places != 1:
        raise ValueError(f"the page has {places} places for the table, not 1")
    return page


def cells_of(line: Line) -> list[str]:
    """Return what both tables show of a line."""
    show = line.hold.show
    of_sides = line.hold.name != "threads"
    return [
        line.row.figure,
        line.row.against if of_sides else "",
        str(line.hold),
        show(line.spread.median),
        f"{line.spread.least:.3g} to {line.spread.most:.3g}",
        human(line.ours, line.row.unit) if of_sides else "",
        human(line.peer, line.row.unit) if of_sides else "",
    ]


def human(value: float, unit: Unit) -> str:
    """Return what was measured on one side, in a unit that suits it."""
    match unit:
        case "seconds" if value < 1e-6:
            return f"{value * 1e9:.0f} ns"
        case "seconds" if value < 0.01:
            return f"{value * 1e6:.3g} µs"
        case "seconds":
            return f"{value:.3g} s"
        case "per second" if value < 1e5:
            return f"{value / 1e3:.3g} k/s"
        case "per second":
            return f"{value / 1e6:.3g} M/s"
        case "bytes":
            return f"{value:,.0f} B"


def circumstances() -> dict[str, object]:
    """Return what a reader must know of the machine; nothing that names it."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def save(
    folder: Path,
    lines: list[Line],
    samples: dict[str, Samples],
    told: dict[str, object],
) -> None:
    """Write everything that was measured as JSON."""
    rows = [
        {
            "name": line.row.name,
            "figure": line.row.figure,
            "against": line.row.against,
            "held": line.hold.name,
            "limit": line.hold.limit,
            "at_least": line.hold.at_least,
            "unit": line.hold.unit or "ratio",
            "passes": line.held,
            **asdict(line.spread),
        }
        for line in lines
    ]
    measured = {
        name: {"ours": part.ours, "peer": part.peer, **part.values}
        for name, part in samples.items()
    }
    data = rounded({**told, "rows": rows, "samples": measured})
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=1, ensure_ascii=False)
    (folder / DATA_FILE).write_text(fold(text) + "\n", encoding="utf-8")


def rounded(data: object) -> object:
    """Return `data` with four digits of every number, which is more than they say."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [rounded(value) for value in data]
    return float(f"{data:.4g}") if isinstance(data, float) else data


def fold(text: str) -> str:
    """Return JSON with every list of numbers on one line."""
    return re.sub(
        r"\[\s+([-\d.e,\s]+?)\s+\]",
        lambda found: f"[{' '.join(found[1].split())}]",
        text,
    )


def draw(folder: Path, lines: list[Line]) -> None:
    """Draw how much of its bound each figure takes up."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Drawn again from the same data, the file is the same.
    mpl.rcParams["svg.hashsalt"] = "stateward"
    picture = Figure(figsize=(9, 0.5 * len(lines) + 1), layout="constrained")
    axes = picture.subplots()
    for place, line in enumerate(lines):
        spread, share = line.spread, line.hold.share
        colour = BLUE if line.held else RED
        axes.barh(place, min(share(spread.median), DRAWN_SHARE), 0.7, color=colour)
        half = [min(share(end), DRAWN_SHARE) for end in (spread.low, spread.high)]
        axes.plot(half, [place, place], color="black", linewidth=1.5)
        shown = f"{line.hold.show(spread.median)}  ({line.hold})"
        axes.text(DRAWN_SHARE + 0.02, place, shown, va="center", fontsize=9)
    axes.axvline(1, color=RED, linewidth=1.5)
    axes.set_yticks(range(len(lines)), map(label_of, lines), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, DRAWN_SHARE + 0.34)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "held to"])
    axes.set_xlabel("share of what is allowed; in black the middle half of the rounds")
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    picture.savefig(folder / PICTURE_FILE, metadata={"Date": None})


def label_of(line: Line) -> str:
    """Return what stands beside a bar."""
    if line.hold.name == "threads":
        return "… their threads"
    against = line.row.against.replace("`", "")
    return f"{line.row.figure}\nagainst {against}"
