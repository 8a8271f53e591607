"""Plants in objects that are no images: reports, presentation states, plans, waveforms, documents."""

import zlib

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from tests.deid import sources
from tests.deid.answer_key import FULL_DATES, MODIFIED_DATES
from tests.deid.sheet import CT, Sheet, code, reference

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
PDF, CDA = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.104.2"
CONTENT = 0x0040A730


def concept(value: str, meaning: str) -> Sequence:
    return Sequence([code(meaning, value, "DCM")])


def report(sheet: Sheet) -> None:
    """Content items of every value type that can hold identity, the last two of them a level deeper."""
    dataset, words = sheet.dataset, sheet.words
    tree = list(dataset.get("ContentSequence") or [])
    start = len(tree)
    day = words.day().strftime("%Y%m%d")
    dates = {"moved_by": (MODIFIED_DATES,), "spared_by": (FULL_DATES,)}
    leaves = (
        ("PNAME", "PersonName", "121008", "Person Observer Name", None, {}),
        ("TEXT", "TextValue", "121106", "Comment", "Patient {} complains", {}),
        ("TEXT", "TextValue", "121022", "Accession Number", "{}", {}),
        ("TEXT", "TextValue", "121029", "Subject Name", "{}", {}),
        ("TEXT", "TextValue", "99-77", "House's own words", "told by {}", {}),
        ("DATE", "Date", "121031", "Subject Birth Date", day, dates),
        ("DATETIME", "DateTime", "111526", "DateTime Started", None, dates),
        ("TIME", "Time", "111528", "Time", None, dates),
        ("UIDREF", "UID", "121012", "Device Observer UID", None, {"spared_by": ("retain-uids",)}),
        ("CODE", "ConceptCodeSequence", "121042", "Subject Role", None, {}),
        ("NUM", "MeasuredValueSequence", "121206", "Distance", None, {}),
    )
    if "Basic Text" in dataset.SOPClassUID.name:  # it knows no numbers
        leaves = leaves[:-1]
    for number, (kind, keyword, value, meaning, form, more) in enumerate(leaves):
        item = Dataset()
        item.RelationshipType, item.ValueType = "CONTAINS", kind
        item.ConceptNameCodeSequence = concept(value, meaning)
        if number >= 7:
            wrap = Dataset()
            wrap.RelationshipType, wrap.ValueType, wrap.ContinuityOfContent = "CONTAINS", "CONTAINER", "SEPARATE"
            wrap.ConceptNameCodeSequence = concept("121070", "Findings")
            wrap.ContentSequence = Sequence([item])
            tree.append(wrap)
            place = f"{CONTENT:08X}[{start + number}].{CONTENT:08X}[0]."
        else:
            tree.append(item)
            place = f"{CONTENT:08X}[{start + number}]."
        if kind == "NUM":
            measured = Dataset()
            measured.NumericValue = "42"
            kept = ("clean-structured-content",)
            sheet.expect("clean_content_kept", f"{place}0040A300[0].0040A30A", "keep", "", wanted_by=kept)
            sheet.expect("clean_content_kept", f"{place}0040A043[0].00080100", "keep", "", wanted_by=kept)
            token = words.word()
            measured.MeasurementUnitsCodeSequence = Sequence([code(f"{token} units", "mm", "UCUM")])
            item.MeasuredValueSequence = Sequence([measured])
            sheet.expect("sr", f"{place}0040A300[0].004008EA[0].00080104", "text", token)
            continue
        if kind == "CODE":
            token = words.word()
            item.ConceptCodeSequence = Sequence([code(f"{token}, sister of the patient")])
            sheet.expect("sr", f"{place}0040A168[0].00080104", "text", token)
            continue
        if form == day:
            setattr(item, keyword, day)
            sheet.expect("sr", f"{place}0040A121", "date", day, **more)
        elif form is not None:
            token = words.word()
            setattr(item, keyword, form.format(token))
            sheet.expect("sr", f"{place}0040A160", "text", token)
        else:
            tags = {"PNAME": (0x0040A123, "PN"), "DATETIME": (0x0040A120, "DT"), "TIME": (0x0040A122, "TM")}
            tag, vr = tags.get(kind, (0x0040A124, "UI"))
            made, token, how = sheet.made(vr)
            setattr(item, keyword, made)
            sheet.expect("sr", f"{place}{tag:08X}", how, token, **more)
    dataset.ContentSequence = Sequence(tree)
    observer = Dataset()
    for tag, vr in ((0x0040A075, "PN"), (0x0040A027, "LO"), (0x0040A030, "DT")):
        sheet.put("sr", tag, vr, observer, "0040A073[0].")
    token = words.word()
    observer.VerifyingObserverIdentificationCodeSequence = Sequence([code(f"{token}^Hans", "7", "99STAFF")])
    sheet.expect("sr", "0040A073[0].0040A088[0].00080104", "text", token)
    dataset.VerifyingObserverSequence = Sequence([observer])
    dataset.VerificationFlag = "VERIFIED"


def presentation_state(sheet: Sheet) -> None:
    """Text, layers, labels and the creator of a greyscale presentation state."""
    dataset, words = sheet.dataset, sheet.words
    note, shape = Dataset(), Dataset()
    text = words.word()
    shape.UnformattedTextValue = f"{text}, see here"
    shape.AnchorPoint, shape.AnchorPointVisibility, shape.AnchorPointAnnotationUnits = [10, 10], "N", "PIXEL"
    note.GraphicLayer = "LAYER1"
    note.TextObjectSequence = Sequence([shape])
    line = Dataset()
    line.GraphicAnnotationUnits, line.GraphicDimensions, line.NumberOfGraphicPoints = "PIXEL", 2, 2
    line.GraphicData, line.GraphicType, line.GraphicFilled = [10.0, 10.0, 40.0, 52.5], "POLYLINE", "N"
    note.GraphicObjectSequence = Sequence([line])
    sheet.expect("clean_graphics_kept", "00700001[0].00700009[0].00700022", "keep", "", wanted_by=("clean-graphics",))
    dataset.GraphicAnnotationSequence = Sequence([note])
    sheet.expect("gsps", "00700001[0].00700008[0].00700006", "text", text)
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "LAYER1", 1
    sheet.put("gsps", 0x00700068, "LO", layer, "00700060[0].")
    dataset.GraphicLayerSequence = Sequence([layer])
    sheet.put("gsps", 0x00700084, "PN")
    sheet.put("gsps", 0x00700081, "LO")
    dataset.ContentLabel = "STATE"
    for tag, more in ((0x00700082, {}), (0x00700083, {})):
        sheet.put("gsps", tag, "DA" if tag == 0x00700082 else "TM", **more)


def state_of(sheet: Sheet, images: list[str], series: str) -> FileDataset:
    """A presentation state over images of a study."""
    dataset = FileDataset("", {}, file_meta=None, preamble=b"")
    dataset.SOPClassUID, dataset.SOPInstanceUID = GSPS, sheet.words.uid()
    dataset.Modality, dataset.SeriesInstanceUID = "PR", sheet.words.uid()
    dataset.SeriesNumber, dataset.InstanceNumber = 90, 1
    dataset.StudyDate = dataset.StudyTime = dataset.StudyID = dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Manufacturer = "ACME"
    of = Dataset()
    of.SeriesInstanceUID = series
    of.ReferencedImageSequence = Sequence([reference(CT, uid) for uid in images])
    dataset.ReferencedSeriesSequence = Sequence([of])
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [128, 128]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    dataset.DisplayedAreaSelectionSequence = Sequence([area])
    dataset.PresentationLUTShape = "IDENTITY"
    return dataset


def plan(sheet: Sheet) -> None:
    """Labels and names of a radiotherapy plan or structure set."""
    dataset = sheet.dataset
    for tag, vr in (
        *((0x300A0002, "SH"), (0x300A0003, "LO"), (0x300A0004, "ST"), (0x30060002, "SH"), (0x30060004, "LO")),
        *((0x30060006, "ST"), (0x300A0016, "LO")),
    ):
        if tag in dataset or tag < 0x30070000 or "StructureSetLabel" not in dataset:
            sheet.put("rt_text", tag, vr)
    for keyword, leaves in (
        ("BeamSequence", ((0x300A00B2, "SH"), (0x300A00C2, "LO"), (0x300A00C3, "ST"))),
        ("StructureSetROISequence", ((0x30060026, "LO"), (0x30060028, "ST"))),
        ("RTROIObservationsSequence", ((0x300600A6, "PN"), (0x30060085, "SH"), (0x30060088, "ST"))),
        ("DoseReferenceSequence", ((0x300A0016, "LO"),)),
        ("PatientSetupSequence", ((0x300A01B2, "ST"),)),
        ("ReferencedFrameOfReferenceSequence", ((0x300600C8, "LO"),)),
    ):
        if dataset.get(keyword):
            where = dataset[keyword].value[0]
            for tag, vr in leaves:
                sheet.put("rt_text", tag, vr, where, f"{int(dataset[keyword].tag):08X}[0].")


def waveform(sheet: Sheet) -> None:
    """Annotations, montage and channel labels of an ECG."""
    dataset, words = sheet.dataset, sheet.words
    note = Dataset()
    note.ReferencedWaveformChannels = [1, 0]
    note.AnnotationGroupNumber = 1
    sheet.put("waveform", 0x00700006, "ST", note, "0040B020[0].")
    named = Dataset()
    token = words.word()
    named.ConceptNameCodeSequence = Sequence([code(f"{token} arrhythmia", "9-1")])
    sheet.expect("waveform", "0040B020[1].0040A043[0].00080104", "text", token)
    dataset.WaveformAnnotationSequence = Sequence([note, named])
    group = dataset.WaveformSequence[0]
    sheet.put("waveform", 0x003A0020, "SH", group, "54000100[0].")
    channel = group.ChannelDefinitionSequence[0]
    sheet.put("waveform", 0x003A0203, "SH", channel, "54000100[0].003A0200[0].")
    sheet.put("waveform", 0x00181004, "LO")
    sheet.put("waveform", 0x00400555, "SQ")


def document(sheet: Sheet, form: str) -> tuple[FileDataset, str]:
    """An encapsulated PDF (plain or Flate) or CDA; the dataset is built here. Returns it with its token."""
    words = sheet.words
    dataset = FileDataset("", {}, file_meta=None, preamble=b"")
    dataset.SOPClassUID = CDA if form == "cda" else PDF
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = words.uid(), words.uid()
    dataset.Modality, dataset.ConversionType, dataset.SeriesNumber, dataset.InstanceNumber = "DOC", "WSD", 1, 1
    dataset.StudyDate = dataset.StudyTime = dataset.StudyID = dataset.AccessionNumber = ""
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = dataset.Manufacturer = ""
    dataset.ContentDate = dataset.ContentTime = dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "YES"
    dataset.ConceptNameCodeSequence = Sequence([])
    token = words.word()
    if form == "cda":
        dataset.MIMETypeOfEncapsulatedDocument = "text/XML"
        dataset.HL7InstanceIdentifier = words.uid()
        text = (
            '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole><patient><name>'
            f"<family>{token}</family></name></patient></patientRole></recordTarget></ClinicalDocument>"
        ).encode()
    else:
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        page = f"BT /F1 12 Tf 72 700 Td (Report of {token}) Tj ET".encode()
        stream = zlib.compress(page) if form == "flate" else page
        kind = b"/Filter/FlateDecode" if form == "flate" else b""
        text = (
            b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R>>endobj\n"
            b"4 0 obj<<%s/Length %d>>stream\n%s\nendstream endobj\n%%%%EOF\n" % (kind, len(stream), stream)
        )
    dataset.EncapsulatedDocumentLength = len(text)
    dataset.add_new(0x00420011, "OB", text + b"\0" * (len(text) % 2))
    return dataset, token


DOCUMENTS = ("plain", "flate", "cda")
SYNTAX = ExplicitVRLittleEndian
REPORTS = ("reportsi.dcm", "test-SR.dcm")
PLANS = ("rtplan.dcm", "rtstruct.dcm")


def opened(name: str) -> FileDataset:
    return sources.opened(name)
