"""A risk-coverage curve as one small SVG 1.1 file: no library, no script, no font, the same bytes for the same numbers.

It draws what it is told and refuses nothing; names are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 44, 92
DASHES = {"solid": "", "dashed": ' stroke-dasharray="5 4"', "dotted": ' stroke-dasharray="1 3"'}
TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A curve of points (share, rate), both 0..1, drawn as steps from left to right."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    dash: str = "solid"


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. limits: horizontal lines; mark: a vertical one, with its name."""

    title: str
    across: str
    lines: tuple[Line, ...]
    limits: tuple[Line, ...] = ()
    mark: tuple[float, str] | None = None


def svg(title: str, panels: Sequence[Panel]) -> str:
    """The whole picture, panels side by side."""
    width = WIDTH * len(panels)
    body = "".join(f'<g transform="translate({WIDTH * i} 20)">{_panel(panel)}</g>' for i, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT + 20}" '
        f'viewBox="0 0 {width} {HEIGHT + 20}" font-family="sans-serif" font-size="11">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width}" height="{HEIGHT + 20}" fill="#fff"/>'
        f'<text x="8" y="16" font-size="13">{escape(title)}</text>{body}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    highest = max([0.01, *(rate for line in panel.limits for _, rate in line.points)]) * 2.5
    right, low = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(share: float) -> float:
        return round(LEFT + share * (right - LEFT), 2)

    def y(rate: float) -> float:
        return round(low - min(rate, highest) / highest * (low - TOP), 2)

    parts = [f'<text x="{LEFT}" y="{TOP - 12}">{escape(panel.title)}</text>']
    for tick in range(TICKS + 1):
        share, rate = tick / TICKS, highest * tick / TICKS
        parts.append(f'<path d="M{LEFT} {y(rate)}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(rate) + 4}" text-anchor="end">{100 * rate:.1f} %</text>')
        parts.append(f'<text x="{x(share)}" y="{low + 14}" text-anchor="middle">{100 * share:.0f} %</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{low}H{right}" stroke="#333" fill="none"/>')
    parts.append(f'<text x="{(LEFT + right) // 2}" y="{low + 28}" text-anchor="middle">{escape(panel.across)}</text>')
    for line in (*panel.limits, *panel.lines):
        steps = "".join(f"{'M' if i == 0 else 'L'}{x(a)} {y(b)}" for i, (a, b) in enumerate(line.points))
        parts.append(f'<path d="{steps}" stroke="{line.colour}" fill="none"{DASHES[line.dash]}/>')
    if panel.mark is not None:
        share, name = panel.mark
        parts.append(f'<path d="M{x(share)} {TOP}V{low}" stroke="#070" stroke-width="2"/>')
        side, offset = ("end", -4) if share > 0.5 else ("start", 4)
        parts.append(
            f'<text x="{x(share) + offset}" y="{TOP + 10}" text-anchor="{side}" fill="#070">{escape(name)}</text>'
        )
    for number, line in enumerate((*panel.lines, *panel.limits)):
        left, top = LEFT + (number % 2) * 200, low + 44 + 14 * (number // 2)
        parts.append(f'<path d="M{left} {top - 4}h22" stroke="{line.colour}" fill="none"{DASHES[line.dash]}/>')
        parts.append(f'<text x="{left + 28}" y="{top}">{escape(line.name)}</text>')
    return "".join(parts)
