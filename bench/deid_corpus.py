"""Files for the de-identification bench: real pixels of pydicom and pydicom-data under headers planted from a seed.

The header holds about 250 elements: attributes that Table E.1-1 names with a value of their representation, some of
them nested in sequences that no rule names, and a private block. Identity changes with the patient, ten files each.
"""

import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import data_store
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core.annex_e import RULES

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
HEADERS = {"CT 512x512": SHIPPED / "CT_small.dcm", "MR 64x64": SHIPPED / "MR_small.dcm"}
PICTURES = {"CT 512x512": Path(data_store.__file__).parent / "data" / "693_UNCR.dcm", "MR 64x64": HEADERS["MR 64x64"]}
FILES_A_PATIENT = 10
PLAIN, NESTED, PRIVATE = 120, 36, 24
TEXT_VRS = ("LO", "SH", "ST", "LT", "UT", "PN", "DA", "TM", "DT", "UI", "AS", "CS", "DS", "IS")
# What a file must tell of its picture, and what would make it another kind of object.
LEFT_ALONE = {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientName"}


def files(kind: str, count: int, seed: int, *, text: bool = False) -> Iterator[bytes]:
    """`count` Part 10 files, Explicit VR Little Endian; the same for the same arguments.

    text  name, number and date of the patient are burned into the picture, as a scanner does it
    """
    source, picture = pydicom.dcmread(HEADERS[kind]), pydicom.dcmread(PICTURES[kind])
    for keyword in ("Rows", "Columns", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        setattr(source, keyword, picture[keyword].value)
    source.remove_private_tags()  # the bench plants its own, the same in both kinds
    for patient in range(-(-count // FILES_A_PATIENT)):
        dataset = planted(source, random.Random(f"{kind} {seed} {patient}"))
        for number in range(min(FILES_A_PATIENT, count - patient * FILES_A_PATIENT)):
            dataset.InstanceNumber = number + 1
            if text:
                burn_in(dataset, picture)
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            buffer = BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            yield buffer.getvalue()


def planted(source: pydicom.FileDataset, chance: random.Random) -> pydicom.FileDataset:
    """A copy of `source` with the identity of a patient who does not exist, in every kind of place."""
    dataset = pydicom.dcmread(BytesIO(_bytes_of(source)))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    named = [
        rule for rule in RULES if len(rule.tag) == 8 and rule.tag.isalnum() and "x" not in rule.tag
        and rule.vr in TEXT_VRS and rule.keyword and rule.keyword not in LEFT_ALONE and rule.tag >= "0008"
    ]  # fmt: skip
    chosen = chance.sample(named, PLAIN + NESTED)
    for rule in chosen[:PLAIN]:
        dataset.add_new(int(rule.tag, 16), rule.vr, value(rule.vr, chance))
    items = []
    for start in range(PLAIN, PLAIN + NESTED, 6):
        item = Dataset()
        for rule in chosen[start : start + 6]:
            item.add_new(int(rule.tag, 16), rule.vr, value(rule.vr, chance))
        outer = Dataset()
        outer.ViewModifierCodeSequence = Sequence([item])
        items.append(outer)
    dataset.ViewCodeSequence = Sequence(items)
    block = dataset.private_block(0x0029, "BENCH PRIVATE", create=True)
    for element in range(PRIVATE):
        vr = ("LO", "DS", "UI", "OB")[element % 4]
        block.add_new(element, vr, value(vr, chance))
    for keyword in ("PatientName", "ReferringPhysicianName", "OperatorsName"):
        setattr(dataset, keyword, value("PN", chance))
    dataset.PatientID, dataset.AccessionNumber = value("SH", chance), value("SH", chance)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = value("DA", chance)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, value("UI", chance))
    return dataset


def burn_in(dataset: pydicom.Dataset, picture: pydicom.FileDataset) -> None:
    frame = picture.pixel_array.copy()
    drawn = np.zeros(frame.shape, np.uint8)
    for line, keyword in enumerate(("PatientName", "PatientID", "StudyDate")):
        at = (8, 24 + 22 * line)
        cv2.putText(drawn, str(dataset[keyword].value), at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    frame[drawn > 127] = frame.max()
    dataset.PixelData = frame.tobytes()


def value(vr: str, chance: random.Random) -> str | bytes:
    """Something that could stand in an element of this representation, and in no other patient's."""
    word = "".join(chance.choice("bcdfgklmnprstvwz") + chance.choice("aeiou") for _ in range(4)).capitalize()
    number = chance.randrange(10**7, 10**8)
    return {
        "PN": f"{word}^{word[::-1].capitalize()}",
        "DA": f"{chance.randrange(1931, 2024)}{chance.randrange(1, 13):02}{chance.randrange(1, 29):02}",
        "TM": f"{chance.randrange(24):02}{chance.randrange(60):02}{chance.randrange(60):02}",
        "DT": f"{chance.randrange(1991, 2024)}0704{chance.randrange(24):02}1500",
        "UI": f"1.2.826.0.1.3680043.10.{number}.{chance.randrange(10**6, 10**7)}",
        "AS": f"{chance.randrange(1, 90):03}Y",
        "CS": word.upper(),
        "DS": str(number / 1000),
        "IS": str(number),
        "SH": f"{word[:4].upper()}{number}",
        "LT": f"{word} was seen on the ward by doctor {word[::-1]}, file {number}",
        "OB": f"{word} {number}.".ljust(18).encode(),
    }.get(vr, f"{word} {number}")


def _bytes_of(dataset: pydicom.FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
