"""The table as one small SVG: how far each figure stands from its goal, on a logarithmic axis."""

from collections.abc import Sequence
from math import log10
from xml.sax.saxutils import escape

from bench.table.judge import Budget
from bench.table.measured import Row

WIDTH, NAMES, LINE, TOP = 860, 330, 18, 46
LOW, HIGH = -2.0, 2.0  # powers of ten
REACHED, SHORT = "#1f5fa8", "#b03030"


def shares(rows: Sequence[Row], held: Budget) -> list[tuple[str, float]]:
    """(row and key, how many times the goal is reached), of every figure that has one; 1 is the goal."""
    found = []
    for row in rows:
        for figure in row.figures:
            promise = held.rows.get(row.name, {}).get(figure.key)
            if promise is None or promise.goal is None or figure.value <= 0:
                continue
            better = promise.better == "higher"
            share = figure.value / promise.goal if better else promise.goal / figure.value
            found.append((f"{row.name}: {figure.key}", share))
    return found


def svg(rows: Sequence[Row], held: Budget) -> str:
    found = shares(rows, held)
    height = TOP + LINE * len(found) + 12

    def x(power: float) -> float:
        return round(NAMES + (min(max(power, LOW), HIGH) - LOW) / (HIGH - LOW) * (WIDTH - NAMES - 70), 1)

    parts = ['<text x="8" y="18" font-size="13">How often each goal is reached: 1 is the goal, right is better</text>']
    for power in range(int(LOW), int(HIGH) + 1):
        parts.append(f'<path d="M{x(power)} {TOP - 8}V{height - 8}" stroke="{"#333" if power == 0 else "#ddd"}"/>')
        parts.append(f'<text x="{x(power)}" y="{TOP - 12}" text-anchor="middle">{10.0**power:g}</text>')
    for number, (name, share) in enumerate(found):
        y, power, colour = TOP + LINE * number, log10(share), REACHED if share >= 1 else SHORT
        left, right = sorted((x(0), x(power)))
        parts.append(f'<text x="{NAMES - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 2}" width="{max(1.0, right - left):.1f}" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - 8}" y="{y + 11}" text-anchor="end">{share:.2g}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )
