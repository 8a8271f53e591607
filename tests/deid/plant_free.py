"""Free text and unknown elements that the table does not name, file meta, preamble, padding, clinical words."""

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.deid.answer_key import ALWAYS
from tests.deid.clinical import BESIDE, BY_KEYWORD, EXACT, words_of
from tests.deid.sheet import Person, Sheet

FREE = (
    *("DocumentTitle", "GraphicLayerDescription", "ContentDescription", "BeamName", "SequenceName"),
    *("ReceiveCoilName", "TransmitCoilName", "PositionReferenceIndicator", "SelectorLOValue", "SelectorSHValue"),
    *(
        "SelectorUTValue",
        "SelectorPNValue",
        "LUTExplanation",
        "WindowCenterWidthExplanation",
        "HangingProtocolDescription",
    ),
    *("DisplaySetLabel", "SegmentDescription", "SegmentLabel", "ProductName", "ExposureControlModeDescription"),
    *(
        "ImplantName",
        "PixelDataProviderURL",
        "RetrieveURL",
        "SelectorURValue",
        "HangingProtocolName",
        "EnergyWindowName",
    ),
)
DATE_FORMS = ("%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y", "%d-%b-%y", "%Y%m%d", "%d/%m/%y", "%Y.%m.%d")


def free_text(sheet: Sheet) -> None:
    for keyword in FREE:
        tag = tag_for_keyword(keyword)
        if tag is None or tag in sheet.dataset:
            continue
        vr = dictionary_VR(tag)
        if vr in ("LO", "SH", "LT", "ST", "UT", "UC", "PN", "CS", "UR"):
            sheet.put("free_text", tag, vr)
    for keyword in ("ScanOptions", "ImageType"):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        token = sheet.words.word().upper()
        sheet.dataset.add_new(tag, "CS", ["DERIVED", "PRIMARY", token] if keyword == "ImageType" else token)
        sheet.expect("code_strings", f"{tag:08X}", "text", token)


def identities_in_text(sheet: Sheet) -> None:
    """Names in parts and orders, dates in many forms, phones, addresses, numbers, high ages: in descriptions."""
    words, rng = sheet.words, sheet.rng
    day = words.day(0, 25_000)
    number = words.digits(8)
    phone = f"+49 {rng.randint(201, 999)} {words.digits(7)}"
    street, town = words.word(4), words.word(4)
    age = rng.randint(91, 104)
    family, given = words.word(), words.word(4)
    form = rng.choice(DATE_FORMS)
    told = day.strftime(form)
    texts = {
        "ImageComments": (f"{given} {family}, born {told}, tel {phone}", (family, given, told, phone)),
        "PatientComments": (
            f"{family.upper()}, {given[0]}. MRN {number}; lives {street}str. 14",
            (family, number, street),
        ),
        "StudyDescription": (f"Chest of Mrs {family}, {age} years old", (family, f"{age} years")),
        "SeriesDescription": (f"{town} hospital {told}", (town, told)),
        "AcquisitionComments": (f"mail {given.lower()}.{family.lower()}@{town.lower()}.example", (given, family, town)),
        "FrameComments": (f"http://{town.lower()}.example/p/{number}", (town, number)),
    }
    for keyword, (text, tokens) in texts.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        _forget(sheet, f"{tag:08X}")
        sheet.dataset.add_new(tag, dictionary_VR(tag), text)
        for token in tokens:
            sheet.expect("text_identity", f"{tag:08X}", "text", token, shared=True)


def descriptors(sheet: Sheet) -> None:
    """Clinical words beside a name: the name goes always, the words stay under Clean Descriptors."""
    texts = {}
    for keyword, choices in BY_KEYWORD.items():
        text = sheet.rng.choice(choices)
        texts[keyword] = sheet.rng.choice(BESIDE).format(text=text, name="{}"), words_of(text)
    for keyword, (form, kept) in (*texts.items(), *EXACT.items()):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        token = sheet.words.word()
        _forget(sheet, f"{tag:08X}")
        sheet.dataset.add_new(tag, dictionary_VR(tag), form.format(token))
        sheet.expect("descriptor_names", f"{tag:08X}", "text", token)
        for word in kept:
            sheet.expect("retain_clinical_words", f"{tag:08X}", "word", word, wanted_by=("clean-descriptors",))


# The patient of the header in a description: parts, orders, cases, glued to clinical words.
GLUED = (
    ("SeriesDescription", "Thorax_{family}_axial"),
    ("ProtocolName", "{given}{family}-Abdomen"),
    ("StudyDescription", "CT HEAD {FAMILY} {g}."),
    ("ImageComments", "pt {family}, {given}, id {id}; effusion"),
    ("PerformedProcedureStepDescription", "knee left/{family}/{born}"),
    ("RequestedProcedureDescription", "{family}s knee, {given} told"),
)


def own_name(sheet: Sheet, person: Person) -> None:
    words = {"family": person.family, "given": person.given, "FAMILY": person.family.upper(), "id": person.id}
    words |= {"g": person.given[0], "born": f"{person.birth[6:]}/{person.birth[4:6]}/{person.birth[:4]}"}
    for keyword, form in GLUED:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        _forget(sheet, f"{tag:08X}")
        sheet.dataset.add_new(tag, dictionary_VR(tag), form.format(**words))
        for name, token in words.items():
            if "{" + name + "}" in form and len(token) > 1:
                sheet.expect("text_patient", f"{tag:08X}", "text", token, shared=True)


def long_text(sheet: Sheet) -> None:
    """A name at the end of a long text, and one in the middle of a long value that no text is expected in."""
    filler = "no abnormality was seen in this region " * 240
    for tag, vr in ((0x00402400, "LT"), (0x00404052, "LO"), (0x0042FF10, "UT")):
        token = sheet.words.word()
        value = f"{filler}{token}" if vr != "LO" else f"{filler[:40]}{token}"
        sheet.dataset.add_new(tag, vr, value)
        sheet.expect("long_text", f"{tag:08X}", "text", token)


def _forget(sheet: Sheet, place: str) -> None:
    """The place is planted anew: what was planted before is no longer there."""
    sheet.items[:] = [item for item in sheet.items if item.place != place]


def unknown(sheet: Sheet, little_endian: bool) -> None:
    """Elements of no dictionary: unassigned even groups, group 0004 outside a DICOMDIR, UN, curves, padding."""
    for tag, vr in (
        *((0x00081F01, "LO"), (0x00189FF1, "UN"), (0x00101F02, "SH"), (0x00289F03, "LT"), (0x0040FF01, "UT")),
        *((0x00041700, "LO"), (0x00041500, "CS"), (0x00041130, "CS"), (0x00220001 + 0x1F00, "PN")),
        *((0x0020F0F0, "DA"), (0x0020F0F2, "UI"), (0x0020F0F4, "OB"), (0x00F00010, "LO"), (0x71000010, "ST")),
    ):
        sheet.put("unknown_vr", tag, vr)
    token = sheet.words.word()
    item = Dataset()
    item.PatientName = f"{token}^Hans"
    sheet.dataset.add_new(0x00089F10, "SQ", Sequence([item]))
    sheet.expect("unknown_vr", "00089F10[0].00100010", "text", token)
    raw = sheet.words.word().encode()
    inner = b"\x10\0\x20\0" + len(raw).to_bytes(4, "little") + raw
    sheet.dataset.add_new(
        0x00400000 + 0xA043 + 0x4000, "UN", b"\xfe\xff\0\xe0" + len(inner).to_bytes(4, "little") + inner
    )
    sheet.expect("unknown_vr", "0040E043[0].00100020", "text", raw.decode())
    if little_endian:
        _open_ended(sheet)
    for tag, vr in ((0x50002500, "LO"), (0x50000022, "LO"), (0x50003000, "OW"), (0x50000040, "SH")):
        sheet.put("curve", tag, vr)


def _open_ended(sheet: Sheet) -> None:
    """A UN of undefined length: a sequence in Implicit VR Little Endian (PS3.5 6.2.2)."""
    token = sheet.words.word()
    item = b"\x10\0\x10\0" + len(token).to_bytes(4, "little") + token.encode()
    value = b"\xfe\xff\0\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\r\xe0\0\0\0\0"
    sheet.dataset.add_new(0x0040E045, "UN", value)
    sheet.dataset[0x0040E045].is_undefined_length = True
    sheet.expect("unknown_vr", "0040E045[0].00100010", "text", token)


def overlay_texts(sheet: Sheet, group: int = 0x6000) -> None:
    base = group << 16
    for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x4000, "LT")):
        sheet.put("overlay", base | element, vr)


def envelope(sheet: Sheet) -> tuple[dict[str, object], bytes]:
    """File meta elements and a preamble that tell; also the padding behind the data set."""
    words = sheet.words
    meta: dict[str, object] = {}
    for keyword, value in (
        ("SourceApplicationEntityTitle", words.word().upper()),
        ("SendingApplicationEntityTitle", words.word().upper()),
        ("ReceivingApplicationEntityTitle", words.word().upper()),
        ("ImplementationVersionName", words.word().upper()),
    ):
        meta[keyword] = value
        sheet.expect("file_meta", f"meta {tag_for_keyword(keyword):08X}", "text", value)
    token = words.word()
    meta["PrivateInformationCreatorUID"] = words.uid()
    meta["PrivateInformation"] = (token + "^A").encode()
    sheet.expect("file_meta", "meta 00020100", "text", str(meta["PrivateInformationCreatorUID"]))
    sheet.expect("file_meta", "meta 00020102", "text", token)
    hint = words.word()
    sheet.expect("file_meta", "preamble", "text", hint)
    sheet.put("padding", 0xFFFCFFFC, "OB")
    return meta, f"of {hint}, ward 3".encode()


# Geometry, physics and presentation that must come through any choice of options.
RETAINED = (
    *("Modality", "Rows", "Columns", "BitsStored", "BitsAllocated", "HighBit", "PixelRepresentation", "SOPClassUID"),
    *("SamplesPerPixel", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"),
    *("SliceLocation", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter"),
    *("WindowWidth", "KVP", "ExposureTime", "XRayTubeCurrent", "Exposure", "ConvolutionKernel", "RepetitionTime"),
    *("EchoTime", "FlipAngle", "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "EchoNumbers"),
    *("NumberOfAverages", "PercentSampling", "GantryDetectorTilt", "TableHeight", "RotationDirection"),
    *("DistanceSourceToDetector", "DistanceSourceToPatient", "DataCollectionDiameter", "ReconstructionDiameter"),
    *("PatientPosition", "InstanceNumber", "NumberOfFrames", "FrameTime", "InversionTime", "EchoTrainLength"),
    *("MRAcquisitionType", "ScanningSequence", "SequenceVariant", "BodyPartExamined", "ViewPosition", "SAR"),
    *("DoseGridScaling", "DoseUnits", "DoseType", "DoseSummationType", "GridFrameOffsetVector", "SegmentationType"),
    *("LossyImageCompression", "PixelBandwidth"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue", "FrameIncrementPointer"),
    *("FilterType", "FocalSpots", "GeneratorPower", "AcquisitionMatrix", "InPlanePhaseEncodingDirection"),
    *("AcquisitionNumber", "SeriesNumber", "TemporalPositionIdentifier", "TriggerTime", "HeartRate", "Laterality"),
)


def retained(sheet: Sheet) -> None:
    planted = {item.place for item in sheet.items}
    for keyword in RETAINED:
        tag = tag_for_keyword(keyword)
        if tag is None or f"{tag:08X}" in planted or tag not in sheet.dataset or sheet.dataset[tag].is_empty:
            continue
        sheet.expect("retain_std", f"{tag:08X}", "keep", "", wanted_by=(ALWAYS,))
