"""The files of the table: real pixels that pydicom and pydicom-data ship, in every transfer syntax that can be written.

CT and MR of 512x512, a CR of 1840x1952, a child's film that the project draws (the model runs on it) and an ultrasound
of many frames as it came. The CT bears the header of a scanner, its private elements and sequences with it. Files of
one kind differ by a shift of their pixels, their UIDs and their patient. The same for the same seed, byte by byte.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import data_store
import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import UID

ROOT = Path(__file__).parents[2]
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
DATA = Path(data_store.__file__).parent / "data"
DRAWN = ROOT / "sample_dicom" / "drawn" / "chest_child_ap.dcm"
UIDS = "1.2.826.0.1.3680043.10.1510"
US_FRAMES = 12
BITS = 12
Pixels = NDArray[Any]
Encode = Callable[[Pixels], bytes]


def _rle(pixels: Pixels) -> bytes:
    rows, columns = pixels.shape
    return get_encoder(uid.RLELossless).encode(
        pixels.astype("<u2").tobytes(), rows=rows, columns=columns, samples_per_pixel=1, bits_allocated=16,
        bits_stored=16, pixel_representation=0, number_of_frames=1, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip


ENCODERS: dict[str, tuple[UID, Encode]] = {
    "rle": (uid.RLELossless, _rle),
    "jpeg-lossless": (uid.JPEGLosslessSV1, lambda p: bytes(imagecodecs.jpeg8_encode(p, lossless=True))),
    "jpeg-ls": (uid.JPEGLSLossless, lambda p: bytes(imagecodecs.jpegls_encode(p))),
    "j2k": (uid.JPEG2000Lossless, lambda p: bytes(imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=0))),
    "htj2k": (uid.HTJ2KLossless, lambda p: bytes(imagecodecs.htj2k_encode(p))),
}
NATIVE = {
    "raw": uid.ExplicitVRLittleEndian,
    "implicit": uid.ImplicitVRLittleEndian,
    "big-endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
}
SYNTAXES = (*NATIVE, *ENCODERS)
KINDS = {
    **{f"CT {syntax}": ("CT", syntax) for syntax in SYNTAXES},
    "MR raw": ("MR", "raw"),
    "CR raw": ("CR", "raw"),
    **{f"CR {syntax}": ("CR", syntax) for syntax in ENCODERS},
    "film raw": ("film", "raw"),
    "film jpeg-ls": ("film", "jpeg-ls"),
    "US jpeg": ("US", "jpeg"),
}


def files(kind: str, count: int, seed: int, *, one_study: bool = False) -> Iterator[bytes]:
    """`count` Part 10 files of a kind of KINDS: of a study and a patient each, or all of one series."""
    source, syntax = KINDS[kind]
    dataset, pixels = _SOURCES[source]()
    chance = np.random.default_rng([seed, list(_SOURCES).index(source)])  # one picture in every syntax
    for number in range(1, count + 1):
        whose, slice_number = (1, number) if one_study else (number, 1)
        study = f"{UIDS}.{seed}.{sorted(KINDS).index(kind)}.{whose}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{slice_number}"
        dataset.PatientID, dataset.PatientName = f"BENCH{10_000_000 + whose}", f"Quentmeier{whose}^Ottilie"
        dataset.AccessionNumber, dataset.InstanceNumber = f"ACC{20_000_000 + whose}", slice_number
        if pixels is not None:
            _put(dataset, np.roll(pixels, chance.integers(0, 32, 2), (0, 1)), syntax)
        out = BytesIO()
        pydicom.dcmwrite(out, dataset, **_how(dataset.file_meta.TransferSyntaxUID))
        yield out.getvalue()


def _how(syntax: UID) -> dict[str, bool]:
    order = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    return {**order, "force_encoding": True}


def _put(dataset: pydicom.Dataset, pixels: Pixels, syntax: str) -> None:
    if syntax in NATIVE:
        dataset.file_meta.TransferSyntaxUID = NATIVE[syntax]
        order = "<u2" if NATIVE[syntax].is_little_endian else ">u2"
        dataset.PixelData = pixels.astype(order if pixels.itemsize == 2 else pixels.dtype).tobytes()
    else:
        dataset.file_meta.TransferSyntaxUID, encode = ENCODERS[syntax]
        dataset.PixelData = encapsulate([encode(np.ascontiguousarray(pixels))])
    dataset["PixelData"].VR = "OW" if syntax in NATIVE and pixels.itemsize == 2 else "OB"


def _grey(dataset: pydicom.FileDataset, pixels: Pixels, bits: int = BITS) -> tuple[pydicom.FileDataset, Pixels]:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
    for keyword in ("PixelPaddingValue", "SmallestImagePixelValue", "LargestImagePixelValue"):
        if keyword in dataset:
            del dataset[keyword]
    return dataset, pixels.astype(np.uint16)


def _ct() -> tuple[pydicom.FileDataset, Pixels]:
    header, picture = pydicom.dcmread(SHIPPED / "CT_small.dcm"), pydicom.dcmread(DATA / "693_UNCR.dcm")
    values = picture.pixel_array * float(picture.RescaleSlope) + float(picture.RescaleIntercept)
    header.RescaleIntercept, header.RescaleSlope, header.WindowCenter, header.WindowWidth = "-1024", "1", "40", "400"
    del header[0xFFFC, 0xFFFC]  # the padding behind its pixels
    return _grey(header, np.clip(values + 1024, 0, 4095))


def _mr() -> tuple[pydicom.FileDataset, Pixels]:
    header = pydicom.dcmread(DATA / "MR2_UNCR.dcm")
    return _grey(header, header.pixel_array[256:768, 256:768])


def _cr() -> tuple[pydicom.FileDataset, Pixels]:
    header = pydicom.dcmread(DATA / "RG1_UNCR.dcm")
    return _grey(header, header.pixel_array[:1952, :1840], 15)


def _film() -> tuple[pydicom.FileDataset, Pixels]:
    header = pydicom.dcmread(DRAWN)
    return header, header.pixel_array


def _us() -> tuple[pydicom.FileDataset, None]:
    """Its frames as their maker coded them: nothing here writes a lossy JPEG anew."""
    dataset = pydicom.dcmread(DATA / "color3d_jpeg_baseline.dcm")
    frames = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    dataset.PixelData = encapsulate([frame for frame, _ in zip(frames, range(US_FRAMES), strict=False)])
    dataset["PixelData"].VR, dataset.NumberOfFrames = "OB", US_FRAMES
    return dataset, None


_SOURCES: dict[str, Callable[[], tuple[pydicom.FileDataset, Pixels | None]]] = {
    "CT": _ct,
    "MR": _mr,
    "CR": _cr,
    "film": _film,
    "US": _us,
}
