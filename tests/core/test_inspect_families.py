"""Whole families of places, one test each: whatever the cleaner may forget there, the inspector refuses."""

import base64
import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import pydicom
import pytest
from planted_objects import BIRTH, NAME, REAL_FILES, SITE_KEY, deidentify, pdf_with, planted
from pydicom._dicom_dict import DicomDictionary
from pydicom.encaps import encapsulate, generate_fragments
from undone_rules import claiming, undone

from appliance.core.deidentify.values import BLANK_PDF
from appliance.core.identity import Identity, Item, identity_of
from appliance.core.inspect import Finding, findings
from appliance.core.inspect_kinds import Kind
from appliance.core.inspect_read import LONG_VRS
from appliance.core.inspect_tags import YOUNGER, keyword
from appliance.core.options import CODES, OPTIONS, Option, Options

NUMBER, DAY = 7731904, 19470213
Change = Callable[[pydicom.FileDataset], None]


@cache
def pair() -> tuple[bytes, Identity]:
    buffer = io.BytesIO()
    planted().save_as(buffer)
    return deidentify(planted(), SITE_KEY).bytes, identity_of(buffer.getvalue())


def element(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr in ("OB", "UN", "UI") else b" ") * (len(value) % 2)
    long = vr.encode() in LONG_VRS
    length = struct.pack("<HL" if long else "<H", *((0, len(value)) if long else (len(value),)))
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + length + value


def with_value(tag: int, vr: str, value: bytes, depth: int = 0, kept: Options = frozenset()) -> tuple[Finding, ...]:
    data, who = pair()
    return findings(undone(claiming(data, kept) if kept else data, tag, element(tag, vr, value), depth), who, kept=kept)


# By representation, something of the patient's in the form that it asks for. US and SS are too small for any of it.
TELLING: dict[str, bytes] = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "PN", "UR"), b"x Zwetschgenkern"),
    "AE": b"ZWETSCHGENKERN",
    "CS": b"ZWETSCHGENKERN",
    "AS": b"078Y",
    "DA": BIRTH.encode(),
    "DT": BIRTH.encode() + b"101500",
    "TM": b"142311.5",
    "DS": b"7731904.0",
    "IS": b"7731904",
    "UI": b"1.3.12.2.1107.5.1.4.99.30000017.2",
    "UL": struct.pack("<L", NUMBER),
    "SL": struct.pack("<l", DAY),
    "UV": struct.pack("<Q", NUMBER),
    "SV": struct.pack("<q", DAY),
    "FL": struct.pack("<f", NUMBER),
    "FD": struct.pack("<d", DAY),
    **dict.fromkeys(("OB", "OW", "UN", "OL", "OV"), b"bytes of Zwetschgenkern "),
    "OF": b"ZWETSCHGENKERN\0\0",
    "OD": b"ZWETSCHGENKERN\0\0",
}
ATTRIBUTES = {tag: str(entry[0])[:2] for tag, entry in DicomDictionary.items()}
ATTRIBUTES |= {tag: vr for tag, (vr, _) in YOUNGER.items()}
TOO_SMALL = frozenset({"US", "SS", "AT"})  # two bytes hold no identifier of six digits, and a tag is no value


@pytest.mark.parametrize("vr", sorted({*ATTRIBUTES.values()} - TOO_SMALL - {"SQ", "NO"}))
def test_every_attribute_of_the_standard_is_searched(vr: str) -> None:
    tags = [tag for tag, own in ATTRIBUTES.items() if own == vr and tag >> 16 > 2 and tag >> 16 < 0xFFFA]
    assert tags
    for depth in (0, 1):
        places = {tag: "ViewCodeSequence[0]." * depth + keyword(tag) for tag in tags}
        found = {tag: [one.place for one in with_value(tag, vr, TELLING[vr], depth)] for tag in tags}
        assert [keyword(tag) for tag in tags if places[tag] not in found[tag]] == []


@pytest.mark.parametrize("vr", ["LO", "UN", "OB", "PN", "DA", "UI", "UL", "SQ", "UT"])
@pytest.mark.parametrize("tag", [0x00090010, 0x00091001, 0x00291010, 0x7FE10010, 0x60011010])
def test_private_attributes_are_refused_whatever_they_say(tag: int, vr: str) -> None:
    found = with_value(tag, vr, b"" if vr == "SQ" else b"\1\0\0\0")
    assert Finding(keyword(tag), "structure") in found


PRIVATE_SEQUENCE = struct.pack("<HHL", 0xFFFE, 0xE000, 30) + element(0x00091002, "LO", b"of Zwetschgenkern here")


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        *((vr, TELLING[vr]) for vr in sorted(TELLING) if vr != "AS"),
        ("UN", PRIVATE_SEQUENCE),
        ("SQ", PRIVATE_SEQUENCE),
        ("OB", zlib.compress(b"of Zwetschgenkern")),
        ("UN", base64.b64encode(b"of Zwetschgenkern")),
    ],
)
def test_safe_private_attributes_stay_and_say_nothing(vr: str, value: bytes) -> None:
    kept: Options = frozenset({"retain-safe-private"})
    assert with_value(0x00091001, vr, value, kept=kept) != ()
    harmless = {"DA": b"20240101", "DT": b"20240101", "TM": b"0102", "UI": b"2.25.77", "SQ": b"", "PN": b""}
    assert with_value(0x00091001, vr, harmless.get(vr, b"12345678"), kept=kept) == ()


@pytest.mark.parametrize(
    "tag",
    [
        *(0x60000010, 0x60003000, 0x60220022, 0x50000005, 0x501E2500, 0x00041130, 0x00041500, 0xFFFCFFFC, 0xFFFAFFFA),
        *(0x00080000, 0x00100000, 0x00100999, 0x00189999, 0x00880200),
    ],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_groups_that_no_clean_object_has(tag: int, depth: int) -> None:
    vr = "SQ" if tag == 0x00880200 else "UL" if not tag & 0xFFFF else "US" if tag & 0xFF == 0x10 else "LO"
    places = [
        one.place for one in with_value(tag, vr, b"" if vr == "SQ" else b"\2\0\0\0"[: 4 if vr == "UL" else 2], depth)
    ]
    assert "ViewCodeSequence[0]." * depth + keyword(tag) in places


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00280010, "LO"),
        (0x00280010, "UN"),
        (0x00080060, "UN"),
        (0x00081140, "LO"),
        (0x00080016, "ST"),
        (0x7FE00010, "UT"),
    ],
)
def test_a_representation_that_is_not_the_attribute_s(tag: int, vr: str) -> None:
    assert any(one.kind in ("structure", "unreadable") for one in with_value(tag, vr, b"\4\0"))


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00080104, "LO"),
        (0x00080100, "SH"),
        (0x00080119, "UC"),
        (0x00080120, "UR"),
        (0x00080102, "SH"),
        (0x00080103, "SH"),
    ],
)
def test_codes_that_the_standard_does_not_have(tag: int, vr: str) -> None:
    places = [one.place for one in with_value(tag, vr, b"ZWETSCHGENKERN", 2)]
    assert f"ViewCodeSequence[0].ViewCodeSequence[0].{keyword(tag)}" in places


def test_a_meaning_of_the_standard_names_nobody() -> None:
    data, _ = pair()
    who = Identity((Item("name", "Chest^Tumor", "PatientName"), Item("name", "X^Ray", "PatientName")))
    for meaning, passes in ((b"Chest", True), (b"Projection Radiography", True), (b"Tumor of Ray", False)):
        output = undone(data, 0x00080104, element(0x00080104, "LO", meaning), 1)
        assert (findings(output, who) == ()) == passes


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-8",
        "utf-16-le",
        "utf-16-be",
        "utf-32-le",
        "iso8859_5",
        "cp1251",
        "koi8_r",
        "gb18030",
        "shift_jis",
        "euc_jp",
        "mac_cyrillic",
    ],
)
@pytest.mark.parametrize(("tag", "vr"), [(0x00204000, "LT"), (0x00281201, "OW"), (0x00080060, "CS")])
def test_a_name_in_an_undeclared_character_set(encoding: str, tag: int, vr: str) -> None:
    if encoding == "mac_cyrillic":  # one that nobody looks for: an ASCII name is spelled in it all the same
        text, name = "Zwetschgenkern", NAME
    else:
        text, name = "Ивановский", "Ивановский^Пётр"
    data, _ = pair()
    who = Identity((Item("name", name, "PatientName"),))
    spelled = b"\4\3" + text.encode(encoding) + b"\1\2"
    places = [one.place for one in findings(undone(data, tag, element(tag, vr, spelled), 0), who)]
    assert keyword(tag) in places


def zipped(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", text)
    return buffer.getvalue()


WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "zip": zipped,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "base64": base64.b64encode,
    "hex": lambda text: text.hex().encode(),
    "gzip in base64": lambda text: base64.b64encode(gzip.compress(text)),
    "zlib in zlib": lambda text: zlib.compress(zlib.compress(text)),
    "base64 of two-byte letters": lambda text: base64.b64encode(text.decode().encode("utf-16-le")),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(("tag", "vr"), [(0x00204000, "LT"), (0x00281201, "OW"), (0x00420011, "OB")])
def test_a_name_that_is_folded_away(wrap: str, tag: int, vr: str) -> None:
    value = b"\1\2 " + WRAPS[wrap](b"seen: Balthasar Zwetschgenkern, of 7731904") + b" \3"
    assert Finding(keyword(tag), "identity") in with_value(tag, vr, value)


def test_a_bomb_in_a_value_is_refused_within_bounds() -> None:
    bomb = zlib.compress(zlib.compress(bytes(1 << 27), 9), 9)
    assert with_value(0x00204000, "LT", bomb)[0].kind == "unreadable"


def test_only_an_empty_page_may_be_a_document() -> None:
    assert with_value(0x00420011, "OB", BLANK_PDF) == ()
    for document in (
        pdf_with("nothing of anybody"),
        b"<ClinicalDocument/>",
        BLANK_PDF.replace(b"Catalog", b"Catalog/Lang(x)"),
        BLANK_PDF + b"\n% a comment",
        BLANK_PDF * 40,
    ):
        assert Finding("EncapsulatedDocument", "structure") in with_value(0x00420011, "OB", document)


def tampered(change: Change, kept: Options = frozenset()) -> tuple[Finding, ...]:
    data, who = pair()
    output = pydicom.dcmread(io.BytesIO(claiming(data, kept) if kept else data))
    change(output)
    buffer = io.BytesIO()
    with pydicom.config.disable_value_validation():
        output.save_as(buffer)
    return findings(buffer.getvalue(), who, kept=kept)


DEMANDED: dict[str, Change] = {
    "PatientIdentityRemoved": lambda output: output.__delattr__("PatientIdentityRemoved"),
    "LongitudinalTemporalInformationModified": lambda output: setattr(
        output, "LongitudinalTemporalInformationModified", "UNMODIFIED"
    ),
    "DeidentificationMethodCodeSequence": lambda output: output.__delattr__("DeidentificationMethodCodeSequence"),
    "BurnedInAnnotation": lambda output: setattr(output, "BurnedInAnnotation", "NO"),
    "RecognizableVisualFeatures": lambda output: setattr(output, "RecognizableVisualFeatures", "NO"),
    "PatientName": lambda output: setattr(output, "PatientName", "ANONYMOUS"),
    "PatientID": lambda output: setattr(output, "PatientID", "ANON0000000000000001"),
    "PatientSex": lambda output: setattr(output, "PatientSex", "O"),
    "PatientWeight": lambda output: setattr(output, "PatientWeight", "61.5"),
    "TimezoneOffsetFromUTC": lambda output: setattr(output, "TimezoneOffsetFromUTC", "+0130"),
    "FileMetaInformationVersion": lambda output: setattr(output.file_meta, "FileMetaInformationVersion", b"\0\2"),
    "SendingApplicationEntityTitle": lambda output: setattr(output.file_meta, "SendingApplicationEntityTitle", "ANY"),
}


@pytest.mark.parametrize("place", DEMANDED)
def test_what_is_demanded_of_every_object(place: str) -> None:
    assert Finding(place, "structure") in tampered(DEMANDED[place])


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_in_force_is_demanded_to_be_said(option: Option) -> None:
    kept: Options = frozenset({option})
    assert tampered(lambda output: None, kept) == ()

    def silent(output: pydicom.FileDataset) -> None:
        output.DeidentificationMethodCodeSequence = [
            item for item in output.DeidentificationMethodCodeSequence if item.CodeValue != CODES[option]
        ]

    assert Finding("DeidentificationMethodCodeSequence", "structure") in tampered(silent, kept)
    said = tampered(lambda output: setattr(output, "LongitudinalTemporalInformationModified", "REMOVED"), kept)
    assert (said != ()) == option.startswith("retain-longitudinal")


def test_nothing_burned_in_is_said_by_who_looked_only() -> None:
    def change(output: pydicom.FileDataset) -> None:
        output.BurnedInAnnotation = output.RecognizableVisualFeatures = "NO"

    assert tampered(change, frozenset({"clean-pixel-data", "clean-recognizable-visual-features"})) == ()
    assert [one.place for one in tampered(change, frozenset({"clean-pixel-data"}))] == ["RecognizableVisualFeatures"]


# Pixel Data: real files of each encoding, cleaned, and what may be hidden beside the picture.
FILES = {path.name: path for path in REAL_FILES}


@cache
def cleaned_file(name: str) -> tuple[bytes, Identity]:
    data = FILES[name].read_bytes()
    return deidentify(data, SITE_KEY).bytes, identity_of(data)


def with_pixels(name: str, change: Callable[[bytes], bytes], frames: bool = True) -> tuple[Finding, ...]:
    data, who = cleaned_file(name)
    output = pydicom.dcmread(io.BytesIO(data))
    if output.file_meta.TransferSyntaxUID.is_encapsulated and frames:
        table = pydicom.encaps.parse_basic_offsets(output.PixelData)
        images = list(generate_fragments(output.PixelData[8 + 4 * len(table) :]))
        output.PixelData = encapsulate([change(image) for image in images])
    else:
        output.PixelData = change(output.PixelData)
    buffer = io.BytesIO()
    output.save_as(buffer)
    return findings(buffer.getvalue(), who)


JPEG, JPEG_LS, JPEG_2000, RLE = (
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_RLE.dcm",
)
NATIVE, SIGNED = "CT_small.dcm", "MR_small.dcm"
COMMENT = b"\xff\xfe\0\x0bnot ours"
APPLICATION = b"\xff\xe1\0\x0cExif\0\0us.."
COMMENT_2000 = b"\xff\x64\0\x0a\0\1notes"


@pytest.mark.parametrize("name", [JPEG, JPEG_LS, JPEG_2000, RLE, NATIVE, SIGNED, "emri_small_RLE.dcm"])
def test_pixels_as_they_were_cleaned_go(name: str) -> None:
    assert with_pixels(name, lambda image: image) == ()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (JPEG, lambda image: image[:2] + COMMENT + image[2:]),
        (JPEG, lambda image: image[:2] + APPLICATION + image[2:]),
        (JPEG, lambda image: image[:2] + b"\xff\xe0\0\x12JFIF\0thumbnail.." + image[2:]),
        (JPEG, lambda image: image.rstrip(b"\0") + b"behind"),
        (JPEG_LS, lambda image: image[:2] + COMMENT + image[2:]),
        (JPEG_LS, lambda image: image.rstrip(b"\0") + b"behind"),
        (JPEG_2000, lambda image: image.replace(b"\xff\x90", COMMENT_2000 + b"\xff\x90", 1)),
        (JPEG_2000, lambda image: image.rstrip(b"\0") + b"behind"),
        (RLE, lambda image: image[:60] + b"text" + image[64:]),
        (RLE, lambda image: image + b"\3more"),
        (RLE, lambda image: image.rstrip(b"\0") + b"\x03more\0"),
        (NATIVE, lambda pixels: pixels + b"behind"),
        (SIGNED, lambda pixels: pixels + b"\0\0"),
        ("OBXXXX1A.dcm", lambda pixels: pixels + b"x "),
    ],
)
def test_what_is_hidden_beside_the_picture(name: str, change: Callable[[bytes], bytes]) -> None:
    assert any(one.place.startswith("PixelData") for one in with_pixels(name, change))


def test_fragments_that_no_frame_explains() -> None:
    def appended(pixels: bytes) -> bytes:
        end = b"\xfe\xff\xdd\xe0\0\0\0\0"
        return pixels.removesuffix(end) + b"\xfe\xff\0\xe0\4\0\0\0more" + (end if pixels.endswith(end) else b"")

    for name in (JPEG, JPEG_LS, JPEG_2000, RLE):
        assert any(one.place.startswith("PixelData") for one in with_pixels(name, appended, frames=False))


@pytest.mark.parametrize("bit", [12, 15])
@pytest.mark.parametrize("signed", [0, 1])
def test_bits_that_no_pixel_uses(bit: int, signed: int) -> None:
    data, who = pair()
    output = pydicom.dcmread(io.BytesIO(data))
    output.PixelRepresentation = signed
    output.PixelData = struct.pack("<16H", *range(16))
    clean = io.BytesIO()
    output.save_as(clean)
    assert findings(clean.getvalue(), who) == ()
    output.PixelData = struct.pack("<16H", *range(15), 1 << bit)
    spoiled = io.BytesIO()
    output.save_as(spoiled)
    assert findings(spoiled.getvalue(), who) == (Finding("PixelData bits", "structure"),)
    # A negative number repeats its sign in all of them.
    output.PixelData = struct.pack("<16H", *range(15), 0xFFF0)
    negative = io.BytesIO()
    output.save_as(negative)
    assert (findings(negative.getvalue(), who) == ()) == bool(signed)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", "20260315"),
        ("name", "Edge^Basic"),
        ("name", "Appliance^Profile"),
        ("institution", "Diagnostic Appliance"),
    ],
)
def test_what_we_say_of_ourselves_means_nobody(kind: Kind, text: str) -> None:
    data, _ = pair()
    who = Identity((Item(kind, text, "PatientName"),))
    assert findings(data, who) == ()
    said = "PS3.15 2026d Basic Profile, edge diagnostic appliance, for Zwetschgenkern, 15.3.2026"
    output = undone(data, 0x00120063, element(0x00120063, "LO", said.encode()), 0)
    assert (findings(output, who) != ()) == (kind == "date")
    assert findings(output, Identity((Item("name", NAME, "PatientName"),))) != ()
