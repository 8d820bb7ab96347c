"""Timelines: pictures of a history, one lane for each client, as SVG."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from stateward.testing.histories import Operation, Outcome

NAMESPACE: Final = "http://www.w3.org/2000/svg"
SHOWN_MAX: Final = 60
"""How many operations a picture shows; beyond that nobody finds anything in it."""
TICK_WIDTH: Final = 56
BAR_HEIGHT: Final = 22
ROW_HEIGHT: Final = 46
TOP: Final = 64
CHARACTER_WIDTH: Final = 7

STYLE: Final = """
:root { color-scheme: light dark }
text { font: 12px ui-monospace, monospace; fill: #1f2328 }
.title { font-weight: bold; font-size: 14px }
.page { fill: #ffffff } .lane { stroke: #d0d7de }
.bar { fill: #ddf4ff; stroke: #0969da }
.refused { fill: #eaeef2; stroke: #6e7781 }
.unknown { fill: none; stroke: #0969da; stroke-dasharray: 4 3 }
.marked { fill: #ffebe9; stroke: #cf222e; stroke-width: 2.5 }
text.wrong { fill: #cf222e; font-weight: bold }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .page { fill: #0d1117 } .lane { stroke: #30363d }
  .bar { fill: #10253f; stroke: #58a6ff } .unknown { fill: none; stroke: #58a6ff }
  .refused { fill: #21262d; stroke: #8b949e }
  .marked { fill: #3d1418; stroke: #ff7b72 } text.wrong { fill: #ff7b72 }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A picture of operations, each a bar from its invocation to its reply.

    Time goes by in events, not in seconds: each invocation and each reply is a step to
    the right. A bar of unknown outcome is open to the right.
    """

    title: str
    operations: tuple[Operation, ...]
    order: tuple[Operation, ...] = ()
    """Their places in it are shown as numbers."""
    marked: tuple[Operation, ...] = ()
    """What is shown in another colour; what began after all of it is left out."""

    def svg(self) -> str:
        """Return the picture as an SVG document.

        Cost: O(n log n) for `n` operations, of which at most `SHOWN_MAX` are shown:
        those that are marked, and of the others the latest.
        """
        shown = self._shown()
        rows = _rows(shown)
        columns = _columns(shown)
        width = max(640, (len(columns) + 2) * TICK_WIDTH + self._left(rows))
        height = TOP + len(rows) * ROW_HEIGHT + 16
        parts = [
            f'<svg xmlns="{NAMESPACE}" role="img" width="{width}" height="{height}">',
            f"<title>{_text(self.title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            f'<text class="title" x="12" y="24">{_text(self.title)}</text>',
        ]
        if len(shown) < len(self.operations):
            left_out = len(self.operations) - len(shown)
            parts.append(f'<text x="12" y="44">{left_out} more are not shown</text>')
        named: set[str] = set()
        for number, (client, row) in enumerate(rows):
            y = TOP + number * ROW_HEIGHT
            line = y + BAR_HEIGHT + 4
            parts.append(
                f'<path class="lane" d="M12 {line}H{width - 12}"/>',
            )
            if client not in named:
                named.add(client)
                parts.append(f'<text x="12" y="{y + 15}">{_text(client)}</text>')
            for operation in row:
                parts += self._bar(operation, columns, self._left(rows), y, width)
        return "\n".join((*parts, "</svg>", ""))

    def _shown(self) -> list[Operation]:
        marked = {operation.invoked for operation in self.marked}
        end = max((each.returned or each.invoked for each in self.marked), default=None)
        before = [
            operation
            for operation in self.operations
            if operation.invoked not in marked
            and (end is None or operation.invoked < end)
        ]
        room = max(0, SHOWN_MAX - len(self.marked))
        # Those that a reply is near to say most; a long gone unknown one comes last.
        before.sort(key=lambda each: each.returned or each.invoked)
        shown = [*self.marked, *(before[-room:] if room else ())]
        return sorted(shown, key=lambda each: each.invoked)

    @staticmethod
    def _left(rows: list[tuple[str, list[Operation]]]) -> int:
        longest = max((len(client) for client, _ in rows), default=0)
        return 24 + longest * CHARACTER_WIDTH

    def _bar(
        self,
        operation: Operation,
        columns: dict[int, int],
        left: int,
        y: int,
        width: int,
    ) -> list[str]:
        begin = left + columns[operation.invoked] * TICK_WIDTH
        returned = operation.returned
        end = width - 12 if returned is None else left + columns[returned] * TICK_WIDTH
        wrong = any(operation.invoked == each.invoked for each in self.marked)
        kind = {Outcome.REFUSED: " refused", Outcome.UNKNOWN: " unknown"}.get(
            operation.outcome, ""
        )
        classes = f"bar{kind}{' marked' if wrong else ''}"
        if returned is None:
            path = f"M{end} {y}H{begin}V{y + BAR_HEIGHT}H{end}"
            shape = f'<path class="{classes}" d="{path}"/>'
        else:
            shape = (
                f'<rect class="{classes}" x="{begin}" y="{y}" rx="3"'
                f' width="{end - begin}" height="{BAR_HEIGHT}"/>'
            )
        places = [n for n, each in enumerate(self.order, 1) if each == operation]
        place = f"{places[0]}. " if places else ""
        room = max(4, (end - begin - 8) // CHARACTER_WIDTH)
        label = f"{place}{operation}"
        label = label if len(label) <= room else f"{label[: room - 1]}\u2026"
        style = ' class="wrong"' if wrong else ""
        where = f"{operation.client}, {operation.invoked} to {returned or 'the end'}"
        return [
            f"<g><title>{_text(f'{where}: {place}{operation}')}</title>",
            shape,
            f'<text{style} x="{begin + 5}" y="{y + 15}">{_text(label)}</text></g>',
        ]


def _rows(operations: Iterable[Operation]) -> list[tuple[str, list[Operation]]]:
    """Return the lanes: of a client several, if its operations overlap."""
    lanes: dict[str, list[list[Operation]]] = {}
    for operation in operations:
        rows = lanes.setdefault(operation.client, [])
        for row in rows:
            returned = row[-1].returned
            if returned is not None and returned < operation.invoked:
                row.append(operation)
                break
        else:
            rows.append([operation])
    return [(client, row) for client in sorted(lanes) for row in lanes[client]]


def _columns(operations: Iterable[Operation]) -> dict[int, int]:
    """Return where each event is: the how manieth of those that are shown."""
    ticks = {operation.invoked for operation in operations}
    ticks |= {each.returned for each in operations if each.returned is not None}
    return {tick: column for column, tick in enumerate(sorted(ticks))}


def _text(text: str) -> str:
    """Return `text` as XML, in which not every character may stand."""
    return escape("".join(each if each.isprintable() else "\ufffd" for each in text))
