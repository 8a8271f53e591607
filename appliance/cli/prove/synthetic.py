"""The synthetic scanner: films that show nobody, with the truth they were drawn with, in unlimited number.

For demonstration and load, never for measuring: what a model scores on these films says nothing about patients. The
generator is a signed package like a model's, verified before it is run, and its films say SYNTHETIC in the picture and
in the header. It draws from the seed it is given and from nothing else.
"""

import io
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.core.drawn_objects import number, synthetic_person, synthetic_radiograph
from appliance.world.models import load_generator, trusted_keys

PACKAGE = Path("synthetic-scanner", "1.0.0")
SIDE_PX = 224
PREVALENCE = 0.3  # of the finding, among drawn films
# With all of a class's spread some films of the finding look like none, and no cleared lane opens at 1 %. So nine films
# in ten are drawn from part of it, where the film shows its truth; the tenth from all, so that there are doubtful ones.
SPREAD, UNCLEAR_SHARE = 0.7, 0.1
CALIBRATION_SEEDS = range(10**9)  # what gates and certificates of the site are fitted with; films to show lie above
PROCESSES_MAX, BATCH = 2, 64  # drawn at once, so that a slow taker never has thousands of films wait for it

Truth = Literal["pneumonia", "normal"]
Subtype = Literal["", "bacteria", "virus"]
Film = NDArray[np.uint8]
SUBTYPES: tuple[Subtype, ...] = ("", "bacteria", "virus")  # the rows of codes.npz

MARK, MARK_AT_PX, LETTER_SCALE = "SYNTHETIC", (5, 6), 2  # row and column of the first letter; pixels a dot
BORDER_PX = 4
# Dots of the letters, a row a string, so that no font and no drawing library decides what stands in the picture.
LETTERS: Mapping[str, tuple[str, ...]] = {
    "S": (" ### ", "#   #", "#    ", " ### ", "    #", "#   #", " ### "),
    "Y": ("#   #", "#   #", " # # ", "  #  ", "  #  ", "  #  ", "  #  "),
    "N": ("#   #", "##  #", "##  #", "# # #", "#  ##", "#  ##", "#   #"),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", "  #  "),
    "H": ("#   #", "#   #", "#   #", "#####", "#   #", "#   #", "#   #"),
    "E": ("#####", "#    ", "#    ", "#### ", "#    ", "#    ", "#####"),
    "I": ("#", "#", "#", "#", "#", "#", "#"),
    "C": (" ### ", "#   #", "#    ", "#    ", "#    ", "#   #", " ### "),
}


class Source(NamedTuple):
    """Where the generator's package lies, and the keys whose signature on it is believed."""

    models: Path
    trusted: Path


SHIPPED = Source(Path(__file__).parents[3] / "models", Path(__file__).parents[3] / "models" / "trusted")


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One drawn film and what it was drawn as.

    values   uint8 [224, 224], air dark, the mark burned in
    subtype  "" where the truth is normal
    """

    values: Film
    truth: Truth
    subtype: Subtype


def draw(seed: int, prevalence: float = PREVALENCE, source: Source = SHIPPED) -> Drawn:
    """The film of a seed.

    seed        0 or more. The same seed, numpy and onnxruntime give the same film on one machine; on another CPU single
                grey values may differ by rounding
    prevalence  0 to 1, of the finding; half of it is drawn as bacterial, half as viral
    raises      Misconfigured("model-unsigned" | "model-package-damaged"): the generator is not what was signed
    """
    session, means, factors = _generator(source)
    rng = np.random.default_rng(seed)
    kind = 0 if rng.random() >= prevalence else 1 + int(rng.random() < 0.5)
    spread = np.float32(1.0 if rng.random() < UNCLEAR_SHARE else SPREAD)
    code = means[kind] + spread * (factors[kind] @ rng.standard_normal(means.shape[1], np.float32))
    noise = rng.standard_normal((1, 1, SIDE_PX, SIDE_PX), np.float32)
    (film,) = session.run(["film"], {"code": code[None].astype(np.float32), "noise": noise})
    values = np.clip(np.rint(np.asarray(film)[0, 0] * 255), 0, 255).astype(np.uint8)
    truth: Truth = "pneumonia" if kind else "normal"
    return Drawn(marked(values), truth, SUBTYPES[kind])


def draw_all(seeds: Iterable[int], prevalence: float = PREVALENCE, processes: int = 1) -> Iterator[tuple[int, Drawn]]:
    """The films of many seeds in their order, each with its seed; at most two processes, whatever is asked for."""
    if processes < 2:
        for seed in seeds:
            yield seed, draw(seed, prevalence)
        return
    left = iter(seeds)
    spawned = multiprocessing.get_context("spawn")  # a fork would copy the runtime's locks
    with ProcessPoolExecutor(min(processes, PROCESSES_MAX), spawned) as pool:
        while batch := list(islice(left, BATCH)):
            yield from zip(batch, pool.map(partial(draw, prevalence=prevalence), batch, chunksize=8), strict=True)


def seed_to_show(seed: int, n: int) -> int:
    """The n-th film of a demonstration's or a load's own seed: never one that a certificate was fitted with."""
    return CALIBRATION_SEEDS.stop + seed * 10**6 + n


def dicom(drawn: Drawn, seed: int) -> bytes:
    """A study of one film, by somebody who does not exist; the seed's own UIDs, age of 1 to 5 years."""
    key = f"synthetic {seed}"
    return synthetic_radiograph(drawn.values, synthetic_person(key, age_years(seed)), key)


def age_years(seed: int) -> int:
    return 1 + number("age", seed) % 5


@cache
def _generator(source: Source) -> tuple[onnxruntime.InferenceSession, NDArray[np.float32], NDArray[np.float32]]:
    """The decoder on one thread; each class's mean code [class, code] and lower factor [class, code, code]."""
    keys, _ = trusted_keys(source.trusted)
    files = load_generator(source.models / PACKAGE, keys).files
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(files["decoder.onnx"], options, providers=["CPUExecutionProvider"])
    with np.load(io.BytesIO(files["codes.npz"]), allow_pickle=False) as codes:
        return session, codes["means"], codes["factors"]


def marked(values: Film) -> Film:
    """The film with SYNTHETIC in its upper left corner: grey values of its own on a dark field, so that the mark
    moves neither end of the film's range."""
    dots = _dots()
    dark, bright = (int(value) for value in np.percentile(values, (5, 95)))
    (top, left), (rows, columns) = MARK_AT_PX, dots.shape
    out = values.copy()
    out[top - BORDER_PX : top + rows + BORDER_PX, left - BORDER_PX : left + columns + BORDER_PX] = dark
    out[top : top + rows, left : left + columns][dots] = bright
    return out


@cache
def _dots() -> NDArray[np.bool_]:
    """Where the mark is bright, bool [row, column]."""
    rows = [" ".join(LETTERS[letter][row] for letter in MARK) for row in range(len(LETTERS["S"]))]
    dots = np.array([[dot == "#" for dot in row] for row in rows])
    return dots.repeat(LETTER_SCALE, 0).repeat(LETTER_SCALE, 1)
