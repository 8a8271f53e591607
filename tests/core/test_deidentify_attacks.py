"""What an attack on the cleaner found: channels that are no text and were used as one; an offset that told itself."""

import io
import struct
from contextlib import suppress

import imagecodecs
import numpy as np
import pydicom
import pytest
from planted_objects import SITE_KEY, as_file, deidentify, planted
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless
from test_deidentify_beside import PIXELS, compressed, rle_frame

from appliance.core.deidentify.dates import shifted
from appliance.core.identity import identity_of
from appliance.core.inspect import findings
from appliance.core.options import Option
from appliance.errors import Quarantined

WORDS = b"Meier Anna geb 12 Mar 47 in der Kirchgasse"


def cleaned(source: pydicom.FileDataset, *options: Option) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(deidentify(source, SITE_KEY, frozenset(options)).bytes))


def test_a_date_that_is_printed_in_the_standard_is_not_moved_with_the_patient_s() -> None:
    """Context Group Version is public: moved, it would tell the patient's offset."""
    source = planted()
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "51185008", "SCT", "Chest"
    item.ContextIdentifier, item.ContextGroupVersion = "4031", "20020904"
    source.AnatomicRegionSequence = Sequence([item])
    (kept,) = cleaned(source, "retain-longitudinal-modified-dates").AnatomicRegionSequence
    assert not str(kept.ContextGroupVersion).startswith("2")
    (kept,) = cleaned(source, "retain-longitudinal-full-dates").AnatomicRegionSequence
    assert kept.ContextGroupVersion == "20020904"


def test_a_date_on_the_scanner_s_plate_is_not_moved_with_the_patient_s() -> None:
    source = planted()
    source.DateOfManufacture = "20190517"
    assert "DateOfManufacture" not in cleaned(source, "retain-longitudinal-modified-dates")
    both: tuple[Option, ...] = ("retain-longitudinal-modified-dates", "retain-device-identity")
    assert cleaned(source, *both).DateOfManufacture == "20190517"
    result = deidentify(source, SITE_KEY, frozenset(both))
    assert findings(result.bytes, identity_of(as_file(source)), kept=frozenset(both)) == ()


def test_lists_that_count_up_are_no_words() -> None:
    source = planted()
    item = Dataset()
    item.GraphicData = [float(number) for number in range(190, 220)]
    source.GraphicAnnotationSequence = Sequence([item])
    source.SimpleFrameList = list(range(60, 125))
    back = cleaned(source, "clean-graphics")
    assert list(back.SimpleFrameList) == list(range(60, 125))
    assert list(back.GraphicAnnotationSequence[0].GraphicData) == item.GraphicData


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("TM", "739261"),
        ("TM", "126199"),
        ("DT", "20250311739261"),
        ("DT", "20250311142311+1947"),
        ("TM", "142361.5"),
        ("DT", "2025031114231"),
    ],
)
def test_hours_that_no_clock_shows_are_no_time(vr: str, text: str) -> None:
    assert shifted(vr, text, -7) is None


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00189073, "FD", b"MUSTERMA"),
        (0x00281101, "US", b"MUSTERMANN"),
        (0x00280009, "AT", b"Mustermann^Erika"),
        (0x00660016, "OF", WORDS.ljust(44)),
        (0x7FE00001, "OV", WORDS.ljust(48)),
        (0x54001010, "OW", WORDS.ljust(44)),
    ],
)
def test_numbers_that_spell_words_go(tag: int, vr: str, value: bytes) -> None:
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = struct.pack("<H", len(value)) if vr in ("FD", "US", "AT") else struct.pack("<HL", 0, len(value))
    data = as_file(planted())
    end = data.index(b"\xe0\x7f\x10\x00OW") if tag < 0x7FE00010 else len(data)
    spot = end if tag > 0x54000000 else data.index(b"\x28\x00\x02\x00US")
    if tag == 0x00280009:
        spot = data.index(b"\x28\x00\x10\x00US")
    elif tag == 0x00281101:
        spot = data.index(b"\x28\x00\x52\x10DS")
    elif tag in (0x00660016, 0x54001010, 0x7FE00001):
        spot = data.index(b"\xe0\x7f\x10\x00OW")
    elif tag == 0x00189073:
        spot = data.index(b"\x20\x00\x0d\x00UI")
    planted_in = data[:spot] + head + length + value + data[spot:]
    assert value in planted_in
    assert value.strip() not in deidentify(planted_in, SITE_KEY).bytes


def test_the_inspector_finds_a_name_in_a_number() -> None:
    source = planted()
    data = bytearray(deidentify(source, SITE_KEY).bytes)
    at = data.index(b"\x28\x00\x10\x00US")
    forged = bytes(data[:at]) + b"\x28\x00\x09\x00AT\x10\x00" + b"Balthasar".ljust(16, b"\0") + bytes(data[at:])
    found = findings(forged, identity_of(as_file(source)))
    assert [one.place for one in found] == ["FrameIncrementPointer"]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImageType", "ORIGINAL\\1947 0312"),
        ("ConvolutionKernel", "Hinterhuber"),
    ],
)
def test_terms_hold_no_birthdays_and_kernels_no_names(keyword: str, value: str) -> None:
    source = planted()
    setattr(source, keyword, value)
    assert value.rpartition("\\")[2] not in str(cleaned(source)[keyword].value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "HINTERHUBER"),
        ("PatientWeight", ["80331", "17", "895551234"]),
        ("SmokingStatus", "ANNA WOLF"),
    ],
)
def test_a_characteristic_is_one_of_its_terms_or_a_measure(keyword: str, value: str) -> None:
    source = planted()
    with pydicom.config.disable_value_validation():
        setattr(source, keyword, value)
        back = cleaned(source, "retain-patient-characteristics")
        assert keyword not in back or back[keyword].is_empty


def jpeg_with(segment: bytes) -> bytes:
    coded = imagecodecs.jpeg8_encode((PIXELS >> 4).astype(np.uint8))
    return coded[:2] + segment + coded[2:]


def jls_with(segment: bytes) -> bytes:
    coded = imagecodecs.jpegls_encode(PIXELS)
    return coded[:2] + segment + coded[2:]


def j2k_with(segment: bytes) -> bytes:
    coded = imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", reversible=True)
    at = coded.index(b"\xff\x52")
    return coded[:at] + segment + coded[at:]


def segment(marker: int) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(WORDS) + 2) + WORDS


@pytest.mark.parametrize(
    ("syntax", "made"),
    [
        *((JPEGBaseline8Bit, jpeg_with(segment(marker))) for marker in (0x02, 0xDE, 0xF0, 0xFD)),
        *((JPEGLSLossless, jls_with(segment(marker))) for marker in (0xF9, 0xFD)),
        *((JPEG2000Lossless, j2k_with(segment(marker))) for marker in (0x30, 0x57, 0x63, 0x70)),
    ],
)
def test_only_segments_that_a_decoder_needs_stay(syntax: str, made: bytes) -> None:
    source = compressed([made], syntax, PIXELS, 12)
    if syntax == JPEGBaseline8Bit:
        source.BitsAllocated, source.BitsStored, source.HighBit = 8, 8, 7
    assert WORDS in as_file(source)
    assert WORDS not in deidentify(source, SITE_KEY).bytes


def test_a_run_length_frame_has_no_plane_too_many() -> None:
    whole = rle_frame(PIXELS)
    count, *offsets = struct.unpack_from("<16I", whole)
    forged = struct.pack("<16I", count + 1, *offsets[:2], len(whole), *[0] * 12) + whole[64:] + WORDS
    with pytest.raises(Quarantined, match="deid-unsupported at PixelData"):
        deidentify(compressed([forged], RLELossless, PIXELS, 12), SITE_KEY)


def test_words_inside_a_codestream_are_no_picture() -> None:
    coded = imagecodecs.jpegls_encode(PIXELS)
    forged = coded[:-2] + WORDS + coded[-2:]
    with pytest.raises(Quarantined, match="deid-unsupported at PixelData"):
        deidentify(compressed([forged], JPEGLSLossless, PIXELS, 12), SITE_KEY)


def test_an_offset_table_of_a_compressed_picture_may_stay() -> None:
    source = compressed([rle_frame(PIXELS)], RLELossless, PIXELS, 12)
    source.file_meta.TransferSyntaxUID = UID(RLELossless)
    source.PixelData = encapsulate([rle_frame(PIXELS)], has_bot=False)
    source.ExtendedOffsetTable = struct.pack("<Q", 0)
    source.ExtendedOffsetTableLengths = struct.pack("<Q", len(rle_frame(PIXELS)))
    assert "ExtendedOffsetTable" in cleaned(source)


def test_a_corrupt_length_lets_no_option_keep_what_was_swallowed() -> None:
    """One damaged length byte of Institution Name: it holds the elements behind it, the patient's among them."""
    data = as_file(planted())
    at = data.index(b"\x08\x00\x80\x00LO") + 6
    end = data.index(b"\x20\x00\x0d\x00UI")
    swallowing = data[:at] + struct.pack("<H", end - at - 2) + data[at + 2 :]
    with suppress(Quarantined):
        result = deidentify(swallowing, SITE_KEY, frozenset({"retain-institution-identity"})).bytes
        assert b"Zwetschgenkern" not in result


def test_an_object_of_a_thousand_names_is_refused_before_it_costs_hours() -> None:
    source = planted()
    items = []
    for number in range(1200):
        item = Dataset()
        item.PersonName = f"Wort{number}Eins^Nummer{number}"
        items.append(item)
    source.ContentSequence = Sequence(items)
    with pytest.raises(Quarantined, match="deid-unsupported at names"):
        deidentify(source, SITE_KEY)
    with pytest.raises(Quarantined, match="deid-unsupported at names"):
        identity_of(as_file(source))


def test_a_count_of_frames_longer_than_any_number_is_a_refusal() -> None:
    data = deidentify(planted(), SITE_KEY).bytes
    at = data.index(b"\x28\x00\x10\x00US")
    forged = data[:at] + b"\x28\x00\x08\x00IS" + struct.pack("<H", 6000) + b"9" * 6000 + data[at:]
    assert findings(forged, identity_of(as_file(planted())))[0].kind == "unreadable"
    assert b"9" * 20 not in deidentify(forged, SITE_KEY).bytes


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_dummy_numbers_are_in_the_byte_order_of_the_object(syntax: str) -> None:
    source = planted(syntax)
    layer = Dataset()
    layer.GraphicLayer = "ONE"
    source.GraphicAnnotationSequence = Sequence([layer])
    (kept,) = cleaned(source).GraphicAnnotationSequence
    assert kept.GraphicObjectSequence[0].NumberOfGraphicPoints == 1
    assert list(kept.GraphicObjectSequence[0].GraphicData) == [1.0, 1.0]


def test_a_character_set_is_a_defined_term() -> None:
    odd = as_file(planted()).replace(b"ISO_IR 100", b"ISO_IR 947", 1)
    assert b"947" not in deidentify(odd, SITE_KEY).bytes
