"""Pictures with text burned into their stored values, as whole objects, for the tests of redaction."""

import io
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

EXPLICIT, IMPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".2", ".1.99"))
RLE, BASELINE, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"
NAME = "ZWETSCHGENKERN"


def anatomy(rows: int = 256, columns: int = 320, seed: int = 1) -> NDArray[np.float64]:
    """Something like a slice, without a letter in it: nested soft ellipses and grain, 0 to 0.7."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    picture = np.zeros((rows, columns))
    for part in (0.9, 0.6, 0.35):
        centre_y, centre_x = rows * r.uniform(0.45, 0.55), columns * r.uniform(0.45, 0.55)
        apart = np.hypot((y - centre_y) / (rows * part / 2), (x - centre_x) / (columns * part / 2))
        picture += 0.2 / (1 + np.exp(12 * (apart - 1)))
    return np.clip(picture + r.normal(0, 0.008, picture.shape), 0, 0.7)


def glyphs(
    shape: tuple[int, int], text: str, at: tuple[int, int], px: int = 20, turns: int = 0, font: str = "sans"
) -> NDArray[np.float64]:
    """How much of each pixel a text covers, 0 to 1; `at` is the row and column of its upper left corner."""
    face = cv2.FontFace(font)
    left, top, width, height = cv2.getTextSize((0, 0), text, (0, 0), face, px)
    cover = np.zeros((height + 4, width + 4, 3), np.uint8)
    cv2.putText(cover, text, (2 - left, 2 - top), (255, 255, 255), face, px)
    turned = np.rot90(cover[..., 0], turns) / 255
    whole = np.zeros(shape)
    row, column = at
    whole[row : row + turned.shape[0], column : column + turned.shape[1]] = turned
    return whole


def burned(picture: NDArray[np.float64], cover: NDArray[np.float64], level: float = 1.0) -> NDArray[np.float64]:
    return picture * (1 - cover) + level * cover


def grey(picture: NDArray[np.float64], dtype: str = "uint8", bits: int = 8) -> NDArray[Any]:
    """0 to 1 as stored values; signed ones reach down to half their range below zero."""
    low = -(2 ** (bits - 1)) if dtype.startswith("i") else 0
    return np.rint(low + picture * (2**bits - 1)).astype(dtype)


def made(
    stored: NDArray[Any],
    syntax: str = EXPLICIT,
    frames: list[bytes] | None = None,
    raw: bytes | None = None,
    **said: Any,
) -> bytes:
    """A whole object around these pixels; their bytes are `raw` where they are laid out in another way, or encoded."""
    colour = stored.shape[-1] == 3
    several = stored.ndim == (4 if colour else 3)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.7001"
    dataset.PatientName = "ANON"
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    if several:
        dataset.NumberOfFrames = stored.shape[0]
    dataset.Rows, dataset.Columns = stored.shape[int(several) : int(several) + 2]
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    if "BitsStored" not in dataset:
        dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    order = ">" if syntax == BIG else "<"
    raw = stored.astype(stored.dtype.newbyteorder(order)).tobytes() if raw is None else raw
    dataset.PixelData = encapsulate(frames) if frames is not None else raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if frames is not None or stored.dtype.itemsize == 1 else "OW"
    dataset["PixelData"].is_undefined_length = frames is not None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def palette(cells: NDArray[np.uint8], **said: Any) -> bytes:
    """8-bit indices into a palette whose darkest entry is not its first: index 255 is black, 0 is white."""
    ramp = np.arange(255, -1, -1).astype(np.uint16) << 8
    tables = {f"{name}PaletteColorLookupTableData": ramp.tobytes() for name in ("Red", "Green", "Blue")}
    descriptors = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    return made(cells, PhotometricInterpretation="PALETTE COLOR", **descriptors, **tables, **said)


def jpeg(stored: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, level=95))


def jpeg_ls(stored: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(stored))
