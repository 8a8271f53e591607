"""The budget: what is promised of every figure, and which promise a run breaks.

bench/budget.toml names for each figure of each row its goal, the promise that holds now, and which way is better. A
figure more than `broken_beyond` worse than its promise breaks it; so does a promised figure that was not measured and
whose row gives no reason, and a measured one of which nothing is promised.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.table.measured import Figure, Row

BUDGET = Path(__file__).parents[1] / "budget.toml"


@dataclass(frozen=True, slots=True)
class Promise:
    """goal: of the issue, None where it names none. better: "higher" or "lower"."""

    promise: float
    better: str
    goal: float | None = None

    def keeps(self, value: float, slack: float) -> bool:
        limit = self.promise / (1 + slack) if self.better == "higher" else self.promise * (1 + slack)
        return value >= limit if self.better == "higher" else value <= limit

    def reaches(self, value: float) -> bool | None:
        if self.goal is None:
            return None
        return value >= self.goal if self.better == "higher" else value <= self.goal


@dataclass(frozen=True, slots=True)
class Budget:
    """Row to key to promise; slack as a share."""

    slack: float
    rows: Mapping[str, Mapping[str, Promise]]


def budget(path: Path = BUDGET) -> Budget:
    """Raises KeyError, TypeError or ValueError where the file does not say what it must."""
    told = tomllib.loads(path.read_text())
    rows = {
        row: {key: _promise(row, key, said) for key, said in keys.items()}
        for row, keys in told.items()
        if isinstance(keys, dict)
    }
    return Budget(float(told["broken_beyond"]), rows)


def _promise(row: str, key: str, said: Mapping[str, object]) -> Promise:
    promise = Promise(**said)  # type: ignore[arg-type]
    if promise.better not in ("higher", "lower") or promise.promise < 0:
        raise ValueError(f"{row}.{key}: better is higher or lower, and a promise is no negative number")
    return promise


def broken(held: Budget, rows: Sequence[Row]) -> list[str]:
    """One sentence for each broken promise among the rows that were measured."""
    found = []
    for row in rows:
        promised = held.rows.get(row.name, {})
        measured = {figure.key: figure for figure in row.figures}
        for key, figure in measured.items():
            if key not in promised:
                found.append(f"{row.name}, {key}: measured, and nothing is promised of it")
            elif not promised[key].keeps(figure.value, held.slack):
                found.append(_said(row, figure, promised[key], held.slack))
        for key in promised.keys() - measured.keys() - row.missing.keys():
            found.append(f"{row.name}, {key}: promised, and not measured")
    return found


def as_measured(held: Budget, rows: Sequence[Row]) -> str:
    """Lines for bench/budget.toml with each promise as it was measured; whoever copies one answers for it."""
    lines = []
    for row in rows:
        lines.append(f'\n["{row.name}"]')
        for figure in row.figures:
            known = held.rows.get(row.name, {}).get(figure.key)
            goal = f"goal = {known.goal}, " if known is not None and known.goal is not None else ""
            better = known.better if known is not None else "?"
            lines.append(f'{figure.key} = {{ {goal}promise = {figure.value:.2g}, better = "{better}" }}')
    return "\n".join(lines)


def _said(row: Row, figure: Figure, promise: Promise, slack: float) -> str:
    side = "below" if promise.better == "higher" else "above"
    return (
        f"{row.name}, {figure.key}: {figure.value:.3g} {figure.unit}, "
        f"more than {slack:.0%} {side} the promise of {promise.promise:g}"
    )
