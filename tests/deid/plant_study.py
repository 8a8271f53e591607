"""Whole studies whose objects refer to each other, patients that must stay apart, and private values known as safe."""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.deid.answer_key import ALWAYS
from tests.deid.sheet import CT, Person, Sheet, reference

# Rows that PS3.15 E.3.10 itself calls safe: creator, group, element, VR, value.
SAFE = (
    ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", "1000"),
    ("SIEMENS MR HEADER", 0x0019, 0x0D, "CS", "DIRECTIONAL"),
    ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.25, 0.5, 0.75]),
    ("GEMS_ACQU_01", 0x0019, 0x23, "DS", "27.5"),
    ("GEMS_ACQU_01", 0x0019, 0x27, "DS", "0.8"),
    ("GEMS_PARM_01", 0x0043, 0x39, "IS", ["1000", "8", "0", "0"]),
    ("GEMS_HELIOS_01", 0x0045, 0x02, "FL", 0.625),
    ("Philips Imaging DD 001", 0x2001, 0x03, "FL", 1000.0),
    ("Philips Imaging DD 001", 0x2001, 0x04, "CS", "P"),
    ("Philips Imaging DD 001", 0x2001, 0x0A, "IS", "12"),
    ("Philips MR Imaging DD 001", 0x2005, 0x0D, "FL", 0.5),
    ("Philips MR Imaging DD 001", 0x2005, 0x0E, "FL", 2.25),
    ("Philips PET Private Group", 0x7053, 0x00, "DS", "0.000551"),
    ("ELSCINT1", 0x00E1, 0x50, "DS", "12.5"),
)


def safe_private(sheet: Sheet, person: Person) -> None:
    """Known safe values, the same tags under a stranger's creator, and a safe tag that bears the patient's name."""
    dataset = sheet.dataset
    for creator, group, element, vr, value in SAFE:
        block = dataset.private_block(group, creator, create=True)
        block.add_new(element, vr, value)
        place = f"{block.get_tag(element):08X}"
        sheet.expect("retain_safe_private", place, "keep", "", wanted_by=("retain-safe-private",))
    token = sheet.words.word()
    stranger = dataset.private_block(0x0019, f"{sheet.words.word().upper()} 01", create=True)
    stranger.add_new(0x0C, "LO", token)
    sheet.expect("private", f"{stranger.get_tag(0x0C):08X}", "text", token)
    known = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    known.add_new(0x9E, "LO", f"{person.family} protocol")
    sheet.expect("private_safe_dirty", f"{known.get_tag(0x9E):08X}", "text", person.family, shared=True)
    # An unknown private sequence with a safe element, as PS3.15 E.3.10 wants it read: element by element.
    inner = Dataset()
    inner.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "500")
    block = dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    token = sheet.words.word()
    inner.PatientName = f"{token}^Hans"
    block.add_new(0x77, "SQ", Sequence([inner]))
    sheet.expect("private", f"{block.get_tag(0x77):08X}[0].00100010", "text", token)


def refers(sheet: Sheet, images: list[str], frame: str) -> None:
    """References to other images of the study in every common sequence; each must still resolve."""
    dataset = sheet.dataset
    dataset.FrameOfReferenceUID = frame
    sheet.expect("uid_replaced", "00200052", "uid", frame, spared_by=("retain-uids",), wanted_by=("retain-uids",))
    for keyword, tag in (("ReferencedImageSequence", 0x00081140), ("SourceImageSequence", 0x00082112)):
        setattr(dataset, keyword, Sequence([reference(CT, uid) for uid in images]))
        for number, uid in enumerate(images):
            place = f"{tag:08X}[{number}].00081155"
            sheet.expect("uid_reference", place, "uid", uid, spared_by=("retain-uids",), wanted_by=("retain-uids",))
    study = reference("1.2.840.10008.3.1.2.3.1", str(dataset.StudyInstanceUID))
    dataset.ReferencedStudySequence = Sequence([study])
    sheet.expect(
        "uid_reference",
        "00081110[0].00081155",
        "uid",
        str(dataset.StudyInstanceUID),
        spared_by=("retain-uids",),
        wanted_by=("retain-uids",),
    )


def bears(sheet: Sheet, person: Person, name: str | None = None) -> None:
    """The patient, perhaps in another spelling of the same name."""
    dataset = sheet.dataset
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = name or person.name, person.id, person.birth
    for token in (person.family, person.given, person.id, person.birth):
        sheet.expect("raw_scan", "anywhere", "text" if token != person.birth else "date", token)
    sheet.expect("retain_std", "00080060", "keep", "", wanted_by=(ALWAYS,))
