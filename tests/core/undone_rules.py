"""A cleaned object and its source, and what the cleaned one looks like if one rule had not run.

The source bears identity at every row of Table E.1-1, at the top and two sequences deep. Taking back one rule means
putting the source's own bytes of an element into the cleaned object, at their own place. Explicit little endian.
"""

import io
import struct
from dataclasses import dataclass
from functools import cache

import pydicom
from planted_objects import SITE_KEY, deidentify, nested, planted, read
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.core import annex_e, inspect_read
from appliance.core.identity import Identity, identity_of
from appliance.core.inspect_read import LONG_VRS, Element, Read
from appliance.core.options import CODES, Option, Options

OPTION_COLUMNS: dict[str, Option] = {  # names of the table's columns, by option
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
TERMS = {
    "PatientSex": "F",
    "PatientSexNeutered": "ALTERED",
    "SmokingStatus": "YES",
    "InstanceOriginStatus": "IMPORTED",
    "ReasonForTheAttributeModification": "COERCE",
}
PLAIN = {"LO": "Chest", "SH": "7", "LT": "no comment", "ST": "left", "UT": "routine", "UC": "adult"}
VIEW_CODE_SEQUENCE = 0x00540220


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
    def options(self) -> dict[Option, str]:
        """What the options do here: K keep, C clean, X remove."""
        return {OPTION_COLUMNS[column]: action for column, action in self.rule.options}


@cache
def rows() -> tuple[Row, ...]:
    """The table, but for elements of messages and of file meta information, which stand in no data set."""
    tags = [(rule, REPEATING.get(rule.tag) or int(rule.tag, 16)) for rule in annex_e.RULES]
    return tuple(Row(rule, tag, rule.vr or "LO") for rule, tag in tags if tag >> 16 > 2)


def value_of(row: Row, number: int) -> object:
    """Something that identifies, in the form of the representation; of equal length, so that none holds another."""
    item = Dataset()
    item.TextValue = f"Sequenzler{number:03d} was here"
    return {
        "AE": f"ROOM{number:03d}_AE",
        "AS": "078Y",
        "CS": TERMS.get(row.name, f"W{number:03d}"),
        "DA": f"1961{number % 12 + 1:02d}{number % 28 + 1:02d}",
        "DS": f"{number + 0.25}",
        "DT": f"1962{number % 12 + 1:02d}{number % 28 + 1:02d}101{number % 10}12",
        "IS": str(number + 1),
        "LO": f"Lotzeile{number:03d}",
        "LT": f"A letter of Langzeile{number:03d}",
        "OB": b"bytes of Obzeile%03d" % number + b"\0",
        "OW": b"words of Owzeile%03d" % number + b"\0",
        "PN": f"Pnzeile{number:03d}^Anna",
        "SH": f"SZ{number:03d}",
        "SQ": Sequence([item]),
        "ST": f"Short textzeile{number:03d}",
        "TM": f"1{number % 10}{number % 6}{number % 9}59",
        "UC": f"Uczeile{number:03d}",
        "UI": f"1.3.12.2.1107.5.1.4.{number + 1000}.30000017",
        "UN": b"unknown to Unzeile%03d" % number,
        "UR": f"https://ris.example/Urzeile{number:03d}",
        "US": number % 1000 + 1,
        "UT": f"Unlimited textzeile{number:03d}",
    }[row.vr]


@dataclass(frozen=True)
class Pair:
    """A source, its identity, and the bytes of a cleaned object of the same patient."""

    source: Read
    who: Identity
    cleaned: bytes

    @property
    def elements(self) -> dict[tuple[int, int], bytes]:
        """The source's elements with their headers, by depth and tag."""
        found = {}
        for element in self.source.elements:
            depth = depth_of(self.source, element)
            if depth == 0 or (depth == 2 and self.source.items[element.item].tag == VIEW_CODE_SEQUENCE):
                found[depth, element.tag] = self.source.body[head(element) : element.end]
        return found


def head(element: Element) -> int:
    """Where an element's header begins."""
    return element.start - (12 if element.vr in LONG_VRS else 8)


def depth_of(whole: Read, element: Element) -> int:
    depth, item = 0, element.item
    while item:
        depth, item = depth + 1, whole.items[item].around
    return depth


@cache
def pair(plain: bool = False) -> Pair:
    """plain: values that no search of words would find, common words and short identifiers."""
    with pydicom.config.disable_value_validation():
        dataset, inner = planted(), Dataset()
        for number, row in enumerate(rows()):
            value = PLAIN.get(row.vr) if plain else None
            for place in (dataset, inner):
                if row.tag not in PLANTED or place is inner:
                    place.add(DataElement(row.tag, row.vr, value_of(row, number) if value is None else value))
        dataset.ViewCodeSequence = Sequence([nested(1, inner)])
        buffer = io.BytesIO()
        read(dataset).save_as(buffer)
        source = buffer.getvalue()
        # The cleaned copy is of a smaller object of the same patient.
        cleaned = deidentify(planted(depth=0), SITE_KEY).bytes
    return Pair(inspect_read.read(source, strict=False), identity_of(source), cleaned)


@cache
def claiming(cleaned: bytes, kept: Options) -> bytes:
    """The cleaned object as a cleaner would mark it that has these options in force."""
    output = pydicom.dcmread(io.BytesIO(cleaned))
    for option in sorted(kept):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = CODES[option], "DCM", "Option"
        output.DeidentificationMethodCodeSequence.append(item)
    if "retain-longitudinal-full-dates" in kept:
        output.LongitudinalTemporalInformationModified = "UNMODIFIED"
    if "retain-longitudinal-modified-dates" in kept:
        output.LongitudinalTemporalInformationModified = "MODIFIED"
    buffer = io.BytesIO()
    output.save_as(buffer)
    return buffer.getvalue()


def undone(cleaned: bytes, tag: int, element: bytes, depth: int) -> bytes:
    """The cleaned object with an element, header and value, at `tag`, `depth` sequences deep."""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(element)) + element
        tag = VIEW_CODE_SEQUENCE
        element = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(item)) + item
    whole = inspect_read.read(cleaned, strict=True)
    top = [one for one in whole.elements if not one.item]
    start = next((head(one) for one in top if one.tag >= tag), len(cleaned))
    end = next((head(one) for one in top if one.tag > tag), len(cleaned))
    return cleaned[:start] + element + cleaned[end:]
