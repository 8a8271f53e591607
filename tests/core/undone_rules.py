"""A cleaned object and its source, and what the cleaned one looks like if one rule had not run.

The source bears identity at every row of Table E.1-1, at the top and two sequences deep. Taking back one rule means
putting the source's own element into the cleaned object, at its own place.
"""

import copy
import io
from dataclasses import dataclass
from functools import cache

import pydicom
from planted_objects import SITE_KEY, nested, planted, read
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from appliance.core import annex_e
from appliance.core.deidentify import deidentify
from appliance.core.identity import Identity, identity_of
from appliance.core.options import CODES, Options

OPTION_COLUMNS = {  # names of the table's columns, by option
    "retain_safe_private": "retain-safe-private",
    "retain_uids": "retain-uids",
    "retain_device_identity": "retain-device-identity",
    "retain_institution_identity": "retain-institution-identity",
    "retain_patient_characteristics": "retain-patient-characteristics",
    "retain_longitudinal_full_dates": "retain-longitudinal-full-dates",
    "retain_longitudinal_modified_dates": "retain-longitudinal-modified-dates",
    "clean_descriptors": "clean-descriptors",
    "clean_structured_content": "clean-structured-content",
    "clean_graphics": "clean-graphics",
}
PLANTED = (0x0020000D, 0x00080018, 0x00100010, 0x00100020)  # what planted() says of them stays
REPEATING = {"private": 0x00291010, "50xxxxxx": 0x50002500, "60xx3000": 0x60003000, "60xx4000": 0x60004000}
# Terms that the standard defines for a row, where any other would be none.
TERMS = {"PatientSex": "F", "PatientSexNeutered": "ALTERED", "SmokingStatus": "YES", "InstanceOriginStatus": "IMPORTED"}
TERMS["ReasonForTheAttributeModification"] = "COERCE"


@dataclass(frozen=True)
class Row:
    """One row of the table with an element of the source."""

    rule: annex_e.Rule
    tag: int
    vr: str

    @property
    def name(self) -> str:
        return self.rule.keyword or self.rule.tag

    @property
    def kept_by(self) -> frozenset[str]:
        return frozenset(OPTION_COLUMNS[column] for column, action in self.rule.options if action == "K")


def rows() -> list[Row]:
    found = []
    for rule in annex_e.RULES:
        tag = REPEATING.get(rule.tag) or int(rule.tag, 16)
        found.append(Row(rule, tag, rule.vr or "LO"))
    return found


def value_of(row: Row, number: int) -> object:
    """Something that identifies, in the form of the row's representation."""
    item = Dataset()
    item.TextValue = f"Sequenzler{number} was here"
    return {
        "AE": f"ROOM{number}_AE",
        "AS": "078Y",
        "CS": TERMS.get(row.name, f"W{number}"),
        "DA": f"1961{number % 12 + 1:02d}{number % 28 + 1:02d}",
        "DS": f"{number + 0.25}",
        "DT": f"1962{number % 12 + 1:02d}{number % 28 + 1:02d}101{number % 10}12",
        "IS": str(number + 1),
        "LO": f"Lotzeile{number}",
        "LT": f"A letter of Langzeile{number}",
        "OB": b"bytes of Obzeile%d " % number + b"\0" * (number % 2),
        "OW": b"words of Owzeile%d " % number + b"\0" * (number % 2),
        "PN": f"Pnzeile{number}^Anna",
        "SH": f"SZ{number}",
        "SQ": Sequence([item]),
        "ST": f"Short textzeile{number}",
        "TM": f"1{number % 10}{number % 6}{number % 9}59",
        "UC": f"Uczeile{number}",
        "UI": f"1.3.12.2.1107.5.1.4.{number + 1000}.30000017",
        "UN": b"unknown to Unzeile%d" % number + b"\0" * (number % 2),
        "UR": f"https://ris.example/Urzeile{number}",
        "US": number % 1000 + 1,
        "UT": f"Unlimited textzeile{number}",
    }[row.vr]


@dataclass(frozen=True)
class Plain:
    """Values that no search of words would find: common words, short identifiers."""

    LO: str = "Chest"
    SH: str = "7"
    LT: str = "no comment"
    ST: str = "left"
    UT: str = "routine"
    UC: str = "adult"


PLAIN = Plain()


@cache
def source(plain: bool = False) -> tuple[FileDataset, FileDataset, Identity]:
    """The source, its cleaned copy, and its identity."""
    with pydicom.config.disable_value_validation():
        dataset = planted()
        inner = Dataset()
        for number, row in enumerate(rows()):
            value = getattr(PLAIN, row.vr, None) if plain else None
            for place in (dataset, inner):
                # A data set begins behind group 0002; the table names elements of messages too.
                if row.tag >> 16 > 2 and (row.tag not in PLANTED or place is inner):
                    place.add(DataElement(row.tag, row.vr, value if value is not None else value_of(row, number)))
        dataset.ViewCodeSequence = Sequence([nested(1, inner)])
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        whole = read(dataset)
        buffer = io.BytesIO()
        whole.save_as(buffer)
        # The copy is of a smaller object of the same patient: quicker to write two thousand times.
        cleaned = pydicom.dcmread(io.BytesIO(deidentify(planted(depth=0), SITE_KEY).bytes))
        return whole, cleaned, identity_of(buffer.getvalue())


def written(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def claiming(cleaned: FileDataset, kept: Options) -> FileDataset:
    """The cleaned object as a cleaner would mark it that has these options in force."""
    output = copy.deepcopy(cleaned)
    for option in sorted(kept):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = CODES[option], "DCM", "Option"
        output.DeidentificationMethodCodeSequence.append(item)
    if "retain-longitudinal-full-dates" in kept:
        output.LongitudinalTemporalInformationModified = "UNMODIFIED"
    if "retain-longitudinal-modified-dates" in kept:
        output.LongitudinalTemporalInformationModified = "MODIFIED"
    return output


def undone(cleaned: FileDataset, whole: FileDataset, tag: int, depth: int) -> FileDataset:
    """The cleaned object with the source's own element at `tag`, `depth` sequences deep."""
    output = copy.copy(cleaned)
    output._dict = dict(cleaned._dict)  # a copy of pydicom's shares its elements
    if depth == 0:
        output[tag] = copy.deepcopy(whole[tag])
        return output
    inner = Dataset()
    inner[tag] = copy.deepcopy(whole.ViewCodeSequence[0].ViewCodeSequence[0][tag])
    output.ViewCodeSequence = Sequence([nested(1, inner)])
    return output
