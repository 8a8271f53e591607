"""Where text stands in one frame.

A picture of three renderings at once (whole range, common range, local contrast: one a channel) goes to the detector
enlarged, and once more turned, since it reads best along the rows. What it proposes is read before it is believed:
anatomy looks like text to a detector, but it does not read like text. It refuses to judge what a text says; that is
redact_marks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.core.eyes import Eyes, Picture, Reading
from appliance.errors import Quarantined

LIKELY_MIN = 0.2  # of a pixel to belong to a proposal
SCORE_MIN = 0.25  # of a proposal, the mean of its pixels
SIDE_MIN_PX = 1.5  # of the frame: the detector draws the core of a line, less than half its height
UNCLIP = 1.8  # area times this over the perimeter is what the core lacks on each side
ALONG = 1.0  # heights by which a line is longer at each end: its last letter may stand before bone
MARGIN_PX = 3.0
READ_UNCLIP = 1.5
CHARACTERS_MIN, CHARACTERS_SURE = 1.6, 2.5  # a reading worth less proves no text, one worth more needs no second look
# Of a script that the recogniser does not know, such as Hangul, it still guesses letters in a long, likely proposal.
UNREAD_SCORE_MIN, UNREAD_ASPECT_MIN = 0.85, 2.5
UNREAD_HEIGHT_MAX = 0.17  # of the frame's shorter side: a spine is no line of text
UNREAD_SHARPNESS_MIN = 0.32  # nor are soft edges: the steepest hundredth of steps, in parts of the contrast
AROUND_PX, CONFIRMED_LIKELY_MIN, CONFIRMED_PART_MIN = 24, 0.3, 0.12  # of the proposal, for the second detector
SPACED_SCORE_MIN, SPACED_CHARACTERS_MIN = 0.85, 0.9  # letters so far apart that each is a proposal of its own
SURE_LETTER = 0.9  # no other direction is tried
# (scale, quarter turns) of each look at a frame of at most so many pixels: 0.3 CPU seconds have to do for 512 x 512.
LOOKS = {
    400_000: ((1.5, 0), (1.5, 1)),
    1_200_000: ((2.0, 0), (1.5, 1)),
    2_500_000: ((1.5, 0), (1.0, 1), (0.5, 0)),
}
CLAHE_CLIP, CLAHE_TILE_PX = 3.0, 64
PERCENTILES = (0.5, 99.5)
PROPOSALS_MAX = 2000  # a page of print has a few hundred
LOCAL_PX, LOCAL_FLOOR, LOCAL_GAIN = 49, 1.0, 60.0

Rect = tuple[float, float, float, float, float]  # centre x and y, width, height (pixels of the frame), angle (degrees)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text in a frame.

    rect     its core, as the detector draws it
    score    0 to 1, how likely the detector finds it
    reading  the best of its directions
    alone    it is text by itself; else it only stands beside such a line
    """

    rect: Rect
    score: float
    reading: Reading = field(repr=False)
    alone: bool = True

    def outline(self) -> NDArray[np.float32]:
        """Four corners [4, 2] as x, y, grown from the core to the whole of the characters and a margin around them."""
        return _corners(self.rect, UNCLIP, MARGIN_PX, ALONG)


def _corners(rect: Rect, unclip: float, margin_px: float, along: float = 0.0) -> NDArray[np.float32]:
    x, y, width, height, angle = rect
    grown = _grown(width, height, unclip) + margin_px
    width, height = width + 2 * grown, height + 2 * grown
    longer = 2 * along * min(width, height)
    if width >= height:
        width += longer
    else:
        height += longer
    return np.asarray(cv2.boxPoints(((x, y), (width, height), angle)), np.float32)


def _grown(width: float, height: float, unclip: float) -> float:
    """Pixels by which a core grows on each side: its area times `unclip` over its perimeter."""
    return width * height * unclip / (2 * (width + height))


def lines(frame: NDArray[Any], eyes: Eyes) -> tuple[Line, ...]:
    """Every line of text in a frame.

    frame   [row, column] or [row, column, 3], stored values, colours as RGB
    raises  Quarantined("deid-unsupported", "PixelData"): more proposals than the limit
    """
    pictures = rendered(frame)
    if pictures is None:
        return ()
    strong: list[Line] = []
    weak: list[Line] = []
    for scale, turned in looks(frame.shape[0] * frame.shape[1]):
        picture = pictures[turned]
        for rect, score in _proposals(picture, eyes, scale, turned):
            if any(_same(rect, each.rect) for each in strong):
                continue
            line = Line(rect, score, _best_reading(picture, rect, eyes))
            (strong if _is_text(picture, line, eyes) else weak).append(line)
            if len(strong) + len(weak) > PROPOSALS_MAX:
                raise Quarantined("deid-unsupported", "PixelData")
    spaced = _spaced(weak)
    return tuple(strong + spaced + _beside(strong + spaced, [each for each in weak if each not in spaced]))


def rendered(frame: NDArray[Any]) -> tuple[Picture, Picture] | None:
    """A frame as it is shown upright and as it is shown turned, None where all pixels are alike.

    Grey frames become three channels: whole range, so that text far above the anatomy is seen; common range, so that
    text within the anatomy is; local contrast, so that faint text is. Colours keep their channels: upright each half
    against its neighbourhood, turned as they are.
    """
    low, high = float(frame.min()), float(frame.max())
    if low == high:
        return None
    if frame.ndim == 3:
        whole = (frame.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        local = [_half_local(np.ascontiguousarray(whole[..., each])) for each in range(3)]
        return np.stack(local, axis=-1), np.asarray(whole, np.uint8)
    common_low, common_high = (float(each) for each in np.percentile(frame[::2, ::2], PERCENTILES))
    if common_low == common_high:
        common_low, common_high = low, high
    common = _stretched(frame, common_low, common_high)
    grey = np.stack([_stretched(frame, low, high), common, _local_contrast(common)], axis=-1)
    return grey, grey


def _stretched(frame: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    levels = (frame.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _local_contrast(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tiles = tuple(max(1, min(16, round(side / CLAHE_TILE_PX))) for side in grey.shape[::-1])
    return np.asarray(cv2.createCLAHE(CLAHE_CLIP, tiles).apply(grey), np.uint8)


def _half_local(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The mean of 0 to 255 levels and of their deviation from what surrounds them, in its own deviations."""
    around = (LOCAL_PX, LOCAL_PX)
    mean = cv2.blur(levels, around)
    spread = np.sqrt(np.maximum(cv2.blur(levels * levels, around) - mean * mean, 0)) + LOCAL_FLOOR
    local = np.clip(128 + LOCAL_GAIN * (levels - mean) / spread, 0, 255)
    return (0.5 * levels + 0.5 * local).astype(np.uint8)


def looks(area: int) -> tuple[tuple[float, int], ...]:
    for area_max, chosen in LOOKS.items():
        if area <= area_max:
            return chosen
    return (1.0, 0), (1.0, 1), (0.5, 0)  # the last for letters too high for the detector


def _proposals(picture: Picture, eyes: Eyes, scale: float, turned: int) -> Iterator[tuple[Rect, float]]:
    """What the detector takes for lines, in pixels of the frame."""
    seen = picture
    if scale != 1:
        how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        seen = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    likelihood = eyes.find(np.ascontiguousarray(np.rot90(seen, turned)))
    likelihood = np.ascontiguousarray(np.rot90(likelihood, -turned))
    contours, _ = cv2.findContours(
        (likelihood > LIKELY_MIN).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    for contour in contours:
        left, top, across, down = cv2.boundingRect(contour)
        inside = np.zeros((down, across), np.uint8)
        cv2.drawContours(inside, [contour - (left, top)], -1, 1, cv2.FILLED)
        score = float(cv2.mean(likelihood[top : top + down, left : left + across], inside)[0])
        (x, y), (width, height), angle = cv2.minAreaRect(contour)
        if score >= SCORE_MIN and min(width, height) >= SIDE_MIN_PX * scale:
            yield ((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, width / scale, height / scale, angle), score


def _same(one: Rect, other: Rect) -> bool:
    """Whether two looks proposed one line: most of the smaller lies in the larger."""
    area, other_area = one[2] * one[3], other[2] * other[3]
    return _common_area(one, other) > 0.7 * max(area, 0.5 * other_area)


def _common_area(one: Rect, other: Rect) -> float:
    _, common = cv2.rotatedRectangleIntersection(_box(one), _box(other))
    return 0.0 if common is None else float(cv2.contourArea(cv2.convexHull(common)))


def _box(rect: Rect) -> tuple[tuple[float, float], tuple[float, float], float]:
    x, y, width, height, angle = rect
    return (x, y), (width, height), angle


def _best_reading(picture: Picture, rect: Rect, eyes: Eyes) -> Reading:
    """The line read in the directions that its shape allows."""
    line = straightened(picture, rect)
    rows, columns = line.shape[:2]
    turns = [0, 2]
    if rows > 1.5 * columns:
        turns = [1, 3]
    elif columns < 1.5 * rows:
        turns = [0, 2, 1, 3]
    best = Reading("", ())
    for each in turns:
        reading = eyes.read(np.ascontiguousarray(np.rot90(line, each)))
        best = max(best, reading, key=lambda one: one.characters)
        # A single upright letter may look like two when it lies on its side.
        if best.characters >= (CHARACTERS_SURE if len(best.text) > 1 or each else SURE_LETTER):
            break
    return best


def _is_text(picture: Picture, line: Line, eyes: Eyes) -> bool:
    worth = line.reading.characters
    if worth >= CHARACTERS_SURE:
        return True
    long, short = max(line.rect[2:4]), min(line.rect[2:4])
    unread = (
        line.reading.text != ""
        and line.score >= UNREAD_SCORE_MIN
        and long >= UNREAD_ASPECT_MIN * short
        and short <= UNREAD_HEIGHT_MAX * min(picture.shape[:2])
    )
    if not (worth >= CHARACTERS_MIN or (unread and _sharpness(picture, line.rect) >= UNREAD_SHARPNESS_MIN)):
        return False
    return _confirmed(picture, line.rect, eyes)


def _sharpness(picture: Picture, rect: Rect) -> float:
    """The steepest steps between neighbours in a row of the line, over its contrast, in the sharpest channel."""
    line = straightened(picture, rect).astype(np.float32)
    steps = np.percentile(np.abs(np.diff(line, axis=1)), 99, axis=(0, 1))
    low, high = np.percentile(line, (5, 95), axis=(0, 1))
    return float((steps / np.maximum(high - low, 8)).max())


def _confirmed(picture: Picture, rect: Rect, eyes: Eyes) -> bool:
    """Whether the other detector sees text there too, shown nothing but the proposal."""
    line = straightened(picture, rect)
    around = (AROUND_PX,) * 4
    likelihood = eyes.find_again(np.asarray(cv2.copyMakeBorder(line, *around, cv2.BORDER_REPLICATE), np.uint8))
    inside = likelihood[AROUND_PX:-AROUND_PX, AROUND_PX:-AROUND_PX]
    return bool((inside > CONFIRMED_LIKELY_MIN).mean() >= CONFIRMED_PART_MIN)


def straightened(picture: Picture, rect: Rect) -> Picture:
    """The pixels around a core, turned so that its sides are the picture's."""
    corners = _corners(rect, READ_UNCLIP, 1.0)
    by_column = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (pair[np.argsort(pair[:, 1], kind="stable")] for pair in (by_column[:2], by_column[2:]))
    width = max(2, round(float(np.linalg.norm(right[0] - left[0]))))
    height = max(2, round(float(np.linalg.norm(left[1] - left[0]))))
    source = np.array([left[0], right[0], right[1], left[1]], np.float32)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turned = cv2.getPerspectiveTransform(source, target)
    line = cv2.warpPerspective(picture, turned, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(line, np.uint8)


def _spaced(weak: list[Line]) -> list[Line]:
    """Single characters that stand beside each other: together they are worth a reading."""
    sure = [
        each for each in weak if each.score >= SPACED_SCORE_MIN and each.reading.characters >= SPACED_CHARACTERS_MIN
    ]
    return [
        each
        for each in sure
        if any(neighbours(each, other) and not _touch(each.rect, other.rect) for other in sure if other is not each)
    ]


def _beside(strong: list[Line], weak: list[Line]) -> list[Line]:
    """Unread proposals next to text: the letter or the stroke that belongs to a word though it reads like nothing."""
    return [replace(each, alone=False) for each in weak if any(neighbours(each, other) for other in strong)]


def within(one: Line, other: Line) -> bool:
    """Whether most of one line lies in what was read as the other."""
    x, y, width, height, angle = other.rect
    grown = 2 * _grown(width, height, READ_UNCLIP)
    return _common_area(one.rect, (x, y, width + grown, height + grown, angle)) > 0.7 * one.rect[2] * one.rect[3]


def neighbours(one: Line, other: Line) -> bool:
    """Whether `one` is a character or a few beside another line of its height."""
    x, y, width, height, angle = one.rect
    side, other_side = min(width, height), min(other.rect[2:4])
    around = (x, y, width + 3 * side, height + 3 * side, angle)
    alike = 0.4 * other_side < side < 1.7 * other_side and max(width, height) < 6 * other_side
    return alike and _touch(around, other.rect)


def _touch(one: Rect, other: Rect) -> bool:
    kind, _ = cv2.rotatedRectangleIntersection(_box(one), _box(other))
    return bool(kind != cv2.INTERSECT_NONE)
