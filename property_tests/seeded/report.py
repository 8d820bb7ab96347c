"""What is told of the seeded bugs: on a terminal, and in the documentation."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from property_tests.seeded.bug import Bug
from property_tests.seeded.workshop import ROOT, Outcome

Row = tuple[Bug, Outcome]

PAGE: Final = ROOT / "docs" / "explanation" / "verification.md"
BEGIN: Final = "<!-- seeded bugs: begin -->"
END: Final = "<!-- seeded bugs: end -->"


def line(bug: Bug, outcome: Outcome, *, width: int) -> str:
    """Return the line of a terminal that tells of one bug."""
    verdict = "found" if outcome.finder else "NOT FOUND"
    by = outcome.finder or outcome.trouble or ", ".join(bug.checks)
    return f"{bug.name:<{width}}  {verdict:<9}  {outcome.seconds:5.1f} s  {by}"


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return the line that tells how many were found."""
    found = sum(outcome.finder is not None for _, outcome in rows)
    return f"{found} of {len(rows)} bugs found in {seconds:.0f} s"


def table(rows: Iterable[Row]) -> str:
    """Return the table of the documentation."""
    lines = ["| bug | what goes wrong | found by | s |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{bug.name}` | {bug.harm} | {shown(outcome.finder)} "
        f"| {outcome.seconds:.1f} |"
        for bug, outcome in rows
    ]
    return "\n".join(lines)


def shown(finder: str | None) -> str:
    """Return a node id as the table has it: file and function, no parameters."""
    if finder is None:
        return "nothing"
    path, _, name = finder.partition("::")
    return f"`{Path(path).stem}`: `{name.partition('[')[0].rpartition('::')[2]}`"


def fill_in(page: str, text: str) -> str:
    """Return `page` with `text` between its two marks.

    Raises:
        ValueError: It has not both, in this order.
    """
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} before an {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
