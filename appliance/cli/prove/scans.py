"""What the scanner of a trial writes: films that a model looks at, and slices of CT that only have to be carried."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.cli.prove import synthetic
from appliance.core.drawn_objects import person, radiograph, slice_of_ct, uid
from appliance.errors import Misconfigured

CT_SIDE_PX, SMALL_PX = 512, 64
SEED = 8


@dataclass(frozen=True, slots=True)
class Scan:
    """One file; sha256 of its bytes."""

    name: str
    study: str
    sha256: str
    data: bytes

    def drop(self, folder: Path) -> None:
        """Written under a hidden name, then named: the scanner's folder shows it whole."""
        hidden = folder / f".{self.name}"
        hidden.write_bytes(self.data)
        hidden.rename(folder / self.name)


def films(count: int, source: synthetic.Source, *, first: int = 0) -> list[Scan]:
    """Chest films of nobody, a study each; a plain drawing where the generator's package is not installed."""
    found = []
    for n in range(first, first + count):
        seed = synthetic.seed_to_show(SEED, n)
        key = f"synthetic {seed}"
        try:
            data = synthetic.dicom(synthetic.draw(seed, source=source), seed)
        except Misconfigured:
            data = radiograph(_drawing(seed), person(key, 3), key, view="AP")
        found.append(_scan(f"film-{n:06d}.dcm", uid(key, "study"), data))
    return found


def is_drawn(source: synthetic.Source) -> bool:
    """Whether the generator's package is there and is what was signed."""
    try:
        synthetic.draw(0, source=source)
    except Misconfigured:
        return False
    return True


def slices(count: int, key: str, side_px: int = CT_SIDE_PX) -> list[Scan]:
    """One CT study of so many axial slices through a body that gets wider."""
    who, half = person(key, 50), side_px / 2
    row, column = np.mgrid[:side_px, :side_px]
    found = []
    for n in range(1, count + 1):
        radius = np.hypot((row - half) / (0.6 * half), (column - half) / ((0.7 + 0.2 * n / count) * half))
        values = np.where(radius < 1, 40, np.where(radius < 1.05, -100, -1000)).astype(np.int16)
        data = slice_of_ct(values, who, key, position=n, count=count)
        found.append(_scan(f"{key}-{n:05d}.dcm", uid(key, "study"), data))
    return found


def _drawing(seed: int) -> synthetic.Film:
    dice = np.random.default_rng(seed)
    row, column = np.mgrid[: synthetic.SIDE_PX, : synthetic.SIDE_PX]
    body = 120 * np.exp(-(((row - 112) / 90) ** 2 + ((column - 112) / 70) ** 2))
    return np.asarray((body + dice.integers(0, 40, body.shape)).clip(0, 255), np.uint8)


def _scan(name: str, study: str, data: bytes) -> Scan:
    return Scan(name, study, hashlib.sha256(data).hexdigest(), data)
