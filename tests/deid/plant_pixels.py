"""Texts burned into pictures: what scanners, ultrasound machines and film digitisers write there.

A text is drawn into the stored values of a real picture, in the picture's own colours; its mask and the boxes of its
glyphs go into the answer key.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import FileDataset

from tests.deid.answer_key import Text
from tests.deid.sheet import Sheet

HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)
FACES = ("sans", "italic", "uni")
# What a reader needs to see: side, view, position, scale; and, less so, how the picture was made.
MARKERS = (
    *("L", "R", "AP", "PA", "LAT", "RT", "LT", "10 cm", "5 mm", "12 cm", "SUPINE", "ERECT", "PORTABLE", "MLO", "CC"),
    *("LPO", "RAO", "A", "P", "H", "F", "RCC", "LMLO", "DECUB", "AXIAL", "2 cm"),
)
TECHNIQUE = ("W 400", "L 40", "kV 120", "mAs 80", "WL: 40 WW: 400", "Zoom 1.5", "TE 85 TR 2500", "5.0 mm", "MI 1.1")
MARGIN = 3


@dataclass(frozen=True, slots=True)
class Drawn:
    """mask uint8 [row, column], 255 where a glyph is; labels uint8, the number of the glyph plus one."""

    mask: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class Wish:
    text: str
    benign: bool = False
    height: int = 20
    contrast: float = 1.0
    turned: int = 0
    boxed: bool = False
    colour: tuple[int, int, int] = (255, 255, 255)
    face: str = "sans"


def drawn(wish: Wish) -> Drawn:
    """The text with capitals about `height` pixels high, turned by `turned` degrees."""
    ascii_only = wish.text.isascii()
    if wish.face.startswith("hershey") and ascii_only:
        font = HERSHEY[int(wish.face[-1])]
        scale = cv2.getFontScaleFromHeight(font, wish.height, max(1, wish.height // 14))
        thick = max(1, wish.height // 14)
        ends = [0] + [cv2.getTextSize(wish.text[: n + 1], font, scale, thick)[0][0] for n in range(len(wish.text))]
        image = np.zeros((wish.height * 2 + 2 * MARGIN, ends[-1] + wish.height + 2 * MARGIN), np.uint8)
        where = (MARGIN, wish.height + wish.height // 4 + MARGIN)
        cv2.putText(image, wish.text, where, font, scale, 255, thick, cv2.LINE_AA)
    else:
        face = cv2.FontFace(wish.face if ascii_only and wish.face in FACES else "uni")
        size = max(8, round(wish.height / 0.72))
        widths = [
            cv2.getTextSize((0, 0), wish.text[: n + 1], (0, 0), face, size, 500)[2] for n in range(len(wish.text))
        ]
        ends = [0, *widths]
        image = np.zeros((size * 2 + 2 * MARGIN, ends[-1] + size + 2 * MARGIN), np.uint8)
        cv2.putText(image, wish.text, (MARGIN, size + MARGIN), 255, face, size, 500)
    labels = np.zeros_like(image)
    for number, (left, right) in enumerate(itertools.pairwise(ends)):
        if not wish.text[number].isspace():
            labels[:, left + MARGIN : right + MARGIN] = number + 1
    labels[image == 0] = 0
    return _turned(_cropped(image, labels), wish.turned)


def _cropped(image: np.ndarray, labels: np.ndarray) -> Drawn:
    rows, columns = np.nonzero(image)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Drawn(image[box], labels[box])


def _turned(made: Drawn, degrees: int) -> Drawn:
    if degrees % 90 == 0:
        turns = degrees // 90
        return Drawn(np.rot90(made.mask, turns).copy(), np.rot90(made.labels, turns).copy())
    rows, columns = made.mask.shape
    side = int(np.hypot(rows, columns)) + 4
    shift = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1.0)
    shift[:, 2] += (side - columns) / 2, (side - rows) / 2
    mask = cv2.warpAffine(made.mask, shift, (side, side), flags=cv2.INTER_LINEAR)
    labels = cv2.warpAffine(made.labels, shift, (side, side), flags=cv2.INTER_NEAREST)
    return _cropped(mask, np.where(mask > 64, labels, 0).astype(np.uint8))


def glyphs(labels: np.ndarray) -> tuple[tuple[int, int, int, int], ...]:
    found = []
    for number in range(1, int(labels.max()) + 1):
        rows, columns = np.nonzero(labels == number)
        if len(rows) >= 4:
            top, left = int(rows.min()), int(columns.min())
            found.append((top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1))
    return tuple(found)


@dataclass(slots=True)
class Canvas:
    """The stored values of a picture, [frame, row, column(, sample)], and the room already taken."""

    pixels: np.ndarray
    dataset: FileDataset
    taken: np.ndarray

    @classmethod
    def of(cls, dataset: FileDataset, pixels: np.ndarray) -> "Canvas":
        return cls(pixels, dataset, np.zeros(pixels.shape[:3], bool))

    def burned(self, sheet: Sheet, wish: Wish, frame: int = 0) -> bool:
        """Draws the text where there is room; False where there is none."""
        made = drawn(wish)
        rows, columns = made.mask.shape
        pad = max(4, wish.height // 3)
        height, width = self.pixels.shape[1:3]
        if rows + 2 * pad >= height or columns + 2 * pad >= width:
            return False
        for _ in range(60):
            top = sheet.rng.randint(pad, height - rows - pad)
            left = sheet.rng.randint(pad, width - columns - pad)
            room = np.s_[frame, top - pad : top + rows + pad, left - pad : left + columns + pad]
            if self.taken[room].any():
                continue
            # A camera writes where its writing can be read: not across the brightest structures.
            under = self.pixels[room].astype(float)
            if not wish.boxed and np.ptp(np.percentile(under, (5, 95))) > 0.25 * wish.contrast * self._span(frame):
                continue
            self.taken[room] = True
            self._draw(made.mask / 255.0, frame, top, left, wish, pad)
            name = f"m{len(sheet.field.masks):05}"
            sheet.field.masks[name] = made.mask
            look = "boxed" if wish.boxed else "colour" if len(set(wish.colour)) > 1 else "plain"
            if wish.benign:
                look = "technique" if wish.text in TECHNIQUE else "marker"
            sheet.field.key.texts.append(
                Text(
                    sheet.note.file,
                    wish.text,
                    (frame, top, left, rows, columns),
                    name,
                    glyphs(made.labels),
                    wish.benign,
                    wish.height,
                    wish.contrast,
                    wish.turned,
                    look,
                )
            )
            return True
        return False

    def _span(self, frame: int) -> float:
        low, high = np.percentile(self.pixels[frame].astype(float), (0.5, 99.8))
        return float(max(high - low, 16))

    def _draw(self, mask: np.ndarray, frame: int, top: int, left: int, wish: Wish, pad: int) -> None:
        rows, columns = mask.shape
        area = np.s_[frame, top : top + rows, left : left + columns]
        wide = np.s_[frame, top - pad : top + rows + pad, left - pad : left + columns + pad]
        if self.dataset.PhotometricInterpretation == "PALETTE COLOR":
            light, dark = self._palette_ends()
            if wish.boxed:
                self.pixels[wide] = light
            self.pixels[area] = np.where(mask > 0.5, dark if wish.boxed else light, self.pixels[area])
            return
        if self.pixels.ndim == 4:
            ink = self._colour(wish.colour) * 1.0
            paper = self.pixels[area].astype(float)
            if wish.boxed:
                self.pixels[wide] = self._colour((235, 235, 235))
                paper, ink = self.pixels[area].astype(float), self._colour((10, 10, 30)) * 1.0
            blend = mask[..., None] * wish.contrast
            self.pixels[area] = np.round(paper * (1 - blend) + ink * blend)
            return
        low, high = np.percentile(self.pixels[frame].astype(float), (0.5, 99.8))
        span = self._span(frame)
        inverse = self.dataset.PhotometricInterpretation == "MONOCHROME1"
        if wish.boxed:
            self.pixels[wide] = round(low if inverse else high)
        paper = self.pixels[area].astype(float)
        up = not (inverse ^ wish.boxed) and not (float(paper.mean()) > low + 0.7 * span)
        ink = paper + (1 if up else -1) * wish.contrast * span
        limits = (-(1 << (self.dataset.BitsStored - 1)), (1 << (self.dataset.BitsStored - 1)) - 1)
        if not self.dataset.PixelRepresentation:
            limits = (0, (1 << self.dataset.BitsStored) - 1)
        self.pixels[area] = np.round(np.clip(paper * (1 - mask) + ink * mask, *limits))

    def _palette_ends(self) -> tuple[int, int]:
        """The lightest and the darkest index of those that the picture uses."""
        from pydicom.pixels import apply_color_lut

        used = np.unique(self.pixels)
        grey = apply_color_lut(used.reshape(1, -1), self.dataset)[0].astype(float).mean(-1)
        return int(used[grey.argmax()]), int(used[grey.argmin()])

    def _colour(self, rgb: tuple[int, int, int]) -> np.ndarray:
        red, green, blue = rgb
        if self.dataset.PhotometricInterpretation.startswith("YBR_FULL"):
            values = (
                0.299 * red + 0.587 * green + 0.114 * blue,
                128 - 0.1687 * red - 0.3313 * green + 0.5 * blue,
                128 + 0.5 * red - 0.4187 * green - 0.0813 * blue,
            )
            return np.round(values).clip(0, 255)
        scale = 257 if self.dataset.BitsAllocated == 16 else 1
        return np.array(rgb, float) * scale
