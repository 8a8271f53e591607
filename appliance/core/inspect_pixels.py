"""The last look at the picture: the finished bytes are decoded and read again, against the identity of their source.

It shares nothing with the cleaner but the decoder and the eyes, and it reads with the other pair: another detector at
another scale, on another rendering, cut out in another way, and another recogniser. It refuses a reading that may be
the identity, also a misread one, and a text that nobody should have left there. It mends nothing; it names the frame,
never the text.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.core.eyes import Eyes, Picture, Reading
from appliance.core.identity import Identity
from appliance.core.inspect_dates import date_forms
from appliance.core.inspect_scan import in_text
from appliance.core.inspect_search import Search, search_for
from appliance.core.pixels import decode
from appliance.errors import Quarantined

SAMPLES_MAX, SIDE_MAX_PX, LINES_MAX = 2**28, 32_000, 2000
SIDE_MIN_PX, AREA_MAX_PX, ENLARGED_MAX = 512, 2_000_000, 3.0  # of the picture that the detector is shown
LIKELY_MIN, LIKELY_MEAN_MIN, AREA_MIN_PX = 0.3, 0.65, 20
LONG_MIN = 1.4  # length over height: three characters are longer than they are high
GROWN = 0.9  # heights on each side: the detector draws the inner half of a line
CERTAIN_MIN, CERTAIN_CHARACTERS_MIN = 0.85, 3  # a text left over: so many letters or digits, each read so surely,
WORTH_CHARACTERS_MIN, WORTH_MIN = 4, 2.6  # or so many that are together worth so many read with certainty
SURE_PART_MIN = 0.8  # of a reading's characters: below, the line may stand on its head
COMPARED_CHARACTERS_MIN = 3
MISREAD_LENGTH_MIN = 6  # in a word so long one character may be read wrong, be missing or be too many
LOCAL_PX = 12.0  # deviation of the neighbourhood against which a pixel is bright or dark
LOOK_ALIKE = str.maketrans("oqil|!zsb", "001111258")
# Marks of side, view and scale, and of a film that shows nobody: the inspector's own list, wider than what the cleaner
# keeps.
_WORDS = re.compile(
    r"(?:[LRAPHFSI]|LEFT|RIGHT|LAT|LATERAL|[LR]?(?:MLO|CC|ML|LM|XCCL)|[LR][PA]O|OBL|OBLIQUE|ERECT|UPRIGHT|SUPINE|PRONE"
    r"|STANDING|SITTING|PORTABLE|DECUB|DECUBITUS|INSP|EXP|FRONTAL|AXIAL|SAGITTAL|CORONAL|[LR]T|AP|PA|LL|RL|SIO|AT|CV|SYNTHETIC)+"
)
_SIZE = re.compile(r"\d{1,2}|\d{1,4}(?:[.,]\d{1,2})?(?:CM|MM|KVP?|MAS?)|(?:MI|TI[SBC]?)[:<]*\d[.,]\d")

Verdict = Literal["identity", "unreadable", ""]


def inspect_pixels(data: bytes, identity: Identity, eyes: Eyes) -> None:
    """Returns if the picture may leave.

    data      a complete Part 10 file with pixel data
    identity  of its source
    raises    Quarantined("inspect-identity-found", "PixelData frame N"): a reading that may be the identity;
              ("inspect-unreadable", "PixelData frame N"): another text that is no mark;
              ("inspect-unreadable", "PixelData"): it cannot be decoded, or is beyond the limits
    """
    try:
        frames = decode(data, pixels_max=SAMPLES_MAX).stored
    except Quarantined as fault:
        if fault.code == "pixel-missing":  # a report has no picture to look at
            return
        raise Quarantined("inspect-unreadable", "PixelData") from fault
    if max(frames.shape[1:3]) > SIDE_MAX_PX:
        raise Quarantined("inspect-unreadable", "PixelData")
    search = search_for(identity)
    words = _words(search)
    seen: set[bytes] = set()
    unreadable = ""
    for number, frame in enumerate(frames, start=1):
        digest = hashlib.sha256(frame.tobytes()).digest()
        if digest in seen:  # the same bytes are the same picture
            continue
        seen.add(digest)
        verdict = _verdict(search, words, list(_readings(frame, eyes)))
        if verdict == "identity":
            raise Quarantined("inspect-identity-found", f"PixelData frame {number}")
        if verdict == "unreadable":
            unreadable = unreadable or f"PixelData frame {number}"
    if unreadable:
        raise Quarantined("inspect-unreadable", unreadable)


def inspect_picture(picture: Picture, identity: Identity, eyes: Eyes) -> None:
    """The same for a picture that has been taken out of an object, uint8 [row, column] or [row, column, 3].

    raises  Quarantined("inspect-identity-found", "picture"), ("inspect-unreadable", "picture")
    """
    search = search_for(identity)
    verdict = _verdict(search, _words(search), list(_readings(picture, eyes)))
    if verdict:
        raise Quarantined("inspect-identity-found" if verdict == "identity" else "inspect-unreadable", "picture")


def _verdict(search: Search, words: frozenset[str], readings: list[Reading]) -> Verdict:
    texts = [each.text for each in readings if len(each.text) >= COMPARED_CHARACTERS_MIN and not _mark(each.text)]
    # A short name may stand in two places: both words in one frame.
    if in_text(search, " ".join(texts)) or any(_may_be(words, text) for text in texts):
        return "identity"
    return "unreadable" if any(_left_over(each) for each in readings) else ""


def _left_over(reading: Reading) -> bool:
    """A text that is no mark: a few characters read with certainty, or more of them read fairly."""
    written = [sure for each, sure in zip(reading.text, reading.certainty, strict=True) if each.isalnum()]
    certain = sum(each >= CERTAIN_MIN for each in written) >= CERTAIN_CHARACTERS_MIN
    fair = len(written) >= WORTH_CHARACTERS_MIN and reading.characters >= WORTH_MIN
    return (certain or fair) and not _mark(reading.text)


def _mark(text: str) -> bool:
    squeezed = "".join(text.upper().split())
    return _WORDS.fullmatch(squeezed) is not None or _SIZE.fullmatch(squeezed) is not None


def _words(search: Search) -> frozenset[str]:
    """What to compare readings with: folded words, phrases and dates of the identity."""
    dates = {form for date in search.dates for form in date_forms(date)}
    texts = {*search.words, *search.inside, *search.numbers, *dates}
    return frozenset(word for word in map(_folded, texts) if len(word) >= COMPARED_CHARACTERS_MIN)


def _folded(text: str) -> str:
    """Letters and digits without marks, case and what looks alike."""
    plain = unicodedata.normalize("NFKD", text.casefold()).replace("rn", "m").replace("vv", "w")
    return "".join(each for each in plain.translate(LOOK_ALIKE) if each.isalnum())


def _may_be(words: frozenset[str], text: str) -> bool:
    """Whether a reading holds a word of the identity, for a short one as a whole word of its own."""
    whole, tokens = _folded(text), {_folded(token) for token in text.split()}
    return any(
        word in tokens or (len(word) >= MISREAD_LENGTH_MIN and _errors_within(word, whole) <= 1) for word in words
    )


def _errors_within(word: str, text: str) -> int:
    """The fewest characters replaced, left out or put in that make `word` a part of `text`."""
    row = [0] * (len(text) + 1)
    for number, letter in enumerate(word, start=1):
        above, row = row, [number]
        for column, other in enumerate(text, start=1):
            row.append(min(above[column - 1] + (letter != other), above[column] + 1, row[column - 1] + 1))
        if min(row) > 1:
            return 2
    return min(row)


def _readings(frame: NDArray[Any], eyes: Eyes) -> Iterator[Reading]:
    """What stands in one frame, line by line, upright or turned."""
    picture = _shown(frame)
    if picture is None:
        return
    likelihood = eyes.find_again(picture)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((likelihood > LIKELY_MIN).astype(np.uint8))
    if len(boxes) > LINES_MAX:
        raise Quarantined("inspect-unreadable", "PixelData")
    for label, (left, top, width, height, area) in enumerate(boxes[1:], start=1):
        there = np.s_[top : top + height, left : left + width]
        inside = labels[there] == label
        if area < AREA_MIN_PX or float(likelihood[there][inside].mean()) < LIKELY_MEAN_MIN:
            continue
        line = _cut_out(picture, np.argwhere(inside) + np.array((top, left)))
        if line is None:
            continue
        upright = eyes.read_again(line)
        yield upright
        if upright.characters < max(CERTAIN_CHARACTERS_MIN, SURE_PART_MIN * len(upright.text)):
            yield eyes.read_again(np.ascontiguousarray(line[::-1, ::-1]))


def _shown(frame: NDArray[Any]) -> Picture | None:
    """The frame at the detector's scale, each channel against its own neighbourhood; None where all is alike."""
    low, high = float(frame.min()), float(frame.max())
    rows, columns = frame.shape[:2]
    if low == high:
        return None
    scale = min(ENLARGED_MAX, max(1.0, SIDE_MIN_PX / max(rows, columns)), (AREA_MAX_PX / (rows * columns)) ** 0.5)
    whole = (frame.astype(np.float32) - low) * np.float32(255 / (high - low))
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    whole = np.asarray(cv2.resize(whole, None, fx=scale, fy=scale, interpolation=how), np.float32)
    if whole.ndim == 3:
        return np.stack([_against_neighbours(whole[..., each]) for each in range(3)], axis=-1)
    local = _against_neighbours(whole)
    third = np.clip(whole, 0, 255).astype(np.uint8)
    return np.stack([local, local, third], axis=-1)


def _against_neighbours(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Mid-grey where a pixel is like its neighbourhood, bright or dark by its deviation from it."""
    grey = np.ascontiguousarray(grey)
    mean = cv2.GaussianBlur(grey, (0, 0), LOCAL_PX)
    spread = np.sqrt(np.maximum(cv2.GaussianBlur(grey * grey, (0, 0), LOCAL_PX) - mean * mean, 0)) + 2.0
    return np.asarray(np.clip(128 + 45 * (grey - mean) / spread, 0, 255), np.uint8)


def _cut_out(picture: Picture, points: NDArray[np.int64]) -> Picture | None:
    """The line through these points (row, column), its long axis made horizontal; None if too short for text."""
    centre = points.mean(axis=0)
    apart = (points - centre).astype(np.float64)
    _, axes = np.linalg.eigh(apart.T @ apart)
    along = axes[:, 1] if abs(axes[1, 1]) < 0.05 or axes[1, 1] > 0 else -axes[:, 1]
    across = np.array((along[1], -along[0]))  # a quarter turn on: any other would mirror the line
    lengths = [apart @ axis for axis in (along, across)]
    (long_low, long_high), (short_low, short_high) = ((float(each.min()), float(each.max())) for each in lengths)
    long, short = long_high - long_low + 1, short_high - short_low + 1
    if long < LONG_MIN * short:
        return None
    margin = GROWN * short
    corner = centre + along * (long_low - margin) + across * (short_low - margin)
    width, height = round(long + 2 * margin), round(short + 2 * margin)
    # Where each pixel of the cut-out lies in the picture: x and y, from row and column.
    back = np.array([[along[1], across[1], corner[1]], [along[0], across[0], corner[0]]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    line = cv2.warpAffine(picture, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(line, np.uint8)
