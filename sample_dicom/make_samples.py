"""Draws the committed samples: `python -m sample_dicom.make_samples`. The same bytes on every machine.

Only sums, products and comparisons of whole numbers, so that no library's rounding shows in a pixel. What is drawn is
a phantom and shows nobody; it must never be taken for a film with a diagnosis.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.core.drawn_objects import DRAWN, person, radiograph, slice_of_ct, ultrasound

FOLDER = Path(__file__).parent / "drawn"
CHEST_SIDE_PX = 160
CT_SIDE_PX = 64
CT_SLICES = 2
US_ROWS, US_COLUMNS = 120, 160

Grid = NDArray[np.int64]


def samples() -> dict[str, bytes]:
    """Every committed sample by file name."""
    chest = radiograph(chest_phantom(0), person("drawn child", 3, "F"), "drawn chest", view="AP", device=DRAWN)
    adult = person("drawn adult", 48, "M")
    slices = {
        f"ct_slice_{n}.dcm": slice_of_ct(ct_phantom(n), adult, "drawn ct", position=n, count=CT_SLICES)
        for n in range(1, CT_SLICES + 1)
    }
    return {
        "chest_child_ap.dcm": chest,
        **slices,
        "us_colour.dcm": ultrasound(us_phantom(), person("drawn us", 31, "F"), "drawn us"),
        "odd_empty.dcm": b"",
        "odd_truncated.dcm": radiograph(
            chest_phantom(1), person("drawn half", 2, "M"), "drawn half", view="AP", device=DRAWN
        )[:9000],
        "odd_not_dicom.dcm": b"This is a note that somebody saved into the scanner's folder.\n",
    }


def chest_phantom(variant: int) -> NDArray[np.uint8]:
    """Something like a child's chest, front to back: bright body, two dark lungs, ribs, spine, heart.

    returns  uint8 [160, 160]; variants differ in size and place of the parts
    """
    side, shift = CHEST_SIDE_PX, variant * 7 % 9 - 4
    row, column = _grid(side, side)
    image = np.full((side, side), 12, np.int64)
    image += 150 * _inside(row, column, (88, 80), (92 + shift, 66 - shift))
    for centre in (52 + shift // 2, 108 - shift // 2):
        lung = _inside(row, column, (82, centre), (50 + shift, 22 + shift // 2))
        image -= 95 * lung
        image += 26 * (lung & ((row + (column - centre) ** 2 // 60) % 15 < 5))
    image += 45 * ((abs(column - 80) < 7) & (row > 10))
    image += 60 * _inside(row, column, (102, 90 + shift), (28, 24))
    image += 70 * (row > 134) * _inside(row, column, (88, 80), (92 + shift, 66 - shift))
    return (_smooth(image) + _grain(side, side, variant, 8)).clip(0, 255).astype(np.uint8)


def ct_phantom(position: int) -> NDArray[np.int16]:
    """An axial slice in Hounsfield units, int16 [64, 64]: air, soft tissue, lungs, a vertebra."""
    row, column = _grid(CT_SIDE_PX, CT_SIDE_PX)
    values = np.full((CT_SIDE_PX, CT_SIDE_PX), -1000, np.int64)
    body = _inside(row, column, (32, 32), (22, 28))
    values[body] = 40
    for centre in (20, 44):
        values[_inside(row, column, (30, centre), (12 + position, 8))] = -820
    values[_inside(row, column, (47, 32), (4, 4))] = 600
    return (values + _grain(CT_SIDE_PX, CT_SIDE_PX, position, 24)).clip(-1024, 3071).astype(np.int16)


def us_phantom() -> NDArray[np.uint8]:
    """A sector on black with a blue and red patch, uint8 [120, 160, 3]."""
    row, column = _grid(US_ROWS, US_COLUMNS)
    depth = row * row + (column - 80) ** 2
    sector = (depth < 110**2) & (depth > 20**2) & (abs(column - 80) * 10 < row * 8)
    grey = sector * (60 + _grain(US_ROWS, US_COLUMNS, 5, 90) - depth // 400)
    image = np.repeat(grey.clip(0, 255)[:, :, None], 3, axis=2)
    image[_inside(row, column, (60, 72), (8, 6)) & sector] = (180, 30, 20)
    image[_inside(row, column, (64, 90), (8, 6)) & sector] = (20, 40, 190)
    return image.astype(np.uint8)


def _grid(rows: int, columns: int) -> tuple[Grid, Grid]:
    row, column = np.mgrid[:rows, :columns].astype(np.int64)
    return row, column


def _inside(row: Grid, column: Grid, centre: tuple[int, int], radii: tuple[int, int]) -> NDArray[np.bool_]:
    """Inside the ellipse about the centre, in whole numbers."""
    down, across = (row - centre[0]) * radii[1], (column - centre[1]) * radii[0]
    return down * down + across * across < (radii[0] * radii[1]) ** 2


def _smooth(image: Grid) -> Grid:
    """The mean of five by five neighbours, edges repeated."""
    padded = np.pad(image, 2, mode="edge")
    total = sum(padded[r : r + image.shape[0], c : c + image.shape[1]] for r in range(5) for c in range(5))
    return np.asarray(total, np.int64) // 25


def _grain(rows: int, columns: int, seed: int, span: int) -> Grid:
    """Noise from -span/2 to span/2 by mixing the coordinates; no generator whose stream may change."""
    row, column = _grid(rows, columns)
    mixed = (row * 73_856_093 ^ column * 19_349_663 ^ (seed + 1) * 83_492_791) & 0x7FFFFFFF
    mixed = (mixed * 48_271) % 0x7FFFFFFF
    mixed = (mixed ^ mixed >> 13) * 16_807 % 0x7FFFFFFF
    return mixed % span - span // 2


def main() -> int:
    """Writes the samples, or with --check says which differ from what is committed."""
    parser = argparse.ArgumentParser(prog="python -m sample_dicom.make_samples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when a committed file differs")
    options = parser.parse_args()
    made = samples()
    if options.check:
        differ = [n for n, d in made.items() if not (FOLDER / n).exists() or (FOLDER / n).read_bytes() != d]
        print(f"{len(differ)} of {len(made)} differ {' '.join(differ)}".rstrip())
        return 1 if differ else 0
    FOLDER.mkdir(exist_ok=True)
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)
        print(f"{len(data):>7} bytes  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
