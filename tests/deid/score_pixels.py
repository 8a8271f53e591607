"""What can still be read in the picture, and what of it changed that should not have.

A glyph is visible when the output's grey values inside its box still follow the planted mask; a text is removed when
hardly a glyph of it is. It decodes with pydicom and imagecodecs, nothing of the product.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut

from tests.deid import pictures
from tests.deid.answer_key import FileNote, Key, Text
from tests.deid.tally import Tally

VISIBLE = 0.45
GLYPHS_LEFT_SHARE = 0.15
GROWTH_PX = 24
AWAY_SHARE = 0.01


def pixels_of(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pictures.stored(pydicom.dcmread(io.BytesIO(data), force=True))


def shown(data: bytes, pixels: np.ndarray) -> np.ndarray:
    """The picture for an eye: a palette's numbers mean nothing by themselves."""
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if dataset.PhotometricInterpretation != "PALETTE COLOR":
        return pixels
    return np.stack([apply_color_lut(frame, dataset) for frame in pixels])


def decoded(data: bytes) -> np.ndarray | None:
    """None where the picture cannot be decoded any more: a failure, whatever the cause."""
    try:
        return pixels_of(data)
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError, imagecodecs.DelayedImportError):
        return None


def high_bits(data: bytes, stored: int) -> bool:
    """Whether a bit above the stored ones is set in any word, native or JPEG-LS."""
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        number = int(dataset.get("NumberOfFrames") or 1)
        frames = [imagecodecs.jpegls_decode(one) for one in generate_frames(dataset.PixelData, number_of_frames=number)]
        return any(bool((frame >> stored).any()) for frame in frames)
    return bool((np.frombuffer(dataset.PixelData, "<u2") >> stored).any())


def _follows(area: np.ndarray, mask: np.ndarray) -> float:
    """The strongest correlation of any sample plane with the mask."""
    best = 0.0
    planes = area[..., None] if area.ndim == 2 else area
    for plane in range(planes.shape[-1]):
        values = planes[..., plane].astype(float)
        if values.std() > 1e-9 and mask.std() > 0:
            best = max(best, abs(float(np.corrcoef(values.ravel(), mask.ravel())[0, 1])))
    return best


def visible_share(picture: np.ndarray, text: Text, mask: np.ndarray) -> float:
    """The share of the text's glyphs that can still be made out."""
    frame, top, left, rows, columns = text.box
    pad = 2
    height, width = picture.shape[1:3]
    wide = np.pad(mask, pad).astype(float)
    area = np.zeros((rows + 2 * pad, columns + 2 * pad, *picture.shape[3:]))
    inside = np.s_[
        max(0, top - pad) : min(height, top + rows + pad), max(0, left - pad) : min(width, left + columns + pad)
    ]
    cut = picture[frame][inside]
    at = max(0, pad - top), max(0, pad - left)
    area[at[0] : at[0] + cut.shape[0], at[1] : at[1] + cut.shape[1]] = cut
    seen = 0
    for row, column, high, broad in text.glyphs:
        box = np.s_[row : row + high + 2 * pad, column : column + broad + 2 * pad]
        seen += _follows(area[box], wide[box]) > VISIBLE
    return seen / len(text.glyphs) if text.glyphs else 0.0


def scored(
    key: Key, masks: Mapping[str, np.ndarray], before: Path, after: Path, delivered: set[str], tally: Tally
) -> None:
    by_file: dict[str, list[Text]] = {}
    for text in key.texts:
        by_file.setdefault(text.file, []).append(text)
    for note in key.files:
        if note.file not in delivered:
            continue
        old_data, new_data = (before / note.file).read_bytes(), (after / note.file).read_bytes()
        if note.pixels in ("planted", "camera"):
            _texts(note, by_file.get(note.file, []), masks, pixels_of(old_data), new_data, tally)
        elif note.pixels == "":
            _identical(note, old_data, new_data, tally)


def _texts(
    note: FileNote,
    texts: list[Text],
    masks: Mapping[str, np.ndarray],
    old: np.ndarray,
    new_data: bytes,
    tally: Tally,
) -> None:
    new = decoded(new_data)
    tally.note("pixels_shape", note.file, "pixels", new is None or old.shape != new.shape)
    if new is None or old.shape != new.shape:
        return
    seen = shown(new_data, new)
    outside = np.ones(old.shape[:3], bool)
    for text in texts:
        share = visible_share(seen, text, masks[text.mask])
        place = (
            f"{text.text if text.benign else text.look} {text.height}px x{text.contrast} {text.turned}deg {text.box}"
        )
        if not text.legible:
            pass
        elif text.benign:
            kind = "technique_kept" if text.look == "technique" else "markers_kept"
            tally.note(kind, note.file, place, share < 0.6)
        else:
            left = share > GLYPHS_LEFT_SHARE and share * len(text.glyphs) > 1
            tally.note("pixel_camera" if note.pixels == "camera" else "pixel_phi", note.file, place, left)
        frame, top, left_, rows, columns = text.box
        grow = GROWTH_PX + text.height
        outside[
            frame,
            max(0, top - grow) : top + rows + grow,
            max(0, left_ - grow) : left_ + columns + grow,
        ] = False
    same = (old == new).reshape(*old.shape[:3], -1).all(-1)
    lossy = note.syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
    if not lossy and note.pixels == "planted":  # a camera wrote more than what the key names
        written = {text.box[0] for text in texts}
        for frame in range(len(old)):
            changed = ~same[frame] & outside[frame]
            tally.many("pixels_outside", int(outside[frame].sum()), int(changed.sum()))
            if frame in written:
                tally.note("pixels_same_outside", note.file, f"frame {frame}", bool(changed.mean() > AWAY_SHARE))
            else:
                tally.note("frames_identical", note.file, f"frame {frame}", bool(changed.any()))


def _identical(note: FileNote, old_data: bytes, new_data: bytes, tally: Tally) -> None:
    old = pydicom.dcmread(io.BytesIO(old_data), force=True, specific_tags=["PixelData", "BitsStored"])
    if "PixelData" not in old:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = pixels_of(old_data), decoded(new_data)
    if after is None:
        tally.note("pixels_identical", note.file, "undecodable", True)
        return
    stored = pydicom.dcmread(io.BytesIO(new_data), force=True).BitsStored
    full = (1 << int(stored)) - 1
    if before.dtype.kind in "iu" and before.dtype.itemsize * 8 > stored:
        before, after = before.astype(np.int64) & full, after.astype(np.int64) & full
    tally.note(
        "pixels_identical", note.file, "pixels", before.shape != after.shape or not np.array_equal(before, after)
    )
