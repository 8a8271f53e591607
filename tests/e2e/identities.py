"""Every trace of a person in a DICOM file, and the search for it in bytes that somebody else may read.

Written for the end-to-end tests and on nothing of the appliance: what its own inspector overlooks is found here.
"""

import base64
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from tests.tiny import tiny

CODED = ("CS", "AS", "IS", "DS")  # terms of the standard and plain numbers: nobody is found by them
STANDARD_UIDS = "1.2.840.10008."
CHARACTERS_MIN = 5


def telling_file(study: str, patient: str, number: int = 1) -> bytes:
    """A small radiograph whose header says as much of a person as a header can; names are drawn from `patient`."""
    dataset = pydicom.dcmread(BytesIO(tiny(study, number, f"MRN-{patient}", "CR", len(patient))))
    dataset.PatientName = f"Zwingenberger{patient}^Ottilie{patient}^Quendolin"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime = "19470823", "20260117", "081737.125"
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20260118"
    dataset.AccessionNumber, dataset.StudyID = f"ACC{patient}77", f"STU{patient}1"
    dataset.OtherPatientIDs, dataset.PatientAddress = f"INS-{patient}-993", f"Am Kirschgarten 7 {patient}"
    dataset.ReferringPhysicianName, dataset.OperatorsName = "Ravensburger^Wolfram", "Yxkull^Jadwiga"
    dataset.InstitutionName, dataset.StationName = "Klinikum Sankt Wendelin", "RADROOM7B"
    dataset.DeviceSerialNumber, dataset.StudyDescription = "SN-559-221-X", f"Thorax wegen Sturz, Frau Z. {patient}"
    dataset.ImageComments, dataset.ProtocolName = "Patientin hat Hund Waldemar", "Thorax Wendelin"
    private = dataset.private_block(0x0029, "WENDELIN PACS", create=True)
    private.add_new(0x01, "LO", f"Zimmernachbarin {patient}")
    request = Dataset()
    request.RequestedProcedureID, request.ReasonForTheRequestedProcedure = f"RP{patient}5", "Husten seit Ostern"
    dataset.RequestAttributesSequence = [request]
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def identities(data: bytes) -> set[str]:
    """The texts of a file by which a person, a study or a place could be known, and the words they are made of."""
    found: set[str] = set()
    for element in pydicom.dcmread(BytesIO(data), stop_before_pixels=True).iterall():
        if element.VR in (*CODED, "SQ", "US", "OB", "OW", "UN"):
            continue
        for value in [element.value] if isinstance(element.value, str) or element.VM < 2 else element.value:
            text = str(value or "")
            if element.VR == "DA" and len(text) == 8:
                year, month, day = text[:4], text[4:6], text[6:]
                found |= {text, f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{day}/{month}/{year}"}
            elif not text.startswith(STANDARD_UIDS):
                found |= {text, *(text.replace("^", " ").replace(",", " ").split() if element.VR != "UI" else ())}
    return {text for text in found if len(text) >= CHARACTERS_MIN}


def encodings(text: str) -> Iterator[bytes]:
    """A text as it may stand in bytes: plain and wide, in hex, and in base64 at each of its three alignments."""
    for spelt in {text, text.upper(), text.lower()}:
        plain = spelt.encode()
        yield from (plain, spelt.encode("utf-16-le"), spelt.encode("utf-16-be"), plain.hex().encode())
        for shift in range(3):
            # The characters at both ends also depend on the neighbours: only the middle is sure.
            coded = base64.b64encode(bytes(shift) + plain)
            yield coded[4 if shift else 0 : -4 if (len(plain) + shift) % 3 else None]


def traces(texts: Iterable[str], files: Iterable[Path]) -> dict[str, list[str]]:
    """Which of the texts stand in which of the files, their names included, in any encoding."""
    sought = {text: {code for code in encodings(text) if len(code) >= CHARACTERS_MIN} for text in texts}
    found: dict[str, list[str]] = {}
    for path in files:
        data = path.name.encode() + b"\n" + path.read_bytes()
        for text, codes in sought.items():
            if any(code in data for code in codes):
                found.setdefault(path.name, []).append(text)
    return found
