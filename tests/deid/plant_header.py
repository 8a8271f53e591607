"""The identity that every object bears: patient, visit, study, people, house, device, and where it hides deeper."""

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.deid.sheet import Person, Sheet, code, reference
from tests.deid.table import ROWS, expectations

COMMON = (
    *("AccessionNumber", "StudyID", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
    *("ReferringPhysicianName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName"),
    *("PhysiciansOfRecord", "RequestingPhysician", "OtherPatientNames", "OtherPatientIDs", "PatientBirthName"),
    *("PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "MilitaryRank", "MedicalRecordLocator"),
    *("PatientComments", "AdditionalPatientHistory", "Occupation", "RequestedProcedureID", "AdmissionID"),
    *("RegionOfResidence", "CountryOfResidence", "PatientInsurancePlanCodeSequence"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime", "SeriesTime", "AcquisitionTime"),
    *("ContentTime", "InstanceCreationDate", "PerformedProcedureStepStartDate", "PatientBirthTime"),
    *("StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "RequestedProcedureDescription"),
    *("StationName", "DeviceSerialNumber", "DetectorID", "PlateID", "CassetteID", "GantryID"),
    *("PerformedProcedureStepID", "PerformedProcedureStepDescription", "FillerOrderNumberImagingServiceRequest"),
    *("ReasonForStudy", "AdmittingDiagnosesDescription", "PatientAge", "EthnicGroup", "SpecialNeeds"),
    *("FrameOfReferenceUID", "DeviceUID", "SynchronizationFrameOfReferenceUID", "IrradiationEventUID"),
)


def common(sheet: Sheet, person: Person) -> None:
    """Fills the top level; the person's own words are the same in all of that person's files."""
    dataset = sheet.dataset
    for keyword, value in (("PatientName", person.name), ("PatientID", person.id), ("PatientBirthDate", person.birth)):
        setattr(dataset, keyword, value)
        place = f"{tag_for_keyword(keyword):08X}"
        tokens = (person.family, person.given) if keyword == "PatientName" else (value,)
        for token in tokens:
            sheet.expect("hdr_common", place, "text", token, shared=True)
    for token in (person.family, person.given, person.id):
        sheet.expect("raw_scan", "anywhere", "text", token)
    for keyword in COMMON:
        planted_keyword(sheet, "hdr_common", keyword)
    dataset.SOPInstanceUID = sheet.words.uid()
    dataset.SeriesInstanceUID = sheet.words.uid()
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        own_uid(sheet, keyword)


def own_uid(sheet: Sheet, keyword: str) -> None:
    place = f"{tag_for_keyword(keyword):08X}"
    sheet.expect(
        "uid_replaced",
        place,
        "uid",
        str(sheet.dataset[keyword].value),
        spared_by=("retain-uids",),
        wanted_by=("retain-uids",),
    )


def planted_keyword(sheet: Sheet, category: str, keyword: str, inside: Dataset | None = None, place: str = "") -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return sheet.put(category, tag, dictionary_VR(tag), inside, place)


def deeper(sheet: Sheet, person: Person) -> None:
    """Sequences that real systems fill: request, original attributes, equipment, performers, references."""
    dataset = sheet.dataset
    request, place = Dataset(), "00400275[0]."
    for keyword in (
        *("AccessionNumber", "RequestedProcedureDescription", "RequestedProcedureID", "ScheduledProcedureStepID"),
        *("ReasonForTheRequestedProcedure", "ScheduledProcedureStepDescription", "RequestedProcedureComments"),
        *("NamesOfIntendedRecipientsOfResults", "RequestingPhysician"),
    ):
        planted_keyword(sheet, "nested", keyword, request, place)
    dataset.RequestAttributesSequence = Sequence([request])
    former, modified = Dataset(), Dataset()
    for keyword in ("PatientName", "PatientID", "PatientAddress", "PatientBirthDate"):
        planted_keyword(sheet, "nested", keyword, modified, "04000561[0].04000550[0].")
    for keyword in ("ModifyingSystem", "SourceOfPreviousValues", "AttributeModificationDateTime"):
        planted_keyword(sheet, "nested", keyword, former, "04000561[0].")
    former.ReasonForTheAttributeModification = "COERCE"
    former.ModifiedAttributesSequence = Sequence([modified])
    dataset.OriginalAttributesSequence = Sequence([former])
    machine = Dataset()
    machine.Manufacturer = "ACME"
    machine.PurposeOfReferenceCodeSequence = Sequence([code("De-identifying Equipment", "109104", "DCM")])
    for keyword in ("InstitutionName", "StationName", "OperatorsName", "ContributionDescription", "DeviceSerialNumber"):
        planted_keyword(sheet, "nested", keyword, machine, "0018A001[0].")
    dataset.ContributingEquipmentSequence = Sequence([machine])
    by, who = Dataset(), Dataset()
    by.InstitutionName = by.PersonTelephoneNumbers = ""
    for keyword in ("PersonAddress", "PersonTelephoneNumbers", "InstitutionName", "InstitutionAddress"):
        planted_keyword(sheet, "nested", keyword, by, "00081072[0].")
    token = sheet.words.word()
    who.CodeValue, who.CodingSchemeDesignator, who.CodeMeaning = "17", "99STAFF", f"{token}, Peter"
    by.PersonIdentificationCodeSequence = Sequence([who])
    sheet.expect("nested", "00081072[0].00401101[0].00080104", "text", token)
    dataset.OperatorIdentificationSequence = Sequence([by])
    other = Dataset()
    other.IssuerOfPatientID = sheet.words.word()
    other.PatientID, other.TypeOfPatientID = person.id, "TEXT"
    sheet.expect("nested", "00101002[0].00100020", "text", person.id, shared=True)
    sheet.expect("nested", "00101002[0].00100021", "text", other.IssuerOfPatientID)
    dataset.OtherPatientIDsSequence = Sequence([other])
    image = sheet.words.uid()
    dataset.ReferencedImageSequence = Sequence([reference("1.2.840.10008.5.1.4.1.1.2", image)])
    sheet.expect(
        "uid_replaced", "00081140[0].00081155", "uid", image, spared_by=("retain-uids",), wanted_by=("retain-uids",)
    )


def private(sheet: Sheet) -> None:
    """Private elements of every kind, in a block nobody knows; nothing of it may stay under any option."""
    dataset, words = sheet.dataset, sheet.words
    creator = f"{words.word().upper()} PRIVATE"
    block = dataset.private_block(0x0029, creator, create=True)
    sheet.expect("private", "00290010", "text", creator.split()[0])
    for element, vr in (
        (0x10, "LO"),
        (0x11, "DA"),
        (0x12, "UI"),
        (0x13, "UN"),
        (0x14, "PN"),
        (0x15, "LT"),
        (0x16, "ST"),
    ):
        value, token, kind = sheet.made(vr)
        block.add_new(element, vr, value)
        sheet.expect("uid_replaced_private" if vr == "UI" else "private", f"002910{element:02X}", kind, token)
    csa = words.word()
    text = b"SV10\4\3\2\1" + f"PatientName\0\0{csa}^Hans\0<ParamString>tPatID</ParamString>".encode()
    block.add_new(0x20, "OB", text + b"\0" * (len(text) % 2))
    sheet.expect("private", "00291020", "text", csa)
    deep, deeper_, leaf = Dataset(), Dataset(), words.word()
    deeper_.PatientName = f"{leaf}^Hans"
    deep.add_new(0x00291031, "SQ", Sequence([deeper_]))
    block.add_new(0x30, "SQ", Sequence([deep]))
    sheet.expect("private", "00291030[0].00291031[0].00100010", "text", leaf)
    raw = words.word().encode() + b"^x"
    inner = b"\x10\0\x10\0" + (len(raw) + len(raw) % 2).to_bytes(4, "little") + raw + b" " * (len(raw) % 2)
    item = b"\xfe\xff\0\xe0" + len(inner).to_bytes(4, "little") + inner
    block.add_new(0x40, "UN", item)
    sheet.expect("private", "00291040[0].00100010", "text", raw[:-2].decode())
    for tag, vr in ((0x00791001, "UN"), (0x007B1002, "LO"), (0x60010030, "LO")):  # no creator claims these
        sheet.put("private", tag, vr)


def native(sheet: Sheet) -> None:
    """What the file bore before anything was planted: text and dates at places that the table names."""
    texts = {"PN", "LO", "SH", "ST", "LT", "UT", "DA", "DT", "TM", "UI", "AE"}
    for row in ROWS:
        tag = tag_for_keyword(row["keyword"]) if row["keyword"] else None
        if tag is None or tag not in sheet.dataset or row["basic_profile"] == "U" or row["vr"] not in texts:
            continue
        if row["keyword"] in ("PatientName", "PatientID"):  # already the corpus's own
            continue
        value = sheet.dataset[tag].value
        text = str(value).strip() if isinstance(value, str) or row["vr"] == "PN" else ""
        if len(text) < 3 or not text.isascii():
            continue
        more = expectations(tag)
        cleaned = ("clean-descriptors",) if "clean_descriptors" in row["options"] else ()
        more["spared_by"] += cleaned  # real descriptions hold words that a reader needs
        sheet.expect("native", f"{tag:08X}", "value", text, **{**more, "wanted_by": ()})
