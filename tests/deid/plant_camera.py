"""Texts that cameras really wrote into the pictures that the packages ship: houses, numbers, days."""

import cv2
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_color_lut

from tests.deid import pictures
from tests.deid.answer_key import Text
from tests.deid.sheet import Sheet

# file: (what, row, column, rows, columns), read off the pictures by eye
PHILIPS = (("number", 33, 93, 20, 176), ("date", 5, 664, 22, 116), ("time", 33, 664, 20, 122))
ALOKA = (("house", 0, 78, 13, 176), ("house", 12, 108, 14, 106), ("date", 0, 546, 13, 94))
WRITTEN = {
    "US1_UNCR.dcm": (("house", 24, 17, 16, 156),),
    "examples_palette.dcm": PHILIPS,
    "examples_rgb_color.dcm": (("house", 10, 7, 12, 82),),
    "US1_J2KR.dcm": (("house", 24, 17, 16, 156),),
    "OBXXXX1A.dcm": PHILIPS,
    "gdcm-US-ALOKA-16.dcm": ALOKA,
}


def brightness(dataset: FileDataset) -> np.ndarray:
    """float [row, column] of the first frame as a viewer shows it."""
    frame = pictures.stored(dataset)[0]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)
    grey = frame.astype(float)
    return grey.mean(-1) if grey.ndim == 3 else grey


def camera(sheet: Sheet, name: str) -> None:
    """Puts the camera's own texts into the key, with masks made of what is bright in their boxes."""
    grey = brightness(sheet.dataset)
    for what, row, column, rows, columns in WRITTEN[name]:
        box = grey[row : row + rows, column : column + columns]
        mask = ((box > (box.min() + box.max()) / 2) * 255).astype(np.uint8)
        key = f"m{len(sheet.field.masks):05}"
        sheet.field.masks[key] = mask
        place = (0, row, column, rows, columns)
        text = Text(sheet.note.file, what, place, key, letters(mask), False, rows - 4, 1.0, 0, "camera")
        sheet.field.key.texts.append(text)


def letters(mask: np.ndarray) -> tuple[tuple[int, int, int, int], ...]:
    number, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return tuple(
        (int(top), int(left), int(high), int(wide))
        for left, top, wide, high, area in stats[1:number]
        if area >= 6 and high >= 5
    )
