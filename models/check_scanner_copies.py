"""Whether the synthetic scanner gives training films back: nearest neighbours of drawn films among the training films.

    .venv-train/bin/python models/check_scanner_copies.py [--films 500] [--data ../shared/data]

For comparison the same is asked of real films of held-back patients, which the scanner was never shown. A copy would
be much nearer to one training film than to the next. And whoever repeats training films is nearer to them than to
held-back ones: of a scanner that does not, the nearest real film is a held-back one as often as held-back films are
among all. Two pictures are compared, by correlation: the film at 56 px, and its detail at 112 px (what a wide blur
takes away), in which a person would be recognised. The mark is left out. It prints figures and writes nothing.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "models")]

from films import TRAIN_ZIP, held_back_patients, read_films  # noqa: E402

from appliance.cli.prove.synthetic import SIDE_PX, draw  # noqa: E402
from appliance.core.prepare import PreparationSpec, prepare  # noqa: E402
from appliance.core.risk_coverage import proportion  # noqa: E402

SPEC = PreparationSpec(SIDE_PX, 0.5, 99.5)
SHAPE_PX, DETAIL_PX, BLUR_PX = 56, 112, 4.0
MARK_ROWS = 28  # of 224, left out of every film
Rows = NDArray[np.float32]


def seen(film: NDArray[np.uint8]) -> dict[str, Rows]:
    """The two pictures of a film as unit vectors."""
    whole = prepare(film.astype(np.float32), False, SPEC)[0, 0][MARK_ROWS:]
    shape = cv2.resize(whole, (SHAPE_PX, SHAPE_PX), interpolation=cv2.INTER_AREA)
    fine = cv2.resize(whole, (DETAIL_PX, DETAIL_PX), interpolation=cv2.INTER_AREA)
    return {"film": unit(shape), "detail": unit(fine - cv2.GaussianBlur(fine, (0, 0), BLUR_PX))}


def unit(picture: NDArray[np.float32]) -> Rows:
    row = picture.ravel() - picture.mean()
    return np.asarray(row / (np.linalg.norm(row) + 1e-9), np.float32)


def nearest(these: Rows, training: Rows) -> tuple[Rows, Rows]:
    """Correlation with the nearest training film, and the distance to it over the distance to the second nearest."""
    two = np.sort(these @ training.T, axis=1)[:, -2:]
    apart = np.sqrt(np.maximum(2 - 2 * two, 0))
    return two[:, 1], apart[:, 1] / apart[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--films", type=int, default=500)
    args = parser.parse_args()
    archive = read_films(args.data / TRAIN_ZIP)
    held = held_back_patients(archive.patients, 0)
    real = [seen(values) for values in archive.values]
    drawn = [seen(draw(seed, 0.5).values) for seed in range(args.films)]
    for name in ("film", "detail"):
        stacked = np.stack([each[name] for each in real])
        training = stacked[~held]
        print(f"{name}: {len(training)} training films")
        for who, these in (("drawn", np.stack([each[name] for each in drawn])), ("held back", stacked[held])):
            close, ratio = nearest(these, training)
            middle, high, most = np.quantile(close, (0.5, 0.99, 1.0))
            print(
                f"  {len(these)} {who}: correlation with the nearest median {middle:.3f}, 99 % {high:.3f}, "
                f"highest {most:.3f}; distance over the second nearest's, lowest {ratio.min():.3f}"
            )
        of_all = held[np.argmax(np.stack([each[name] for each in drawn]) @ stacked.T, axis=1)]
        share = proportion(int(of_all.sum()), len(drawn))
        print(f"  the nearest of all real films is a held-back one: {share}; {held.mean():.3f} of all are")


if __name__ == "__main__":
    main()
