"""Curves as one SVG 1.1 file: a few panels, each with its lines, points and names; no library, no script, no font.

It draws what it is told and refuses nothing; names are escaped. (appliance.core.plot draws shares only, and
appliance.core.chart one curve: the product needs no more.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from appliance.core.chart import ticks

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 40, 78
DASHES = {"solid": "", "dashed": ' stroke-dasharray="6 4"', "dotted": ' stroke-dasharray="2 3"'}
BLUE, RED, GREEN, GREY, ORANGE = "#1f5fa8", "#b03030", "#24663b", "#777777", "#b26a00"


@dataclass(frozen=True, slots=True)
class Curve:
    """points: (x, y), both 0 or more; dots: each point is marked, for what was measured at few places."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dash: str = "solid"
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    across: str
    up: str
    curves: Sequence[Curve]
    at: Sequence[float] = ()  # where the ticks below stand; empty: wherever they fit


def svg(title: str, panels: Sequence[Panel], columns: int = 2) -> str:
    """The whole picture, panels in rows."""
    rows = -(-len(panels) // columns)
    width, height = WIDTH * min(columns, len(panels)), HEIGHT * rows + 24
    body = "".join(
        f'<g transform="translate({WIDTH * (number % columns)} {24 + HEIGHT * (number // columns)})">'
        f"{_panel(panel)}</g>"
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11"><title>{escape(title)}</title>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<text x="8" y="16" font-size="13">{escape(title)}</text>{body}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    points = [point for curve in panel.curves for point in curve.points] or [(1.0, 1.0)]
    most_x = max(*(x for x, _ in points), *panel.at, 0.0) or 1.0
    most_y = (max(y for _, y in points) or 1.0) * 1.05
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def across(x: float) -> float:
        return round(LEFT + x / most_x * (right - LEFT), 1)

    def up(y: float) -> float:
        return round(low - y / most_y * (low - TOP), 1)

    parts = [f'<text x="8" y="14" font-size="12" font-weight="bold">{escape(panel.title)}</text>']
    parts.append(f'<text x="8" y="30" fill="#555555">{escape(panel.up)}</text>')
    for tick in ticks(most_y):
        parts.append(f'<path d="M{LEFT} {up(tick)}H{right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for tick in panel.at or ticks(most_x):
        parts.append(f'<text x="{across(tick)}" y="{low + 14}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{low}H{right}" stroke="#333333" fill="none"/>')
    parts.append(f'<text x="{(LEFT + right) // 2}" y="{low + 29}" text-anchor="middle">{escape(panel.across)}</text>')
    for curve in panel.curves:
        line = "".join(f"{'M' if not number else 'L'}{across(x)} {up(y)}" for number, (x, y) in enumerate(curve.points))
        parts.append(f'<path d="{line}" stroke="{curve.colour}" stroke-width="1.6" fill="none"{DASHES[curve.dash]}/>')
        if curve.dots:
            parts += [f'<circle cx="{across(x)}" cy="{up(y)}" r="3" fill="{curve.colour}"/>' for x, y in curve.points]
    for number, curve in enumerate(panel.curves):
        left, top = LEFT + (number % 2) * 190, low + 46 + 15 * (number // 2)
        parts.append(f'<path d="M{left} {top - 4}h22" stroke="{curve.colour}" fill="none"{DASHES[curve.dash]}/>')
        parts.append(f'<text x="{left + 28}" y="{top}">{escape(curve.name)}</text>')
    return "".join(parts)
