"""Admit: real files come in, cut files are seen, and no byte string raises anything but Quarantined."""

import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core import admit as admitting
from appliance.core.admit import UID, admit, announces_image, file_meta
from appliance.core.structure import ends_where_it_says
from appliance.errors import Quarantined

pytestmark = pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn; what counts is what admit answers
SHIPPED = Path(pydicom.__file__).parent / "data"
MORE = Path(pydicom.__file__).parents[1] / "data_store"  # pydicom-data
FILES = sorted(path for root in (SHIPPED, MORE) for path in root.rglob("*") if path.is_file())
DICOM = [path for path in FILES if path.read_bytes()[128:132] == b"DICM"]
CUT_BY_THEIR_AUTHORS = {"rtplan_truncated.dcm", "MR_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}
TOLD_TWICE = {"winter.dcm"}  # bears two SOP Instance UIDs


def code(data: bytes) -> str:
    try:
        admit(data)
    except Quarantined as fault:
        return fault.code
    return ""


def made(**values: object) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3", "1.2.3.1"
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def test_real_files_come_in() -> None:
    codes = {path: code(path.read_bytes()) for path in DICOM}
    assert len(DICOM) > 200
    assert sum(found == "" for found in codes.values()) >= 0.8 * len(DICOM)
    assert {path.name for path, found in codes.items() if found == "header-truncated"} == CUT_BY_THEIR_AUTHORS
    assert {path.name for path, found in codes.items() if found == "header-unreadable"} == TOLD_TWICE
    for path, found in codes.items():
        if found == "header-uid-missing":
            dataset = pydicom.dcmread(path)
            uids = [str(dataset.get(name, "")) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
            assert not all(UID.fullmatch(uid) for uid in uids), path.name


def test_facts_of_a_real_ct() -> None:
    instance = admit((SHIPPED / "test_files" / "CT_small.dcm").read_bytes())
    assert (instance.modality, instance.rows, instance.columns, instance.number_of_frames) == ("CT", 128, 128, 1)
    assert instance.has_pixels
    assert instance.patient.patient_name == "CompressedSamples^CT1"
    assert len(instance.sha256) == 64


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "image_dfl.dcm", "liver_1frame.dcm"]
)
def test_a_cut_file_is_never_taken_for_a_whole_one(name: str) -> None:
    """Cut anywhere: it is seen, or all of the image is there and only padding behind it is gone."""
    data = next(path for path in DICOM if path.name == name).read_bytes()
    assert code(data) == ""
    whole = pydicom.dcmread(BytesIO(data))
    step = max(1, len(data) // 400)
    for length in range(132, len(data) - 1, step):
        if not code(data[:length]) and not _tells_itself(data[:length]):
            left = pydicom.dcmread(BytesIO(data[:length]))
            assert left.PixelData == whole.PixelData, f"{name} cut at {length} of {len(data)}"


def _tells_itself(data: bytes) -> bool:
    """Cut between two elements before the image: what is left announces an image it does not hold."""
    instance = admit(data)
    return announces_image(instance) and not instance.has_pixels


def test_padding_of_zeros_is_no_fault() -> None:
    data = made(PatientID="H-1")
    assert code(data + bytes(64)) == ""


@pytest.mark.parametrize("value", [None, "", "not a uid", "1", "9.9.9", "1..2", "1.2." + "3" * 64])
def test_a_name_that_is_no_uid_is_quarantined(value: str | None) -> None:
    assert code(made(StudyInstanceUID=value)) == "header-uid-missing"


def test_blanks_and_nuls_around_a_uid_are_not_its_part() -> None:
    assert admit(made(StudyInstanceUID="1.2.3\0")).study_instance_uid == "1.2.3"


@pytest.mark.parametrize(
    ("keyword", "value", "field", "expected"),
    [
        ("PatientAge", "004Y", "patient_age", "004Y"),
        ("PatientAge", "4", "patient_age", ""),
        ("InstanceNumber", "-3", "instance_number", None),
        ("ImagesInAcquisition", "12", "images_in_acquisition", 12),
    ],
)
def test_odd_values_are_empty_not_fatal(keyword: str, value: str, field: str, expected: object) -> None:
    assert getattr(admit(made(**{keyword: value})), field) == expected


@pytest.mark.parametrize("charset", ["ISO_IR 999", "ISO 2022 IR 87", "GB18030", "ISO_IR 192", "latin-1"])
def test_a_wrong_character_set_costs_no_file(charset: str) -> None:
    data = made(PatientName="Harbour^Anna", PatientID="H-1").replace(b"Harbour^Anna", b"Harb\xf6ur^Ann\xe4")
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.SpecificCharacterSet = charset
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(out)
    assert admit(out.getvalue()).patient.patient_id == "H-1"


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_else(tail: bytes) -> None:
    code(tail)
    code(bytes(128) + b"DICM" + tail)


SMALL = sorted((path for path in DICOM if path.stat().st_size < 40_000), key=lambda path: path.name)


@settings(max_examples=300)
@given(st.data())
def test_no_damaged_real_file_raises_anything_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(SMALL)).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(128, len(file) - 1))
        file[at] = data.draw(st.integers(0, 255))
    code(bytes(file[: data.draw(st.integers(0, len(file)))]))


@given(st.binary(max_size=200), st.booleans())
def test_the_walk_over_lengths_always_ends(data: bytes, big_endian: bool) -> None:
    with suppress(Quarantined):  # an element twice
        assert ends_where_it_says(data, big_endian=big_endian) in (True, False)


def test_nesting_without_end_is_refused() -> None:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff"
    assert not ends_where_it_says((sequence + item) * 5000, big_endian=False)


def test_an_element_that_stands_twice_is_believed_in_neither_form() -> None:
    data = made(BodyPartExamined="CHEST")
    element = b"\x18\x00\x15\x00CS\x06\x00CHEST "
    assert code(data) == ""
    assert code(data.replace(element, element.replace(b"CHEST ", b"HAND  ") + element)) == "header-unreadable"


@pytest.mark.parametrize("odd", ["CH\x01EST", "CHEST\x1f", "\x07CHEST"])
def test_a_value_with_a_control_character_is_not_the_one_it_looks_like(odd: str) -> None:
    assert admit(made(BodyPartExamined="CHEST")).body_part_examined == "CHEST"
    assert admit(made(BodyPartExamined=odd)).body_part_examined != "CHEST"


def deflated(body: bytes, *, before_syntax: bytes = b"") -> bytes:
    """A deflated file whose group 2 claims no length that could be relied on."""
    syntax = b"1.2.840.10008.1.2.1.99"
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    meta = struct.pack("<HH2sHL", 2, 0, b"UL", 4, 0) + before_syntax
    meta += struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    return bytes(128) + b"DICM" + meta + packer.compress(body) + packer.flush()


# Nothing in front of the transfer syntax, or an element so long that the syntax stands behind the first pages.
FILLERS = (b"", struct.pack("<HH2sHL", 2, 1, b"OB", 0, 6000) + bytes(6000))


@pytest.mark.parametrize("filler", FILLERS)
def test_a_deflated_file_is_measured_before_pydicom_unfolds_it(filler: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = made(PatientComments="x" * 2000)
    body = plain[file_meta(plain)[1] :]
    honest = deflated(body, before_syntax=filler)
    assert admit(honest).sop_instance_uid == "1.2.3.4"
    assert code(honest[:-20]) == "header-truncated"

    def unfolded(*_: object, **__: object) -> None:
        raise AssertionError("pydicom saw it")

    monkeypatch.setattr(admitting, "INFLATED_BYTES_MAX", len(body) - 1)
    monkeypatch.setattr(admitting.pydicom, "dcmread", unfolded)
    monkeypatch.setattr(admitting, "DAMAGE", ())
    with pytest.raises(Quarantined, match="header-unreadable at deflated data set"):
        admit(honest)
    monkeypatch.setattr(admitting, "INFLATED_BYTES_MAX", len(body))
    with pytest.raises(AssertionError, match="pydicom saw it"):  # the planted reader does speak up
        admit(honest)


@pytest.mark.parametrize("vr", [b"\0\0", b"ZZ", b"ui"])
def test_a_file_meta_that_readers_take_in_two_ways_is_refused(vr: bytes) -> None:
    """pydicom would read on in implicit VR, and could find a transfer syntax where this walk saw none."""
    data = bytearray(made())
    at = data.index(b"\x02\x00\x10\x00UI")
    data[at + 4 : at + 6] = vr
    assert code(bytes(data)) == "header-unreadable"


def test_the_transfer_syntax_is_the_one_pydicom_reads() -> None:
    for path in DICOM:
        found = str(pydicom.dcmread(path).file_meta.get("TransferSyntaxUID", ""))
        assert file_meta(path.read_bytes())[0] == found, path.name
