"""Counting what was checked and what failed, with Wilson's interval."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

Z = 1.959964
EXAMPLES_MAX = 400


@dataclass(slots=True)
class Tally:
    """checked and failed by category; examples are (file, place), never a value."""

    checked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, category: str, file: str, place: str, failed: bool) -> None:
        self.checked[category] += 1
        if failed:
            self.failed[category] += 1
            if len(self.examples[category]) < EXAMPLES_MAX:
                self.examples[category].append((file, place))

    def many(self, category: str, checked: int, failed: int) -> None:
        self.checked[category] += checked
        self.failed[category] += failed

    def add(self, other: "Tally") -> None:
        self.checked += other.checked
        self.failed += other.failed
        for category, examples in other.examples.items():
            self.examples[category] += examples

    def rate(self, category: str) -> float:
        return 1 - self.failed[category] / self.checked[category]


def wilson(good: int, number: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    if number == 0:
        return 0.0, 1.0
    share = good / number
    centre = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z / (1 + Z**2 / number) * math.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    return max(0.0, centre - half), min(1.0, centre + half)
