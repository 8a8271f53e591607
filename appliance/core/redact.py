"""Clean Pixel Data (PS3.15 E.3.1): text that stands in a picture is blackened in the stored values.

Works on the file that the cleaner of headers wrote. Every frame is looked at, or blackened whole where nobody will be
shown it. Text that is no mark of side, view or
scale is overwritten by one value, the darkest of the object, so that nothing of it can be brought back by a window, an
overlay or a look at the bits. It refuses, as Quarantined("deid-unsupported", "PixelData"), what it cannot decode.
"""

import hashlib
import io
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import config

from appliance.core import pixel_header
from appliance.core.admit import DAMAGE
from appliance.core.eyes import Eyes
from appliance.core.pixels import Image, decode
from appliance.core.redact_devices import banner_rows
from appliance.core.redact_find import Line, lines, neighbours, within
from appliance.core.redact_marks import benign
from appliance.core.redact_write import blackened
from appliance.errors import Quarantined

SAMPLES_MAX = 2**28  # over all frames: half a gigabyte of 16-bit values
SIDE_MAX_PX = 32_000  # what the image library turns and scales
Mask = NDArray[np.uint8]  # [row, column], 1 where a frame is blackened
Frames = frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Region:
    """A blackened part of a frame, as the rectangle around it.

    frame  from 1; row and column of the first pixel from 0
    rule   text: it was read there; banner: a line of text in a known device's banner
    """

    frame: int
    row: int
    column: int
    rows: int
    columns: int
    rule: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """A whole Part 10 file, the identical bytes where nothing had to be blackened, and what was blackened.

    hidden  how many frames were blackened whole, unlooked at
    """

    bytes: bytes = field(repr=False)
    regions: tuple[Region, ...]
    hidden: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    outline: NDArray[np.int32]  # corners [n, 2] as x, y
    rule: str


def redact(data: bytes, eyes: Eyes, shown: Frames = None) -> Redacted:
    """One object without text in its picture.

    data     a Part 10 file whose header is clean
    shown    the frames that somebody will see, from 0; every other one is blackened whole, which costs nothing where
             looking for text takes half a second a frame. None: all of them
    returns  native syntaxes stay; a compressed object in which something was blackened becomes Explicit VR Little
             Endian, its pixels outside the regions as they were decoded
    raises   Quarantined("deid-unsupported", place)
    """
    try:
        with config.disable_value_validation():
            return _redacted(data, eyes, shown)
    except Quarantined as fault:
        raise Quarantined("deid-unsupported", "PixelData") from fault
    except DAMAGE:
        raise Quarantined("deid-unsupported", "PixelData") from None


def _redacted(data: bytes, eyes: Eyes, shown: Frames) -> Redacted:
    dataset = pydicom.dcmread(io.BytesIO(data))
    keywords = [each for each in pixel_header.PIXEL_BITS if each in dataset]
    if not keywords:
        return Redacted(data, ())
    if keywords != ["PixelData"]:
        raise Quarantined("deid-unsupported", keywords[0])
    image = decode(data, pixels_max=SAMPLES_MAX)
    if max(image.stored.shape[1:3]) > SIDE_MAX_PX:
        raise Quarantined("deid-unsupported", "PixelData")
    banner = banner_rows(dataset, *image.stored.shape[1:3])
    everything = frozenset(range(len(image.stored)))
    hidden = frozenset() if shown is None else everything - shown
    masks: dict[int, Mask] = dict.fromkeys(hidden, np.ones(image.stored.shape[1:3], np.uint8))
    regions = []
    for number, found in _patches(image, banner, eyes, sorted(everything - hidden)).items():
        mask = np.zeros(image.stored.shape[1:3], np.uint8)
        for patch in sorted(found, key=lambda each: -cv2.contourArea(each.outline)):
            top, left, bottom, right = _box(patch, image)
            patched = np.zeros((bottom - top, right - left), np.uint8)
            cv2.fillPoly(patched, [patch.outline - (left, top)], 1)
            there = mask[top:bottom, left:right]
            if (patched > there).any():  # else larger patches hold all of it
                there |= patched
                regions.append(Region(number + 1, top, left, bottom - top, right - left, patch.rule))
        if found:
            masks[number] = mask
    if not masks:
        return Redacted(data, ())
    return Redacted(blackened(data, dataset, masks), tuple(regions), len(hidden))


def _patches(image: Image, banner: int, eyes: Eyes, numbers: list[int]) -> dict[int, list[_Patch]]:
    """What to blacken in each of these frames."""
    seen: dict[bytes, list[_Patch]] = {}
    patches = {}
    for number in numbers:
        frame = image.stored[number]
        # Equal bytes are the same picture, and the same picture gives the same answer.
        digest = hashlib.sha256(frame.tobytes()).digest()
        if digest not in seen:
            seen[digest] = [_patch(line, banner, frame.shape) for line in _to_go(lines(frame, eyes))]
        patches[number] = list(seen[digest])
    if len(seen) > 1:
        _carried_over(image, patches)
    return patches


def _to_go(found: tuple[Line, ...]) -> list[Line]:
    """Every line but the marks that may stay and what was taken for a part of one of them; a mark beside other text is
    a part of that."""
    marks = [each for each in found if benign(each.reading)]
    gone = [
        each for each in found if each.alone and each not in marks and not any(within(each, mark) for mark in marks)
    ]
    return gone + [
        each
        for each in found
        if each not in gone and (each in marks or not each.alone) and any(neighbours(each, other) for other in gone)
    ]


def _patch(line: Line, banner: int, shape: tuple[int, ...]) -> _Patch:
    outline = np.rint(line.outline()).astype(np.int32)
    if outline[:, 1].max() > banner:
        return _Patch(outline, "text")
    top, bottom, right = max(0, int(outline[:, 1].min())), int(outline[:, 1].max()), shape[1] - 1
    return _Patch(np.array([[0, top], [right, top], [right, bottom], [0, bottom]], np.int32), "banner")


def _carried_over(image: Image, patches: dict[int, list[_Patch]]) -> None:
    """Text that stands still in a film: what was found in one frame is blackened in every frame that shows the same."""
    known: dict[tuple[int, int, int, int], dict[bytes, _Patch]] = {}
    for number, found in patches.items():
        for patch in found:
            box = _box(patch, image)
            known.setdefault(box, {})[_shown(image.stored[number], box)] = patch
    for number, found in patches.items():
        for box, shown in known.items():
            same = shown.get(_shown(image.stored[number], box))
            if same is not None and not any(same is each for each in found):
                found.append(same)


def _shown(frame: NDArray[Any], box: tuple[int, int, int, int]) -> bytes:
    top, left, bottom, right = box
    return hashlib.sha256(frame[top:bottom, left:right].tobytes()).digest()


def _box(patch: _Patch, image: Image) -> tuple[int, int, int, int]:
    """First row and column, and those behind the last, within the frame; whole pairs of columns, since two pixels
    share their colour in YBR_FULL_422."""
    rows, columns = image.stored.shape[1:3]
    (left, top), (right, bottom) = (each.tolist() for each in (patch.outline.min(axis=0), patch.outline.max(axis=0)))
    return max(0, top), max(0, left & ~1), min(rows, bottom + 1), min(columns, (right | 1) + 1)
