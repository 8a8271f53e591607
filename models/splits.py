"""Which adult patients and body-part films the check may learn from; the rest measures. By hash and by order only."""

import hashlib

import numpy as np


def adult_may_train(patient: str) -> bool:
    """True for three fifths of the adult patients, by hash; the rest measures."""
    return hashlib.sha256(f"adult/{patient}".encode()).digest()[0] < 154


def part_may_train(rows: list[dict[str, str]]) -> np.ndarray:
    """The first half of each body part in the order of its files: neighbours may show one patient."""
    labels = np.array([row["label"] for row in rows])
    order = np.argsort([row["path"] for row in rows], kind="stable")
    first = np.zeros(len(rows), bool)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        first[own[: len(own) // 2]] = True
    return first
