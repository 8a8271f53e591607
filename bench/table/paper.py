"""The table in Markdown, into the marked place at the top of bench/RESULTS.md; what stands below it is kept."""

from collections.abc import Sequence
from pathlib import Path

from bench.table.judge import Budget, Promise
from bench.table.measured import Figure, Row

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
PLOT = RESULTS.with_suffix(".svg")
BEGIN, END = "<!-- the table of make bench begins -->", "<!-- the table of make bench ends -->"
HEAD = "| row | figure | n | median (least to most) | goal | promise | beside it |\n|---|---|---|---|---|---|---|"


def table(rows: Sequence[Row], held: Budget, command: str, machine: str, broken: Sequence[str]) -> str:
    lines = [f"## {command}", "", machine, "", HEAD]
    for row in rows:
        promised = held.rows.get(row.name, {})
        lines += [_line(row, figure, promised.get(figure.key)) for figure in row.figures]
        lines += [f"| {row.name} | {key} | 0 | not measured: {why} | | | |" for key, why in row.missing.items()]
    notes = [f"- {row.name}: {note}" for row in rows for note in row.notes]
    said = [f"- {each}" for each in broken] or ["- none"]
    shown = f"![How often each goal is reached]({PLOT.name})"
    return "\n".join([*lines, "", shown, "", *notes, "", "Broken promises:", "", *said])


def _line(row: Row, figure: Figure, promise: Promise | None) -> str:
    goal = "" if promise is None or promise.goal is None else f"{_sign(promise)} {promise.goal:g}"
    if promise is not None and promise.reaches(figure.value):
        goal = f"{goal}, reached"
    held = "" if promise is None else f"{_sign(promise)} {promise.promise:g}"
    beside = "; ".join(f"{side} {value}" for side, value in figure.beside.items())
    spread = f"{figure.value:.3g} {figure.unit} ({min(figure.values):.3g} to {max(figure.values):.3g})"
    return f"| {row.name} | {figure.what} | {len(figure.values)} | {spread} | {goal} | {held} | {beside} |"


def _sign(promise: Promise) -> str:
    return ">=" if promise.better == "higher" else "<="


def put(text: str, path: Path = RESULTS) -> None:
    """Replaces the marked place; makes it behind the first paragraph where there is none yet."""
    there = path.read_text()
    whole = f"{BEGIN}\n{text}\n{END}\n"
    if BEGIN in there and END in there:
        before, below = there.partition(BEGIN)[0], there.partition(END)[2].lstrip("\n")
        path.write_text(f"{before}{whole}\n{below}")
        return
    head, mark, rest = there.partition("\n## ")
    path.write_text(f"{head.rstrip()}\n\n{whole}{mark}{rest}")
