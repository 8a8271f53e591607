"""One small chart as inline SVG 1.1: a curve over two axes from zero, no library, script or font of its own.

It draws what it is told; names are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 340, 224
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 40, 38
TICKS_ABOUT = 4


@dataclass(frozen=True, slots=True)
class Chart:
    """points: (x, y), both 0 or more; steps: y holds until the next x; marks: vertical lines by name."""

    title: str
    across: str
    up: str
    points: Sequence[tuple[float, float]]
    steps: bool = False
    marks: Sequence[tuple[float, str]] = ()


def svg(chart: Chart) -> str:
    """The picture, for a page that holds it inline."""
    most_x = max([x for x, _ in chart.points] + [x for x, _ in chart.marks] + [1e-9])
    most_y = max([y for _, y in chart.points] + [1e-9])
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def across(x: float) -> float:
        return round(LEFT + x / most_x * (right - LEFT), 1)

    def up(y: float) -> float:
        return round(low - y / most_y * (low - TOP), 1)

    parts = [f'<text x="0" y="12" class="title">{escape(chart.title)}</text>']
    for tick in ticks(most_y):
        parts.append(f'<path d="M{LEFT} {up(tick)}H{right}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{up(tick) + 4}" class="end">{tick:g}</text>')
    for tick in ticks(most_x):
        parts.append(f'<text x="{across(tick)}" y="{low + 14}" class="middle">{tick:g}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{low}H{right}" class="axis"/>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" class="middle">{escape(chart.across)}</text>')
    parts.append(f'<text x="0" y="{TOP - 8}" class="quiet">{escape(chart.up)}</text>')
    path = ""
    for number, (x, y) in enumerate(chart.points):
        path += (
            f"M{across(x)} {up(y)}"
            if not number
            else f"H{across(x)}V{up(y)}"
            if chart.steps
            else f"L{across(x)} {up(y)}"
        )
    parts.append(f'<path d="{path}" class="curve"/>')
    for number, (x, name) in enumerate(chart.marks):
        side = "end" if x > most_x * 0.6 else "start"
        at, height = across(x), TOP + 12 + 13 * number
        parts.append(f'<path d="M{at} {TOP}V{low}" class="mark"/>')
        parts.append(
            f'<text x="{at + (-4 if side == "end" else 4)}" y="{height}" class="{side} name">{escape(name)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(chart.title)}</title>{''.join(parts)}</svg>"
    )


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to most: one, two or five times a power of ten apart."""
    rough = most / TICKS_ABOUT
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
    return [round(step * n, 10) for n in range(int(most / step + 1e-9) + 1)]
