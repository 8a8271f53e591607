"""The real files that the benchmark plants in, as pydicom and pydicom-data ship them, and how they are transcoded."""

import io
import warnings
from pathlib import Path

import data_store
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

ROOTS = (Path(pydicom.__file__).parent / "data" / "test_files", Path(data_store.__file__).parent / "data")
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
PACKED = (RLELossless, JPEGLSLossless)
# Header plants go into each of these: every modality and object family, every syntax that comes with the packages.
HEADER_FILES = (
    *("CT_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "eCT_Supplemental.dcm", "explicit_VR-UN.dcm"),
    *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_expb.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "emri_small.dcm"),
    *("emri_small_RLE.dcm", "emri_small_big_endian.dcm", "emri_small_jpeg_2k_lossless.dcm", "JPEG2000.dcm"),
    *("emri_small_jpeg_ls_lossless.dcm", "JPEG-lossy.dcm", "JPEG-LL.dcm", "image_dfl.dcm", "RG3_J2KI.dcm"),
    *("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_small_odd.dcm"),
    *("SC_rgb_jpeg_gdcm.dcm", "SC_ybr_full_422_uncompressed.dcm", "JPEGLSNearLossless_16.dcm", "SC_rgb_gdcm_KY.dcm"),
    *("SC_rgb_rle_32bit_2frame.dcm", "SC_rgb_expb_16bit.dcm", "liver_1frame.dcm", "liver_expb_1frame.dcm"),
    *("rtdose.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm", "rtplan.dcm", "rtstruct.dcm", "waveform_ecg.dcm"),
    *("reportsi.dcm", "test-SR.dcm", "color-px.dcm", "ExplVR_BigEnd.dcm", "examples_overlay.dcm"),
    *("examples_ybr_color.dcm", "examples_palette.dcm", "gdcm-US-ALOKA-16.dcm", "OBXXXX1A_rle_2frame.dcm"),
)


def path_of(name: str) -> Path:
    for root in ROOTS:
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(name)


def opened(name: str) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is odd in its own test files
        dataset = pydicom.dcmread(path_of(name), force=True)
        for _ in dataset.iterall():  # every value read now, in the encoding it was written with
            pass
    return dataset


def syntax_of(dataset: FileDataset) -> UID:
    return UID(dataset.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian)


def written(dataset: Dataset, syntax: str, meta: dict[str, object] | None = None, preamble: bytes = b"") -> bytes:
    """A whole Part 10 file; `meta` holds further file meta elements by keyword."""
    file_meta = pydicom.dataset.FileMetaDataset()
    file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file_meta.TransferSyntaxUID = UID(syntax)
    for keyword, value in (meta or {}).items():
        setattr(file_meta, keyword, value)
    buffer = io.BytesIO()
    plain = Dataset(dict(dataset.items()))  # pydicom would remember the source's encoding otherwise
    file = FileDataset(buffer, plain, file_meta=file_meta, preamble=preamble.ljust(128, b"\0"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is planted is dirty on purpose
        pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def packed(dataset: FileDataset, syntax: str) -> FileDataset:
    """The same object in another lossless syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset
